-- Who sees and does what: row-level security for the dashboard's role (docs/decisions/0028, docs/protocol.md, section 20).
--
-- A statement for a person runs in a scope, three settings of the session that enter() makes for each request:
--     muster.user    who it is
--     muster.tenant  whose rows exist: a name, '*' for all tenants, '' for none (nobody is known yet)
--     muster.groups  'a,b': of that tenant only the devices of these groups; '': all
-- What a person may do is looked up by the name. The roles of the other daemons are not bound by any of it: they work for
-- all tenants, and where it matters their SQL names the tenant.

-- ---- the other roles ----
-- They write by COPY, which row-level security refuses, and must not pay for it. Only a superuser may give this right (from
-- PostgreSQL 16 on also a role that has it itself); where the migrating role is none, it has to be given before.
do $$
declare
    name text;
begin
    foreach name in array array['muster_ingest', 'muster_commander', 'muster_bridge', 'muster_canary', 'muster_admin'] loop
        continue when exists (select from pg_roles where rolname = name and (rolbypassrls or rolsuper));
        begin
            execute format('alter role %I bypassrls', name);
        exception when insufficient_privilege then
            raise exception 'the role % needs BYPASSRLS, which % may not give', name, current_user
                using hint = format('As an administrator of the database: ALTER ROLE %I BYPASSRLS; then migrate again.', name);
        end;
    end loop;
end $$;

-- ---- the scope ----
create function scope_user() returns text language sql stable parallel safe as
    $$ select coalesce(current_setting('muster.user', true), '') $$;
create function scope_tenant() returns text language sql stable parallel safe as
    $$ select coalesce(current_setting('muster.tenant', true), '') $$;
-- Null: not bound to groups.
create function scope_groups() returns text[] language sql stable parallel safe as
    $$ select string_to_array(nullif(current_setting('muster.groups', true), ''), ',') $$;
-- Policies ask these as subqueries, which are answered once a statement and not once a row.
create function scope_all() returns boolean language sql stable parallel safe as
    $$ select scope_tenant() = '*' and scope_groups() is null $$;
-- The tenant whose things, beside its devices, the person may see: not of those who are bound to groups.
create function scope_owned() returns text language sql stable parallel safe as
    $$ select case when scope_groups() is null then scope_tenant() else '' end $$;
-- As current_tenant(), but null for those of all tenants: what they make belongs to the installation.
create function scope_owner() returns text language sql stable parallel safe as
    $$ select nullif(nullif(scope_tenant(), ''), '*') $$;
-- Whether the session is the dashboard's, which the scope binds.
create function is_scoped() returns boolean language sql stable as $$
    select not r.rolsuper and not r.rolbypassrls and pg_has_role(session_user, 'muster_dashboard', 'member')
    from pg_roles r where r.rolname = session_user
$$;

-- ---- groups and filters: their names are unique in a tenant ----
alter table saved_filter add tenant text not null default current_tenant() references tenant (name);
alter table device_group add tenant text not null default current_tenant() references tenant (name);
alter table device_group_member add tenant text not null default current_tenant(),
    drop constraint device_group_member_group_name_fkey, drop constraint device_group_member_pkey;
alter table saved_filter drop constraint saved_filter_pkey, add primary key (tenant, name);
alter table device_group drop constraint device_group_pkey, add primary key (tenant, name);
alter table device_group_member add primary key (tenant, group_name, device),
    add foreign key (tenant, group_name) references device_group (tenant, name) on delete cascade;

create function check_group_member() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if not exists (select from device where device = new.device and tenant = new.tenant) then
        raise exception 'a group of % has only devices of %', new.tenant, new.tenant using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger device_group_member_checked before insert or update on device_group_member
    for each row execute function check_group_member();

