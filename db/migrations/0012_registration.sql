-- Tokens whose life is told whole, and registrations that a person decides on.

-- ---- tokens ----
alter table enrollment_token add expiry_told boolean not null default false; -- its enrollment_event 'expired' is there
create index enrollment_token_expiring on enrollment_token (expires_at)
    where not expiry_told and revoked_at is null and uses_left > 0;
create index enrollment_event_by_token on enrollment_event (token_id, id) where token_id is not null;

-- With its event; returns the id.
create function create_enrollment_token(sha256_hex text, for_device text, with_tags text[], uses integer, lifetime_s bigint,
                                        in_cell integer, actor text, request text) returns text language sql as $$
    with made as (
        insert into enrollment_token (token_hash, id, device, tags, uses_left, created_by, expires_at, cell)
        values (decode(sha256_hex, 'hex'), left(sha256_hex, 8), for_device, coalesce(with_tags, '{}'), uses, actor,
                now() + make_interval(secs => lifetime_s), in_cell)
        returning id, device)
    insert into enrollment_event (type, token_id, device, request_id, reason)
    select 'create', id, device, request, 'by ' || actor from made returning token_id;
$$;

-- With its event; returns the id, or null when there is no such token that still stands.
create function revoke_enrollment_token(token text, actor text, request text) returns text language sql as $$
    with gone as (
        update enrollment_token set revoked_at = now() where id = token and revoked_at is null returning id, device)
    insert into enrollment_event (type, token_id, device, request_id, reason)
    select 'revoked', id, device, request, 'by ' || actor from gone returning token_id;
$$;

-- Tells of tokens whose time has passed while they could still be used; each once. Returns how many.
create function expire_enrollment_tokens() returns bigint language sql as $$
    with over as (
        update enrollment_token set expiry_told = true
        where not expiry_told and revoked_at is null and uses_left > 0 and expires_at <= clock_timestamp()
        returning id, device, uses_left),
    told as (
        insert into enrollment_event (type, token_id, device, reason)
        select 'expired', id, device, format('%s of its uses left', uses_left) from over returning 1)
    select count(*) from told;
$$;

-- ---- registrations ----
-- id: the first 16 hex digits of key_sha256, which people compare with what the device shows.
alter table registration
    add replaces boolean not null default false; -- the id in device may belong to another one, whose place this one takes
alter table enrollment_event add registration text;
create index enrollment_event_by_registration on enrollment_event (registration, id) where registration is not null;
create index registration_by_time on registration (created_at desc, id);
create index registration_by_device on registration (device) where state = 'approved';

-- ---- grants ----
revoke all on function create_enrollment_token(text, text, text[], integer, bigint, integer, text, text),
    revoke_enrollment_token(text, text, text), expire_enrollment_tokens() from public;
grant execute on function create_enrollment_token(text, text, text[], integer, bigint, integer, text, text),
    revoke_enrollment_token(text, text, text) to muster_admin, muster_dashboard;
grant execute on function expire_enrollment_tokens() to muster_bridge;
grant update (expiry_told) on enrollment_token to muster_bridge;
grant delete on registration to muster_bridge; -- those that nobody decided on and that do not ask any more
grant select, insert on enrollment_token to muster_dashboard;
grant update (revoked_at) on enrollment_token to muster_dashboard;
grant insert on enrollment_event to muster_dashboard;
grant select on enrollment_event to muster_bridge;
grant update (state, device, tags, cell, replaces, reason, decided_by, decided_at) on registration to muster_dashboard;
