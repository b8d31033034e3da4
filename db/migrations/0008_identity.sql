-- Identity: who may come in, by which road, and who may not any more.

-- ---- devices ----
alter table device
    add disabled_at     timestamptz,               -- since when enabled is false
    add disabled_by     text not null default '',  -- user, "op.<name>", or the part of Muster that did it
    add disabled_reason text not null default '',
    add mismatches      integer not null default 0, -- hellos with another fingerprint than the one bound, one a session
    add mismatch_at     timestamptz,               -- the last of them
    add mismatch_fingerprint text,                 -- what it said then
    add mismatch_session bigint;                   -- counted already

-- ---- revocation: the list that every broker must hold ----
-- One row for each name ever revoked; restored rows stay, so that history can be told. change rises with each
-- revoke and restore: a broker that has applied all up to N is told what is above N.
create sequence revocation_change;
create table revocation (
    kind         text not null check (kind in ('device', 'serial')),
    name         text not null,                    -- device id, or serial in hex, lower case without leading zeros
    revoked      boolean not null default true,    -- false: restored
    change       bigint not null default nextval('revocation_change') unique,
    reason       text not null default '',
    requested_by text not null,
    requested_at timestamptz not null default now(),
    request_id   text not null default '',
    primary key (kind, name)
);

-- What each broker (cell) has confirmed, and when a session was seen to end.
create table revocation_effect (
    cell       integer not null,
    change     bigint not null,
    kind       text not null,
    name       text not null,
    revoked    boolean not null,
    applied_at timestamptz not null default now(), -- the broker has it on its disk and has cut the session
    seconds    double precision not null,          -- from the request to that
    primary key (cell, change)
);

-- The canary's findings: a session with a certificate of its own, revoked, cut, refused.
create table revocation_proof (
    id           bigint generated always as identity primary key,
    cell         integer not null,
    serial       text not null,
    cause        text not null default '',         -- "device kiosk-7" when it was tried because of that; '' on schedule
    requested_at timestamptz not null,
    cut_s        double precision,                 -- from the request until its session was cut; null: it was not
    refused      integer not null default 0,       -- tries with the revoked certificate that were refused
    admitted     integer not null default 0,       -- tries that were let in: must be 0
    ok           boolean not null
);
create index revocation_proof_by_time on revocation_proof (requested_at desc);

-- Whoever revokes wakes commander.
create function notify_revocation() returns trigger language plpgsql as $$
begin
    notify muster_revocation;
    return null;
end $$;
create trigger revocation_changed after insert or update on revocation for each statement execute function notify_revocation();

-- ---- self-registration: pending until a person decides ----
create table registration (
    secret_hash bytea primary key check (length(secret_hash) = 32), -- of what the device polls with
    id          text not null unique,              -- how people name it: first 8 hex digits of key_sha256
    key_sha256  text not null unique,              -- of the public key: the same key asking again is the same registration
    csr         text not null,
    fingerprint text,
    serial      text,                              -- of the hardware, as the device says
    wish        text,                              -- device id asked for
    info        jsonb not null default '{}',       -- model, os, agent version: as the device says
    peer        text not null default '',
    state       text not null default 'pending' check (state in ('pending', 'approved', 'rejected', 'issued')),
    device      text,                              -- given at approval
    tags        text[] not null default '{}',
    cell        integer check (cell > 0),
    reason      text not null default '',
    decided_by  text not null default '',          -- user, or "pre-approved"
    decided_at  timestamptz,
    created_at  timestamptz not null default now(),
    polled_at   timestamptz
);
create index registration_pending on registration (created_at) where state = 'pending';

create table preapproved (
    serial     text primary key check (length(serial) between 1 and 128),
    device     text,                               -- the id it shall get; null: its wish, or one is made
    tags       text[] not null default '{}',
    cell       integer check (cell > 0),
    created_by text not null,
    created_at timestamptz not null default now(),
    used_at    timestamptz
);

-- ---- devices that speak only HTTP: bearer credentials ----
create table bearer (
    token_hash bytea primary key check (length(token_hash) = 32),
    device     text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index bearer_by_device on bearer (device);

alter table enrollment_event drop constraint enrollment_event_type_check;
alter table enrollment_event add check (type in ('create', 'consume', 'expired', 'rate-limited', 'revoked', 'refused',
    'register', 'approve', 'reject', 'issue', 'renew', 'mismatch', 'restore'));

-- ---- trust: CAs in use; the files are the bridge's and the broker's ----
create table authority (
    sha256     text primary key,                   -- of the DER certificate
    kind       text not null check (kind in ('device', 'service')),
    state      text not null check (state in ('next', 'current', 'old', 'withdrawn')),
    pem        text not null,
    not_after  timestamptz not null,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);

-- ---- the canary ----
do $$
begin
    if not exists (select from pg_roles where rolname = 'muster_canary') then
        create role muster_canary login;
    end if;
end $$;
grant usage on schema public to muster_canary;

-- ---- grants ----
grant update (enabled, disabled_at, disabled_by, disabled_reason, mismatches, mismatch_at, mismatch_fingerprint, mismatch_session)
    on device to muster_ingest;
grant select, insert, update on revocation to muster_ingest, muster_bridge, muster_admin;
grant usage on sequence revocation_change to muster_ingest, muster_bridge, muster_admin;
grant select on revocation, revocation_effect to muster_commander, muster_dashboard, muster_canary;
grant insert on revocation_effect to muster_commander;
grant select on revocation_proof to muster_dashboard, muster_canary, muster_admin;
grant insert on revocation_proof to muster_canary;
grant select on revocation_effect to muster_admin;
grant select, insert, update on registration to muster_bridge, muster_admin;
grant select on registration to muster_dashboard;
grant select, update on preapproved to muster_bridge;
grant select, insert, update, delete on preapproved to muster_admin;
grant select, insert, update on bearer to muster_bridge;
grant select, update on bearer to muster_admin;
grant select, insert, update on authority to muster_admin, muster_bridge;
grant select on authority to muster_dashboard, muster_commander;
grant insert on enrollment_event to muster_ingest;