-- ---- rights in groups ----
-- A person with rows here sees only the devices of these groups, and has in each the role given here; the account's own
-- role holds for people without any. A group with rights cannot be deleted, nor a person with rights change the tenant:
-- what narrows somebody down does not vanish by the way.
alter table user_account add unique (name, tenant);
create table user_right (
    user_name  text not null,
    tenant     text not null,
    group_name text not null,
    role       text not null check (role in ('viewer', 'operator', 'administrator')),
    given_by   text not null,
    given_at   timestamptz not null default now(),
    primary key (user_name, tenant, group_name),
    foreign key (user_name, tenant) references user_account (name, tenant) on delete cascade,
    foreign key (tenant, group_name) references device_group (tenant, name)
);
create index user_right_of_group on user_right (tenant, group_name);

-- A group whose members are a query would change them by itself: rights need a list.
create function check_user_right() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if exists (select from device_group where tenant = new.tenant and name = new.group_name and query is not null) then
        raise exception 'the devices of the group % are those that match its query; rights need a list', new.group_name
            using errcode = 'check_violation';
    end if;
    if (select count(*) from user_right where user_name = new.user_name and group_name <> new.group_name) >= 32 then
        raise exception 'a person has rights in at most 32 groups' using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger user_right_checked before insert or update on user_right for each row execute function check_user_right();

-- The devices of the groups that the scope is bound to.
create function scope_devices() returns setof text
language sql stable parallel safe security definer set search_path = public, pg_temp as $$
    select m.device from device_group_member m where m.tenant = scope_tenant() and m.group_name = any (scope_groups())
$$;
-- The role of whoever asks in a group of the scope. In a scope that is narrower than the person's own (a key for one group)
-- there is no row: then it is the account's, where that holds for the whole tenant.
create function role_in(name text) returns text language sql stable security definer set search_path = public, pg_temp as $$
    select coalesce((select r.role from user_right r
            where r.user_name = scope_user() and r.tenant = scope_tenant() and r.group_name = name),
        (select case u.role when 'auditor' then 'viewer' else u.role end from user_account u
            where u.name = scope_user() and not exists (select from user_right r where r.user_name = u.name)))
$$;
-- Of the groups of the scope those in which the person acts; null: not bound to groups.
create function scope_acting() returns text[] language sql stable security definer set search_path = public, pg_temp as $$
    select case when scope_groups() is not null then
        array(select name from unnest(scope_groups()) name where role_in(name) in ('operator', 'administrator')) end
$$;

-- ---- other things that belong to a tenant ----
-- Null: to the installation, for all tenants.
alter table user_account alter tenant set default scope_owner();
alter table operator add tenant text references tenant (name);
alter table admin_key add tenant text default scope_owner() references tenant (name);
alter table audit add tenant text references tenant (name);
alter table enrollment_token add tenant text not null default current_tenant() references tenant (name);
alter table enrollment_event add tenant text references tenant (name);
alter table registration add tenant text not null default 'default' references tenant (name);
alter table preapproved add tenant text not null default current_tenant() references tenant (name);
alter table campaign add tenant text default scope_owner() references tenant (name),
    add groups text[] default scope_acting();      -- only devices of these; null: all of the tenant
create index audit_of_tenant on audit (tenant, id);
create index enrollment_event_of_tenant on enrollment_event (tenant, id);

create function audit_belongs() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    new.tenant := coalesce(new.tenant, case when is_scoped() then scope_owner() end,
        (select tenant from device where device = new.target),
        case when new.target ~ '^campaign [0-9]{1,18}$' then
            (select tenant from campaign where id = substr(new.target, 10)::bigint) end,
        (select tenant from user_account where name = new.actor));
    return new;
end $$;
create trigger audit_belongs before insert on audit for each row execute function audit_belongs();

create function enrollment_event_belongs() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    new.tenant := coalesce(new.tenant, (select tenant from enrollment_token where id = new.token_id),
        (select tenant from registration where id = new.registration),
        (select tenant from device where device = new.device), scope_owner());
    return new;
end $$;
create trigger enrollment_event_belongs before insert on enrollment_event
    for each row execute function enrollment_event_belongs();

