-- Revocation: one way in for whoever revokes or restores, numbers in the order of the commits, and what is done about
-- devices that say they are another machine.

-- ---- the list ----
-- Brokers are told what is above the last number they have (docs/decisions/0015), so a number must not become visible
-- after a higher one: whoever changes the list waits for the one before. Device rows are locked before, never after.
create function order_revocations() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtext('muster.revocation'));
    return null;
end $$;
create trigger revocation_ordered before insert or update on revocation for each statement
    execute function order_revocations();

-- What is revoked already stays as it is. A device that is restored once more was enrolled once more: brokers are told.
create function number_revocation() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'UPDATE' and old.revoked and new.revoked then
        return null;
    end if;
    new.change := nextval('revocation_change');
    new.requested_at := now();
    return new;
end $$;
create trigger revocation_numbered before insert or update on revocation for each row
    execute function number_revocation();

-- Devices that were enrolled again: commander voids what they were ordered to do before, and takes the row away.
create table reenrollment (
    device      text primary key,
    enrolled_at timestamptz not null default now()
);

-- ---- who changes it ----
-- False when it was revoked already; null when there is no such device.
create function revoke_device(id text, why text, actor text, request text default '') returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    was boolean;
begin
    select enabled into was from device where device = id for update;
    if not found then
        return null;
    end if;
    if not was and exists (select from revocation where kind = 'device' and name = id and revoked) then
        return false;
    end if;
    update device set enabled = false, disabled_at = now(), disabled_by = actor, disabled_reason = why
        where device = id;
    update certificate set revoked_at = now() where device = id and revoked_at is null;
    update bearer set revoked_at = now() where device = id and revoked_at is null;
    insert into revocation as r (kind, name, reason, requested_by, request_id)
        values ('device', id, why, actor, request)
        on conflict (kind, name) do update set revoked = true, reason = excluded.reason,
            requested_by = excluded.requested_by, request_id = excluded.request_id;
    return true;
end $$;

-- Takes it back: what was revoked with the device (not before) is good again. False when it was not revoked.
create function restore_device(id text, why text, actor text, request text default '') returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    was   boolean;
    since timestamptz;
begin
    select enabled, disabled_at into was, since from device where device = id for update;
    if not found then
        return null;
    end if;
    if was and not exists (select from revocation where kind = 'device' and name = id and revoked) then
        return false;
    end if;
    update device set enabled = true, disabled_at = null, disabled_by = '', disabled_reason = '', mismatches = 0
        where device = id;
    update certificate set revoked_at = null where device = id and revoked_at = since;
    update bearer set revoked_at = null where device = id and revoked_at = since;
    insert into revocation as r (kind, name, revoked, reason, requested_by, request_id)
        values ('device', id, false, why, actor, request)
        on conflict (kind, name) do update set revoked = false, reason = excluded.reason,
            requested_by = excluded.requested_by, request_id = excluded.request_id;
    return true;
end $$;

-- Revokes every certificate of the device but one (null: every one), and returns how many were still good.
create function revoke_certificates(id text, keep_serial text, why text, actor text, request text default '')
    returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    count bigint;
begin
    update certificate set revoked_at = now() where device = id and revoked_at is null
        and serial is distinct from keep_serial;
    get diagnostics count = row_count;
    insert into revocation (kind, name, reason, requested_by, request_id)
        select 'serial', coalesce(nullif(ltrim(lower(serial), '0'), ''), '0'), why, actor, request from certificate
        where device = id and revoked_at is not null and not_after > now() and serial is distinct from keep_serial
        order by 2
        on conflict (kind, name) do update set revoked = true;
    return count;
end $$;

-- The device was enrolled again: its name is good again, none of its older certificates is, and what it was ordered to
-- do before is void, which commander sees to. To be called before the new certificate is stored; returns how many were
-- still good. Nothing for a device that this very transaction has made.
create function reenroll_device(id text, actor text, request text default '') returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    why constant text := 'the device was enrolled again';
    count bigint;
begin
    perform from device where device = id and created_at < now() for update;
    if not found then
        return 0;
    end if;
    count := revoke_certificates(id, null, why, actor, request);
    update bearer set revoked_at = now() where device = id and revoked_at is null;
    update device set enabled = true, disabled_at = null, disabled_by = '', disabled_reason = '', mismatches = 0
        where device = id;
    insert into reenrollment (device) values (id) on conflict (device) do update set enrolled_at = excluded.enrolled_at;
    insert into revocation as r (kind, name, revoked, reason, requested_by, request_id)
        values ('device', id, false, why, actor, request)
        on conflict (kind, name) do update set revoked = false, reason = excluded.reason,
            requested_by = excluded.requested_by, request_id = excluded.request_id;
    return count;
end $$;

-- Certificates that have expired are refused anyway, and need no line in the brokers' lists. Returns how many were let
-- go.
create function prune_revocations() returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    count bigint;
begin
    with expired as (select r.name from revocation r join certificate c
            on coalesce(nullif(ltrim(lower(c.serial), '0'), ''), '0') = r.name
        where r.kind = 'serial' and r.revoked and c.not_after < now() - interval '1 day' limit 10000)
    update revocation r set revoked = false, reason = 'the certificate has expired', requested_by = 'muster'
        from expired where r.kind = 'serial' and r.name = expired.name;
    get diagnostics count = row_count;
    delete from revocation where kind = 'serial' and not revoked and requested_at < now() - interval '30 days';
    return count;
end $$;

-- ---- what was disabled before there was a list ----
update device set disabled_at = now(), disabled_by = 'muster', disabled_reason = 'disabled before' where not enabled;
insert into revocation (kind, name, reason, requested_by)
    select 'device', device, 'disabled before', 'muster' from device where not enabled order by device;
insert into revocation (kind, name, reason, requested_by)
    select 'serial', coalesce(nullif(ltrim(lower(serial), '0'), ''), '0'), 'replaced', 'muster' from certificate
    where revoked_at is not null and not_after > now() order by 2 on conflict do nothing;

-- ---- grants ----
revoke all on function revoke_device(text, text, text, text), restore_device(text, text, text, text),
    revoke_certificates(text, text, text, text, text), reenroll_device(text, text, text), prune_revocations()
    from public;
grant execute on function revoke_device(text, text, text, text) to muster_admin, muster_ingest, muster_dashboard;
grant execute on function restore_device(text, text, text, text) to muster_admin, muster_dashboard;
grant execute on function revoke_certificates(text, text, text, text, text)
    to muster_admin, muster_bridge, muster_ingest;
grant execute on function reenroll_device(text, text, text) to muster_bridge;
grant select on revocation_effect to muster_bridge; -- it waits for them
grant execute on function prune_revocations() to muster_commander;
grant select, delete on reenrollment to muster_commander;
grant update (fingerprint) on device to muster_ingest; -- a device without one is bound at its first hello
grant update (changed_at) on device_state to muster_commander; -- those who show devices look again
