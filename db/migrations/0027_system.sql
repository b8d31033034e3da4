-- How the system itself is: what each part says of itself, and the fleet's counts minute by minute.

-- ---- parts: each tells its state every ten seconds; one that has not for thirty is silent ----
create table part_state (
    part       text not null check (part in ('ingest', 'commander', 'bridge', 'dashboard', 'canary')),
    instance   text not null check (length(instance) between 1 and 200), -- the same after a restart
    version    text not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null default now(),
    state      text not null check (state in ('ok', 'degraded')),
    since      timestamptz not null default now(), -- from when on it has been in that state
    why        text not null default '' check (length(why) <= 400), -- it is degraded, and what to do
    detail     jsonb not null default '{}',
    primary key (part, instance)
);

-- Each daemon speaks for itself only. What nobody has been for a week is forgotten.
create function tell_part(of_part text, of_instance text, of_version text, up_since timestamptz, because text, facts jsonb)
returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if not pg_has_role(session_user, 'muster_' || of_part, 'member') then
        raise exception '% is not the role of %', session_user, of_part using errcode = 'insufficient_privilege';
    end if;
    insert into part_state as p (part, instance, version, started_at, state, why, detail)
        values (of_part, of_instance, of_version, up_since, case when because = '' then 'ok' else 'degraded' end, because, facts)
        on conflict (part, instance) do update set version = excluded.version, started_at = excluded.started_at,
            seen_at = now(), state = excluded.state, why = excluded.why, detail = excluded.detail,
            since = case when p.state = excluded.state and p.seen_at > now() - interval '30 seconds' then p.since else now() end;
    delete from part_state where part = of_part and seen_at < now() - interval '7 days';
end $$;

-- ---- the fleet over time: a row a minute and tenant, so that no page has to count what was ----
create table fleet_sample (
    tenant    text not null references tenant (name),
    at        timestamptz not null,
    span_s    real not null,                      -- since the sample before: what enrolled to failed count in
    online    integer not null,
    stale     integer not null,
    offline   integer not null,
    never     integer not null,
    revoked   integer not null,                   -- of all those above
    enrolled  integer not null,
    commands  integer not null,                   -- requested
    succeeded integer not null,                   -- ended so
    failed    integer not null,                   -- failed, rejected or expired
    received  bigint not null,                    -- messages taken in since ever
    primary key (at, tenant)
);

-- Called by ingest's housekeeping, one at a time. False: the last one is younger than that.
create function sample_fleet(every_s integer) returns boolean
language plpgsql security definer set search_path = public, pg_temp set jit = off as $$
declare
    before timestamptz;
    since  timestamptz;
begin
    select max(at) into before from fleet_sample;
    if before > now() - make_interval(secs => every_s) and before <= now() then
        return false;
    end if;
    since := greatest(before, now() - interval '1 hour');
    if since is null or since > now() then
        since := now() - make_interval(secs => every_s);
    end if;
    delete from fleet_sample where at > now(); -- the clock was set back
    insert into fleet_sample (tenant, at, span_s, online, stale, offline, never, revoked, enrolled, commands, succeeded,
                              failed, received)
    with status as (
        select d.tenant, d.enabled, d.enrolled_at, case when s.presence is null or s.presence = 'never' then 'never'
            when s.presence = 'offline' then 'offline'
            when least(s.last_seen, now()) < now() - 3 * coalesce(s.interval_s, 60) * interval '1 second' then 'stale'
            else 'online' end as status
        from device d left join device_state s on s.device = d.device
    ), devices as (
        select tenant, count(*) filter (where status = 'online') as online, count(*) filter (where status = 'stale') as stale,
            count(*) filter (where status = 'offline') as offline, count(*) filter (where status = 'never') as never,
            count(*) filter (where not enabled) as revoked,
            count(*) filter (where enrolled_at >= since and enrolled_at < now()) as enrolled
        from status group by tenant
    ), requested as (
        select d.tenant, count(*) as n from command c join device d on d.device = c.device
        where c.created_at >= since and c.created_at < now() group by d.tenant
    ), ended as (
        select d.tenant, count(*) filter (where c.state = 'succeeded') as succeeded,
            count(*) filter (where c.state in ('failed', 'rejected', 'expired')) as failed
        from command c join device d on d.device = c.device
        where c.changed_at >= since and c.finished_at >= since and c.finished_at < now() group by d.tenant
    ), taken as (
        select d.tenant, sum(l.received)::bigint as n from ledger l join device d on d.device = l.device group by d.tenant
    )
    select t.name, now(), extract(epoch from now() - since), coalesce(online, 0), coalesce(stale, 0), coalesce(offline, 0),
        coalesce(never, 0), coalesce(revoked, 0), coalesce(enrolled, 0), coalesce(r.n, 0), coalesce(succeeded, 0),
        coalesce(failed, 0), coalesce(k.n, 0)
    from tenant t left join devices v on v.tenant = t.name left join requested r on r.tenant = t.name
        left join ended e on e.tenant = t.name left join taken k on k.tenant = t.name;
    delete from fleet_sample where at < now() - interval '8 days';
    return true;
end $$;

-- The newest changes of presence are found without all the other events.
create index event_of_presence on event (measured_at desc) where epoch = '-presence';

create index device_by_enrolment on device (enrolled_at desc);

-- ---- what only the owner may look at: sizes and ages, no contents ----
create function system_facts() returns jsonb
language sql stable security definer set search_path = public, pg_temp as $$
    select jsonb_build_object(
        'version', current_setting('server_version'),
        'started_at', pg_postmaster_start_time(),
        'size_bytes', pg_database_size(current_database()),
        'connections', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
        'connections_max', current_setting('max_connections')::integer,
        'oldest_transaction_s', (select round(extract(epoch from max(now() - xact_start))::numeric, 1) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()),
        'replica', pg_is_in_recovery(),
        'mail_waiting', (select count(*) from mail where sent_at is null and expires_at > now()),
        'mail_oldest_at', (select min(created_at) from mail where sent_at is null and expires_at > now()),
        'mail_error', (select error from mail where sent_at is null and expires_at > now() and error <> ''
            order by next_at desc limit 1));
$$;

-- ---- grants ----
revoke all on function tell_part(text, text, text, timestamptz, text, jsonb), sample_fleet(integer), system_facts() from public;
grant execute on function tell_part(text, text, text, timestamptz, text, jsonb)
    to muster_ingest, muster_commander, muster_bridge, muster_dashboard, muster_canary;
grant execute on function sample_fleet(integer) to muster_ingest;
grant execute on function system_facts() to muster_dashboard;
grant select on part_state, fleet_sample to muster_dashboard, muster_admin;
grant select (device, received_at, applied_at, verdict) on command_result to muster_dashboard;
