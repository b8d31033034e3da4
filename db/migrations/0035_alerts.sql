-- Alerts: what is looked for, what was found, who is told. docs/decisions/0030 says how 100,000 devices are looked at, and why
-- a restart raises nothing; docs/protocol.md, section 25, what everything means.

-- ---- when the system could see ----
-- A row for each ingest, written every two seconds while it has read and committed all that the broker had.
create table ingest_sight (
    client          text not null,
    cell            integer not null,
    connected_since timestamptz not null,         -- of its present connection to the broker
    seen_at         timestamptz not null,
    primary key (client, cell)
);

-- A clock for each cell that runs only while devices of that cell could be seen, and another, cell 0, for everything else,
-- that runs while some commander does. "For a time" counts on these.
create table alert_clock (
    cell      integer primary key,
    clock_ms  bigint not null default 0,
    ticked_at timestamptz not null default now(),
    sees      boolean not null default false,
    held_until timestamptz not null default now() -- after something came back: devices have so long to come back, too
);

-- What the clock showed whenever it began to run or stopped, to tell what it showed at any time.
create table alert_sight (
    cell     integer not null,
    at       timestamptz not null,
    sees     boolean not null,                    -- from then on
    clock_ms bigint not null,
    primary key (cell, at)
);

-- Moves one clock on; able: whether its cell can be seen now, since when. False: another commander is at it.
create function tick_alert_clock(which integer, able boolean, since timestamptz, holdoff interval, absence interval)
returns boolean language plpgsql set search_path = public, pg_temp as $$
declare
    k   alert_clock;
    gap interval;
begin
    insert into alert_clock (cell, held_until) values (which, now() + holdoff) on conflict do nothing;
    select * into k from alert_clock where cell = which for update skip locked;
    if not found then
        return false;
    end if;
    gap := clock_timestamp() - k.ticked_at;
    if gap > absence or gap < interval '0' then -- nobody looked, or the clock was set
        if k.sees then
            insert into alert_sight values (which, least(k.ticked_at, now()), false, k.clock_ms)
                on conflict (cell, at) do update set sees = false;
        end if;
        k.sees := false;
        k.held_until := now() + holdoff;
    elsif k.sees then
        k.clock_ms := k.clock_ms + (extract(epoch from gap) * 1000)::bigint;
    end if;
    if not able then
        k.held_until := now() + holdoff;
    end if;
    k.held_until := least(greatest(k.held_until, since + holdoff), now() + holdoff);
    if k.sees <> (able and now() >= k.held_until) then
        k.sees := not k.sees;
        insert into alert_sight values (which, now(), k.sees, k.clock_ms)
            on conflict (cell, at) do update set sees = excluded.sees, clock_ms = excluded.clock_ms;
    end if;
    update alert_clock set clock_ms = k.clock_ms, ticked_at = clock_timestamp(), sees = k.sees, held_until = k.held_until
        where cell = which;
    return true;
end $$;

-- What the clock of a cell showed at a time; before all that is known it ran.
create function alert_clock_at(which integer, t timestamptz) returns bigint
language sql stable set search_path = public, pg_temp as $$
    select least(coalesce(
        (select case when sees then clock_ms + (extract(epoch from t - at) * 1000)::bigint else clock_ms end
            from alert_sight where cell = which and at <= t order by at desc limit 1),
        (select clock_ms - (extract(epoch from at - t) * 1000)::bigint from alert_sight where cell = which order by at limit 1)),
        (select clock_ms from alert_clock where cell = which))
$$;

-- What commanders know of themselves, for the rules about them.
create table alert_fact (
    fact   text not null,                         -- "fcm_breaker"
    object text not null,                         -- which commander
    at     timestamptz not null,
    holds  boolean not null,
    primary key (fact, object)
);

-- ---- rules ----
create table alert_rule (
    id         bigint generated always as identity primary key,
    tenant     text not null default current_tenant() references tenant (name) on delete cascade,
    name       text not null check (length(name) between 1 and 100),
    kind       text not null check (length(kind) between 1 and 40), -- common/alert_kind.h
    params     jsonb not null default '{}' check (jsonb_typeof(params) = 'object'), -- of the kind, none left out
    query      text not null default '' check (length(query) <= 4096), -- which devices; '': all of the tenant
    severity   text not null default 'warning' check (severity in ('info', 'warning', 'critical')),
    enabled    boolean not null default true,
    clear_s    integer not null default 60 check (clear_s between 0 and 86400), -- so long it must be over before it counts as over
    builtin    boolean not null default false,    -- came with the tenant
    error      text not null default '',          -- why commander cannot evaluate it
    created_by text not null,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    unique (tenant, name)
);

