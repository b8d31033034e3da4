-- Hourly rollups of telemetry, and retention. docs/decisions/0007 says why it is done this way.

-- ---- every row says which transaction brought it ----
-- A transaction id below the oldest one still running is settled: all its rows are visible, and none will be added. So
-- "from the watermark up to the oldest running transaction" is each row exactly once, whatever its ts. As a bigint,
-- because BRIN has no operator class for xid8. Rows of before this migration get 0 and are rolled up below.
-- Not "not null", which temporary tables made like this one would inherit without the default.
alter table telemetry add column xact bigint default 0 constraint telemetry_xact check (xact is not null);
alter table telemetry alter column xact set default pg_current_xact_id()::text::bigint;
create index telemetry_by_xact on telemetry using brin (xact) with (pages_per_range = 32);

-- ---- tables ----
-- Additive, so that late rows are added to an hour whenever they come. Partitioned by month.
create table rollup_hour (
    device text not null,
    metric text not null,                         -- a column of telemetry, mem_used_pct, disk_used_pct, or a custom metric
    hour   timestamptz not null,                  -- its beginning, UTC
    n      bigint not null,
    min    double precision not null,
    max    double precision not null,
    sum    double precision not null,             -- booleans count as 0 and 1
    primary key (device, metric, hour)
) partition by range (hour);
create table rollup_hour_default partition of rollup_hour default;

-- The custom metrics that are rolled up: the first 200 names of each device.
create table rollup_metric (
    device text not null,
    metric text not null,
    used   date not null default current_date,    -- last day it came; forgotten when its rollups are gone
    primary key (device, metric)
);

create table rollup_state (
    one       boolean primary key default true check (one),
    watermark bigint not null,                    -- every row of telemetry with a lower xact is in the rollups
    base      bigint not null default 0,          -- what the default of xact adds to the transaction id (rollup_rebase)
    width     bigint not null default 1000,       -- transactions in the last slice; the next one starts from there
    rolled_at timestamptz not null default now(),
    raw_from  timestamptz not null default '-infinity' -- telemetry is whole from here on; older partitions are gone
);

create index command_result_by_time on command_result using brin (received_at);

