-- More that the live streams ask for: alerts and exports, and campaigns as soon as they move.
create index alert_changed on alert (changed_at);
create index alert_by_severity on alert (severity) where state = 'active'; -- counted every second
create index export_changed on export (changed_at);

create function notify_export() returns trigger language plpgsql as $$
begin
    notify muster_export;
    return null;
end $$;
create trigger export_changes after insert or update on export for each statement execute function notify_export();

-- Not muster_campaign, which asks commander for another turn: it moves campaigns itself.
create function notify_campaign_change() returns trigger language plpgsql as $$
begin
    notify muster_campaign_change;
    return null;
end $$;
create trigger campaign_changes after insert or update on campaign for each statement execute function notify_campaign_change();
