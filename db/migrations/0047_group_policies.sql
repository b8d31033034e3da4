-- Who is bound to groups pays for the devices that are looked at, not for those of the groups (docs/decisions/0034): a
-- function that gives them all was asked once a table and statement, some 20 ms for 10,000 devices, for one device too.
-- The rule is the same as in 0031 and 0042.

-- The devices of the groups that the scope is bound to, as scope_devices(), which the planner can look into. It has its
-- owner's rights, so that policies within policies need not be planned.
create view scope_member as select m.device from device_group_member m
    where m.tenant = (select scope_tenant()) and m.group_name = any ((select scope_groups())::text[]);
grant select on scope_member to muster_dashboard;

-- EXISTS leaves the planner both ways: one look into an index for each device where there are few, a hash where all are read.
alter policy seen on device using ((select scope_all()) or (tenant = (select scope_tenant()) and ((select scope_groups()) is null
    or exists (select from scope_member m where m.device = device.device))));
alter policy seen on device_state using ((select scope_all()) or (tenant = (select scope_tenant()) and ((select scope_groups()) is null
    or exists (select from scope_member m where m.device = device_state.device))));
-- The roster is always read whole, however few rows are expected of it: IN is always a hash.
alter policy seen on device_roster using ((select scope_all()) or (tenant = (select scope_tenant()) and ((select scope_groups()) is null
    or device in (select m.device from scope_member m))));
drop function scope_devices();
