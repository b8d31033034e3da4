-- Rollups of the whole fleet, beside those of each device: what a question about many devices would have to scan is added
-- up as it comes, slice by slice, by the mechanism of docs/decisions/0007 (and 0027).

-- ---- events say which transaction brought them, as telemetry does ----
alter table event add column xact bigint default 0 constraint event_xact check (xact is not null);
alter table event alter column xact set default pg_current_xact_id()::text::bigint;
create index event_by_xact on event using brin (xact) with (pages_per_range = 32);

-- ---- tables ----
-- A scope is '' (all devices of the tenant), 'tag:<tag>' or 'group:<group>' (of a group whose members are listed). What a
-- device reports is added to the scopes that it is in at that time.
create table rollup_fleet (
    tenant text not null references tenant (name),
    scope  text not null,
    metric text not null,                         -- one of rollup_fleet_metric
    hour   timestamptz not null,                  -- its beginning, UTC
    n      bigint not null,
    min    double precision not null,
    max    double precision not null,
    sum    double precision not null,
    bins   bigint[] not null,                     -- how many lie in each of ROLLUP_BINS (50) bins; see rollup_bin
    primary key (tenant, scope, metric, hour)
) with (fillfactor = 80);

-- The bins of a metric: the first begins at low, each is step wide; of those with root the square root is taken first.
create table rollup_fleet_metric (
    metric text primary key,
    unit   text not null,
    low    double precision not null,
    step   double precision not null,
    root   boolean not null default false
);
insert into rollup_fleet_metric (metric, unit, low, step, root) values
    ('online_pct', '%', 0, 2, false),             -- devices with a session, sampled with each slice
    ('battery_pct', '%', 0, 2, false),
    ('charging_pct', '%', 0, 2, false),
    ('cpu_pct', '%', 0, 2, false),
    ('mem_used_pct', '%', 0, 2, false),
    ('disk_used_pct', '%', 0, 2, false),
    ('load1', '', 0, 0.2, true),                  -- up to 100
    ('rssi_dbm', 'dBm', -120, 2.4, false),
    ('temperature_c', '°C', -40, 3, false);       -- up to 110

create table rollup_event (
    tenant text not null references tenant (name),
    scope  text not null,
    hour   timestamptz not null,
    type   text not null,                         -- '(other)' beyond the first 200 types of a tenant
    n      bigint not null,
    primary key (tenant, scope, hour, type)
) with (fillfactor = 80);
create table rollup_event_type (
    tenant text not null references tenant (name),
    type   text not null,
    primary key (tenant, type)
);

-- Per device and day, UTC.
create table rollup_day (
    day      date not null,
    device   text not null,
    readings bigint not null default 0,
    events   bigint not null default 0,
    online_s double precision not null default 0, -- of sessions that have ended; the present one: device_state
    primary key (device, day)
) with (fillfactor = 70);
create index rollup_day_by_day on rollup_day (day); -- for the busiest of a day

-- Since when a device is online, as far as its events have been rolled up.
create table rollup_online (
    device text primary key,
    since  timestamptz not null
);

alter table rollup_state add sampled_at timestamptz not null default '-infinity'; -- when online_pct was

-- ---- bins ----
create function rollup_bin(m rollup_fleet_metric, v double precision) returns integer language sql immutable as $$
    select greatest(1, least(50, 1 + floor(((case when m.root then sqrt(greatest(v, 0)) else v end) - m.low) / m.step)))::integer
$$;
create function rollup_bins_of(bin integer[], n numeric[]) returns bigint[] language sql immutable as $$
    select array_agg(coalesce(x.n, 0)::bigint order by i) from generate_series(1, 50) i left join unnest(bin, n) x (bin, n) on x.bin = i
$$;
create function rollup_bins_add(a bigint[], b bigint[]) returns bigint[] language sql immutable as $$
    select case when a is null then b else (select array_agg(x + y order by i) from unnest(a, b) with ordinality t (x, y, i)) end
