-- Authorities that take another's place, and certificates that are renewed.

alter table certificate
    add authority text;                            -- SHA-256 of the CA certificate that signed it; null: nobody noted it

alter table device_state
    add certificate text,                          -- serial of the one it uses, as its hello says
    add trust       text;                          -- SHA-256 of the CA bundle that it has, as its hello says

-- Which bundle was sent to a device last: once is enough until it says hello with another.
create table trust_told (
    device  text primary key,
    trust   text not null,                         -- SHA-256 of the bundle
    told_at timestamptz not null default now()
);

-- A renewed certificate counts when the device says that it uses it; from then on the older ones do not. It says so in its
-- own session and names one of its own, so all that it can bring about is the end of what it gave up.
create function certificate_used() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    used certificate;
begin
    select * into used from certificate
        where device = new.device and ltrim(serial, '0') = new.certificate and revoked_at is null;
    if not found then
        return null;
    end if;
    with older as (
        update certificate set revoked_at = now()
            where device = new.device and revoked_at is null and created_at < used.created_at
            returning serial, not_after
    )
    insert into revocation as r (kind, name, reason, requested_by)
        select 'serial', ltrim(serial, '0'), 'renewed: the device uses ' || used.serial, 'renewal'
            from older where not_after > now()
        on conflict (kind, name) do update set revoked = true, change = nextval('revocation_change'),
            reason = excluded.reason, requested_by = excluded.requested_by, requested_at = now()
            where not r.revoked;
    return null;
end $$;
create trigger device_state_certificate_new after insert on device_state
    for each row when (new.certificate is not null) execute function certificate_used();
create trigger device_state_certificate after update of certificate on device_state
    for each row when (new.certificate is distinct from old.certificate) execute function certificate_used();

grant select (device, presence, certificate, trust) on device_state to muster_bridge;
grant select, insert, update on trust_told to muster_bridge;
grant update (revoked_at) on certificate to muster_admin;
