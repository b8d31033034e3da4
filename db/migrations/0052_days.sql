-- What a device reported by day, kept for 400 days, beside its hours, which may go sooner; and platforms as scopes, so that
-- the fleet's rollups answer for them too (docs/decisions/0037).

-- ---- days ----
-- Of each metric of the fleet but online_pct: how many readings, the least, the greatest, their sum. No readings: null.
alter table rollup_day
    add battery_pct_n integer, add battery_pct_min real, add battery_pct_max real,
    add battery_pct_sum double precision, add charging_pct_n integer, add charging_pct_min real,
    add charging_pct_max real, add charging_pct_sum double precision, add cpu_pct_n integer, add cpu_pct_min real,
    add cpu_pct_max real, add cpu_pct_sum double precision, add mem_used_pct_n integer, add mem_used_pct_min real,
    add mem_used_pct_max real, add mem_used_pct_sum double precision, add disk_used_pct_n integer,
    add disk_used_pct_min real, add disk_used_pct_max real, add disk_used_pct_sum double precision,
    add load1_n integer, add load1_min real, add load1_max real, add load1_sum double precision,
    add rssi_dbm_n integer, add rssi_dbm_min real, add rssi_dbm_max real, add rssi_dbm_sum double precision,
    add temperature_c_n integer, add temperature_c_min real, add temperature_c_max real,
    add temperature_c_sum double precision;

-- ---- models in the roster ----
-- What a device says of itself goes into scopes and lists: so much of it.
create function platform_name(said text) returns text language sql immutable parallel safe as
    $$ select nullif(left(btrim(said), 64), '') $$;
create function platform_model(hardware jsonb) returns text language sql immutable parallel safe as
    $$ select platform_name(coalesce(hardware ->> 'product', hardware ->> 'model')) $$;
alter table device_roster add model text;
create or replace function roster_add() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into device_roster (device, tenant, enabled, cell, enrolled_at, name, tags, search, os, model)
        select a.device, a.tenant, a.enabled, a.cell, a.enrolled_at, lower(coalesce(nullif(a.display_name, ''), a.device)),
            a.tags, roster_search(a.device, a.display_name, a.tags), platform_name(i.body ->> 'os'),
            platform_model(i.body)
        from added a left join inventory i on i.device = a.device and i.kind = 'hardware'
        on conflict do nothing;
    return null;
end $$;
create or replace function roster_os() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update device_roster set os = platform_name(new.body ->> 'os'), model = platform_model(new.body)
        where device = new.device
            and (os, model) is distinct from (platform_name(new.body ->> 'os'), platform_model(new.body));
    return null;
end $$;
update device_roster r set os = platform_name(i.body ->> 'os'), model = platform_model(i.body)
    from inventory i where i.device = r.device and i.kind = 'hardware';

-- ---- scopes ----
-- The platforms that are scopes: of a tenant the 200 commonest at the time when they came, because devices name them.
create table rollup_platform (
    tenant text not null references tenant (name),
    scope  text not null,                         -- os:<os> or model:<model>
    primary key (tenant, scope)
);
create or replace function rollup_scopes(which text, tags text[]) returns text[] language sql stable as $$
    select array(select '' union all select 'tag:' || t from unnest(tags[1:16]) t
                 union all (select 'group:' || group_name from device_group_member where device = which limit 16)
                 union all (select p.scope from device_roster r join rollup_platform p on p.tenant = r.tenant
                            and p.scope in ('os:' || r.os, 'model:' || r.model) where r.device = which))
$$;