$$;
create aggregate rollup_bins_sum(bigint[]) (sfunc = rollup_bins_add, stype = bigint[]);
-- The value below which the share q lies, straight within its bin.
create function rollup_quantile(m rollup_fleet_metric, bins bigint[], q double precision, least_v double precision,
    greatest_v double precision) returns double precision language plpgsql immutable as $$
declare
    wanted double precision := q * (select sum(b) from unnest(bins) b);
    below  double precision := 0;
    edge   double precision;
begin
    for i in 1 .. cardinality(bins) loop
        if below + bins[i] >= wanted and bins[i] > 0 then
            edge := m.low + m.step * (i - 1 + (wanted - below) / bins[i]);
            return greatest(least_v, least(greatest_v, case when m.root then edge * edge else edge end));
        end if;
        below := below + bins[i];
    end loop;
    return greatest_v;
end $$;

-- ---- for answers in JSON ----
create function epoch_ms(t timestamptz) returns bigint language sql immutable parallel safe as
    $$ select (extract(epoch from t) * 1000)::bigint $$;
create function rounded(v double precision) returns double precision language sql immutable parallel safe as
    $$ select round(v::numeric, 3)::float8 $$;

-- ---- rolling up ----
create function rollup_scopes(which text, tags text[]) returns text[] language sql stable as $$
    select array(select '' union all select 'tag:' || t from unnest(tags[1:16]) t
                 union all (select 'group:' || group_name from device_group_member where device = which limit 16))
$$;

-- The readings with since <= xact < until. A device's readings of an hour within the slice (a minute's, usually two) go to
-- the bin of their average.
create function rollup_fleet_range(since bigint, until bigint) returns void
language plpgsql set search_path = public, pg_temp set enable_seqscan = off set jit = off set work_mem = '64MB' as $$
begin
    with reading as materialized (
        select device, date_trunc('hour', coalesce(measured_at, ts), 'UTC') as hour, count(*) as came,
            count(a) as an, min(a) as al, max(a) as ah, sum(a) as s_a, count(b) as bn, min(b) as bl, max(b) as bh, sum(b) as s_b,
            count(c) as cn, min(c) as cl, max(c) as ch, sum(c) as s_c, count(d) as dn, min(d) as dl, max(d) as dh, sum(d) as s_d,
            count(e) as en, min(e) as el, max(e) as eh, sum(e) as s_e, count(f) as fn, min(f) as fl, max(f) as fh, sum(f) as s_f,
            count(g) as gn, min(g) as gl, max(g) as gh, sum(g) as s_g, count(h) as hn, min(h) as hl, max(h) as hh, sum(h) as s_h
        from (select device, measured_at, ts, battery_pct::float8 as a, 100 * charging::integer::float8 as b,
                     cpu_pct::float8 as c, 100 * (1 - mem_available::float8 / nullif(mem_total, 0)) as d,
                     100 * (1 - disk_free::float8 / nullif(disk_total, 0)) as e, load1::float8 as f,
                     rssi_dbm::float8 as g, temperature_c::float8 as h
              from telemetry where xact >= since and xact < until) x
        group by 1, 2
    ), days as (
        insert into rollup_day as r (day, device, readings)
        select (hour at time zone 'UTC')::date, device, sum(came) from reading group by 1, 2 order by 1, 2
        on conflict (day, device) do update set readings = r.readings + excluded.readings
    ), value as (
        select p.tenant, p.scopes, p.hour, m.metric, rollup_bin(m, v.s / v.n) as bin, sum(v.n) as n, min(v.l) as l,
            max(v.h) as h, sum(v.s) as s
        from (select r.*, d.tenant, rollup_scopes(d.device, d.tags) as scopes from reading r join device d using (device)) p
        cross join lateral (values ('battery_pct', an, al, ah, s_a), ('charging_pct', bn, bl, bh, s_b),
            ('cpu_pct', cn, cl, ch, s_c), ('mem_used_pct', dn, dl, dh, s_d), ('disk_used_pct', en, el, eh, s_e),
            ('load1', fn, fl, fh, s_f), ('rssi_dbm', gn, gl, gh, s_g), ('temperature_c', hn, hl, hh, s_h)) v (metric, n, l, h, s)
        join rollup_fleet_metric m on m.metric = v.metric
        where v.n > 0 group by 1, 2, 3, 4, 5
    ), scoped as (
        select tenant, scope, hour, metric, bin, sum(n) as n, min(l) as l, max(h) as h, sum(s) as s
        from value cross join unnest(scopes) scope group by 1, 2, 3, 4, 5
    )
    insert into rollup_fleet as f (tenant, scope, metric, hour, n, min, max, sum, bins)
    select tenant, scope, metric, hour, sum(n), min(l), max(h), sum(s), rollup_bins_of(array_agg(bin), array_agg(n))
    from scoped group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (tenant, scope, metric, hour) do update set n = f.n + excluded.n, min = least(f.min, excluded.min),
        max = greatest(f.max, excluded.max), sum = f.sum + excluded.sum, bins = rollup_bins_add(f.bins, excluded.bins);
