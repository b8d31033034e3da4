-- Signatures of results, chains of signed commands, and which signers a device trusts.

-- ---- commands: each one names the one before it ----
alter table device
    add command_chain text not null default '';    -- SHA-256 (base64url) of the last JWS signed for it (commander)

-- A command that is signed anew, with another n, leaves here what was signed before: it may have reached the device.
create table command_superseded (
    device    text not null,
    n         bigint not null,
    command   uuid not null references command (id) on delete cascade,
    jws       text not null,
    at        timestamptz not null default now(),
    primary key (device, n)
);
create index command_superseded_by_command on command_superseded (command);
create function keep_superseded() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into command_superseded (device, n, command, jws) values (old.device, old.n, old.id, old.jws)
        on conflict do nothing;
    return null;
end $$;
create trigger command_superseded after update of jws on command for each row
    when (old.jws is not null and old.n is not null and new.jws is distinct from old.jws) execute function keep_superseded();

-- ---- results: signed by the device ----
alter table command_result
    add signed      text,                          -- exactly what was signed; null: nothing was
    add verdict     text not null default 'unsigned' check (verdict in ('unsigned', 'unchecked', 'verified', 'refused')),
    add certificate text;                          -- serial of the certificate by which it was verified
create index command_result_unchecked on command_result (received_at) where verdict = 'unchecked';

-- ---- signers: announcements, each a JWS that replaces the set of keys that devices trust ----
create table signer_set (
    version    bigint primary key,                 -- rises; devices take none below the one that they have
    jws        text not null,
    created_at timestamptz not null default now()
);
-- Which announcement was sent to a device last, so that it is not sent at every turn.
create table signer_told (
    device  text primary key,
    version bigint not null,
    told_at timestamptz not null default now()
);
alter table device_state
    add signers bigint;                            -- version that it has, as its hello says; null: it said none
create index device_state_signers on device_state (signers) where signers is not null;

-- ---- grants ----
grant update (command_chain) on device to muster_commander;
grant update (verdict, certificate) on command_result to muster_commander;
grant select on certificate to muster_commander;
grant insert on event to muster_commander;
grant select, insert on signer_set to muster_commander;
grant select, insert, update on signer_told to muster_commander;
grant select on signer_set to muster_bridge, muster_dashboard, muster_admin;
grant select on signer_told, command_superseded to muster_admin;
