-- The fleet of `muster bench dashboard`: bench.devices devices with state, ledger and 30 days of what is kept by day and for
-- the fleet, of each device and day too; the hours of single devices for bench.charted of them only (all of 100,000 would be 936 million rows). Every value follows
-- from the number of the device.
set synchronous_commit = off;
create temporary table plan as
    select n, 'dev-' || lpad(n::text, 6, '0') as device, n % 100 as slot, (n * 2654435761) % 1000003 as dice
    from generate_series(1, current_setting('bench.devices')::bigint) n;

insert into inventory (device, kind, ts, received_at, body)
    select device, 'hardware', now(), now(), jsonb_build_object('os', case when n % 4 = 0 then 'debian' else 'android' end,
        'product', (array['k20', 't8', 's3'])[1 + n % 3]) from plan where slot < 95;
insert into device (device, display_name, tags, enrolled_at, created_at)
    select device, case when n % 2 = 0 then (array['Kiosk', 'Till', 'Scale', 'Gate'])[1 + n % 4] || ' ' || dice % 1000 end,
        array['site-' || dice % 20] || case when n % 3 = 0 then array['kiosk'] else '{}' end,
        now() - (dice % 400) * interval '1 day', now() - interval '401 days' from plan;
insert into device_state (device, presence, presence_why, presence_since, first_seen, last_seen, interval_s, agent_version, ts,
        battery_pct, charging, cpu_pct, load1, mem_total, mem_available, disk_total, disk_free, uptime_s, network_type, rssi_dbm)
    select device, case when slot < 75 then 'online' else 'offline' end, case when slot < 75 then 'hello' else 'will' end,
        now() - (dice % 100) * interval '1 hour', now() - interval '300 days', now() - (dice % 60) * interval '1 second', 3600,
        '1.' || dice % 4, now(), (dice % 1001) / 10.0, dice % 3 = 0, (dice * 7 % 1000) / 10.0, (dice % 400) / 100.0, 4096000000,
        (4096000000 * (0.05 + 0.9 * (dice * 13 % 1000) / 1000.0))::bigint, 32000000000,
        (32000000000 * (0.02 + 0.95 * (dice * 17 % 1000) / 1000.0))::bigint, 60 + dice % 5000000, 'wifi', -40 - dice % 60
    from plan where slot < 95;
select refresh_roster(2147483647); -- at once, instead of at the dashboard's next turns
cluster device_roster using device_roster_pkey; -- each row was written twice
insert into ledger (device, epoch, contiguous, highest, received) select device, 'e', 86400, 86400, 86400 from plan where slot < 95;
-- Day by day, as they come: a device's rows lie far apart.
insert into rollup_day (day, device, readings, events, online_s, battery_pct_n, battery_pct_min, battery_pct_max, battery_pct_sum,
        cpu_pct_n, cpu_pct_min, cpu_pct_max, cpu_pct_sum, mem_used_pct_n, mem_used_pct_min, mem_used_pct_max, mem_used_pct_sum,
        disk_used_pct_n, disk_used_pct_min, disk_used_pct_max, disk_used_pct_sum, load1_n, load1_min, load1_max, load1_sum)
    select current_date - d, device, 2000 + (dice * (d + 1)) % 900, (dice + d) % 7, 40000 + (dice * (d + 3)) % 46400,
        2000, 3, 100, 2000 * ((dice % 1001) / 10.0), 2000, 0, 100, 2000 * ((dice * 7 + d * 11) % 1000 / 10.0),
        2000, 5, 98, 2000 * (100 * (0.05 + 0.9 * (dice * 13 % 1000) / 1000.0)), 2000, 1, 99, 2000 * ((dice * 17 + d) % 1000 / 10.0),
        2000, 0, 9, 2000 * (dice % 400) / 100.0
    from generate_series(29, 0, -1) d cross join plan where slot < 95;
create temporary table named as select unnest(array['', 'tag:kiosk', 'os:android', 'os:debian', 'model:k20', 'model:t8', 'model:s3'])
    as scope union all select 'tag:site-' || s from generate_series(0, 19) s;
insert into rollup_fleet (tenant, scope, metric, hour, n, min, max, sum, bins)
    select 'default', scope, metric, date_trunc('hour', now()) - h * interval '1 hour', 5000, low, low + 50 * step,
        5000 * (low + step * (20 + h % 10)), array(select (abs(b - 20 - h % 10) < 10)::integer * 250 from generate_series(1, 50) b)
    from rollup_fleet_metric, generate_series(0, 719) h,
        named s;
insert into rollup_event (tenant, scope, hour, type, n)
    select 'default', scope, date_trunc('hour', now()) - h * interval '1 hour', 'type.' || t, 1 + (h * t) % 90
    from generate_series(0, 719) h, generate_series(1, 15) t,
        named s;
select ensure_rollup_partitions(60);
insert into rollup_hour (device, metric, hour, n, min, max, sum)
    select device, metric, date_trunc('hour', now()) - h * interval '1 hour', 120, 5, 95, 120 * (20 + (dice + h) % 60)
    from plan, unnest(array['cpu_pct', 'mem_used_pct', 'battery_pct']) metric, generate_series(0, 719) h
    where n <= current_setting('bench.charted')::bigint;
insert into event (device, epoch, seq, ts, received_at, measured_at, type, body)
    select device, 'e', n, t, t, t, 'app.crashed', '{"app":"kiosk"}' from plan, lateral (select now() - n * interval '0.5 s' as t) x
    where n <= 50000;
insert into command (device, action, state, requested_by, created_at, finished_at)
    select device, 'ping', 'succeeded', 'bench', now() - n * interval '1 s', now() from plan where n <= 20000;
update rollup_state set watermark = pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
drop table plan, named;
analyze;