end $$;

-- The events with since <= xact < until: how many of each type, and the sessions that ended with them.
create function rollup_event_range(since bigint, until bigint) returns void
language plpgsql set search_path = public, pg_temp set enable_seqscan = off set jit = off as $$
begin
    with came as materialized (
        select device, type, date_trunc('hour', coalesce(measured_at, ts), 'UTC') as hour, count(*) as n
        from event where xact >= since and xact < until group by 1, 2, 3
    ), days as (
        insert into rollup_day as r (day, device, events)
        select (hour at time zone 'UTC')::date, device, sum(n) from came group by 1, 2 order by 1, 2
        on conflict (day, device) do update set events = r.events + excluded.events
    ), placed as (
        select c.type, c.hour, c.n, d.tenant, rollup_scopes(d.device, d.tags) as scopes from came c join device d using (device)
    ), fresh as (
        insert into rollup_event_type (tenant, type) select tenant, type from (
            select p.tenant, p.type, row_number() over (partition by p.tenant order by p.type) as place
            from (select distinct tenant, type from placed) p
            where not exists (select from rollup_event_type t where t.tenant = p.tenant and t.type = p.type)) x
        where place + (select count(*) from rollup_event_type t where t.tenant = x.tenant) <= 200
        returning tenant, type
    ), known as (
        select tenant, type from rollup_event_type union all select tenant, type from fresh
    )
    insert into rollup_event as r (tenant, scope, hour, type, n)
    select p.tenant, scope, p.hour, coalesce(k.type, '(other)'), sum(p.n)
    from placed p left join known k on k.tenant = p.tenant and k.type = p.type cross join unnest(p.scopes) scope
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (tenant, scope, hour, type) do update set n = r.n + excluded.n;

    with change as materialized (
        select device, seq, type = 'presence.online' as online, coalesce(measured_at, ts) as at from event
        where xact >= since and xact < until and epoch = '-presence' and type in ('presence.online', 'presence.offline')
    ), ordered as (
        select device, online, at, lag(online) over w as was, lag(at) over w as was_at, lead(device) over w is null as last
        from change window w as (partition by device order by seq)
    ), session as (
        select device, greatest(begun, now() - interval '40 days') as begun, ended from (
            select o.device, case when o.was then o.was_at when o.was is null then m.since end as begun, o.at as ended
            from ordered o left join rollup_online m on m.device = o.device where not o.online) x
        where begun is not null -- greatest passes over a null
    ), days as (
        insert into rollup_day as r (day, device, online_s)
        select (d at time zone 'UTC')::date, device,
            sum(extract(epoch from least(ended, d + interval '1 day') - greatest(begun, d)))
        from session cross join lateral generate_series(date_trunc('day', begun, 'UTC'), ended, interval '1 day') d
        where begun < ended group by 1, 2 order by 1, 2
        on conflict (day, device) do update set online_s = r.online_s + excluded.online_s
    ), over as (
        delete from rollup_online m using ordered o where m.device = o.device and o.last and not o.online
    )
    insert into rollup_online as m (device, since) select device, at from ordered where last and online
    on conflict (device) do update set since = case when (select was is null from ordered o where o.device = m.device
        and o.last) then m.since else excluded.since end;
