-- The roster (0028) in an order in which a scan finds what it looks at early (docs/decisions/0034). A row is taken apart
-- from its first column up to the last one that the statement names, and past the first text or null each column is
-- looked for anew: so numbers and times that nearly every device has come first, then what is looked for in texts, then
-- what is seldom asked for.

alter table device_roster rename to device_roster_before;
alter index device_roster_pkey rename to device_roster_before_pkey;

create table device_roster (
    enabled     boolean not null,
    presence    smallint not null default 0,       -- 0 never, 1 offline, 2 online: stale by time alone
    battery     real,
    cpu         real,
    memory      real,                              -- percent used, as is disk
    disk        real,
    load        real,
    enrolled_at timestamptz,
    seen        timestamptz,
    stale_at    timestamptz,                       -- online: from then on it is stale
    uptime      bigint,                            -- seconds
    tenant      text not null,
    device      text primary key,
    tags        text[] not null,
    search      text not null,                     -- id, name and tags in lower case, in which words are looked for
    name        text not null,                     -- what it is called: display name in lower case, or else its id
    changed_at  timestamptz,                       -- of the device_state that it was made from
    temperature real,
    rssi        real,
    charging    boolean,
    cell        integer,                           -- where it reports, or else where it belongs
    os          text,
    network     text,
    agent       text,
    agent_key   text                               -- orders versions: 1.9.0 before 1.10.0
) with (fillfactor = 70);                          -- only the key is indexed: each update stays in its page

insert into device_roster (enabled, presence, battery, cpu, memory, disk, load, enrolled_at, seen, stale_at, uptime, tenant,
        device, tags, search, name, changed_at, temperature, rssi, charging, cell, os, network, agent, agent_key)
    select enabled, presence, battery, cpu, memory, disk, load, enrolled_at, seen, stale_at, uptime, tenant,
        device, tags, search, name, changed_at, temperature, rssi, charging, cell, os, network, agent, agent_key
    from device_roster_before order by device;
drop table device_roster_before;

alter table device_roster enable row level security;
create policy seen on device_roster for select to muster_dashboard using ((select scope_all()) or (tenant = (select scope_tenant())
    and ((select scope_groups()) is null or device in (select scope_devices()))));
grant select on device_roster to muster_dashboard, muster_admin;
