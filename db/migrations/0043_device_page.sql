-- What people write about a device, how its inventory changed, and when it said to be another machine
-- (docs/protocol.md, section 28).

-- ---- name and notes ----
-- Nothing that turns what stands beside it around, or hides: control and direction characters.
alter table device add notes text not null default '',
    add constraint device_notes_check check (length(notes) <= 4000
        and notes !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]'),
    add constraint device_display_name_check check (length(display_name) <= 100 and btrim(display_name) <> ''
        and display_name !~ '[\u0001-\u001f\u007f\u202a-\u202e\u2066-\u2069]') not valid;
grant update (display_name, notes) on device to muster_dashboard;

-- ---- how the inventory changed ----
create table inventory_change (
    device text not null,
    id     bigint generated always as identity,
    at     timestamptz not null,                  -- of the report that had it
    kind   text not null,                         -- as in inventory
    name   text not null,                         -- of the package, service, interface, or of the member; '' for the rest
    change text not null check (change in ('added', 'removed', 'changed', 'rest')),
    before jsonb,
    after  jsonb,                                 -- of the rest: how many more
    primary key (device, id)
);
create index inventory_change_by_time on inventory_change (at);

-- An inventory as things with names: each element of its lists, and each other member. An element without a name is one by
-- its content. Whatever a device sends is taken, and a name counts once.
create function inventory_things(body jsonb) returns table (part text, name text, value jsonb)
language sql immutable parallel safe as $$
    select m.key, left(case when jsonb_typeof(x -> 'name') in ('string', 'number') then x ->> 'name'
            else coalesce(x #>> '{}', 'null') end, 200),
        case when jsonb_typeof(x -> 'name') in ('string', 'number') then x - 'name' end
    from jsonb_each(case jsonb_typeof(body) when 'object' then body else '{}' end) m,
        jsonb_array_elements(case jsonb_typeof(m.value) when 'array' then m.value else '[]' end) x
    union all
    select '', left(m.key, 200), m.value from jsonb_each(case jsonb_typeof(body) when 'object' then body else '{}' end) m
    where jsonb_typeof(m.value) <> 'array'
$$;
-- What is kept of a value.
create function inventory_excerpt(value jsonb) returns jsonb language sql immutable parallel safe as $$
    select case when length(value::text) <= 500 then value else to_jsonb(left(value::text, 500) || '…') end
$$;

-- At most 200 rows a report, and the newest 2,000 of a device. It ends well whatever a device sends: what it reports is
-- stored all the same.
create function note_inventory_change() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into inventory_change (device, at, kind, name, change, before, after)
    with was as materialized (select * from inventory_things(old.body)),
    now as materialized (select * from inventory_things(new.body)),
    gone as (select distinct on (part collate "C", name collate "C") part, name, value, true as here
        from (select * from was except select * from now) x order by part collate "C", name collate "C", value),
    come as (select distinct on (part collate "C", name collate "C") part, name, value, true as here
        from (select * from now except select * from was) x order by part collate "C", name collate "C", value),
    counted as (
        select name, case when gone.here is null then 'added' when come.here is null then 'removed' else 'changed' end as change,
            gone.value as before, come.value as after,
            row_number() over (order by name collate "C", part collate "C") as n, count(*) over () as total
        from gone full join come using (part, name))
    select new.device, least(new.ts, new.received_at), new.kind, case when n > 200 then '' else name end,
        case when n > 200 then 'rest' else change end, case when n <= 200 then inventory_excerpt(before) end,
        case when n > 200 then to_jsonb(total - 200) else inventory_excerpt(after) end
    from counted where n <= 201 order by n desc;
    delete from inventory_change where device = new.device and id <= (select id from inventory_change
        where device = new.device order by id desc offset 2000 limit 1);
    return null;
exception when others then
    raise warning 'a change of the inventory of % is not in its history: %', new.device, sqlerrm;
    return null;
end $$;
create trigger inventory_changed after update on inventory for each row when (old.body is distinct from new.body)
    execute function note_inventory_change();

-- Deletes up to max_rows changes of more than keep_days ago; returns how many.
create function sweep_inventory_changes(keep_days integer, max_rows integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    swept bigint;
begin
    if keep_days is null or keep_days < 1 then
        raise exception 'no retention of % days for changes', keep_days using errcode = 'invalid_parameter_value';
    end if;
    delete from inventory_change where ctid = any (array(select ctid from inventory_change
        where at < now() - make_interval(days => keep_days) order by at limit max_rows));
    get diagnostics swept = row_count;
    return swept;
end $$;

-- ---- when it said to be another machine ----
-- Outlives the events that tell of it; the newest 50 of a device.
create table device_mismatch (
    device text not null references device on delete cascade,
    count  integer not null,                      -- since it was let in: one a session
    at     timestamptz not null,
    bound  text,                                  -- fingerprints
    said   text,
    primary key (device, at)
);
create function note_mismatch() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into device_mismatch (device, count, at, bound, said)
        values (new.device, new.mismatches, coalesce(new.mismatch_at, now()), new.fingerprint, new.mismatch_fingerprint)
        on conflict do nothing;
    delete from device_mismatch where device = new.device and at <= (select at from device_mismatch
        where device = new.device order by at desc offset 50 limit 1);
    return null;
end $$;
create trigger device_mismatched after update of mismatches on device for each row when (new.mismatches > old.mismatches)
    execute function note_mismatch();
-- Of those before this migration, what events still tell, and the last.
insert into device_mismatch (device, count, at, bound, said)
    select device, count, at, bound, said from (
        select e.device, e.seq::integer as count, e.received_at as at, e.body ->> 'bound' as bound, e.body ->> 'said' as said,
            row_number() over (partition by e.device order by e.received_at desc) as n
        from event e join device d on d.device = e.device
        where e.type = 'fingerprint.mismatch' and e.epoch = '-identity') x where n <= 50
    on conflict do nothing;
insert into device_mismatch (device, count, at, bound, said)
    select device, mismatches, mismatch_at, fingerprint, mismatch_fingerprint from device
    where mismatches > 0 and mismatch_at is not null on conflict do nothing;

-- ---- grants ----
select protect_device_rows(name) from unnest(array['inventory_change', 'device_mismatch']) as name;
revoke all on function inventory_things(jsonb), inventory_excerpt(jsonb), note_inventory_change(), note_mismatch(),
    sweep_inventory_changes(integer, integer) from public;
grant execute on function sweep_inventory_changes(integer, integer) to muster_ingest;
grant select on inventory_change, device_mismatch to muster_dashboard, muster_admin;