-- How far commander has come with each.
create table alert_rule_state (
    rule      bigint primary key references alert_rule (id) on delete cascade,
    looked_to timestamptz not null default '-infinity', -- devices that changed up to then were looked at
    swept_at  timestamptz not null default '-infinity', -- when it last began with all devices
    silent_at timestamptz not null default '-infinity', -- when those that are silent were last looked at
    next_at   timestamptz not null default now()
);
create index alert_rule_due on alert_rule_state (next_at);

create function alert_rule_begins() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        insert into alert_rule_state (rule) values (new.id);
    elsif (new.kind, new.params, new.query, new.enabled) is distinct from (old.kind, old.params, old.query, old.enabled) then
        -- Everybody is looked at anew; whoever it does not hold for any more is cleared then.
        delete from alert_watch where rule = new.id and (alert is null or not new.enabled);
        update alert_rule_state set looked_to = '-infinity', swept_at = '-infinity', silent_at = '-infinity', next_at = now()
            where rule = new.id;
    end if;
    notify muster_alert_rule;
    return null;
end $$;

-- ---- alerts ----
create table alert (
    id              bigint generated always as identity primary key,
    tenant          text not null references tenant (name) on delete cascade,
    rule            bigint references alert_rule (id) on delete set null,
    rule_name       text not null,
    kind            text not null,
    severity        text not null,
    object          text not null,                -- device, "campaign 7", "cell 1", ...: what the rule holds for
    device          text,                         -- where it is one
    title           text not null,
    value           double precision,             -- when it was raised
    state           text not null default 'active' check (state in ('active', 'cleared')),
    raised_at       timestamptz not null default now(),
    since           timestamptz not null,         -- when what it is about began
    cleared_at      timestamptz,
    cleared_why     text not null default '',
    cleared_by      text not null default '',     -- '': by itself
    acknowledged_at timestamptz,
    acknowledged_by text not null default '',
    assigned_to     text not null default '',
    silence         bigint,                       -- that covers it now: nobody is told
    flaps           integer not null default 0,   -- times it came back soon after it was over
    changed_at      timestamptz not null default now()
);
create unique index alert_open on alert (rule, object) where state = 'active';
create index alert_active on alert (tenant, id) where state = 'active';
create index alert_by_time on alert (id desc);
create index alert_of_device on alert (device, id desc) where device is not null;
create index alert_of_object on alert (rule, object, id desc);
create index alert_cleared on alert (cleared_at) where state = 'cleared';

create table alert_event (
    alert bigint not null references alert (id) on delete cascade,
    id    bigint generated always as identity,
    at    timestamptz not null default now(),
    type  text not null check (type in ('raised', 'returned', 'cleared', 'acknowledged', 'unacknowledged', 'assigned', 'comment',
              'silenced', 'unsilenced', 'told')),
    actor text not null default '',               -- '': the system
    text  text not null default '' check (length(text) <= 2000),
    primary key (alert, id)
);

-- For whom a rule holds now, before and while there is an alert about it.
create table alert_watch (
    rule    bigint not null references alert_rule (id) on delete cascade,
    object  text not null,
    device  text,
    cell    integer not null default 0,           -- whose clock counts
    since   timestamptz not null,
    due_ms  bigint not null,                      -- of that clock: when there is to be an alert
    held_at timestamptz not null default now(),   -- last seen to hold
    over_at timestamptz,                          -- when it ceased to hold, of one with an alert
    value   double precision,
    title   text not null,
    alert   bigint references alert (id) on delete set null,
    primary key (rule, object)
);
create index alert_watch_waits on alert_watch (rule, cell, due_ms) where alert is null;
create index alert_watch_over on alert_watch (rule, over_at) where over_at is not null;

create trigger alert_rule_begins after insert or update on alert_rule for each row execute function alert_rule_begins();

-- One notification a statement: who shows alerts looks again.
create function notify_alert() returns trigger language plpgsql as $$
begin
    notify muster_alert;
    return null;
end $$;
-- What is over is not watched any more, and those who were told of it are to be told again.
create function alert_is_over() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from alert_watch w using changed n where n.state = 'cleared' and w.rule = n.rule and w.object = n.object and w.alert = n.id;
    update alert_told t set waits_since = now() from changed n
        where n.state = 'cleared' and t.alert = n.id and t.told is distinct from 'cleared' and t.waits_since is null;
    return null;
end $$;
create trigger alert_is_over after update on alert referencing new table as changed for each statement execute function alert_is_over();
create trigger alert_changes after insert or update or delete on alert for each statement execute function notify_alert();

