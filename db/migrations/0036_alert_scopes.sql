-- Whose alerts are whose: as all things of a tenant; people who are bound to groups see the alerts of their devices.
select protect_tenant_rows(name) from unnest(array['alert_rule', 'alert_silence', 'alert_channel']) as name;
create policy bound on alert_rule for select to muster_dashboard using (tenant = (select scope_tenant()));

alter table alert enable row level security;
create policy seen on alert for select to muster_dashboard using ((select scope_owned()) = '*' or tenant = (select scope_owned())
    or (device is not null and exists (select from device d where d.device = alert.device)));
create policy changed on alert for update to muster_dashboard
    using (case when device is null then acts() and (select scope_owned()) in ('*', tenant) else may_act(device) end);

alter table alert_event enable row level security;
create policy seen on alert_event for select to muster_dashboard using (exists (select from alert a where a.id = alert_event.alert));
create policy made on alert_event for insert to muster_dashboard with check (exists (select from alert a where a.id = alert_event.alert));
alter table alert_route enable row level security;
create policy owned on alert_route to muster_dashboard
    using (exists (select from alert_channel c where c.id = alert_route.channel)) with check (true);
alter table alert_digest enable row level security;
create policy seen on alert_digest for select to muster_dashboard
    using (exists (select from alert_channel c where c.id = alert_digest.channel));
-- How the mails of a message fared; the rest of mail is nobody's to read.
create policy told on mail for select to muster_dashboard
    using (about = 'alert' and exists (select from alert_digest g where mail.id = any (g.mails)));
create index alert_digest_mails on alert_digest using gin (mails);
-- What is not theirs to see tells nothing.
alter table alert_clock enable row level security;
create policy seen on alert_clock for select to muster_dashboard using ((select scope_all()));
alter table ingest_sight enable row level security;
create policy seen on ingest_sight for select to muster_dashboard using ((select scope_all()));
