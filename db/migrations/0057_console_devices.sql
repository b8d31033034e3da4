-- A console's credential also ends when one of its devices leaves the reach of whoever asked for it: another tenant has it
-- now, or it is in none of the groups any more (docs/decisions/0042). It ends by the same notification as with the login.
alter table console_credential
    add column tenant  text not null default '*', -- whose devices the person saw when it was given; '*': of all tenants
    add column groups  text[],                    -- and of these groups alone; null: not bound to groups
    add column devices text[] not null default '{}'; -- that it names; none: it is for all
-- Without the list of what is pending: there are some hundred rows, and each device that leaves a group is looked up.
create index console_credential_reads on console_credential using gin (devices) with (fastupdate = off)
    where ended_at is null;

create function end_console(clients text[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    with ended as (update console_credential set ended_at = now()
        where client_id = any (clients) and ended_at is null and expires_at > now() - interval '1 minute'
        returning client_id, expires_at)
    select pg_notify('muster_console', client_id || ' ' || ceil(extract(epoch from expires_at))::bigint) from ended
$$;
create or replace function end_consoles(hash bytea, who text) returns void
language sql security definer set search_path = public, pg_temp as $$
    select end_console(array(select client_id from console_credential where token_hash = hash or user_name = who))
$$;

-- Those that name this device and would not be given it now. A group by query gives nobody rights, so what a device reports
-- of itself never comes here. A console that is just being opened has noted its credential before, or looks at the device
-- after the caller's COMMIT: open_console takes the same lock alone, those who take devices away share it.
create function end_consoles_of(gone text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('console'), 0);
    perform end_console(array_agg(c.client_id)) from console_credential c
        where c.devices @> array[gone] and c.ended_at is null and not exists (select from device d
            where d.device = gone and c.tenant in ('*', d.tenant) and (c.groups is null or exists (select
                from device_group_member m where m.device = gone and m.tenant = d.tenant and m.group_name = any (c.groups))))
        having count(*) > 0;
end $$;

create or replace function device_moved() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from device_group_member where device = new.device and tenant <> new.tenant;
    update device_state set tenant = new.tenant, changed_at = now() where device = new.device;
    perform drop_targets(new.device);
    perform end_consoles_of(new.device);
    return null;
end $$;
create or replace function device_left_group() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform drop_targets(old.device);
    perform end_consoles_of(old.device);
    return null;
end $$;
drop trigger device_left_group on device_group_member;
create trigger device_left_group after delete or update of tenant, group_name, device on device_group_member
    for each row execute function device_left_group();

-- As in 0048, and for which devices.
drop function open_console(text, text, text[], timestamptz);
create function open_console(token_sha256 text, token_kind text, clients text[], until timestamptz, wanted text[],
    out tenant text, out groups text) returns setof record
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    hash bytea := decode(token_sha256, 'hex');
    who  text;
begin
    perform pg_advisory_xact_lock(hashtext('console'), 0); -- first: it waits for others, and nobody for it
    select t.user_name into who from access_token t where t.token_hash = hash;
    perform from user_account u where u.name = who for share;
    perform from access_token t where t.token_hash = hash for no key update; -- enter() may write it
    delete from console_credential where client_id = any (array(select client_id from console_credential
        where expires_at < now() - interval '5 minutes' order by expires_at limit 100));
    select e.tenant, e.groups into tenant, groups from enter(token_sha256, token_kind) e;
    if tenant is not null then
        insert into console_credential (client_id, user_name, token_hash, expires_at, tenant, groups, devices)
            select client, who, hash, open_console.until, open_console.tenant,
                string_to_array(nullif(open_console.groups, ''), ','), wanted from unnest(clients) client;
        return next;
    end if;
end $$;

revoke all on function end_console(text[]), end_consoles_of(text), open_console(text, text, text[], timestamptz, text[])
    from public;
grant execute on function open_console(text, text, text[], timestamptz, text[]) to muster_dashboard;