-- ---- devices: the tenant stands beside the latest state too, which lists read by the hundred thousand ----
create index device_scope on device (tenant, device);
alter table device_state add tenant text not null default 'default';
update device_state s set tenant = d.tenant from device d where d.device = s.device and d.tenant <> s.tenant;

create function device_state_belongs() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update device_state s set tenant = d.tenant from device d
        where s.device = new.device and d.device = new.device and d.tenant <> s.tenant;
    return null;
end $$;
create trigger device_state_belongs after insert on device_state for each row execute function device_state_belongs();

-- Targets that a campaign may not reach any more, of those that wait.
create index campaign_target_of_device on campaign_target (device) where state = 'waiting';
create function drop_targets(of_device text) returns void language sql security definer set search_path = public, pg_temp as $$
    with gone as (
        delete from campaign_target t using campaign c where t.device = of_device and t.state = 'waiting' and c.id = t.campaign
            and not exists (select from device d where d.device = of_device and (c.tenant is null or c.tenant = d.tenant)
                and (c.groups is null or exists (select from device_group_member m
                    where m.device = d.device and m.tenant = c.tenant and m.group_name = any (c.groups))))
            returning t.campaign)
    update campaign c set total = c.total - 1, changed_at = now() from gone where c.id = gone.campaign
$$;
revoke all on function drop_targets(text) from public;

create function device_moved() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from device_group_member where device = new.device and tenant <> new.tenant;
    update device_state set tenant = new.tenant, changed_at = now() where device = new.device;
    perform drop_targets(new.device);
    return null;
end $$;
create trigger device_moved after update of tenant on device for each row when (old.tenant is distinct from new.tenant)
    execute function device_moved();

create function device_left_group() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform drop_targets(old.device);
    return null;
end $$;
create trigger device_left_group after delete on device_group_member for each row execute function device_left_group();

-- ---- what a person may do ----
-- Whether the account's role acts everywhere that it sees.
create function acts() returns boolean language sql stable security definer set search_path = public, pg_temp as $$
    select exists (select from user_account where name = scope_user() and enabled and role in ('operator', 'administrator'))
        or exists (select from admin_key where 'key.' || id = scope_user() and revoked_at is null)
$$;
-- The strongest role that somebody who is bound to groups has on this device; null: none, it is not seen.
create function role_on(id text) returns text language sql stable security definer set search_path = public, pg_temp as $$
    select role from device_group_member m, role_in(m.group_name) role
    where m.device = id and m.tenant = scope_tenant() and m.group_name = any (scope_groups()) and role is not null
    order by array_position(array['administrator', 'operator', 'viewer'], role) limit 1
$$;
-- Whether this device exists for whoever asks, and may be changed and commanded. Functions that run with the owner's rights
-- ask it too: policies do not bind them.
create function may_act(id text) returns boolean language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    if not is_scoped() then
        return true;
    end if;
    if scope_groups() is not null then
        return coalesce(role_on(id) in ('operator', 'administrator'), false);
    end if;
    return acts() and exists (select from device d where d.device = id and (scope_tenant() = '*' or d.tenant = scope_tenant()));
end $$;
create function may_act_on(c campaign) returns boolean language sql stable security definer set search_path = public, pg_temp as $$
    select case when not is_scoped() then true
        when scope_groups() is null then acts() and (scope_tenant() = '*' or coalesce(c.tenant = scope_tenant(), false))
        else coalesce(c.tenant = scope_tenant() and c.groups <@ scope_acting() and cardinality(c.groups) > 0, false) end
$$;

