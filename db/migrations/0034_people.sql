-- People: second factor, password reset by e-mail, what sessions and API keys are called and may do.

-- ---- accounts ----
alter table user_account
    add column email               text check (email ~ '^[^@[:space:]<>,;]{1,64}@[^@[:space:]<>,;]{1,190}$'),
    add column password_changed_at timestamptz,
    -- 12 bytes of nonce and the AES-256-GCM of the secret, sealed with a key that the database has not
    add column totp_secret         bytea check (length(totp_secret) between 28 and 128),
    add column totp_at             timestamptz,   -- a code has confirmed the secret, which counts from then on
    add column totp_step           bigint not null default 0, -- of the code used last: each counts once
    add check (totp_at is null or totp_secret is not null);
create unique index user_account_email on user_account (lower(email));

-- For whoever has lost the second factor; each once.
create table recovery_code (
    user_name text not null references user_account (name) on delete cascade,
    code_hash bytea not null check (length(code_hash) = 32),
    used_at   timestamptz,
    primary key (user_name, code_hash)
);

alter table recovery_code enable row level security; -- as the account is seen
create policy known on recovery_code to muster_dashboard using (exists (select from user_account u where u.name = user_name));

-- At least one enabled administrator of the whole installation stays. The lock lets two who take each other's rights do it
-- one after the other, the second seeing what the first has done.
create function keep_administrator() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtext('muster.administrators'));
    if not exists (select from user_account where role = 'administrator' and enabled and tenant is null) then
        raise exception 'last_administrator: % is the last administrator', old.name
            using errcode = 'check_violation', hint = 'Make somebody else an administrator first.';
    end if;
    return null;
end $$;
create trigger user_account_last after update of role, enabled, tenant on user_account for each row
    when (old.role = 'administrator' and old.enabled and old.tenant is null
          and (new.role <> 'administrator' or not new.enabled or new.tenant is not null))
    execute function keep_administrator();
create trigger user_account_last_gone after delete on user_account for each row
    when (old.role = 'administrator' and old.enabled and old.tenant is null) execute function keep_administrator();

-- Whoever gets other rights, or none, logs in again; API keys go on with what their user may do from then on.
create function end_sessions() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update access_token set revoked_at = now() where user_name = new.name and kind <> 'api' and revoked_at is null;
    return null;
end $$;
create trigger user_account_rights after update of role, enabled, tenant on user_account for each row
    when (old.role <> new.role or old.enabled <> new.enabled or old.tenant is distinct from new.tenant)
    execute function end_sessions();

-- ---- sessions, keys, links ----
alter table access_token
    add column id           text generated always as (substr(encode(token_hash, 'hex'), 1, 16)) stored, -- its name
    add column role         text check (role in ('viewer', 'operator', 'administrator', 'auditor')), -- of a key; null: its user's
    add column scopes       text[] check (scopes <@ array['read', 'commands', 'devices', 'enrolment', 'alerts', 'people']), -- null: all
    add column device_group text,                 -- of a key: the devices of this group only
    add column group_tenant text,
    add column created_by   text not null default '',
    drop constraint access_token_kind_check,
    add check ((device_group is null) = (group_tenant is null)),
    add constraint access_token_kind_check check (kind in ('session', 'api', 'login', 'reset'));
create unique index access_token_id on access_token (id);
create index access_token_old on access_token (expires_at);

-- The role a key has: its own where that is within its user's. Roles are no ladder: an auditor may not command.
create function key_role(account_role text, own text) returns text language sql immutable parallel safe as $$
    select case when own is null or own = account_role or account_role = 'administrator' then coalesce(own, account_role)
        when own = 'viewer' then 'viewer' end
$$;

-- As in 0031, and what a key may do less than its user.
drop function enter(text, text);
create function enter(token_sha256 text, token_kind text, out user_name text, out role text, out expires_us bigint,
    out tenant text, out groups text, out second_factor boolean, out own_role text, out scopes text, out grouped boolean)
returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    key_group text;
    key_tenant text;
begin
    select t.user_name, u.role, (extract(epoch from t.expires_at) * 1000000)::bigint, coalesce(u.tenant, '*'), '',
            u.totp_at is not null, t.role, array_to_string(t.scopes, ','), t.device_group is not null, t.device_group, t.group_tenant
        into user_name, role, expires_us, tenant, groups, second_factor, own_role, scopes, grouped, key_group, key_tenant
        from access_token t join user_account u on u.name = t.user_name
        where t.token_hash = decode(token_sha256, 'hex') and t.kind = token_kind and t.revoked_at is null
            and t.expires_at > now() and u.enabled;
    if user_name is not null and tenant <> '*' and exists (select from user_right r where r.user_name = enter.user_name) then
        select string_agg(r.group_name, ',' order by r.group_name),
            (array_agg(r.role order by array_position(array['administrator', 'operator', 'viewer'], r.role)))[1]
            into groups, role from user_right r where r.user_name = enter.user_name;
    end if;
    role := key_role(role, own_role);
    -- A key's group counts where its user reaches it.
    if key_group is not null and (tenant in ('*', key_tenant) and (groups = '' or key_group = any (string_to_array(groups, ',')))) then
        tenant := key_tenant;
        groups := key_group;
    elsif key_group is not null then
        role := null;
    end if;
    if user_name is null or role is null then
        perform set_config('muster.user', '', false), set_config('muster.tenant', '', false),
            set_config('muster.groups', '', false);
        return;
    end if;
    update access_token set last_used = now() where token_hash = decode(token_sha256, 'hex')
        and (last_used is null or last_used < now() - interval '1 minute');
    perform set_config('muster.user', user_name, false), set_config('muster.tenant', tenant, false),
        set_config('muster.groups', groups, false);
    return next;
