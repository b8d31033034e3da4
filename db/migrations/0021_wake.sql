-- Waking devices that sleep: the address that a push service has for each, what was pushed and what came of it, and what
-- was learnt (docs/decisions/0021-waking.md).

-- ---- where a push reaches a device: written by ingest from hello ----
create table device_push (
    device         text primary key,
    token          text not null check (length(token) between 1 and 1024),
    platform       text not null default 'fcm' check (platform in ('fcm')),
    updated_at     timestamptz not null default now(),
    retired_at     timestamptz,                   -- nobody has this token any more; the device may report another
    retired_reason text not null default ''
);

-- ---- the ladder's state: commander's ----
-- A row for each device that there was a reason to look at. Commanders share them by "for update skip locked"; whoever
-- pushes moves due_at on in the same transaction, so that it is another's turn only when the one has died.
create table device_wake (
    device           text primary key,
    due_at           timestamptz,                 -- when to look whether it must be woken; null: there is no reason to
    not_before       timestamptz,                 -- no push before: one is on its way, failed, or could not be of use
    asked_at         timestamptz,                 -- somebody wants it woken, whatever waits for it
    asked_request_id text not null default '',
    pushed_at        timestamptz,                 -- of the push whose contact is waited for; null: none
    unanswered       integer not null default 0,  -- pushes in a row that brought no contact
    failures         integer not null default 0,  -- pushes in a row that could not be handed over
    delay_ms         integer,                     -- from push to contact: moving average
    delay_count      bigint not null default 0,   -- contacts it was learnt from
    hour_at          timestamptz,                 -- quota: when its hour began,
    hour_count       integer not null default 0   -- and pushes since
);
create index device_wake_due on device_wake (due_at) where due_at is not null;

-- ---- what was pushed ----
create table fcm_dispatch (
    device      text not null,
    id          uuid not null default gen_random_uuid(),
    command     uuid,                             -- for which it was woken; null: somebody asked for it
    action      text not null,                    -- of the command; "wake" without one
    request_id  text not null default '',
    started_at  timestamptz not null default now(),
    ended_at    timestamptz,                      -- null: under way
    latency_ms  integer,
    http_status integer,                          -- null: there was no answer
    fcm_status  text not null default '',         -- OK, or the service's word, or TIMEOUT, UNREACHABLE, UNAUTHENTICATED,
                                                  -- NO_TOKEN, ABANDONED (the commander died); '': under way
    reason      text not null default '',
    primary key (device, id)
);
create index fcm_dispatch_by_command on fcm_dispatch (command) where command is not null;
create index fcm_dispatch_by_time on fcm_dispatch (started_at);

alter table command add woken_at timestamptz;     -- when a push for it was first taken

comment on column device_state.presence_why is
    'the evidence: will | goodbye | sleep | kick | broker-restart | hello | status | message; silence is computed in queries';

-- ---- by hand ----
-- True: commander is told. False: there is nothing that reaches it. Null: there is no such device.
create function request_wake(id text, request text default '') returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from device where device = id;
    if not found then
        return null;
    end if;
    perform from device_push where device = id and retired_at is null;
    if not found then
        return false;
    end if;
    insert into device_wake as w (device, due_at, asked_at, asked_request_id) values (id, now(), now(), request)
        on conflict (device) do update set due_at = excluded.due_at, asked_at = excluded.asked_at,
            asked_request_id = excluded.asked_request_id;
    notify muster_wake;
    return true;
end $$;

-- ---- grants ----
revoke all on function request_wake(text, text) from public;
grant execute on function request_wake(text, text) to muster_dashboard, muster_admin;
grant select, insert, update on device_push to muster_ingest;
grant select on device_push to muster_commander;
grant update (retired_at, retired_reason) on device_push to muster_commander;
grant select, insert, update on device_wake to muster_commander;
grant select, insert, update, delete on fcm_dispatch to muster_commander;
grant select (device, platform, updated_at, retired_at, retired_reason) on device_push to muster_dashboard, muster_admin;
grant select on device_wake, fcm_dispatch to muster_dashboard, muster_admin;
