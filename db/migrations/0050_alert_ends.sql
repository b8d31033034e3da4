-- A device that is no more takes its alerts along, as a rule does: nothing would ever say that they are over.
create function alert_device_ends() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    with over as (
        update alert a set state = 'cleared', cleared_at = now(), changed_at = now(), cleared_why = 'the device was deleted'
            from gone where a.device = gone.device and a.state = 'active' returning a.id)
    insert into alert_event (alert, type, text) select id, 'cleared', 'the device was deleted' from over;
    delete from alert_watch w using gone where w.object = gone.device and w.alert is null;
    return null;
end $$;
create trigger alert_device_deleted after delete on device referencing old table as gone for each statement
    execute function alert_device_ends();

-- Whether a device has another credential, for the preview of rules about certificates.
select protect_device_rows('bearer');
grant select (device, expires_at, revoked_at) on bearer to muster_dashboard;