-- ---- who asks ----
-- Finds a session or API key and puts the session of the database into the scope of its person; without one, of nobody.
-- role is the strongest that the person has anywhere. That it was used is noted once a minute, so that reading the fleet does
-- not write all the time.
create function enter(token_sha256 text, token_kind text, out user_name text, out role text, out expires_us bigint,
    out tenant text, out groups text) returns setof record
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
begin
    select t.user_name, u.role, (extract(epoch from t.expires_at) * 1000000)::bigint, coalesce(u.tenant, '*'), ''
        into user_name, role, expires_us, tenant, groups
        from access_token t join user_account u on u.name = t.user_name
        where t.token_hash = decode(token_sha256, 'hex') and t.kind = token_kind and t.revoked_at is null
            and t.expires_at > now() and u.enabled;
    if user_name is null then
        perform set_config('muster.user', '', false), set_config('muster.tenant', '', false),
            set_config('muster.groups', '', false);
        return;
    end if;
    update access_token set last_used = now() where token_hash = decode(token_sha256, 'hex')
        and (last_used is null or last_used < now() - interval '1 minute');
    if tenant <> '*' and exists (select from user_right r where r.user_name = enter.user_name) then
        select string_agg(r.group_name, ',' order by r.group_name),
            (array_agg(r.role order by array_position(array['administrator', 'operator', 'viewer'], r.role)))[1]
            into groups, role from user_right r where r.user_name = enter.user_name;
    end if;
    perform set_config('muster.user', user_name, false), set_config('muster.tenant', tenant, false),
        set_config('muster.groups', groups, false);
    return next;
end $$;

-- As enter(), by a key of a program: known says whether it holds, fresh whether this signature was not taken before. What is
-- older than a timestamp can be is let go.
create function enter_key(key text, signature_hex text, out known boolean, out fresh boolean)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    owner text;
begin
    delete from admin_request where at < now() - interval '15 minutes';
    update admin_key set last_used = now() where id = key and revoked_at is null returning coalesce(tenant, '*') into owner;
    known := found;
    insert into admin_request (key_id, signature) select key, decode(signature_hex, 'hex') where known on conflict do nothing;
    fresh := found;
    perform set_config('muster.user', case when fresh then 'key.' || key else '' end, false),
        set_config('muster.tenant', case when fresh then owner else '' end, false), set_config('muster.groups', '', false);
end $$;

-- ---- policies ----
-- Rows of a device: they exist where the device does, and are written by those who may act on it.
create function protect_device_rows(what text) returns void language plpgsql as $$
begin
    execute format('alter table %I enable row level security', what);
    execute format('create policy seen on %1$I for select to muster_dashboard using ((select scope_all()) or '
        'exists (select from device d where d.device = %1$I.device))', what);
    execute format('create policy made on %I for insert to muster_dashboard with check (may_act(device))', what);
    execute format('create policy changed on %I for update to muster_dashboard using (may_act(device))', what);
    execute format('create policy removed on %I for delete to muster_dashboard using (may_act(device))', what);
end $$;
-- Rows of a tenant: what its people share. Those bound to groups do not see them.
create function protect_tenant_rows(what text) returns void language plpgsql as $$
begin
    execute format('alter table %I enable row level security', what);
    execute format('create policy owned on %I to muster_dashboard using ((select scope_owned()) = ''*'' or '
        'tenant = (select scope_owned()))', what);
end $$;
revoke all on function protect_device_rows(text), protect_tenant_rows(text) from public;

alter table device enable row level security;
create policy seen on device for select to muster_dashboard using ((select scope_all()) or (tenant = (select scope_tenant())
    and ((select scope_groups()) is null or device in (select scope_devices()))));
create policy changed on device for update to muster_dashboard using (may_act(device));
alter table device_state enable row level security;
create policy seen on device_state for select to muster_dashboard using ((select scope_all()) or (tenant = (select scope_tenant())
    and ((select scope_groups()) is null or device in (select scope_devices()))));

select protect_device_rows(name) from unnest(array['telemetry', 'event', 'inventory', 'command', 'command_result',
    'command_output', 'ledger', 'ledger_gap', 'quarantine', 'certificate', 'device_push', 'device_wake', 'fcm_dispatch',
    'rollup_hour', 'rollup_metric', 'campaign_target']) as name;
alter table command_event enable row level security;
create policy seen on command_event for select to muster_dashboard
    using ((select scope_all()) or exists (select from command c where c.id = command_event.command));

