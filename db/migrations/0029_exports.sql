-- Exports: files that the dashboard makes in the background, for whoever asked.
create table export (
    id           uuid primary key default gen_random_uuid(), -- names the file, in the dashboard's exports.dir
    tenant       text not null default current_tenant() references tenant (name),
    requested_by text not null,
    -- What the asker could see then: it is made under these settings, and given to nobody who sees less or more.
    scope_tenant text not null default coalesce(current_setting('muster.tenant', true), ''),
    scope_groups text not null default coalesce(current_setting('muster.groups', true), ''),
    kind         text not null check (kind in ('devices', 'telemetry', 'commands', 'events', 'audit')),
    format       text not null check (format in ('csv', 'json', 'ndjson')),
    columns      text[] not null check (cardinality(columns) > 0),
    query        text not null default '' check (length(query) <= 4096), -- of devices; '': all
    device       text,
    since        timestamptz,
    until        timestamptz,
    state        text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled', 'expired')),
    cancel       boolean not null default false,  -- asked for; whoever makes it ends it
    attempts     integer not null default 0,      -- begun again after a restart
    rows         bigint not null default 0,       -- so far
    estimate     bigint,                          -- of all rows, by the planner
    bytes        bigint not null default 0,
    truncated    boolean not null default false,  -- a ceiling was reached
    reason       text not null default '',
    request_id   text not null default '',
    created_at   timestamptz not null default now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    changed_at   timestamptz not null default now(),
    expires_at   timestamptz                      -- when the file goes
);
create index export_of_person on export (requested_by, created_at desc, id);
create index export_open on export (created_at) where state in ('queued', 'running');
create index export_expiring on export (expires_at) where state = 'done';

-- Each is its asker's own; the thread that makes them sees all.
alter table export enable row level security;
create policy own on export to muster_dashboard using (requested_by = (select current_setting('muster.user', true))
    or (select current_setting('muster.tenant', true) = '*' and current_setting('muster.user', true) = ''));

grant select, insert, update, delete on export to muster_dashboard;
grant select on export to muster_admin;