-- ---- partitions of the rollups: months from the oldest kept to the one a week ahead ----
create function ensure_rollup_partitions(keep_days integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    today constant timestamp := now() at time zone 'UTC';
    month timestamp;
    since timestamptz;
    until timestamptz;
    name  text;
begin
    if keep_days is null or keep_days not between 1 and 3650 then
        raise exception 'no retention of % days', keep_days using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(hashtext('muster.partitions'));
    for month in select generate_series(date_trunc('month', today - make_interval(days => keep_days)),
                                        today + interval '7 days', interval '1 month') loop
        name := 'rollup_hour_' || to_char(month, 'YYYYMM');
        since := month at time zone 'UTC';
        until := (month + interval '1 month') at time zone 'UTC';
        if to_regclass(name) is null then
            -- Room for updates in place: the rows of the present hour change with every slice.
            execute format('create table %I (like rollup_hour including all) with (fillfactor = 80)', name);
            execute format('with early as (delete from rollup_hour_default where hour >= %L and hour < %L returning *) '
                           'insert into %I select * from early', since, until, name);
            execute format('alter table rollup_hour attach partition %I for values from (%L) to (%L)', name, since, until);
        end if;
    end loop;
end $$;

-- ---- rolling up ----
-- Adds the rows with since <= xact < until; refused: values of more names than a device may have, or too large to add up.
create function rollup_range(since bigint, until bigint, out refused bigint)
language plpgsql set search_path = public, pg_temp set enable_seqscan = off set jit = off set work_mem = '64MB' as $$
declare
    metrics constant text[] := array[
        ['battery_pct', 'battery_pct'], ['charging', 'charging::integer'], ['cpu_pct', 'cpu_pct'], ['load1', 'load1'],
        ['mem_total', 'mem_total'], ['mem_available', 'mem_available'], ['disk_total', 'disk_total'],
        ['disk_free', 'disk_free'], ['uptime_s', 'uptime_s'], ['rssi_dbm', 'rssi_dbm'], ['temperature_c', 'temperature_c'],
        ['mem_used_pct', '100 * (1 - mem_available::float8 / nullif(mem_total, 0))'],
        ['disk_used_pct', '100 * (1 - disk_free::float8 / nullif(disk_total, 0))']];
    names    constant text[] := metrics[:][1:1];
    measured constant text := case when exists (select from pg_attribute where attrelid = 'telemetry'::regclass
                                                and attname = 'measured_at' and not attisdropped)
                                   then 'coalesce(measured_at, ts)' else 'ts' end;
    hour     constant text := format('date_trunc(''hour'', %s, ''UTC'')', measured);
    inputs   text;
    sums     text;
    outputs  text;
begin
    -- First one group per device and hour, then one row per metric: the rows themselves are touched once.
    select string_agg(format('(%s)::float8 as v%s', metrics[i][2], i), ', '),
           string_agg(format('count(v%1$s) as n%1$s, min(v%1$s) as l%1$s, max(v%1$s) as h%1$s, sum(v%1$s) as s%1$s', i), ', '),
           string_agg(format('(%L, n%2$s, l%2$s, h%2$s, s%2$s)', metrics[i][1], i), ', ')
    into inputs, sums, outputs from generate_subscripts(metrics, 1) i;
    execute format('insert into rollup_hour as r (device, metric, hour, n, min, max, sum) '
                   'select device, metric, hour, m.n, m.min, m.max, m.sum from (select device, hour, %2$s from ('
                   'select device, %4$s as hour, %1$s from telemetry where xact >= $1 and xact < $2) x '
                   'group by device, hour) g cross join lateral (values %3$s) m (metric, n, min, max, sum) '
                   'where m.n > 0 order by device, metric, hour '
                   'on conflict (device, metric, hour) do update set n = r.n + excluded.n, '
                   'min = least(r.min, excluded.min), max = greatest(r.max, excluded.max), sum = r.sum + excluded.sum',
                   inputs, sums, outputs, hour) using since, until;

    -- A number that float8 cannot hold, or whose sum it could not, must not stop all others: it is null here.
    execute format($sql$
        with value as (
            select device, %s as hour, key as metric, case jsonb_typeof(value)
                when 'boolean' then value::boolean::integer::float8
                else case when abs(value::numeric) < 1e-290 then 0 when abs(value::numeric) < 1e290
                     then value::numeric::float8 end end as v
            from telemetry cross join lateral jsonb_each(case jsonb_typeof(custom) when 'object' then custom end)
            where xact >= $1 and xact < $2 and custom is not null and jsonb_typeof(value) in ('number', 'boolean')
                and key <> all ($3)
        ), total as materialized (
            select device, metric, hour, count(*) as came, count(v) as n, min(v) as min, max(v) as max, sum(v) as sum
            from value group by device, metric, hour
        ), came as (
            select device, metric from total where n > 0 group by device, metric
        ), known as materialized (
            select device, metric, used from came join rollup_metric using (device, metric)
        ), named as (
            insert into rollup_metric (device, metric)
            select device, metric from (
                select c.device, c.metric, row_number() over (partition by c.device order by c.metric) as place
                from came c where not exists (select from known k where k.device = c.device and k.metric = c.metric)
            ) fresh
            where place + (select count(*) from rollup_metric r where r.device = fresh.device) <= 200
            returning device, metric
        ), touched as (
            update rollup_metric r set used = current_date from known k
            where r.device = k.device and r.metric = k.metric and k.used < current_date
        ), taken as (
            select total.* from total join (select device, metric from known union all select * from named) k
            using (device, metric) where n > 0
        ), stored as (
            insert into rollup_hour as r (device, metric, hour, n, min, max, sum)
            select device, metric, hour, n, min, max, sum from taken order by device, metric, hour
            on conflict (device, metric, hour) do update set n = r.n + excluded.n,
                min = least(r.min, excluded.min), max = greatest(r.max, excluded.max), sum = r.sum + excluded.sum
        )
        select coalesce((select sum(came) from total), 0) - coalesce((select sum(n) from taken), 0)
        $sql$, hour) into refused using since, until, names;
end $$;

-- The database was restored into a cluster that counts transactions from lower on. From now on xact counts from above all
-- that is there. What came since the restore, below the watermark, is known by its arrival.
create function rollup_rebase(old rollup_state) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    top bigint;
begin
    lock table telemetry in access exclusive mode; -- nobody is about to commit with an old number
    select greatest(max(xact) + 1, old.watermark) into top from telemetry;
    update telemetry set xact = top where xact < old.watermark and received_at > old.rolled_at;
    execute format('alter table telemetry alter column xact set default pg_current_xact_id()::text::bigint + %s', top);
    update rollup_state set base = top;
end $$;

-- One slice, one transaction: the rows of as many settled transactions as hold at most max_rows rows (but at least one
-- transaction). more: there is another slice to take now.
create function rollup_slice(max_rows integer, out rows bigint, out refused bigint, out more boolean)
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
    end if;
    more := until < settled;
    -- A slice that ended where the settled transactions end says nothing about how many would have fitted.
    update rollup_state set watermark = until, rolled_at = now(),
        width = case when more then until - state.watermark else greatest(state.width, until - state.watermark) end;
end $$;

-- Tells the index what the new pages hold, so that a slice reads its own pages only. Where a vacuum is at work, that does it.
create function rollup_summarize() returns void
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '100ms' as $$
declare
    index regclass;
begin
    for index in select i.inhrelid from pg_inherits i where i.inhparent = 'telemetry_by_xact'::regclass loop
        begin
            perform brin_summarize_new_values(index);
        exception when lock_not_available or undefined_table then
            null;
        end;
    end loop;
end $$;

-- ---- retention ----
-- Drops the oldest partition whose end is keep_days ago and returns its name, or null when there is none. One of
-- telemetry that holds a row which is not in the rollups yet stays. A lock that is not to be had ends it with
-- lock_not_available, to be tried again: everybody who writes waits behind the one on the parent, so that is taken last and
-- waited for only shortly. Readers and writers are outwaited, autovacuum is made to yield first, before the parent is held.
create function drop_expired_partition(class text, keep_days integer) returns text
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '2s' set enable_seqscan = off as $$
declare
    parent constant text := case class when 'telemetry' then 'telemetry' when 'event' then 'event'
                                       when 'rollup' then 'rollup_hour' end;
    part record;
    mark bigint;
    held boolean := false;
begin
    if parent is null or keep_days is null or keep_days < 1 then
        raise exception 'no retention of % days for %', keep_days, class using errcode = 'invalid_parameter_value';
    end if;
    select watermark into mark from rollup_state for update;
    for part in
        select relname as name, ends from pg_inherits join pg_class on pg_class.oid = inhrelid,
            lateral substring(relname from '_(\d{6,8})$') as digits,
            lateral (select case length(digits) when 8 then to_date(digits, 'YYYYMMDD') + interval '1 day'
                            else to_date(digits, 'YYYYMM') + interval '1 month' end at time zone 'UTC' as ends) e
        where inhparent = parent::regclass and digits is not null and ends <= now() - make_interval(days => keep_days)
        order by ends
    loop
        execute format('lock table only %I, only %I in share update exclusive mode', part.name, parent || '_default');
        if class = 'telemetry' then
            perform brin_summarize_new_values(inhrelid) from pg_inherits join pg_index on indexrelid = inhrelid
            where inhparent = 'telemetry_by_xact'::regclass and indrelid = part.name::regclass;
            execute format('select exists (select from %I where xact >= $1)', part.name) into held using mark;
            continue when held;
            update rollup_state set raw_from = greatest(raw_from, part.ends);
        end if;
        perform set_config('lock_timeout', '250ms', true);
        execute format('lock table only %I in access exclusive mode', parent);
        if class = 'telemetry' then -- nothing can come in any more
            execute format('select exists (select from %I where xact >= $1)', part.name) into held using mark;
        end if;
        if held then
            raise exception 'rows came into % meanwhile', part.name using errcode = 'lock_not_available';
        end if;
        execute format('drop table %I', part.name);
        return part.name;
    end loop;
    return null;
end $$;

-- Deletes up to max_rows rows of what is not in partitions of its own; returns how many. Rows that found no partition (their
-- ts is far off, or its partition is dropped already) are kept as long as the others, from their arrival on.
create function sweep_expired(class text, keep_days integer, max_rows integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    cutoff constant timestamptz := now() - make_interval(days => keep_days);
    swept  bigint;
    also   bigint := 0;
begin
    if keep_days is null or keep_days < 1 then
        raise exception 'no retention of % days for %', keep_days, class using errcode = 'invalid_parameter_value';
    end if;
    case class
    when 'telemetry' then
        delete from telemetry_default where ctid = any (array(select ctid from telemetry_default
            where received_at < cutoff and xact < (select watermark from rollup_state) limit max_rows));
    when 'event' then
        delete from event_default where ctid = any (array(select ctid from event_default
            where received_at < cutoff limit max_rows));
    when 'rollup' then
        delete from rollup_metric where ctid = any (array(select ctid from rollup_metric
            where used < cutoff::date limit max_rows));
        get diagnostics also = row_count;
        delete from rollup_hour_default where ctid = any (array(select ctid from rollup_hour_default
            where hour < cutoff limit max_rows));
    when 'quarantine' then
        delete from quarantine where ctid = any (array(select ctid from quarantine
            where received_at < cutoff order by received_at limit max_rows));
    when 'command' then -- with their events; created_at leads to them by index
        delete from command_result where ctid = any (array(select ctid from command_result
            where received_at < cutoff and applied_at is not null limit max_rows));
        get diagnostics also = row_count;
        delete from command where ctid = any (array(select ctid from command where created_at < cutoff
            and finished_at < cutoff and state in ('succeeded', 'failed', 'rejected', 'expired', 'cancelled')
            limit max_rows));
    end case;
    get diagnostics swept = row_count;
    return greatest(swept, also);
end $$;

-- ---- what is there already ----
select ensure_rollup_partitions(400);
insert into rollup_state (watermark) values (pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
select rollup_range(0, 1);

-- ---- grants ----
revoke all on function ensure_rollup_partitions(integer), rollup_range(bigint, bigint), rollup_rebase(rollup_state),
    rollup_slice(integer), rollup_summarize(), drop_expired_partition(text, integer),
    sweep_expired(text, integer, integer) from public;
grant execute on function ensure_rollup_partitions(integer), rollup_slice(integer), rollup_summarize(),
    drop_expired_partition(text, integer), sweep_expired(text, integer, integer) to muster_ingest;
grant select on rollup_hour, rollup_metric, rollup_state to muster_dashboard, muster_admin;