select protect_tenant_rows(name) from unnest(array['saved_filter', 'device_group', 'device_group_member', 'user_right',
    'enrollment_token', 'registration', 'admin_key']) as name;
-- People who are bound to groups see these, use the tenant's filters, and know their own rights.
create policy bound on device_group for select to muster_dashboard
    using (tenant = (select scope_tenant()) and name = any ((select scope_groups())::text[]));
create policy bound on device_group_member for select to muster_dashboard
    using (tenant = (select scope_tenant()) and group_name = any ((select scope_groups())::text[]));
create policy bound on saved_filter for select to muster_dashboard using (tenant = (select scope_tenant()));
create policy own on user_right for select to muster_dashboard using (user_name = (select scope_user()));

alter table campaign enable row level security;
create policy seen on campaign for select to muster_dashboard using ((select scope_owned()) = '*' or tenant = (select scope_owned())
    or (tenant = (select scope_tenant()) and groups <@ (select scope_groups())));
create policy made on campaign for insert to muster_dashboard with check (may_act_on(campaign));

-- Events of the audit and of enrolment are written whoever is logged in, or nobody yet; read by the tenant.
alter table audit enable row level security;
create policy seen on audit for select to muster_dashboard
    using ((select scope_owned()) = '*' or tenant = (select scope_owned()));
create policy made on audit for insert to muster_dashboard with check (true);
alter table enrollment_event enable row level security;
create policy seen on enrollment_event for select to muster_dashboard
    using ((select scope_owned()) = '*' or tenant = (select scope_owned()));
create policy made on enrollment_event for insert to muster_dashboard with check (true);

-- Accounts: where nobody is known yet, whoever logs in has to be found.
alter table user_account enable row level security;
create policy known on user_account to muster_dashboard using ((select scope_tenant()) = '' or (select scope_owned()) = '*'
    or tenant = (select scope_owned()) or name = (select scope_user()));
alter table access_token enable row level security;
create policy known on access_token to muster_dashboard using ((select scope_tenant()) = '' or (select scope_owned()) = '*'
    or user_name = (select scope_user()) or exists (select from user_account u where u.name = user_name));
alter table tenant enable row level security;
create policy known on tenant to muster_dashboard using ((select scope_tenant()) in ('*', name));
alter table command_limit enable row level security;
create policy known on command_limit for select to muster_dashboard
    using ((select scope_owned()) = '*' or requester in ('*', (select scope_user())));

-- Revocations name a device, or the serial number of a certificate.
create index certificate_by_name on certificate (coalesce(nullif(ltrim(lower(serial), '0'), ''), '0'));
alter table revocation enable row level security;
create policy seen on revocation for select to muster_dashboard using ((select scope_all())
    or (kind = 'device' and exists (select from device d where d.device = revocation.name))
    or (kind = 'serial' and exists (select from certificate c
        where coalesce(nullif(ltrim(lower(c.serial), '0'), ''), '0') = revocation.name)));
alter table revocation_effect enable row level security;
create policy seen on revocation_effect for select to muster_dashboard using ((select scope_all())
    or exists (select from revocation r where r.kind = revocation_effect.kind and r.name = revocation_effect.name));
-- The brokers' proofs are the installation's; what one was made for names a device.
alter table revocation_proof enable row level security;
create policy seen on revocation_proof for select to muster_dashboard using ((select scope_all()) or cause = ''
    or (cause like 'device %' and exists (select from device d where d.device = substr(revocation_proof.cause, 8))));
alter table mail enable row level security;
create policy made on mail for insert to muster_dashboard with check (true);

-- ---- functions with the owner's rights, which policies do not bind ----
alter function revoke_device(text, text, text, text) rename to revoke_any_device;
alter function restore_device(text, text, text, text) rename to restore_any_device;
alter function tag_device(text, text[], text[]) rename to tag_any_device;
alter function request_wake(text, text) rename to wake_any_device;
alter function move_campaign(bigint, text, text) rename to move_any_campaign;
create function revoke_device(id text, why text, actor text, request text default '') returns boolean
language sql security definer set search_path = public, pg_temp as
    $$ select case when may_act(id) then revoke_any_device(id, why, actor, request) end $$;