end $$;

-- What has ended long ago is let go: called when somebody logs in.
create function prune_tokens() returns void language sql security definer set search_path = public, pg_temp as $$
    delete from access_token where token_hash = any (array(select token_hash from access_token
        where expires_at < now() - interval '30 days' order by expires_at limit 100))
$$;
revoke all on function prune_tokens() from public;

-- ---- a forgotten password ----
-- The link, for whoever this is by name or e-mail, unless three went out within the hour; what it answers is for the log.
create function request_password_reset(who text, hash bytea, from_peer text, request text, link text) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    account user_account;
begin
    perform set_config('muster.tenant', '', true); -- nobody is known
    select * into account from user_account u
        where (u.name = who or lower(u.email) = lower(who)) and u.enabled and u.email is not null order by u.name = who desc limit 1;
    if account.name is null then
        return 'unknown';
    end if;
    perform pg_advisory_xact_lock(hashtext('muster.reset.' || account.name));
    if (select count(*) from access_token t where t.user_name = account.name and t.kind = 'reset'
            and t.created_at > now() - interval '1 hour') >= 3 then
        return 'limited';
    end if;
    insert into access_token (token_hash, kind, user_name, label, peer, expires_at)
        values (hash, 'reset', account.name, 'password reset', from_peer, now() + interval '30 minutes');
    insert into mail (recipient, subject, body, about, request_id, expires_at) values (account.email, 'Muster: choose a new password',
        'Somebody, most likely you, asked for a new password for ' || account.name || E' in Muster.\n\n'
        || E'Choose it here, within 30 minutes:\n\n  ' || link || E'\n\nThe link works once. It was asked for from ' || from_peer
        || E'. If that was not you, do nothing: the password stays as it is.\n',
        'password-reset', request, now() + interval '30 minutes');
    insert into audit (actor, action, target, peer, request_id) values (account.name, 'password.reset-request', account.name, from_peer, request);
    return 'sent';
end $$;
revoke all on function request_password_reset(text, bytea, text, text, text) from public;

-- Who the link is for, without using it up; null: it does not count any more.
create function password_reset_user(hash bytea) returns text language sql stable security definer set search_path = public, pg_temp as $$
    select u.name from access_token t join user_account u on u.name = t.user_name
        where t.token_hash = hash and t.kind = 'reset' and t.revoked_at is null and t.expires_at > now() and u.enabled
$$;
-- Sets the password and ends every session; the hashes of these, or no row where the link does not count.
create function finish_password_reset(hash bytea, yescrypt text, from_peer text, request text) returns setof text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    account user_account;
begin
    perform set_config('muster.tenant', '', true);
    update access_token t set revoked_at = now(), last_used = now() from user_account u
        where t.token_hash = hash and t.kind = 'reset' and t.revoked_at is null and t.expires_at > now()
        and u.name = t.user_name and u.enabled returning u.* into account;
    if account.name is null then
        return;
    end if;
    update user_account set password_hash = yescrypt, password_changed_at = now() where name = account.name;
    insert into audit (actor, action, target, peer, request_id)
        values (account.name, 'password.reset', account.name, from_peer, request);
    return next '';
    return query update access_token set revoked_at = now() where user_name = account.name and kind <> 'api'
        and revoked_at is null returning encode(token_hash, 'hex');
end $$;
-- Whether the code of this step was not used before; it is now.
create function use_totp_step(who text, step bigint) returns boolean language sql security definer
set search_path = public, pg_temp as $$
    with used as (update user_account set totp_step = step where name = who and totp_step < step returning 1)
    select exists (select from used)
$$;
create function use_recovery_code(who text, hash bytea) returns boolean language sql security definer
set search_path = public, pg_temp as $$
    with used as (update recovery_code set used_at = now() where user_name = who and code_hash = hash and used_at is null returning 1)
    select exists (select from used)
$$;
revoke all on function password_reset_user(bytea), finish_password_reset(bytea, text, text, text), use_totp_step(text, bigint),
    use_recovery_code(text, bytea) from public;

-- ---- grants ----
grant select, insert, update, delete on recovery_code to muster_dashboard, muster_admin;
grant insert (name, role, email, tenant), delete on user_account to muster_dashboard;
grant update (role, email, enabled, tenant, password_hash, password_changed_at, totp_secret, totp_at, totp_step)
    on user_account to muster_dashboard;
grant delete on user_account to muster_admin;
grant execute on function request_password_reset(text, bytea, text, text, text), prune_tokens(), password_reset_user(bytea),
    finish_password_reset(bytea, text, text, text), use_totp_step(text, bigint), use_recovery_code(text, bytea) to muster_dashboard;