-- ---- rolling up: as in 0030, with days and platforms ----
-- The readings with since <= xact < until. A device's readings of an hour within the slice (a minute's, usually two) go to
-- the bin of their average.
create or replace function rollup_fleet_range(since bigint, until bigint) returns void
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
        insert into rollup_day as r (day, device, readings,
            battery_pct_n, battery_pct_min, battery_pct_max, battery_pct_sum, charging_pct_n, charging_pct_min,
            charging_pct_max, charging_pct_sum, cpu_pct_n, cpu_pct_min, cpu_pct_max, cpu_pct_sum, mem_used_pct_n,
            mem_used_pct_min, mem_used_pct_max, mem_used_pct_sum, disk_used_pct_n, disk_used_pct_min,
            disk_used_pct_max, disk_used_pct_sum, load1_n, load1_min, load1_max, load1_sum, rssi_dbm_n, rssi_dbm_min,
            rssi_dbm_max, rssi_dbm_sum, temperature_c_n, temperature_c_min, temperature_c_max, temperature_c_sum)
        select (hour at time zone 'UTC')::date, device, sum(came),
            sum(an), min(al), max(ah), sum(s_a), sum(bn), min(bl), max(bh), sum(s_b), sum(cn), min(cl), max(ch),
            sum(s_c), sum(dn), min(dl), max(dh), sum(s_d), sum(en), min(el), max(eh), sum(s_e), sum(fn), min(fl),
            max(fh), sum(s_f), sum(gn), min(gl), max(gh), sum(s_g), sum(hn), min(hl), max(hh), sum(s_h)
        from reading group by 1, 2 order by 1, 2
        on conflict (day, device) do update set readings = r.readings + excluded.readings,
            battery_pct_n = coalesce(r.battery_pct_n, 0) + excluded.battery_pct_n,
            battery_pct_min = least(r.battery_pct_min, excluded.battery_pct_min),
            battery_pct_max = greatest(r.battery_pct_max, excluded.battery_pct_max),
            battery_pct_sum = coalesce(r.battery_pct_sum, 0) + coalesce(excluded.battery_pct_sum, 0),
            charging_pct_n = coalesce(r.charging_pct_n, 0) + excluded.charging_pct_n,
            charging_pct_min = least(r.charging_pct_min, excluded.charging_pct_min),
            charging_pct_max = greatest(r.charging_pct_max, excluded.charging_pct_max),
            charging_pct_sum = coalesce(r.charging_pct_sum, 0) + coalesce(excluded.charging_pct_sum, 0),
            cpu_pct_n = coalesce(r.cpu_pct_n, 0) + excluded.cpu_pct_n,
            cpu_pct_min = least(r.cpu_pct_min, excluded.cpu_pct_min),
            cpu_pct_max = greatest(r.cpu_pct_max, excluded.cpu_pct_max),
            cpu_pct_sum = coalesce(r.cpu_pct_sum, 0) + coalesce(excluded.cpu_pct_sum, 0),
            mem_used_pct_n = coalesce(r.mem_used_pct_n, 0) + excluded.mem_used_pct_n,
            mem_used_pct_min = least(r.mem_used_pct_min, excluded.mem_used_pct_min),
            mem_used_pct_max = greatest(r.mem_used_pct_max, excluded.mem_used_pct_max),
            mem_used_pct_sum = coalesce(r.mem_used_pct_sum, 0) + coalesce(excluded.mem_used_pct_sum, 0),
            disk_used_pct_n = coalesce(r.disk_used_pct_n, 0) + excluded.disk_used_pct_n,
            disk_used_pct_min = least(r.disk_used_pct_min, excluded.disk_used_pct_min),
            disk_used_pct_max = greatest(r.disk_used_pct_max, excluded.disk_used_pct_max),
            disk_used_pct_sum = coalesce(r.disk_used_pct_sum, 0) + coalesce(excluded.disk_used_pct_sum, 0),
            load1_n = coalesce(r.load1_n, 0) + excluded.load1_n, load1_min = least(r.load1_min, excluded.load1_min),
            load1_max = greatest(r.load1_max, excluded.load1_max),
            load1_sum = coalesce(r.load1_sum, 0) + coalesce(excluded.load1_sum, 0),
            rssi_dbm_n = coalesce(r.rssi_dbm_n, 0) + excluded.rssi_dbm_n,
            rssi_dbm_min = least(r.rssi_dbm_min, excluded.rssi_dbm_min),
            rssi_dbm_max = greatest(r.rssi_dbm_max, excluded.rssi_dbm_max),
            rssi_dbm_sum = coalesce(r.rssi_dbm_sum, 0) + coalesce(excluded.rssi_dbm_sum, 0),
            temperature_c_n = coalesce(r.temperature_c_n, 0) + excluded.temperature_c_n,
            temperature_c_min = least(r.temperature_c_min, excluded.temperature_c_min),
            temperature_c_max = greatest(r.temperature_c_max, excluded.temperature_c_max),
            temperature_c_sum = coalesce(r.temperature_c_sum, 0) + coalesce(excluded.temperature_c_sum, 0)
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

