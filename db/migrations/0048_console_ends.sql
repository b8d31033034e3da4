-- Credentials of live consoles (docs/protocol.md, section 26), so that each can be ended at the brokers before its time:
-- when its login ends, or when its person's rights change.
create table console_credential (
    client_id  text primary key,                  -- at the broker, for this credential alone
    user_name  text not null,
    token_hash bytea not null,                    -- of the session or API key that asked; either may be gone before
    expires_at timestamptz not null,
    ended_at   timestamptz                        -- brokers are told; null: it lives until it expires
);
create index console_credential_of on console_credential (user_name);
create index console_credential_by on console_credential (token_hash);
create index console_credential_old on console_credential (expires_at);

-- Of one login, or of one person. The payload is what commander tells the brokers.
create function end_consoles(hash bytea, who text) returns void
language sql security definer set search_path = public, pg_temp as $$
    with ended as (update console_credential set ended_at = now()
        where ended_at is null and expires_at > now() - interval '1 minute' and (token_hash = hash or user_name = who)
        returning client_id, expires_at)
    select pg_notify('muster_console', client_id || ' ' || ceil(extract(epoch from expires_at))::bigint) from ended
$$;

-- Who ends them has locked the account or the login before it looks for them here, and open_console locks both before it
-- writes: none is missed.
create function login_changed() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform end_consoles(old.token_hash, null);
    return null;
end $$;
create trigger access_token_ended after delete on access_token for each row execute function login_changed();
create trigger access_token_changed after update of revoked_at, expires_at, role, scopes, device_group, group_tenant
    on access_token for each row when (old.revoked_at is distinct from new.revoked_at or old.expires_at > new.expires_at
        or old.role is distinct from new.role or old.scopes is distinct from new.scopes
        or old.device_group is distinct from new.device_group or old.group_tenant is distinct from new.group_tenant)
    execute function login_changed();

create function account_changed() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform end_consoles(null, old.name);
    return null;
end $$;
create trigger user_account_changed after update of role, enabled, tenant on user_account for each row
    when (old.role <> new.role or old.enabled <> new.enabled or old.tenant is distinct from new.tenant)
    execute function account_changed();

create function right_changed() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    who text := case tg_op when 'DELETE' then old.user_name else new.user_name end;
begin
    perform from user_account where name = who for no key update;
    perform end_consoles(null, who);
    return null;
end $$;
create trigger user_right_changed after insert or update or delete on user_right for each row execute function right_changed();

-- Notes credentials that are about to be signed, for whoever holds this token, and says what that person sees from now on
-- (as enter() does, which puts the session of the database into that scope). No row: the login is over.
create function open_console(token_sha256 text, token_kind text, clients text[], until timestamptz, out tenant text, out groups text)
returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    hash bytea := decode(token_sha256, 'hex');
    who  text;
begin
    select t.user_name into who from access_token t where t.token_hash = hash;
    perform from user_account u where u.name = who for share;
    perform from access_token t where t.token_hash = hash for no key update; -- enter() may write it
    delete from console_credential where client_id = any (array(select client_id from console_credential
        where expires_at < now() - interval '5 minutes' order by expires_at limit 100));
    insert into console_credential (client_id, user_name, token_hash, expires_at)
        select client, who, hash, open_console.until from unnest(clients) client where who is not null;
    return query select e.tenant, e.groups from enter(token_sha256, token_kind) e;
end $$;

revoke all on function end_consoles(bytea, text), login_changed(), account_changed(), right_changed(),
    open_console(text, text, text[], timestamptz) from public;
grant execute on function open_console(text, text, text[], timestamptz) to muster_dashboard;
grant select on console_credential to muster_commander;
