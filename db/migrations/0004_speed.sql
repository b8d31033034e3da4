-- Room for updates in place (docs/decisions/0008).

-- An update stays in its page, and touches no index, when no indexed column changes and the page has room. changed_at
-- changes each time, so what is indexed is only the slot of 10 seconds that it is in.
alter table device_state add column changed_slot bigint not null
    generated always as (floor(extract(epoch from changed_at at time zone 'UTC') / 10)::bigint) stored;
drop index device_state_changed;
create index device_state_changed on device_state (changed_slot);
alter table device_state set (fillfactor = 50);
alter table ledger set (fillfactor = 50);