end $$;

-- How many have a session, twice a minute at most; and what is too old goes, once a day.
create function rollup_sample() returns void language plpgsql set search_path = public, pg_temp set jit = off as $$
declare
    before timestamptz;
begin
    select sampled_at into before from rollup_state;
    if before > now() - interval '30 seconds' and before <= now() then
        return;
    end if;
    insert into rollup_fleet as f (tenant, scope, metric, hour, n, min, max, sum, bins)
    select x.tenant, x.scope, 'online_pct', date_trunc('hour', now(), 'UTC'), x.n, x.share, x.share, x.n * x.share,
        rollup_bins_of(array[rollup_bin(m, x.share)], array[x.n]) from rollup_fleet_metric m, (
            select tenant, scope, sum(n)::numeric as n, 100 * sum(online)::float8 / sum(n)::float8 as share from (
                select d.tenant, rollup_scopes(d.device, d.tags) as scopes, count(*) as n,
                    count(*) filter (where s.presence = 'online') as online
                from device d left join device_state s on s.device = d.device where d.enabled group by 1, 2) g
            cross join unnest(scopes) scope group by 1, 2) x
    where m.metric = 'online_pct' order by 1, 2
    on conflict (tenant, scope, metric, hour) do update set n = f.n + excluded.n, min = least(f.min, excluded.min),
        max = greatest(f.max, excluded.max), sum = f.sum + excluded.sum, bins = rollup_bins_add(f.bins, excluded.bins);
    if before::date is distinct from now()::date then
        delete from rollup_day where day < current_date - 40;
        delete from rollup_fleet where hour < now() - interval '400 days';
        delete from rollup_event where hour < now() - interval '400 days';
    end if;
    update rollup_state set sampled_at = now();
end $$;

-- As in 0003, and the same for events.
create or replace function rollup_rebase(old rollup_state) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    top bigint;
begin
    lock table telemetry, event in access exclusive mode; -- nobody is about to commit with an old number
    select greatest(max(xact) + 1, old.watermark, (select max(xact) + 1 from event)) into top from telemetry;
    update telemetry set xact = top where xact < old.watermark and received_at > old.rolled_at;
    update event set xact = top where xact < old.watermark and received_at > old.rolled_at;
    execute format('alter table telemetry alter column xact set default pg_current_xact_id()::text::bigint + %s', top);
    execute format('alter table event alter column xact set default pg_current_xact_id()::text::bigint + %s', top);
    update rollup_state set base = top;
end $$;

-- As in 0003, and the fleet's with it.
create or replace function rollup_slice(max_rows integer, out rows bigint, out refused bigint, out more boolean)
language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off set jit = off
set plan_cache_mode = force_custom_plan as $$
declare
    state   rollup_state;
    settled bigint;
    until   bigint;
begin
    rows := 0; refused := 0; more := false;
    select * into state from rollup_state for update skip locked;
    if not found then
        return; -- another ingest is at it
    end if;
    if pg_snapshot_xmax(pg_current_snapshot())::text::bigint + state.base < state.watermark then
        perform rollup_rebase(state);
        select * into state from rollup_state;
    end if;
    perform rollup_sample();
    settled := pg_snapshot_xmin(pg_current_snapshot())::text::bigint + state.base;
    if settled <= state.watermark then
        return;
    end if;
    until := least(settled, state.watermark + 2 * state.width);
    loop
        select count(*) into rows from (select from telemetry where xact >= state.watermark and xact < until
                                        limit max_rows + 1) x;
        exit when rows <= max_rows or until <= state.watermark + 1;
        until := state.watermark + (until - state.watermark) / 2;
    end loop;
    if rows > max_rows then -- a single transaction: taken whole
        select count(*) into rows from telemetry where xact >= state.watermark and xact < until;
    end if;
    if rows > 0 then
        refused := rollup_range(state.watermark, until);
        perform rollup_fleet_range(state.watermark, until);
    end if;
    perform rollup_event_range(state.watermark, until);
    more := until < settled;
    -- A slice that ended where the settled transactions end says nothing about how many would have fitted.
    update rollup_state set watermark = until, rolled_at = now(),
        width = case when more then until - state.watermark else greatest(state.width, until - state.watermark) end;
