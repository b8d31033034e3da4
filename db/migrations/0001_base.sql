-- The fleet, what it reports, what it is told, and who may tell it.
-- Conventions: times are timestamptz in UTC; secrets are stored as SHA-256 only; every table of the hot path has the
-- device first in its primary key (so that it can be distributed by device later).

-- ---- roles: one per daemon, each with just what it needs (grants stand beside the tables) ----
do $$
declare
    name text;
begin
    foreach name in array array['muster_ingest', 'muster_commander', 'muster_bridge', 'muster_dashboard', 'muster_admin'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I login', name);
        end if;
    end loop;
end $$;
revoke all on schema public from public;
grant usage on schema public to muster_ingest, muster_commander, muster_bridge, muster_dashboard, muster_admin;

-- ---- devices ----
create table device (
    device          text primary key check (device ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    display_name    text,
    tags            text[] not null default '{}',
    enabled         boolean not null default true,
    fingerprint     text,                          -- SHA-256 hex of the hardware, bound at enrolment
    cell            integer not null default 1,    -- which broker with its ingest
    command_counter bigint not null default 0,     -- last n given to a command of this device (commander)
    enrolled_at     timestamptz,
    created_at      timestamptz not null default now()
);

-- The latest known of each device, apart from the history: one row a device, written by ingest once per batch.
create table device_state (
    device         text primary key,
    presence       text not null default 'never' check (presence in ('never', 'online', 'offline')),
    presence_why   text not null default '',      -- the evidence: hello | status | will | message
    presence_since timestamptz,
    first_seen     timestamptz,
    last_seen      timestamptz,                   -- server time of the last committed message
    interval_s     integer,                       -- the device's own heartbeat interval, from its hello
    agent_version  text,
    ts             timestamptz,                   -- of the telemetry below
    battery_pct    real,
    charging       boolean,
    cpu_pct        real,
    load1          real,
    mem_total      bigint,
    mem_available  bigint,
    disk_total     bigint,
    disk_free      bigint,
    uptime_s       bigint,
    network_type   text,
    rssi_dbm       real,
    temperature_c  real,
    custom         jsonb,
    changed_at     timestamptz not null default now()
);
create index device_state_changed on device_state (changed_at);

-- ---- what devices report ----
-- Partitioned by day on the message's own ts, never on arrival: a redelivery must meet its twin.
create table telemetry (
    device        text not null,
    epoch         text not null,
    seq           bigint not null,
    ts            timestamptz not null,
    received_at   timestamptz not null,
    battery_pct   real,
    charging      boolean,
    cpu_pct       real,
    load1         real,
    mem_total     bigint,
    mem_available bigint,
    disk_total    bigint,
    disk_free     bigint,
    uptime_s      bigint,
    network_type  text,
    rssi_dbm      real,
    temperature_c real,
    custom        jsonb,                          -- every other member of the reading, as sent
    primary key (device, epoch, seq, ts)
) partition by range (ts);
create index telemetry_by_time on telemetry (device, ts desc);

create table event (
    device      text not null,
    epoch       text not null,
    seq         bigint not null,
    ts          timestamptz not null,
    received_at timestamptz not null,
    type        text not null,
    body        jsonb not null,                   -- the event without epoch, seq, ts and type
    primary key (device, epoch, seq, ts)
) partition by range (ts);
create index event_by_time on event (device, ts desc);
create index event_by_arrival on event (received_at desc);

create table telemetry_default partition of telemetry default;
create table event_default partition of event default;

create table inventory (
    device      text not null,
    kind        text not null check (kind in ('hardware', 'network', 'services', 'software')),
    ts          timestamptz not null,
    received_at timestamptz not null,
    body        jsonb not null,
    primary key (device, kind)
);

-- Progress and results of commands, as sent by devices; commander applies them to command.
create table command_result (
    device      text not null,
    epoch       text not null,
    seq         bigint not null,
    ts          timestamptz not null,
    received_at timestamptz not null,
    command     text not null,                    -- jti as sent; may be unknown to us
    state       text not null,
    body        jsonb not null,                   -- reason, output and whatever else the device sent
    applied_at  timestamptz,                      -- commander: when it was taken into account
    primary key (device, epoch, seq)
);
create index command_result_open on command_result (received_at) where applied_at is null;

-- Per device and epoch: how far every seq without a gap is committed. stored messages say this number.
create table ledger (
    device     text not null,
    epoch      text not null,
    contiguous bigint not null default 0,         -- 1..contiguous are committed, or declared dropped by the device
    highest    bigint not null default 0,
    received   bigint not null default 0,         -- messages taken in, duplicates included
    duplicates bigint not null default 0,
    dropped    bigint not null default 0,         -- seqs that the device declared dropped (its outbox was full)
    first_at   timestamptz not null default now(),
    last_at    timestamptz not null default now(),
    primary key (device, epoch)
);

-- What could not be stored, with the reason; acknowledged to the sender all the same.
create table quarantine (
    id          bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    device      text,                             -- as in the topic; null when there is none
    topic       text not null,
    reason      text not null,
    payload     bytea not null,                   -- at most the first 4 kB
    bytes       integer not null                  -- of the whole payload
);
create index quarantine_by_time on quarantine (received_at desc);

-- Daily partitions from yesterday to today + days; idempotent. Called by ingest at its start and daily. Rows of such a day
-- that came before its partition (a clock that ran ahead) move over from the default partition, which would refuse the
-- new one otherwise.
create function ensure_partitions(days integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    parent text;
    name   text;
    day    date;
    since  timestamptz;
    until  timestamptz;
begin
    perform pg_advisory_xact_lock(hashtext('muster.partitions'));
    foreach parent in array array['telemetry', 'event'] loop
        for day in select generate_series(current_date - 1, current_date + days, interval '1 day')::date loop
            name := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            since := day::timestamp at time zone 'UTC';
            until := (day + 1)::timestamp at time zone 'UTC';
            if to_regclass(name) is null then
                execute format('create table %I (like %I including all)', name, parent);
                execute format('with early as (delete from %I where ts >= %L and ts < %L returning *) '
                               'insert into %I select * from early', parent || '_default', since, until, name);
                execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, name, since, until);
            end if;
        end loop;
    end loop;
end $$;
revoke all on function ensure_partitions(integer) from public;
select ensure_partitions(7);

-- ---- commands ----
create table command (
    id          uuid primary key default gen_random_uuid(),
    device      text not null,
    action      text not null check (length(action) between 1 and 63),
    params      jsonb not null default '{}' check (jsonb_typeof(params) = 'object'),
    state       text not null default 'requested' check (state in ('requested', 'queued', 'sent', 'accepted', 'running',
                    'succeeded', 'failed', 'rejected', 'expired', 'cancelled')),
    n           bigint,                           -- counter of this device, given when it is queued
    requested_by text not null,                   -- user name, "op.<name>" or database role
    source      text not null default 'sql' check (source in ('web', 'api', 'cli', 'mqtt', 'sql')),
    request_id  text not null default '',         -- correlation id, end to end
    reply_topic text,                             -- mqtt requests: where state changes are published
    correlation bytea,                            -- mqtt requests: MQTT 5 correlation data
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null default now() + interval '1 day',
    sent_at     timestamptz,                      -- last publish
    attempts    integer not null default 0,       -- publishes so far
    finished_at timestamptz,
    changed_at  timestamptz not null default now(),
    reason      text not null default '',         -- why it was rejected, failed, expired or cancelled
    result      jsonb,                            -- output of the final result
    jws         text                              -- exactly what was signed; published again until accepted
);
create index command_open on command (device, created_at)
    where state in ('requested', 'queued', 'sent', 'accepted', 'running');
-- Commander's own: what to look at next, whatever number of commands waits for devices that are away.
create index command_requested on command (created_at, id) where state = 'requested';
create index command_waiting on command (device, n) where state in ('queued', 'sent');
create index command_expiring on command (expires_at) where state in ('requested', 'queued', 'sent', 'accepted', 'running');
create index command_by_device on command (device, created_at desc);
create index command_by_time on command (created_at desc, id);
create index command_changed on command (changed_at);

create table command_event (
    command    uuid not null references command (id) on delete cascade,
    id         bigint generated always as identity,
    state      text not null,
    at         timestamptz not null default now(),
    cause      text not null,                     -- what moved it: request, publish, result, timer, ...
    request_id text not null default '',
    primary key (command, id)
);

-- A request wakes commander, whoever inserts it; one notification a statement.
create function notify_request() returns trigger language plpgsql as $$
begin
    notify muster_request;
    return null;
end $$;
create trigger command_requested after insert on command for each statement execute function notify_request();

create table signing_key (
    kid        text primary key,
    public_key bytea not null check (length(public_key) = 32),
    created_at timestamptz not null default now(),
    retired_at timestamptz
);

-- ---- enrolment ----
create table enrollment_token (
    token_hash bytea primary key check (length(token_hash) = 32),
    id         text not null unique,              -- first 8 hex digits of the hash: how people name it
    device     text,                              -- bound to this device id; null: any
    tags       text[] not null default '{}',
    uses_left  integer not null default 1 check (uses_left >= 0),
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);

create table enrollment_event (
    id         bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    type       text not null check (type in ('create', 'consume', 'expired', 'rate-limited', 'revoked', 'refused')),
    token_id   text,
    device     text,
    peer       text,                              -- address it came from
    request_id text not null default '',
    reason     text not null default ''
);

create table certificate (
    serial     text primary key,                  -- hex
    device     text not null,
    token_id   text,
    key_sha256 text not null,                     -- of the SubjectPublicKeyInfo: the same key asks again, the same answer
    sha256     text not null,
    not_before timestamptz not null,
    not_after  timestamptz not null,
    pem        text not null,
    revoked_at timestamptz,
    created_at timestamptz not null default now()
);
create index certificate_by_device on certificate (device);
create unique index certificate_by_token_key on certificate (token_id, key_sha256);

-- ---- people ----
create table user_account (
    name          text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    role          text not null check (role in ('viewer', 'operator', 'administrator', 'auditor')),
    password_hash text,                           -- yescrypt; null: login link only
    enabled       boolean not null default true,
    created_at    timestamptz not null default now()
);

-- Browser sessions, API keys and one-time login links: random 256-bit tokens, of which only the SHA-256 is here.
create table access_token (
    token_hash bytea primary key check (length(token_hash) = 32),
    kind       text not null check (kind in ('session', 'api', 'login')),
    user_name  text not null references user_account (name) on delete cascade,
    label      text not null default '',          -- user agent of a session, name of an API key
    peer       text not null default '',
    created_at timestamptz not null default now(),
    last_used  timestamptz,
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index access_token_by_user on access_token (user_name, kind);

-- Operators who use MQTT directly, by a certificate op.<name>.
create table operator (
    name       text primary key check (name ~ '^op\.[a-z0-9][a-z0-9-]{0,62}$'),
    role       text not null check (role in ('operator', 'administrator')),
    enabled    boolean not null default true,
    created_at timestamptz not null default now()
);

create table audit (
    id         bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    actor      text not null,
    action     text not null,                     -- "login", "command.request", "token.create", ...
    target     text not null default '',
    peer       text not null default '',
    request_id text not null default '',
    detail     jsonb not null default '{}'
);

-- ---- grants ----
grant execute on function ensure_partitions(integer) to muster_ingest;
grant select on device to muster_ingest;
grant insert (device) on device to muster_ingest; -- auto_register
grant select, insert, update on device_state, inventory, ledger to muster_ingest;
grant select, insert on telemetry, event, command_result, quarantine to muster_ingest;

grant select on device, device_state, operator, command_result to muster_commander;
grant update (command_counter) on device to muster_commander;
grant select, insert, update on command to muster_commander;
grant select, insert on command_event, audit to muster_commander;
grant update (applied_at) on command_result to muster_commander;
grant select, insert, update on signing_key to muster_commander;

grant select, insert, update on device to muster_bridge;
grant select on enrollment_token, certificate, signing_key to muster_bridge;
grant update (uses_left) on enrollment_token to muster_bridge;
grant insert on certificate, enrollment_event to muster_bridge;
grant update (revoked_at) on certificate to muster_bridge; -- re-enrolment

grant select on device, device_state, telemetry, event, inventory, ledger, quarantine, command, command_event,
    certificate, user_account, enrollment_event to muster_dashboard;
grant select, insert, update on access_token to muster_dashboard;
grant insert (device, action, params, requested_by, source, request_id, expires_at) on command to muster_dashboard;
grant select, insert on audit to muster_dashboard;

grant select on all tables in schema public to muster_admin;
grant insert, update on device, enrollment_token, user_account, operator, access_token to muster_admin;
grant insert on enrollment_event, audit to muster_admin;
