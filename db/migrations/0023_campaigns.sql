-- Whom a command is for: tags, groups, saved filters; and campaigns, which command many devices little by little.

-- ---- saved filters and groups ----
-- A query in the language of docs/protocol.md, section 18, under a name.
create table saved_filter (
    name       text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    query      text not null check (length(query) <= 4096),
    created_by text not null,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);

create table device_group (
    name        text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    description text not null default '' check (length(description) <= 400),
    query       text check (length(query) <= 4096), -- null: its members stand in device_group_member
    created_by  text not null,
    created_at  timestamptz not null default now(),
    changed_at  timestamptz not null default now()
);

create table device_group_member (
    group_name text not null references device_group (name) on delete cascade,
    device     text not null references device (device) on delete cascade,
    added_by   text not null,
    added_at   timestamptz not null default now(),
    primary key (group_name, device)
);
create index device_group_member_of on device_group_member (device);
create index device_by_tag on device using gin (tags);

-- ---- campaigns ----
create table campaign (
    id            bigint generated always as identity primary key,
    name          text not null check (length(name) between 1 and 100),
    action        text not null,
    params        jsonb not null default '{}' check (jsonb_typeof(params) = 'object'),
    ttl_s         integer not null check (ttl_s between 1 and 2592000), -- of each command
    confirmed     boolean not null default false,  -- as command.confirmed
    query         text not null default '' check (length(query) <= 4096), -- whom it is for; '': everything
    devices       text[],                          -- or these
    continuous    boolean not null default false,  -- takes devices that match later, until it is aborted
    canary        integer not null default 0 check (canary >= 0),        -- so many first
    success_pct   real not null default 100 check (success_pct between 0 and 100), -- of the canaries, to go on
    error_pct     real not null default 10 check (error_pct between 0 and 100),    -- of the finished: above it, stop
    rate_per_min  double precision not null default 0 check (rate_per_min >= 0),   -- 0: all at once
    factor        double precision not null default 1 check (factor between 1 and 10), -- the rate's growth a minute
    state         text not null default 'draft' check (state in ('draft', 'pending', 'running', 'paused', 'aborting',
                      'aborted', 'finished')),     -- pending: waits for a second person
    stage         text not null default 'canary' check (stage in ('canary', 'rollout')),
    reason        text not null default '',        -- why it is paused or pending
    stopped       boolean not null default false,  -- it was commander that paused it, for a threshold
    created_by    text not null,
    source        text not null default 'sql',
    request_id    text not null default '',
    created_at    timestamptz not null default now(),
    approved_by   text not null default '',
    approved_at   timestamptz,
    started_at    timestamptz,
    finished_at   timestamptz,
    changed_at    timestamptz not null default now(),
    -- commander's own
    sweep_cursor  text not null default '',        -- devices up to this one have been looked at
    swept         boolean not null default false,  -- all have been looked at once
    swept_at      timestamptz,                     -- the end of the last sweep
    pace_s        double precision not null default 0, -- how long the rollout has been under way, pauses left out
    paced_at      timestamptz,
    forgiven_errors bigint not null default 0,     -- when a person last resumed it: not held against it again
    forgiven_ends bigint not null default 0,       -- successes and errors, likewise
    -- Counters, kept as things happen: progress needs no look at the targets.
    total         bigint not null default 0,       -- targets
    released      bigint not null default 0,       -- of these, those whose command was requested; and of these:
    succeeded     bigint not null default 0,
    failed        bigint not null default 0,
    rejected      bigint not null default 0,
    expired       bigint not null default 0,
    cancelled     bigint not null default 0
);
create index campaign_active on campaign (id) where state in ('running', 'aborting');

create table campaign_target (
    campaign bigint not null references campaign (id) on delete cascade,
    device   text not null,
    place    integer not null,                     -- the order in which they are taken: a hash, so that it favours nobody
    state    text not null default 'waiting' check (state in ('waiting', 'released')),
    command  uuid,                                 -- how far that one has come says command.state
    added_at timestamptz not null default now(),
    primary key (campaign, device)                 -- no device twice
);
create index campaign_target_waiting on campaign_target (campaign, place, device) where state = 'waiting';

