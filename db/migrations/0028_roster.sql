-- The roster: what lists of devices are filtered and sorted by, one narrow row a device, so that any question is one scan of some 20 ms at
-- 100,000 devices, and ingest's own table needs no further index (docs/decisions/0026). Whoever shows a device reads the
-- truth by its key.

create table device_roster (
    device      text primary key,
    tenant      text not null,
    enabled     boolean not null,
    presence    smallint not null default 0,       -- 0 never, 1 offline, 2 online: stale by time alone
    changed_at  timestamptz,                       -- of the device_state that it was made from
    seen        timestamptz,
    stale_at    timestamptz,                       -- online: from then on it is stale
    battery     real,
    cpu         real,
    memory      real,                              -- percent used, as is disk
    disk        real,
    load        real,
    temperature real,
    rssi        real,
    uptime      bigint,                            -- seconds
    charging    boolean,
    cell        integer,                           -- where it reports, or else where it belongs
    enrolled_at timestamptz,
    os          text,
    network     text,
    agent       text,
    agent_key   text,                              -- orders versions: 1.9.0 before 1.10.0
    name        text not null,                     -- what it is called: display name in lower case, or else its id
    tags        text[] not null,
    search      text not null                      -- id, name and tags in lower case, in which words are looked for
) with (fillfactor = 70);                          -- only the key is indexed: each update stays in its page

create table device_roster_state (
    one   boolean primary key default true check (one),
    since timestamptz not null default 'epoch',    -- every change of device_state before is in the roster
    swept timestamptz not null default 'epoch'     -- when it last looked back far
);
insert into device_roster_state default values;

-- Digits are filled up, so that the order of the texts is that of the versions.
create function version_key(version text) returns text language sql immutable parallel safe as $$
    select string_agg(case when part ~ '^[0-9]+$' then lpad(part, 9, '0') else part end, '' order by place)
    from regexp_matches(version, '[0-9]{1,9}|[^0-9]+', 'g') with ordinality as found (parts, place), unnest(parts) as part
$$;
create function roster_search(device text, display_name text, tags text[]) returns text
language sql immutable parallel safe as $$
    select device || ' ' || lower(coalesce(display_name, '') || ' ' || array_to_string(tags, ' '))
$$;

-- ---- what changes seldom is in the roster at once ----
create function roster_add() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into device_roster (device, tenant, enabled, cell, enrolled_at, name, tags, search, os)
        select a.device, a.tenant, a.enabled, a.cell, a.enrolled_at, lower(coalesce(nullif(a.display_name, ''), a.device)),
            a.tags, roster_search(a.device, a.display_name, a.tags), i.body ->> 'os'
        from added a left join inventory i on i.device = a.device and i.kind = 'hardware'
        on conflict do nothing;
    return null;
end $$;
create function roster_change() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update device_roster set tenant = new.tenant, enabled = new.enabled, enrolled_at = new.enrolled_at,
        name = lower(coalesce(nullif(new.display_name, ''), new.device)), tags = new.tags,
        search = roster_search(new.device, new.display_name, new.tags) where device = new.device;
    return null;
end $$;
create function roster_remove() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from device_roster r using gone where r.device = gone.device;
    return null;
end $$;
create function roster_os() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update device_roster set os = new.body ->> 'os' where device = new.device and os is distinct from new.body ->> 'os';
    return null;
end $$;
create trigger device_roster_add after insert on device referencing new table as added
    for each statement execute function roster_add();
create trigger device_roster_change after update of tenant, enabled, enrolled_at, display_name, tags on device
    for each row when ((old.tenant, old.enabled, old.enrolled_at, old.display_name, old.tags)
        is distinct from (new.tenant, new.enabled, new.enrolled_at, new.display_name, new.tags))
    execute function roster_change();
create trigger device_roster_remove after delete on device referencing old table as gone
    for each statement execute function roster_remove();
create trigger device_roster_os after insert or update of body on inventory for each row when (new.kind = 'hardware')
    execute function roster_os();

-- ---- what changes all the time is taken over every few seconds, while somebody looks ----
-- At most so many devices; true when there are more. Changes carry the time at which their transaction began, so each
-- turn looks back 5 s, once a minute 10 minutes, and passes over what it has.
create function refresh_roster(most integer) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    from_at timestamptz;
    last_at timestamptz;
    taken   bigint;
    far     boolean;
