-- The audit as a chain: what stands in it cannot be changed, taken out or put elsewhere without showing. Each row gets,
-- at its commit, a link: its position (1, 2, 3, ... in the order of the commits, without a hole) and a SHA-256 over the
-- row, its position and the hash before it. Links stand beside the rows, so that these are never written twice.
alter table audit add column if not exists tenant text references tenant (name); -- null: of the installation

create table audit_link (
    position bigint primary key check (position > 0),
    audit    bigint not null unique,              -- audit.id
    prev     bytea not null check (length(prev) = 32), -- hash of the position before; zeros at position 1
    hash     bytea not null check (length(hash) = 32)
);
-- Up to where retention has taken rows away: the chain goes on behind it.
create table audit_checkpoint (
    position bigint primary key,
    hash     bytea not null check (length(hash) = 32),
    at       timestamptz not null default now(),
    actor    text not null
);

-- What is hashed, as UTF-8: also what an export holds, byte by byte. docs/protocol.md, section 24.
create function audit_text(link_position bigint, link_prev bytea, entry audit) returns text language sql stable as $$
    select jsonb_build_object('position', link_position, 'prev', encode(link_prev, 'hex'), 'id', entry.id,
        'at', to_char(entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'actor', entry.actor,
        'action', entry.action, 'target', entry.target, 'peer', entry.peer, 'request_id', entry.request_id,
        'tenant', entry.tenant, 'detail', entry.detail)::text
$$;

-- Runs at the commit, so that the lock, which makes the chain one line, is the last that a transaction takes and is held
-- for a moment. The statement behind the lock sees what whoever held it has committed.
create function link_audit() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    last_position bigint;
    last_hash bytea;
begin
    perform pg_advisory_xact_lock(hashtext('muster.audit'));
    select position, hash into last_position, last_hash from audit_link order by position desc limit 1;
    last_position := coalesce(last_position, 0);
    last_hash := coalesce(last_hash, decode(repeat('00', 32), 'hex'));
    insert into audit_link values (last_position + 1, new.id, last_hash,
        sha256(convert_to(audit_text(last_position + 1, last_hash, new), 'UTF8')));
    return null;
end $$;

-- What was there before this migration, in the order of its numbers.
do $$
declare
    entry audit;
    link_position bigint := 0;
    link_prev bytea := decode(repeat('00', 32), 'hex');
    link_hash bytea;
begin
    for entry in select * from audit order by id loop
        link_position := link_position + 1;
        link_hash := sha256(convert_to(audit_text(link_position, link_prev, entry), 'UTF8'));
        insert into audit_link values (link_position, entry.id, link_prev, link_hash);
        link_prev := link_hash;
    end loop;
end $$;

create constraint trigger audit_chain after insert on audit deferrable initially deferred
    for each row execute function link_audit();

-- Insert only, for the owner of the tables too. What may go is what a checkpoint has sealed.
create function keep_audit() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'DELETE' and tg_table_name = 'audit_link' then
        if old.position <= (select max(position) from audit_checkpoint) then
            return old;
        end if;
    elsif tg_op = 'DELETE' and tg_table_name = 'audit' then
        if exists (select from audit_link l where l.audit = old.id
                and l.position <= (select max(position) from audit_checkpoint)) then
            return old;
        end if;
    end if;
    raise exception '% is insert only', tg_table_name
        using errcode = 'insufficient_privilege', hint = 'prune_audit() takes away what is older than a time of your choice';
end $$;
create trigger audit_kept before update or delete on audit for each row execute function keep_audit();
create trigger audit_link_kept before update or delete on audit_link for each row execute function keep_audit();
create trigger audit_checkpoint_kept before update or delete on audit_checkpoint for each row execute function keep_audit();
create trigger audit_kept_whole before truncate on audit execute function keep_audit();
create trigger audit_link_kept_whole before truncate on audit_link execute function keep_audit();
create trigger audit_checkpoint_kept_whole before truncate on audit_checkpoint execute function keep_audit();

-- Retention: rows from the beginning of the chain up to the first that is not older, never the last row. Leaves a
-- checkpoint, and a row of the audit that says which; returns how many are gone.
create function prune_audit(before timestamptz, who text) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    sealed audit_link;
    gone bigint;
begin
    perform pg_advisory_xact_lock(hashtext('muster.audit'));
    select l.* into sealed from audit_link l
        where l.position < coalesce((select min(f.position) from audit a join audit_link f on f.audit = a.id
                                     where a.at >= before), (select max(position) from audit_link))
        order by l.position desc limit 1;
    if sealed.position is null then
        return 0;
    end if;
    insert into audit_checkpoint (position, hash, actor) values (sealed.position, sealed.hash, who);
    delete from audit a using audit_link l where l.audit = a.id and l.position <= sealed.position;
    delete from audit_link where position <= sealed.position;
    get diagnostics gone = row_count;
    insert into audit (actor, action, target, detail) values (who, 'audit.prune', sealed.position::text,
        jsonb_build_object('position', sealed.position, 'hash', encode(sealed.hash, 'hex'), 'rows', gone, 'before', before));
    return gone;
end $$;
revoke all on function prune_audit(timestamptz, text) from public;

-- Looks at up to most links behind the position after. fault: null while all is well, and then wrong is the position.
create function check_audit(after bigint, most integer, out checked bigint, out hash text, out wrong bigint, out fault text,
    out head bigint, out head_hash text, out start bigint)
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    base bytea;
begin
    start := coalesce((select max(c.position) from audit_checkpoint c), 0);
    checked := greatest(after, start);
    base := coalesce((select l.hash from audit_link l where l.position = checked),
                     (select c.hash from audit_checkpoint c where c.position = checked), decode(repeat('00', 32), 'hex'));
    select l.position, encode(l.hash, 'hex') into head, head_hash from audit_link l order by l.position desc limit 1;
    select p.position, case when p.position <> p.before + 1 then 'missing' when p.id is null then 'deleted'
            when p.prev <> p.base then 'broken' else 'changed' end
        into wrong, fault
        from (select l.position, l.prev, l.hash, a.id, lag(l.position, 1, checked) over w as before,
                lag(l.hash, 1, base) over w as base,
                sha256(convert_to(audit_text(l.position, l.prev, a), 'UTF8')) as computed
            from (select * from audit_link k where k.position > checked order by k.position limit most) as l
            left join audit a on a.id = l.audit window w as (order by l.position)) as p
        where p.id is null or p.position <> p.before + 1 or p.prev <> p.base or p.hash <> p.computed
        order by p.position limit 1;
    select coalesce(max(k.position), checked) into checked
        from (select l.position from audit_link l where l.position > checked order by l.position limit most) as k;
    if fault is not null then
        if fault = 'missing' then
            wrong := (select coalesce(max(l.position), start) + 1 from audit_link l where l.position < wrong);
        end if;
        checked := wrong - 1;
    end if;
    hash := coalesce((select encode(l.hash, 'hex') from audit_link l where l.position = checked),
                     (select encode(c.hash, 'hex') from audit_checkpoint c where c.position = checked), repeat('00', 32));
end $$;
revoke all on function check_audit(bigint, integer) from public;

-- ---- how it is looked through ----
create index audit_by_time on audit (at desc, id desc);
create index audit_by_actor on audit (actor, at desc, id desc);
create index audit_by_action on audit (action, at desc, id desc);
create index audit_by_target on audit (target, at desc, id desc);
create index audit_by_device on audit ((detail ->> 'device'), at desc, id desc) where detail ? 'device';

-- ---- grants: nobody says when a row was made, nor its number ----
revoke insert on audit from muster_commander, muster_dashboard, muster_admin;
grant insert (actor, action, target, peer, request_id, detail) on audit to muster_commander, muster_dashboard, muster_admin;
grant select on audit_link, audit_checkpoint to muster_dashboard, muster_admin;
grant execute on function check_audit(bigint, integer) to muster_dashboard, muster_admin;
grant execute on function prune_audit(timestamptz, text) to muster_admin;
