-- What the live streams of the dashboard ask for: what changed since they last did, found by an index, after a notification.
alter table registration add changed_at timestamptz not null default now();
create index registration_changed on registration (changed_at);

-- A device that asks how its registration stands changes nothing.
create function registration_changes() returns trigger language plpgsql as $$
begin
    if (new.state, new.device, new.reason, new.tags, new.cell) is distinct from (old.state, old.device, old.reason, old.tags, old.cell) then
        new.changed_at := now();
    end if;
    return new;
end $$;
create trigger registration_changes before update on registration for each row execute function registration_changes();

create function notify_registration() returns trigger language plpgsql as $$
begin
    notify muster_registration;
    return null;
end $$;
create trigger registration_comes after insert on registration for each statement execute function notify_registration();
create trigger registration_moves after update on registration for each row
    when (new.changed_at is distinct from old.changed_at) execute function notify_registration();

create function notify_audit() returns trigger language plpgsql as $$
begin
    notify muster_audit;
    return null;
end $$;
create trigger audit_grows after insert on audit for each statement execute function notify_audit();
