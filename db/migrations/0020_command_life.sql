-- The life of a command: when it may begin, in which order, how often it is published, which timers run, how it is
-- cancelled, and who may ask how often.

-- ---- devices ----
create function is_time_zone(name text) returns boolean language plpgsql immutable parallel safe as $$
begin
    perform timestamptz 'epoch' at time zone name;
    return true;
exception when invalid_parameter_value then
    return false;
end $$;

-- {"days":[1..7],"from":"02:00","to":"05:00"}: ISO days on which it begins, local time; "to" not after "from" is on the
-- next day.
create function is_maintenance_window(w jsonb) returns boolean language sql immutable parallel safe as $$
    select coalesce(jsonb_typeof(w) = 'object' and jsonb_typeof(w -> 'days') = 'array'
        and jsonb_array_length(case when jsonb_typeof(w -> 'days') = 'array' then w -> 'days' else '[]' end) > 0
        and w -> 'days' <@ '[1,2,3,4,5,6,7]' and w ->> 'from' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        and w ->> 'to' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$' and w - 'days' - 'from' - 'to' = '{}', false)
$$;

alter table device
    -- one: a command is sent when the one before it has ended; burst: at once, in order of n
    add column command_policy     text not null default 'one' check (command_policy in ('one', 'burst')),
    add column time_zone          text not null default 'UTC' check (length(time_zone) <= 63 and is_time_zone(time_zone)),
    add column maintenance_window jsonb
        check (maintenance_window is null or is_maintenance_window(maintenance_window));

-- The window that at is in, or else the next one; no row for a window that never opens.
create function next_window(zone text, w jsonb, at timestamptz, out opens timestamptz, out closes timestamptz)
returns setof record language sql stable as $$
    select o, c from (select (d + (w ->> 'from')::time) at time zone zone as o,
        (d + (w ->> 'to')::time + case when w ->> 'to' <= w ->> 'from' then interval '1 day' else interval '0' end)
            at time zone zone as c
        from (select (at at time zone zone)::date + i as d from generate_series(-1, 8) as i) as day
        where (w -> 'days') @> to_jsonb(extract(isodow from d)::integer)) as windows
    where c > at and c > o order by o limit 1
$$;

-- ---- commands ----
alter table command
    add column number              bigint generated always as identity, -- order of the requests
    add column not_before          timestamptz,                   -- may not begin earlier
    add column in_window           boolean not null default false,-- may begin in the device's maintenance window only
    add column confirmed           boolean not null default false,-- somebody knows that it is destructive
    add column idempotency_key     text check (length(idempotency_key) between 1 and 64),
    add column max_attempts        integer not null default 10 check (max_attempts between 1 and 100),
    -- queued: when its turn can come; sent: when it is published again
    add column next_at             timestamptz not null default now(),
    add column held                boolean not null default false,-- queued, and next_at is still to come
    add column retries             integer not null default 0,    -- publishes by the timer, since it was first sent
    add column accept_by           timestamptz,                   -- sent: then it expires, or waits for the next window
    add column finish_by           timestamptz,                   -- accepted, running: then nobody waits any more
    add column progress            smallint check (progress between 0 and 100), -- as the device says while it runs
    add column cancel_requested_at timestamptz,
    add column cancel_requested_by text,
    add column cancel_taken        boolean not null default false,-- commander has done what can be done
    add column cancels             uuid,                          -- a `cancel` of commander's own: of this command
    alter column requested_by set default session_user,
    drop constraint command_source_check,
    add constraint command_source_check
        check (source in ('web', 'api', 'cli', 'mqtt', 'sql', 'admin', 'campaign', 'internal'));

update command set accept_by = expires_at + interval '5 seconds' where state = 'sent';
update command set finish_by = expires_at + interval '1 day' where state in ('accepted', 'running');

create unique index command_by_key on command (requested_by, idempotency_key) where idempotency_key is not null;
drop index command_requested, command_waiting, command_expiring;
create index command_requested on command (number) where state = 'requested';
create index command_waiting on command (device, next_at, number) where state = 'queued' and not held;
create index command_held on command (next_at) where state = 'queued' and held;
create index command_under_way on command (device) where state in ('sent', 'accepted', 'running');
create index command_unanswered on command (next_at) where state = 'sent';
create index command_timer on command ((case when state = 'sent' then accept_by when state in ('accepted', 'running')
    then finish_by else expires_at end)) where state in ('requested', 'queued', 'sent', 'accepted', 'running');
create index command_cancelling on command (cancel_requested_at)
    where cancel_requested_at is not null and not cancel_taken
    and state in ('requested', 'queued', 'sent', 'accepted', 'running');
create index command_by_requester on command (requested_by, created_at) where source not in ('campaign', 'internal');

create function notify_cancel() returns trigger language plpgsql as $$
begin
    notify muster_cancel;
    return null;
end $$;
create trigger command_cancelled after update of cancel_requested_at on command for each statement
    execute function notify_cancel();

-- Ended commands, with their histories, at most so many; returns how many.
create function purge_commands(older interval, most integer) returns integer
language sql security definer set search_path = public, pg_temp as $$
    with gone as (delete from command where id = any (array(select id from command
        where state in ('succeeded', 'failed', 'rejected', 'expired', 'cancelled')
        and created_at < now() - older and coalesce(finished_at, changed_at) < now() - older
        order by created_at limit most)) returning 1)
    select count(*)::integer from gone
$$;
revoke all on function purge_commands(interval, integer) from public;

-- ---- how often a requester may ask ----
create table command_limit (
    requester  text primary key,                  -- "*": everybody without a row
    per_minute integer not null check (per_minute >= 0)
);
insert into command_limit values ('*', 1000);

-- Whether the minute up to at is full for this requester without the command number itself and those behind it.
create function command_over_limit(requester text, at timestamptz, number bigint) returns boolean
language sql stable as $$
    select (select count(*) from (select from command c where c.requested_by = $1 and c.source not in ('campaign', 'internal')
            and c.created_at > $2 - interval '1 minute' and c.created_at <= $2 and c.number < $3 limit allowed) as within)
        >= allowed
    from (select coalesce((select per_minute from command_limit l where l.requester = $1),
        (select per_minute from command_limit l where l.requester = '*'), 1000) as allowed) as x
$$;

-- ---- programs that sign their requests (POST /admin/command) ----
-- The secret of a key is derived from the key file of the dashboard and the id, and stored nowhere.
create table admin_key (
    id         text primary key check (id ~ '^[0-9a-f]{16}$'),
    label      text not null default '' check (length(label) <= 200),
    created_by text not null,
    created_at timestamptz not null default now(),
    last_used  timestamptz,
    revoked_at timestamptz,
    revoked_by text
);
-- What was taken within the window in which a timestamp counts, so that it is taken once.
create table admin_request (
    key_id    text not null,
    signature bytea not null check (length(signature) = 32),
    at        timestamptz not null default now(),
    primary key (key_id, signature)
);
create index admin_request_by_time on admin_request (at);

-- ---- grants ----
grant select on command_limit to muster_commander, muster_dashboard, muster_admin;
grant insert, update, delete on command_limit to muster_admin;
grant insert (device, action, params, requested_by, source, request_id, expires_at, not_before, in_window, confirmed,
    idempotency_key, max_attempts) on command to muster_dashboard;
grant update (cancel_requested_at, cancel_requested_by) on command to muster_dashboard;
grant update (command_policy, time_zone, maintenance_window) on device to muster_dashboard;
grant execute on function purge_commands(interval, integer) to muster_dashboard;
grant select, insert, update on admin_key to muster_dashboard;
grant select, insert, delete on admin_request to muster_dashboard;
grant select on admin_key to muster_admin;
