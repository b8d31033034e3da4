-- What the mark was before the last batch: whatever of that batch lies at or below it had come before (docs/protocol.md, section 7).
alter table ledger add column contiguous_before bigint not null default 0;

-- Where a device is, which may differ from where it belongs (device.cell): commands go there.
alter table device_state add column cell integer; -- of the ingest that last heard it come online; null: none has yet
-- Each cell's ingest may be svc.ingest, so a holder is a client id in a cell.
update device_state set held_by = held_by || '@1' where held_by is not null;
