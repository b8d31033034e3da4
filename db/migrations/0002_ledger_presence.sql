-- The ledger's gaps, the corrected time beside ts, and presence with its evidence (docs/decisions/0005, 0006).

-- ---- ledger ----
alter table ledger
    add first_seq      bigint not null default 0,  -- the lowest committed; 0: none yet
    add late           bigint not null default 0,  -- arrived after a higher one had been seen
    add gaps           bigint not null default 0,  -- rows of ledger_gap that wait (open or lost)
    add highest_before bigint not null default 0;  -- what highest was before the last batch: new gaps begin there

-- What is missing below the highest seq committed. The rows that wait (open, lost) of an epoch do not overlap; at most
-- 1,000 rows an epoch are kept, beyond that neighbours are joined over what lies between them.
create table ledger_gap (
    device    text not null,
    epoch     text not null,
    id        bigint generated always as identity,
    from_seq  bigint not null,
    to_seq    bigint not null check (to_seq >= from_seq),
    state     text not null default 'open' check (state in ('open', 'closed', 'dropped', 'lost')),
    opened_at timestamptz not null default now(),
    closed_at timestamptz,                        -- when it was closed or dropped; its range is the last that was missing
    primary key (device, epoch, id)
);
create index ledger_gap_open on ledger_gap (opened_at) where state = 'open';
create index ledger_gap_lost on ledger_gap (device) where state = 'lost';

update ledger set first_seq = 1 where highest > 0;
insert into ledger_gap (device, epoch, from_seq, to_seq)
    select device, epoch, contiguous + 1, highest from ledger where highest > contiguous;
update ledger set gaps = 1 where highest > contiguous;

-- ---- time ----
-- ts is as the device sent it, and the partition key; measured_at is what charts, latest values and sorting use: ts where
-- it is plausible, otherwise taken from the arrival and the age of the message.
-- Written with every row; not "not null", so that a row made by other means still fits (it counts as ts then).
alter table telemetry add measured_at timestamptz;
alter table event add measured_at timestamptz;
update telemetry set measured_at = case when ts between received_at - interval '30 days' and received_at + interval '5 minutes'
    then ts else received_at end;
update event set measured_at = case when ts between received_at - interval '30 days' and received_at + interval '5 minutes'
    then ts else received_at end;
drop index telemetry_by_time;
create index telemetry_by_time on telemetry (device, measured_at desc);
drop index event_by_time;
create index event_by_time on event (device, measured_at desc);
create index event_by_measured on event (measured_at desc);

-- ---- presence ----
alter table device_state
    add session         bigint,                      -- of the device's latest connection known; null: it does not count them
    add presence_by     text,                        -- the connection of ingest in which it was last seen to come online
    add presence_count  bigint not null default 0,   -- changes of presence so far: seq of the events of epoch "-presence"
    add presence_before bigint not null default 0,   -- the same before the last write of this row
    -- An "offline" that waits whether the device shows life (all null: none does). Times are the holder's monotonic clock.
    add held_by         text,                        -- MQTT client id of the ingest that holds it
    add held_due_ms     bigint,
    add held_grace      boolean,                     -- held after a reconnect to the broker: any message is life
    add held_why        text,
    add held_session    bigint,
    add held_at         timestamptz;                 -- when it arrived
comment on column device_state.presence_why is
    'the evidence: will | goodbye | kick | broker-restart | hello | status | message; silence is computed in queries';
create index device_state_held on device_state (held_by, held_due_ms) where held_by is not null;

-- ---- grants ----
grant select, insert, update, delete on ledger_gap to muster_ingest;
grant select on ledger_gap to muster_dashboard, muster_admin;
