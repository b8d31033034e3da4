-- What the pages of commands, campaigns, groups and tags ask for.

-- ---- schedules of campaigns ----
alter table campaign
    add not_before timestamptz,                      -- begins then, once it is started
    add in_window  boolean not null default false;   -- each device's command in its maintenance window only
grant insert (not_before, in_window) on campaign to muster_dashboard;

-- ---- how fast a campaign goes ----
-- What happened in each ten seconds: one row changed a transaction of commander's, which counts once a transaction.
create table campaign_pace (
    campaign bigint not null references campaign (id) on delete cascade,
    at       timestamptz not null,                   -- the beginning of the ten seconds
    released bigint not null default 0,
    succeeded bigint not null default 0,
    errors   bigint not null default 0,              -- failed and rejected
    others   bigint not null default 0,              -- expired and cancelled
    primary key (campaign, at)
);
create function note_campaign_pace() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into campaign_pace as p (campaign, at, released, succeeded, errors, others)
    values (new.id, date_bin('10 seconds', now(), 'epoch'), new.released - old.released, new.succeeded - old.succeeded,
        new.failed + new.rejected - old.failed - old.rejected, new.expired + new.cancelled - old.expired - old.cancelled)
    on conflict (campaign, at) do update set released = p.released + excluded.released,
        succeeded = p.succeeded + excluded.succeeded, errors = p.errors + excluded.errors,
        others = p.others + excluded.others;
    return null;
end $$;
revoke all on function note_campaign_pace() from public;
create trigger campaign_paced after update on campaign for each row
    when ((old.released, old.succeeded, old.failed, old.rejected, old.expired, old.cancelled)
        is distinct from (new.released, new.succeeded, new.failed, new.rejected, new.expired, new.cancelled))
    execute function note_campaign_pace();

-- ---- commands by what went wrong, and by what they do ----
-- Few come here: one that does as it should never enters this index.
create index command_troubled on command (state, created_at desc, id)
    where state in ('failed', 'rejected', 'expired', 'cancelled');
create index command_by_action on command (action, created_at desc, id) where source not in ('campaign', 'internal');

-- ---- grants ----
grant update (tags) on device to muster_dashboard;
-- Seen with its campaign, by whoever sees that.
alter table campaign_pace enable row level security;
create policy with_its_campaign on campaign_pace for select to muster_dashboard
    using (exists (select from campaign c where c.id = campaign));
grant select on campaign_pace, command_result to muster_dashboard;
grant update (description, query, changed_at) on device_group to muster_dashboard;
