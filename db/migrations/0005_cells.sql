-- A cell is a broker with its ingest. Which one a device belongs to is decided at its enrolment.
alter table enrollment_token add column cell integer check (cell > 0); -- where its devices go; null: the least loaded
create index device_by_cell on device (cell) where enabled;            -- the bridge counts them
