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

do $$
declare
    -- As on device.
    of_scope constant text := '(select scope_all()) or (tenant = (select scope_tenant()) and ((select scope_groups()) is null'
        ' or device in (select scope_devices())))';
    -- What belongs to somebody: to be seen by the person, and by those who own the tenant.
    by_maker constant text := '(select scope_owned()) = ''*'' or tenant = (select scope_owned()) or (%1$s = (select scope_user())'
        ' and tenant in ((select scope_tenant()), current_tenant()))';
    -- Sums over devices: those bound to groups see the sums of these.
    of_sums constant text := '(select scope_owned()) = ''*'' or tenant = (select scope_owned()) or (tenant = (select scope_tenant())'
        ' and scope = any (array(select ''group:'' || name from unnest((select scope_groups())) as name)))';
    part record;
begin
    for part in select * from (values
        ('device_roster', 'create policy seen on device_roster for select to muster_dashboard using (' || of_scope || ')'),
        ('device_bulk', 'create policy own on device_bulk to muster_dashboard using (' || format(by_maker, 'created_by') || ')'),
        -- An export holds what its maker could see: it is for those who see the same, or all.
        ('export', 'create policy own on export to muster_dashboard using ((select public.scope_all()) or '
            '(export.scope_tenant = (select public.scope_tenant()) and export.scope_groups = '
            'coalesce(array_to_string((select public.scope_groups()), '',''), '''')))'),
        ('rollup_fleet', 'create policy seen on rollup_fleet for select to muster_dashboard using (' || of_sums || ')'),
        ('rollup_event', 'create policy seen on rollup_event for select to muster_dashboard using (' || of_sums || ')'),
        ('rollup_day', 'create policy seen on rollup_day for select to muster_dashboard using ((select scope_all()) or '
            'exists (select from device d where d.device = rollup_day.device))'),
        ('recovery_code', 'create policy known on recovery_code to muster_dashboard using ((select scope_tenant()) = '''''
            ' or exists (select from user_account u where u.name = user_name))'),
        ('alert_rule', 'create policy owned on alert_rule to muster_dashboard using ((select scope_owned()) = ''*'''
            ' or tenant = (select scope_owned()))'),
        ('alert_silence', 'create policy owned on alert_silence to muster_dashboard using ((select scope_owned()) = ''*'''
            ' or tenant = (select scope_owned()))'),
        ('alert_channel', 'create policy owned on alert_channel to muster_dashboard using ((select scope_owned()) = ''*'''
            ' or tenant = (select scope_owned()))'),
        ('alert_route', 'create policy owned on alert_route to muster_dashboard using (exists (select from alert_channel c'
            ' where c.id = channel))'),
        ('alert_digest', 'create policy owned on alert_digest for select to muster_dashboard using (exists (select from'
            ' alert_channel c where c.id = channel))'),
        ('alert', 'create policy seen on alert for select to muster_dashboard using (' || of_scope || ');'
            'create policy changed on alert for update to muster_dashboard using ((select scope_owned()) = ''*'''
            ' or tenant = (select scope_owned()) or may_act(device))'),
        ('alert_event', 'create policy seen on alert_event for select to muster_dashboard using (exists (select from alert a'
            ' where a.id = alert_event.alert)); create policy made on alert_event for insert to muster_dashboard'
            ' with check (exists (select from alert a where a.id = alert_event.alert))')
        ) as x (name, policies)
    loop
        continue when to_regclass(part.name) is null or (select relrowsecurity from pg_class where oid = to_regclass(part.name));
        execute format('alter table %I enable row level security', part.name);
        execute part.policies;
    end loop;
    if to_regclass('alert_digest') is not null then
        create policy told on mail for select to muster_dashboard using ((select scope_all())
            or exists (select from alert_digest d where mail.id = any (d.mails)));
    end if;
    -- With the owner's rights: only the devices that the asker may act on.
    if to_regprocedure('tag_devices(text[], text[], text[])') is not null
        and to_regprocedure('tag_any_devices(text[], text[], text[])') is null then
        alter function tag_devices(text[], text[], text[]) rename to tag_any_devices;
        revoke execute on function tag_any_devices(text[], text[], text[]) from muster_dashboard;
        execute 'create function tag_devices(which text[], added text[], removed text[]) returns bigint '
            'language sql security definer set search_path = public, pg_temp as '
            '''select tag_any_devices(array(select id from unnest(which) id where may_act(id)), added, removed)''';
        revoke all on function tag_devices(text[], text[], text[]) from public;
        grant execute on function tag_devices(text[], text[], text[]) to muster_dashboard;
    end if;
end $$;
