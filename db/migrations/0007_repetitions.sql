-- What the mark was before the last batch: whatever of that batch lies at or below it had come before (docs/protocol.md, section 7).
alter table ledger add column contiguous_before bigint not null default 0;