end $$;

-- As in 0003, of both indexes.
create or replace function rollup_summarize() returns void
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '100ms' as $$
declare
    index regclass;
begin
    for index in select i.inhrelid from pg_inherits i
                 where i.inhparent in ('telemetry_by_xact'::regclass, 'event_by_xact'::regclass) loop
        begin
            perform brin_summarize_new_values(index);
        exception when lock_not_available or undefined_table then
            null;
        end;
    end loop;
end $$;

-- ---- what is there already ----
-- Events as they are; telemetry from the hours of each device, of which a day's readings are not known any more.
select rollup_event_range(0, 1);
truncate rollup_online;
insert into rollup_online (device, since)
    select device, presence_since from device_state where presence = 'online' and presence_since is not null;
with value as (
    select d.tenant, rollup_scopes(d.device, d.tags) as scopes, r.hour, m.metric, rollup_bin(m, k * r.sum / r.n) as bin,
        sum(r.n) as n, min(k * r.min) as l, max(k * r.max) as h, sum(k * r.sum) as s
    from rollup_hour r join device d on d.device = r.device
    cross join lateral (select case r.metric when 'charging' then 100 else 1 end as k) x
    join rollup_fleet_metric m on m.metric = case r.metric when 'charging' then 'charging_pct' else r.metric end
    group by 1, 2, 3, 4, 5
), scoped as (
    select tenant, scope, hour, metric, bin, sum(n) as n, min(l) as l, max(h) as h, sum(s) as s
    from value cross join unnest(scopes) scope group by 1, 2, 3, 4, 5
)
insert into rollup_fleet (tenant, scope, metric, hour, n, min, max, sum, bins)
select tenant, scope, metric, hour, sum(n), min(l), max(h), sum(s), rollup_bins_of(array_agg(bin), array_agg(n))
from scoped group by 1, 2, 3, 4;

-- ---- grants ----
revoke all on function rollup_fleet_range(bigint, bigint), rollup_event_range(bigint, bigint), rollup_sample() from public;
-- ---- who sees what: the scope of docs/protocol.md, section 20 ----
-- Of a tenant all, or, bound to groups, what is kept for these.
create function rollup_seen(of_tenant text, of_scope text) returns boolean language sql stable parallel safe as $$
    select (current_setting('muster.tenant', true) = '*' or of_tenant = current_setting('muster.tenant', true))
        and (coalesce(current_setting('muster.groups', true), '') = '' or (of_scope like 'group:%'
             and substr(of_scope, 7) = any (string_to_array(current_setting('muster.groups', true), ','))))
$$;
alter table rollup_fleet enable row level security;
alter table rollup_event enable row level security;
create policy seen on rollup_fleet for select to muster_dashboard using (rollup_seen(tenant, scope));
create policy seen on rollup_event for select to muster_dashboard using (rollup_seen(tenant, scope));
-- A device's rows exist where the device does.
alter table rollup_day enable row level security;
create policy seen on rollup_day for select to muster_dashboard using (
    (select current_setting('muster.tenant', true) = '*' and coalesce(current_setting('muster.groups', true), '') = '')
    or exists (select from device d where d.device = rollup_day.device));

grant select on rollup_fleet, rollup_fleet_metric, rollup_event, rollup_day to muster_dashboard, muster_admin;