-- ---- their commands ----
alter table command add column campaign bigint;    -- that requested it; no foreign key: this is the hot path
create unique index command_of_campaign on command (campaign, device) where campaign is not null;

-- ---- what thousands of commands a second cost (docs/performance.md) ----
-- Only the statement that moves a command writes its history, from the row just moved: a foreign key would look that row
-- up again, and lock it, for each event. What it was good for besides is done once a statement.
alter table command_event drop constraint command_event_command_fkey;
create function delete_command_events() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from command_event e using gone where e.command = gone.id;
    return null;
end $$;
revoke all on function delete_command_events() from public;
create trigger command_deleted after delete on command referencing old table as gone
    for each statement execute function delete_command_events();
-- What it was for is found by command_by_device and by the indexes of each state.
drop index command_open;
-- A counter that rises with each command finds room in its page.
alter table device set (fillfactor = 75);

-- ---- what people do with a campaign ----
-- Makes the move when the state allows it: true; false when it does not, null without such a campaign. Only commander
-- finishes, stops and sweeps.
create function move_campaign(which bigint, verb text, actor text) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    c campaign;
begin
    select * into c from campaign where id = which for update;
    if not found then
        return null;
    end if;
    if verb = 'start' and c.state = 'draft' then
        update campaign set state = 'running', started_at = now(), changed_at = now() where id = which;
    elsif verb = 'pause' and c.state in ('running', 'pending') then
        update campaign set state = 'paused', reason = 'by ' || actor, changed_at = now() where id = which;
    elsif verb = 'resume' and c.state = 'paused' then
        -- Whoever goes on has seen why it stopped: what went wrong so far is not held against it again.
        update campaign set state = 'running', reason = '', stopped = false,
            stage = case when c.stopped then 'rollout' else stage end, forgiven_errors = c.failed + c.rejected,
            forgiven_ends = c.failed + c.rejected + c.succeeded, paced_at = now(), changed_at = now() where id = which;
    elsif verb = 'abort' and c.state in ('draft', 'pending', 'running', 'paused') then
        update campaign set state = 'aborting', reason = 'by ' || actor, sweep_cursor = '', changed_at = now() where id = which;
    elsif verb = 'approve' and c.state in ('draft', 'pending', 'running', 'paused') and c.approved_by = '' and c.created_by <> actor then
        update campaign set approved_by = actor, approved_at = now(), changed_at = now(),
            reason = case when c.state = 'pending' then '' else reason end,
            state = case when c.state = 'pending' then 'running' else c.state end where id = which;
    else
        return false;
    end if;
    notify muster_campaign;
    return true;
end $$;
revoke all on function move_campaign(bigint, text, text) from public;

-- Adds and removes tags; null without such a device.
create function tag_device(which text, added text[], removed text[]) returns text[]
language sql security definer set search_path = public, pg_temp as $$
    update device set tags = array(select distinct tag from unnest(tags || added) tag
                                   where tag <> all (removed) order by tag)
    where device = which returning tags;
$$;
revoke all on function tag_device(text, text[], text[]) from public;

-- ---- grants ----
grant execute on function move_campaign(bigint, text, text), tag_device(text, text[], text[]) to muster_dashboard;
grant select, insert, update, delete on saved_filter, device_group, device_group_member to muster_dashboard;
grant select on campaign, campaign_target to muster_dashboard;
grant insert (name, action, params, ttl_s, confirmed, query, devices, continuous, canary, success_pct, error_pct,
    rate_per_min, factor, created_by, source, request_id) on campaign to muster_dashboard;
grant select on saved_filter, device_group, device_group_member, inventory to muster_commander;
grant select, update on campaign to muster_commander;
grant select, insert, update on campaign_target to muster_commander;
grant select on saved_filter, device_group, device_group_member, campaign, campaign_target to muster_admin;
