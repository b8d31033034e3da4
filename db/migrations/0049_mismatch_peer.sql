-- From where a device said to be another machine. An address is personal data: it goes with the row that it stands in,
-- after the days for which what changed on a device is kept.
alter table device add column mismatch_peer text check (length(mismatch_peer) <= 64);
alter table device_mismatch add column peer text;

create or replace function note_mismatch() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into device_mismatch (device, count, at, bound, said, peer)
        values (new.device, new.mismatches, coalesce(new.mismatch_at, now()), new.fingerprint, new.mismatch_fingerprint, new.mismatch_peer)
        on conflict do nothing;
    delete from device_mismatch where device = new.device and at <= (select at from device_mismatch
        where device = new.device order by at desc offset 50 limit 1);
    return null;
end $$;
create index device_mismatch_old on device_mismatch (at);

-- Deletes up to max_rows changes of an inventory, and mismatches, of more than keep_days ago; returns how many.
create or replace function sweep_inventory_changes(keep_days integer, max_rows integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    swept bigint;
    more  bigint;
begin
    if keep_days is null or keep_days < 1 then
        raise exception 'no retention of % days for changes', keep_days using errcode = 'invalid_parameter_value';
    end if;
    delete from inventory_change where ctid = any (array(select ctid from inventory_change
        where at < now() - make_interval(days => keep_days) order by at limit max_rows));
    get diagnostics swept = row_count;
    with gone as (delete from device_mismatch where ctid = any (array(select ctid from device_mismatch
        where at < now() - make_interval(days => keep_days) order by at limit greatest(max_rows - swept, 0))) returning device, at),
    cleared as (update device d set mismatch_peer = null from gone where d.device = gone.device and d.mismatch_at <= gone.at
        and d.mismatch_peer is not null)
    select count(*) into more from gone;
    return swept + more;
end $$;

grant update (mismatch_peer) on device to muster_ingest;
