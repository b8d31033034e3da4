-- The canary: what its role may do is in three functions, each of which knows only the canary of its cell.

create index revocation_proof_by_cell on revocation_proof (cell, requested_at desc);

-- ---- one use, for its own id ----
-- What is not needed any more goes: the tokens before, and certificates whose keys, which were only in its memory, are
-- long gone; so a canary that proves each minute does not fill the brokers' lists. A person who has revoked it is not
-- overruled, and a device of somebody else's is not taken.
create function canary_token(of_cell integer, sha256_hex text) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    me  constant text := 'canary-' || of_cell;
    was device;
begin
    if of_cell is null or of_cell < 1 or sha256_hex !~ '^[0-9a-f]{64}$' then
        raise exception 'a cell from 1 on and a SHA-256 in hex are needed';
    end if;
    select * into was from device where device = me for update;
    if found and not was.enabled then
        raise exception '% is revoked: muster device restore % lets it in again', me, me;
    end if;
    if found and not 'canary' = any (was.tags) then
        raise exception '% is a device without the tag canary, which is not taken over', me;
    end if;
    delete from enrollment_token where device = me and created_by = 'canary';
    delete from revocation_proof where cell = of_cell and requested_at < now() - interval '1 year';
    with gone as (delete from certificate where device = me and revoked_at < now() - interval '1 day' returning serial)
    update revocation r set revoked = false, reason = 'its key is gone', requested_by = 'canary' from gone
        where r.kind = 'serial' and r.revoked and r.name = coalesce(nullif(ltrim(lower(gone.serial), '0'), ''), '0');
    return create_enrollment_token(sha256_hex, me, '{canary}', 1, 3600, of_cell, 'canary', '');
end $$;

-- ---- its own certificate, and no other ----
-- When it was requested; null when there is no such certificate that still holds.
create function canary_revoke(of_cell integer, of_serial text) returns timestamptz
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    me constant text := 'canary-' || of_cell;
    at timestamptz;
begin
    perform from device where device = me for update;
    update certificate set revoked_at = now() where serial = of_serial and device = me and revoked_at is null;
    if not found then
        return null;
    end if;
    insert into revocation (kind, name, reason, requested_by)
        values ('serial', coalesce(nullif(ltrim(lower(of_serial), '0'), ''), '0'), 'proof', 'canary')
        on conflict (kind, name) do update set revoked = true returning requested_at into at;
    return at;
end $$;

-- ---- what makes it prove ----
-- Who was revoked above this change, without canaries: one would set off the other.
create function canary_news(since bigint) returns table (change bigint, cause text)
language sql stable security definer set search_path = public, pg_temp as $$
    select r.change, r.kind || ' ' || r.name from revocation r where r.change > since and r.revoked
        and not (r.kind = 'device' and r.name ~ '^canary-[0-9]+$')
        and not (r.kind = 'serial' and exists (select from certificate c where c.device ~ '^canary-[0-9]+$'
            and coalesce(nullif(ltrim(lower(c.serial), '0'), ''), '0') = r.name));
$$;

revoke all on function canary_token(integer, text), canary_revoke(integer, text), canary_news(bigint) from public;
grant execute on function canary_token(integer, text), canary_revoke(integer, text), canary_news(bigint)
    to muster_canary;
