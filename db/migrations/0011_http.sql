-- Devices that speak only HTTP: what the bridge looks up for them, and how it hears at once of whom not to let in.

-- Whoever takes a credential or a device out wakes the bridges, by whatever road.
create trigger bearer_revoked after update of revoked_at on bearer for each row
    when (old.revoked_at is distinct from new.revoked_at) execute function notify_revocation();
create trigger device_disabled after update of enabled on device for each row
    when (old.enabled is distinct from new.enabled) execute function notify_revocation();
create index bearer_revoked_lately on bearer (revoked_at) where revoked_at is not null;
create index device_disabled_lately on device (disabled_at) where not enabled;

grant select (id, device, state, n, jws, expires_at) on command to muster_bridge;
grant select (device, presence, last_seen, interval_s) on device_state to muster_bridge;