-- A rule that is switched off or deleted takes its alerts along.
create function alert_rule_ends() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    with over as (
        update alert set state = 'cleared', cleared_at = now(), changed_at = now(), cleared_why = 'the rule was ' ||
            case tg_op when 'DELETE' then 'deleted' else 'switched off' end
            where rule = old.id and state = 'active' returning id)
    insert into alert_event (alert, type, text) select id, 'cleared', 'the rule was ' ||
        case tg_op when 'DELETE' then 'deleted' else 'switched off' end from over;
    return case tg_op when 'DELETE' then old else new end;
end $$;
create trigger alert_rule_deleted before delete on alert_rule for each row execute function alert_rule_ends();
create trigger alert_rule_disabled before update on alert_rule for each row when (old.enabled and not new.enabled)
    execute function alert_rule_ends();

-- ---- silences ----
create table alert_silence (
    id         bigint generated always as identity primary key,
    tenant     text not null default current_tenant() references tenant (name) on delete cascade,
    rule       bigint references alert_rule (id) on delete cascade, -- null: all rules
    query      text not null default '' check (length(query) <= 4096), -- which devices; '': all, and what is no device
    from_at    timestamptz not null default now(),
    until_at   timestamptz not null,
    -- Within that time only in this window of the week, as a device's maintenance window; null: always.
    time_zone  text not null default 'UTC' check (length(time_zone) <= 63 and is_time_zone(time_zone)),
    week       jsonb check (week is null or is_maintenance_window(week)),
    reason     text not null check (length(reason) between 1 and 400),
    created_by text not null,
    created_at timestamptz not null default now(),
    ended_by   text not null default '',          -- before its time
    check (until_at > from_at)
);
create index alert_silence_open on alert_silence (until_at);

-- Whether a silence counts now.
create function silence_counts(s alert_silence) returns boolean language sql stable as $$
    select s.from_at <= now() and s.until_at > now() and (s.week is null or coalesce(
        (select opens <= now() from next_window(s.time_zone, s.week, now())), false))
$$;

-- ---- who is told ----
create table alert_channel (
    id          bigint generated always as identity primary key,
    tenant      text not null default current_tenant() references tenant (name) on delete cascade,
    name        text not null check (length(name) between 1 and 100),
    kind        text not null check (kind in ('email', 'webhook')),
    addresses   text[] not null default '{}',     -- email: who gets it, at most 50
    url         text not null default '',         -- webhook
    secret_salt text not null default '',         -- webhook: with the key file it makes the secret, which stands nowhere
    wait_s      integer not null default 30 check (wait_s between 0 and 3600),        -- for more of the same, before a message
    interval_s  integer not null default 300 check (interval_s between 1 and 86400),  -- between two messages at least
    repeat_s    integer not null default 14400 check (repeat_s between 60 and 2592000), -- until what is still so is said again
    enabled     boolean not null default true,
    created_by  text not null,
    created_at  timestamptz not null default now(),
    changed_at  timestamptz not null default now(),
    -- commander's own
    digest_at   timestamptz not null default '-infinity', -- when it last made a message
    test_at     timestamptz,                      -- somebody wants a test message
    next_at     timestamptz not null default now(),
    unique (tenant, name)
);
-- Which alerts go there: those of a rule, or of all, from a severity on.
create table alert_route (
    channel  bigint not null references alert_channel (id) on delete cascade,
    id       bigint generated always as identity,
    rule     bigint references alert_rule (id) on delete cascade,
    severity text not null default 'info' check (severity in ('info', 'warning', 'critical')),
    primary key (channel, id)
);
create index alert_route_of_rule on alert_route (rule);

create function severity_rank(severity text) returns integer language sql immutable parallel safe as
    $$ select array_position(array['info', 'warning', 'critical'], severity) $$;

-- What a channel was told of each alert, and what waits to be told.
create table alert_told (
    channel     bigint not null references alert_channel (id) on delete cascade,
    alert       bigint not null references alert (id) on delete cascade,
    told        text check (told in ('active', 'cleared')), -- null: nothing yet
    told_at     timestamptz,
    waits_since timestamptz,                      -- null: nothing waits
    primary key (channel, alert)
);
create index alert_told_waits on alert_told (channel, waits_since) where waits_since is not null;
create index alert_told_active on alert_told (channel, told_at) where told = 'active';

-- The messages: one for all that came together. The delivery of an e-mail is that of its rows of mail.
create table alert_digest (
    id         uuid primary key default gen_random_uuid(),
    channel    bigint not null references alert_channel (id) on delete cascade,
    at         timestamptz not null default now(),
    raised     integer not null,
    cleared    integer not null,
    still      integer not null,                  -- said before, and so still
    subject    text not null,
    body       text not null,                     -- webhook: the CloudEvent; email: the text
    mails      bigint[] not null default '{}',
    state      text not null default 'waiting' check (state in ('waiting', 'sent', 'failed')),
    attempts   integer not null default 0,
    next_at    timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 day',
    sent_at    timestamptz,
    status     integer,                           -- webhook: the last HTTP status
    error      text not null default ''
);
create index alert_digest_waits on alert_digest (next_at) where state = 'waiting';
create index alert_digest_of_channel on alert_digest (channel, at desc);