-- How many have a session, twice a minute at most; and what is too old goes, once a day.
create or replace function rollup_sample() returns void language plpgsql set search_path = public, pg_temp set jit = off as $$
declare
    before timestamptz;
begin
    select sampled_at into before from rollup_state;
    if before > now() - interval '30 seconds' and before <= now() then
        return;
    end if;
    insert into rollup_platform (tenant, scope)
        select tenant, scope from (
            select tenant, scope, row_number() over (partition by tenant order by n desc, scope) as place from (
                select tenant, scope, sum(n) as n
                from (select tenant, os, model, count(*) as n from device_roster group by 1, 2, 3) r
                cross join lateral (values ('os:' || os), ('model:' || model)) p (scope)
                where scope is not null group by 1, 2) s
            where not exists (select from rollup_platform k where k.tenant = s.tenant and k.scope = s.scope)) fresh
        where place + (select count(*) from rollup_platform k where k.tenant = fresh.tenant) <= 200;
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
        delete from rollup_day where day < current_date - 400;
        delete from rollup_fleet where hour < now() - interval '400 days';
        delete from rollup_event where hour < now() - interval '400 days';
    end if;
    update rollup_state set sampled_at = now();
end $$;

-- ---- what is there already: days of which the hours are kept ----
insert into rollup_day as r (device, day,
    battery_pct_n, battery_pct_min, battery_pct_max, battery_pct_sum, charging_pct_n, charging_pct_min,
    charging_pct_max, charging_pct_sum, cpu_pct_n, cpu_pct_min, cpu_pct_max, cpu_pct_sum, mem_used_pct_n,
    mem_used_pct_min, mem_used_pct_max, mem_used_pct_sum, disk_used_pct_n, disk_used_pct_min, disk_used_pct_max,
    disk_used_pct_sum, load1_n, load1_min, load1_max, load1_sum, rssi_dbm_n, rssi_dbm_min, rssi_dbm_max, rssi_dbm_sum,
    temperature_c_n, temperature_c_min, temperature_c_max, temperature_c_sum)
select device, (hour at time zone 'UTC')::date,
    sum(n) filter (where metric = 'battery_pct'), min(min) filter (where metric = 'battery_pct'),
    max(max) filter (where metric = 'battery_pct'), sum(sum) filter (where metric = 'battery_pct'),
    sum(n) filter (where metric = 'charging'), min(100 * min) filter (where metric = 'charging'),
    max(100 * max) filter (where metric = 'charging'), sum(100 * sum) filter (where metric = 'charging'),
    sum(n) filter (where metric = 'cpu_pct'), min(min) filter (where metric = 'cpu_pct'),
    max(max) filter (where metric = 'cpu_pct'), sum(sum) filter (where metric = 'cpu_pct'),
    sum(n) filter (where metric = 'mem_used_pct'), min(min) filter (where metric = 'mem_used_pct'),
    max(max) filter (where metric = 'mem_used_pct'), sum(sum) filter (where metric = 'mem_used_pct'),
    sum(n) filter (where metric = 'disk_used_pct'), min(min) filter (where metric = 'disk_used_pct'),
    max(max) filter (where metric = 'disk_used_pct'), sum(sum) filter (where metric = 'disk_used_pct'),
    sum(n) filter (where metric = 'load1'), min(min) filter (where metric = 'load1'),
    max(max) filter (where metric = 'load1'), sum(sum) filter (where metric = 'load1'),
    sum(n) filter (where metric = 'rssi_dbm'), min(min) filter (where metric = 'rssi_dbm'),
    max(max) filter (where metric = 'rssi_dbm'), sum(sum) filter (where metric = 'rssi_dbm'),
    sum(n) filter (where metric = 'temperature_c'), min(min) filter (where metric = 'temperature_c'),
    max(max) filter (where metric = 'temperature_c'), sum(sum) filter (where metric = 'temperature_c')
