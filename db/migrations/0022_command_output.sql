-- What running commands print, in chunks as the device sends them (docs/protocol.md, section 17).
create table command_output (
    device      text not null,
    command     text not null,                    -- id as sent; may be unknown to us
    n           integer not null check (n >= 0),  -- 0, 1, 2, ... within the command
    epoch       text not null,
    seq         bigint not null,
    ts          timestamptz not null,
    received_at timestamptz not null,
    data        text not null,
    last        boolean not null,                 -- no more comes
    cut         boolean not null,                 -- more was printed than the device sends
    primary key (device, command, n)
);
create index command_output_by_time on command_output (received_at);

-- Deletes up to max_rows chunks that came more than keep_days ago; returns how many.
create function sweep_command_output(keep_days integer, max_rows integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    swept bigint;
begin
    if keep_days is null or keep_days < 1 then
        raise exception 'no retention of % days for output', keep_days using errcode = 'invalid_parameter_value';
    end if;
    delete from command_output where ctid = any (array(select ctid from command_output
        where received_at < now() - make_interval(days => keep_days) order by received_at limit max_rows));
    get diagnostics swept = row_count;
    return swept;
end $$;

-- ---- grants ----
revoke all on function sweep_command_output(integer, integer) from public;
grant execute on function sweep_command_output(integer, integer) to muster_ingest;
grant select, insert on command_output to muster_ingest;
grant select on command_output to muster_dashboard, muster_admin;
