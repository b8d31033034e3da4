-- Scopes (0031) as measured at 100,000 devices (docs/decisions/0028), and the policies of the tables that came beside them.

-- Where there is one tenant only, its people see all there is, and pay for no policy.
create or replace function scope_all() returns boolean
language sql stable parallel safe security definer set search_path = public, pg_temp as $$
    select scope_groups() is null and (scope_tenant() = '*'
        or (scope_tenant() <> '' and not exists (select from tenant where name <> scope_tenant())))
$$;
-- These are read by device, or by time and only to the first hundred rows, and are partitioned: the device of each row is looked
-- up. EXISTS would let the planner make a hash of all devices, once for each partition.
alter policy seen on telemetry
    using ((select scope_all()) or (select true from device d where d.device = telemetry.device));
alter policy seen on event using ((select scope_all()) or (select true from device d where d.device = event.device));
alter policy seen on rollup_hour
    using ((select scope_all()) or (select true from device d where d.device = rollup_hour.device));

-- The roster is seen as devices are.
alter table device_roster enable row level security;
create policy seen on device_roster for select to muster_dashboard using ((select scope_all()) or (tenant = (select scope_tenant())
    and ((select scope_groups()) is null or device in (select scope_devices()))));
-- A job belongs to whoever made it, and is seen by those who own the tenant.
alter table device_bulk enable row level security;
create policy own on device_bulk to muster_dashboard using ((select scope_owned()) = '*' or tenant = (select scope_owned())
    or (created_by = (select scope_user()) and tenant in ((select scope_tenant()), current_tenant())));

-- With the owner's rights: only the devices that the asker may act on.
alter function tag_devices(text[], text[], text[]) rename to tag_any_devices;
revoke execute on function tag_any_devices(text[], text[], text[]) from muster_dashboard;
create function tag_devices(which text[], added text[], removed text[]) returns bigint
language sql security definer set search_path = public, pg_temp as
    $$ select tag_any_devices(array(select id from unnest(which) id where may_act(id)), added, removed) $$;
revoke all on function tag_devices(text[], text[], text[]) from public;
grant execute on function tag_devices(text[], text[], text[]) to muster_dashboard;