from rollup_hour where hour > now() - interval '400 days' and metric = any
    ('{battery_pct,charging,cpu_pct,mem_used_pct,disk_used_pct,load1,rssi_dbm,temperature_c}')
group by 1, 2
on conflict (device, day) do update set
    battery_pct_n = excluded.battery_pct_n, battery_pct_min = excluded.battery_pct_min,
    battery_pct_max = excluded.battery_pct_max, battery_pct_sum = excluded.battery_pct_sum,
    charging_pct_n = excluded.charging_pct_n, charging_pct_min = excluded.charging_pct_min,
    charging_pct_max = excluded.charging_pct_max, charging_pct_sum = excluded.charging_pct_sum,
    cpu_pct_n = excluded.cpu_pct_n, cpu_pct_min = excluded.cpu_pct_min, cpu_pct_max = excluded.cpu_pct_max,
    cpu_pct_sum = excluded.cpu_pct_sum, mem_used_pct_n = excluded.mem_used_pct_n,
    mem_used_pct_min = excluded.mem_used_pct_min, mem_used_pct_max = excluded.mem_used_pct_max,
    mem_used_pct_sum = excluded.mem_used_pct_sum, disk_used_pct_n = excluded.disk_used_pct_n,
    disk_used_pct_min = excluded.disk_used_pct_min, disk_used_pct_max = excluded.disk_used_pct_max,
    disk_used_pct_sum = excluded.disk_used_pct_sum, load1_n = excluded.load1_n, load1_min = excluded.load1_min,
    load1_max = excluded.load1_max, load1_sum = excluded.load1_sum, rssi_dbm_n = excluded.rssi_dbm_n,
    rssi_dbm_min = excluded.rssi_dbm_min, rssi_dbm_max = excluded.rssi_dbm_max, rssi_dbm_sum = excluded.rssi_dbm_sum,
    temperature_c_n = excluded.temperature_c_n, temperature_c_min = excluded.temperature_c_min,
    temperature_c_max = excluded.temperature_c_max, temperature_c_sum = excluded.temperature_c_sum;

-- ---- what is known of one device: hours, and days before the first of them that is kept ----
create function rollup_of(which text, named text, since timestamptz, until timestamptz)
    returns table (at timestamptz, n bigint, min double precision, max double precision, sum double precision)
language sql stable as $$
    select hour, n, min, max, sum from rollup_hour where device = which and metric = named and hour >= since and hour < until
    union all
    select r.day::timestamp at time zone 'UTC', v.n, v.k * v.l, v.k * v.h, v.k * v.s
    from rollup_day r cross join lateral (values
        ('battery_pct', 1::float8, battery_pct_n, battery_pct_min, battery_pct_max, battery_pct_sum),
        ('charging', 0.01, charging_pct_n, charging_pct_min, charging_pct_max, charging_pct_sum),
        ('cpu_pct', 1, cpu_pct_n, cpu_pct_min, cpu_pct_max, cpu_pct_sum),
        ('mem_used_pct', 1, mem_used_pct_n, mem_used_pct_min, mem_used_pct_max, mem_used_pct_sum),
        ('disk_used_pct', 1, disk_used_pct_n, disk_used_pct_min, disk_used_pct_max, disk_used_pct_sum),
        ('load1', 1, load1_n, load1_min, load1_max, load1_sum),
        ('rssi_dbm', 1, rssi_dbm_n, rssi_dbm_min, rssi_dbm_max, rssi_dbm_sum),
        ('temperature_c', 1, temperature_c_n, temperature_c_min, temperature_c_max, temperature_c_sum)
        ) v (metric, k, n, l, h, s)
    where r.device = which and r.day >= (since at time zone 'UTC')::date
        and r.day < (least(until, (select min(hour) from rollup_hour where device = which and metric = named and hour >= since
                                   and hour < until)) at time zone 'UTC')::date
        and v.metric = named and v.n > 0
$$;

-- ---- who sees what ----
-- As the roster is, which is narrower than device.
alter policy seen on rollup_day
    using ((select scope_all()) or exists (select from device_roster r where r.device = rollup_day.device));
revoke all on function platform_name(text), platform_model(jsonb) from public;