begin
    if not pg_try_advisory_xact_lock(hashtext('muster.roster')) then
        return false; -- another does it
    end if;
    select swept < now() - interval '1 minute', since - case when swept < now() - interval '1 minute'
        then interval '10 minutes' else interval '5 seconds' end into far, from_at from device_roster_state;
    with changed as (
        select s.* from device_state s join device_roster r on r.device = s.device
        where s.changed_slot >= floor(extract(epoch from from_at) / 10)::bigint and s.changed_at >= from_at
            and r.changed_at is distinct from s.changed_at
        order by s.changed_at limit most),
    versions as (
        select version, version_key(version) as key from (select distinct lower(agent_version) as version from changed) v),
    done as (
        update device_roster r set changed_at = s.changed_at,
            presence = case s.presence when 'online' then 2 when 'offline' then 1 else 0 end, seen = s.last_seen,
            stale_at = case when s.presence = 'online'
                then s.last_seen + 3 * coalesce(s.interval_s, 60) * interval '1 second' end,
            battery = s.battery_pct, cpu = s.cpu_pct, load = s.load1, temperature = s.temperature_c, rssi = s.rssi_dbm,
            memory = (1 - s.mem_available::float8 / nullif(s.mem_total, 0)) * 100,
            disk = (1 - s.disk_free::float8 / nullif(s.disk_total, 0)) * 100,
            uptime = s.uptime_s, charging = s.charging, cell = coalesce(s.cell, r.cell), network = lower(s.network_type),
            agent = v.version, agent_key = v.key
        from changed s left join versions v on v.version = lower(s.agent_version)
        where r.device = s.device returning s.changed_at)
    select count(*), max(done.changed_at) into taken, last_at from done;
    update device_roster_state set since = greatest(since, case when taken < most then now() else last_at end),
        swept = case when far and taken < most then now() else swept end;
    return taken = most;
end $$;
revoke all on function version_key(text), roster_search(text, text, text[]), roster_add(), roster_change(), roster_remove(),
    roster_os(), refresh_roster(integer) from public;

insert into device_roster (device, tenant, enabled, cell, enrolled_at, name, tags, search, os)
    select d.device, d.tenant, d.enabled, d.cell, d.enrolled_at, lower(coalesce(nullif(d.display_name, ''), d.device)), d.tags,
        roster_search(d.device, d.display_name, d.tags), i.body ->> 'os'
    from device d left join inventory i on i.device = d.device and i.kind = 'hardware';
select refresh_roster(2147483647);
cluster device_roster using device_roster_pkey; -- each row was written twice

grant select on device_roster to muster_dashboard, muster_admin;
grant execute on function refresh_roster(integer) to muster_dashboard;

-- ---- what is done to many devices at once ----
-- Applied in steps, each its own transaction, in the order of the devices.
create table device_bulk (
    id              bigint generated always as identity primary key,
    tenant          text not null default current_tenant() references tenant (name),
    verb            text not null check (verb in ('tag', 'add-to-group', 'remove-from-group', 'revoke', 'restore')),
    params          jsonb not null check (jsonb_typeof(params) = 'object'),
    query           text not null default '' check (length(query) <= 4096), -- whom; '': everything
    devices         text[],                        -- or these
    total           bigint not null,               -- that matched when it was asked for
    state           text not null default 'running' check (state in ('running', 'finished', 'cancelled', 'failed')),
    reason          text not null default '',      -- why it failed or was cancelled
    cursor          text not null default '',      -- devices up to this one have been looked at
    done            bigint not null default 0,     -- devices looked at
    changed         bigint not null default 0,     -- of these, those that it was not true of before
    created_by      text not null,
    -- What the maker may see, under which each step runs.
    sees_tenant     text not null default coalesce(current_setting('muster.tenant', true), ''),
    sees_groups     text not null default coalesce(current_setting('muster.groups', true), ''),
    idempotency_key text check (length(idempotency_key) between 1 and 64),
    request_id      text not null default '',
    peer            text not null default '',
    created_at      timestamptz not null default now(),
    changed_at      timestamptz not null default now(),
    finished_at     timestamptz
);
create index device_bulk_running on device_bulk (id) where state = 'running';
create unique index device_bulk_by_key on device_bulk (created_by, idempotency_key) where idempotency_key is not null;

-- Adds and removes tags; returns how many devices had others before.
create function tag_devices(which text[], added text[], removed text[]) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    count bigint;
begin
    update device d set tags = n.tags from (select device, array(select distinct tag from unnest(x.tags || added) tag
            where tag <> all (removed) order by tag) as tags from device x where x.device = any (which) for update) n
        where d.device = n.device and d.tags is distinct from n.tags;
    get diagnostics count = row_count;
    return count;
end $$;
-- Revokes or restores these; returns those of which it was not true before. Their rows are locked before the list of
-- revocations is, as order_revocations() wants it.
create function revoke_devices(which text[], revoked boolean, why text, actor text, request text) returns text[]
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    id   text;
    made text[] := '{}';
    news boolean;
begin
    perform from device where device = any (which) order by device for update;
    foreach id in array coalesce(which, '{}') loop
        if revoked then
            news := revoke_device(id, why, actor, request);
        else
            news := restore_device(id, why, actor, request);
        end if;
        if news then
            made := made || id;
        end if;
    end loop;
    return made;
end $$;
revoke all on function tag_devices(text[], text[], text[]), revoke_devices(text[], boolean, text, text, text) from public;
grant execute on function tag_devices(text[], text[], text[]), revoke_devices(text[], boolean, text, text, text)
    to muster_dashboard;
grant select, insert, update on device_bulk to muster_dashboard;
grant select on device_bulk to muster_admin;
