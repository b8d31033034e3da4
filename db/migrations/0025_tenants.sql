-- Whose things are: each device, and each person but those who run the installation, belongs to one tenant.
create table tenant (
    name        text primary key check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    description text not null default '' check (length(description) <= 400),
    created_at  timestamptz not null default now()
);
insert into tenant (name, description) values ('default', 'what was given to no other');
alter table device add tenant text not null default 'default' references tenant (name);
alter table user_account add tenant text references tenant (name); -- null: all tenants

-- Each statement for a person runs under three settings of the session, which the dashboard makes anew for each request:
-- muster.user; muster.tenant, a name, or '*' for all; muster.groups, the groups whose devices are all that is seen,
-- separated by commas, '' for no such bounds. New rows belong to the tenant of whoever makes them.
create function current_tenant() returns text language sql stable parallel safe as
    $$ select coalesce(nullif(nullif(current_setting('muster.tenant', true), ''), '*'), 'default') $$;

grant select on tenant to muster_dashboard, muster_commander, muster_bridge, muster_ingest, muster_admin;
grant insert on tenant to muster_admin;