create function notify_alert_channel() returns trigger language plpgsql as $$
begin
    notify muster_alert_channel;
    return null;
end $$;
create trigger alert_channel_changes after insert or update of enabled, test_at, wait_s, interval_s, repeat_s on alert_channel
    for each statement execute function notify_alert_channel();

-- ---- what rules look for, found by index ----
create index device_mismatched on device (device) where mismatches > 0;
create index certificate_expiring on certificate (not_after) where revoked_at is null;
create index command_unsuccessful on command (finished_at) where state in ('failed', 'rejected', 'expired');
create index campaign_stopped on campaign (id) where state = 'paused' and stopped;

-- ---- what a tenant begins with ----
create function install_alert_rules(of_tenant text) returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into alert_rule (tenant, name, kind, params, severity, enabled, builtin, created_by)
        select of_tenant, r.name, r.kind, r.params::jsonb, r.severity, r.enabled, true, 'muster' from (values
        ('Device offline', 'offline', '{"for_s":1800,"goodbye":"counts"}', 'warning', true),
        ('Disk almost full', 'disk', '{"above":90,"for_s":600,"margin":2}', 'warning', true),
        ('Battery almost empty', 'battery', '{"below":10,"for_s":300,"margin":5}', 'info', false),
        ('Processor busy', 'metric', '{"metric":"cpu_pct","when":"above","value":95,"for_s":1800,"margin":5}', 'info', false),
        ('Memory almost full', 'metric', '{"metric":"mem_used_pct","when":"above","value":95,"for_s":1800,"margin":3}', 'info', false),
        ('Device too hot', 'metric', '{"metric":"temperature_c","when":"above","value":85,"for_s":300,"margin":5}', 'warning', false),
        ('Another machine uses a device''s credential', 'fingerprint', '{"count":1}', 'critical', true),
        ('Certificate expires', 'certificate', '{"days":14}', 'warning', true),
        ('Commands fail', 'command', '{"count":5,"window_s":3600}', 'info', false),
        ('Campaign stopped', 'campaign', '{"error_pct":50,"ended":10}', 'warning', true),
        ('Messages are refused', 'quarantine', '{"count":100,"window_s":3600}', 'warning', true),
        ('Nothing is taken in', 'ingest', '{"for_s":120}', 'critical', of_tenant = 'default'),
        ('Pushes pause', 'push', '{"for_s":300}', 'warning', of_tenant = 'default'))
        as r(name, kind, params, severity, enabled)
        where of_tenant = 'default' or r.kind not in ('ingest', 'push')
        on conflict do nothing
$$;
revoke all on function install_alert_rules(text) from public;
create function tenant_begins() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform install_alert_rules(new.name);
    return null;
end $$;
create trigger tenant_alert_rules after insert on tenant for each row execute function tenant_begins();
select install_alert_rules(name) from tenant;

-- ---- grants ----
grant select, insert, update on ingest_sight to muster_ingest;
grant select on ingest_sight to muster_commander, muster_dashboard, muster_admin;
grant select, insert, update, delete on alert_clock, alert_sight, alert_fact, alert_rule_state, alert_watch, alert, alert_event,
    alert_told, alert_digest to muster_commander;
grant select on alert_rule, alert_silence, alert_channel, alert_route to muster_commander;
grant select (device, not_after, revoked_at) on certificate to muster_commander;
grant select (device, expires_at, revoked_at) on bearer to muster_commander;
grant select (device, received_at) on quarantine to muster_commander;
grant update (error) on alert_rule to muster_commander;
grant delete on alert_silence to muster_commander;
grant update (digest_at, test_at, next_at) on alert_channel to muster_commander;
grant select on tenant to muster_commander;
grant select, insert, update, delete on alert_rule, alert_silence, alert_channel, alert_route to muster_dashboard;
grant select on alert, alert_event, alert_digest, alert_clock to muster_dashboard;
grant update (state, cleared_at, cleared_why, cleared_by, acknowledged_at, acknowledged_by, assigned_to, changed_at) on alert
    to muster_dashboard;
grant insert (alert, type, actor, text) on alert_event to muster_dashboard;
grant select (id, sent_at, next_at, attempts, error) on mail to muster_dashboard;
grant select on all tables in schema public to muster_admin;