create function restore_device(id text, why text, actor text, request text default '') returns boolean
language sql security definer set search_path = public, pg_temp as
    $$ select case when may_act(id) then restore_any_device(id, why, actor, request) end $$;
create function tag_device(which text, added text[], removed text[]) returns text[]
language sql security definer set search_path = public, pg_temp as
    $$ select case when may_act(which) then tag_any_device(which, added, removed) end $$;
create function request_wake(id text, request text default '') returns boolean
language sql security definer set search_path = public, pg_temp as
    $$ select case when may_act(id) then wake_any_device(id, request) end $$;
create function move_campaign(which bigint, verb text, actor text) returns boolean
language sql security definer set search_path = public, pg_temp as
    $$ select move_any_campaign(c.id, verb, actor) from campaign c where c.id = which and may_act_on(c) $$;

create or replace function purge_commands(older interval, most integer) returns integer
language sql security definer set search_path = public, pg_temp as $$
    with gone as (delete from command where id = any (array(select id from command
        where state in ('succeeded', 'failed', 'rejected', 'expired', 'cancelled')
        and created_at < now() - older and coalesce(finished_at, changed_at) < now() - older
        and (scope_all() or not is_scoped() or may_act(device))
        order by created_at limit most)) returning 1)
    select count(*)::integer from gone
$$;

-- Ids are unique in the installation: true where the device is the asker's, false where it is somebody else's; null: free.
create function device_taken(id text) returns boolean language sql stable security definer set search_path = public, pg_temp as
    $$ select scope_tenant() in ('*', d.tenant) or not is_scoped() from device d where d.device = id $$;

-- Gives a device to another tenant, with all that it ever reported; only by people of all tenants. Null: no such device.
create function move_device(id text, to_tenant text) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    was text;
begin
    if is_scoped() and scope_tenant() <> '*' then
        return null;
    end if;
    select tenant into was from device where device = id for update;
    update device set tenant = to_tenant where device = id and tenant <> to_tenant;
    return was;
end $$;

-- ---- grants ----
revoke all on function check_group_member(), check_user_right(), audit_belongs(), enrollment_event_belongs(),
    device_state_belongs(), device_moved(), device_left_group(), scope_devices(), role_in(text), scope_acting(), acts(),
    role_on(text), may_act(text), may_act_on(campaign), enter(text, text), enter_key(text, text),
    revoke_device(text, text, text, text), restore_device(text, text, text, text), tag_device(text, text[], text[]),
    request_wake(text, text), move_campaign(bigint, text, text), device_taken(text), move_device(text, text) from public;
revoke execute on function revoke_any_device(text, text, text, text), restore_any_device(text, text, text, text),
    tag_any_device(text, text[], text[]), wake_any_device(text, text), move_any_campaign(bigint, text, text)
    from muster_dashboard, muster_admin, muster_ingest;
grant execute on function scope_devices(), role_in(text), scope_acting(), acts(), role_on(text), may_act(text),
    may_act_on(campaign), enter(text, text), enter_key(text, text), revoke_device(text, text, text, text),
    restore_device(text, text, text, text), tag_device(text, text[], text[]), request_wake(text, text),
    move_campaign(bigint, text, text), device_taken(text), move_device(text, text) to muster_dashboard;
grant execute on function revoke_device(text, text, text, text), restore_device(text, text, text, text),
    request_wake(text, text), move_device(text, text) to muster_admin;
grant execute on function revoke_device(text, text, text, text) to muster_ingest;
grant select, insert, update, delete on user_right to muster_dashboard, muster_admin;
grant insert, update (description) on tenant to muster_dashboard, muster_admin;
grant update (tenant) on registration to muster_dashboard;
