-- Messages to people by e-mail. Whoever has one to send inserts it; commander sends it by SMTP and tries again while
-- there is time. Plain text; the subject is one line.
create table mail (
    id         bigint generated always as identity primary key,
    recipient  text not null check (recipient ~ '^[^@[:space:]<>,;]{1,64}@[^@[:space:]<>,;]{1,190}$'),
    subject    text not null check (length(subject) between 1 and 200 and subject !~ '[[:cntrl:]]'),
    body       text not null check (octet_length(body) <= 65536),
    about      text not null default '',         -- what it is sent for: "password-reset", "alert", ...
    request_id text not null default '',
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 day', -- of no use any more after that
    attempts   integer not null default 0,
    next_at    timestamptz not null default now(),
    sent_at    timestamptz,
    error      text not null default ''          -- why the last attempt failed
);
create index mail_waiting on mail (next_at) where sent_at is null;

create function notify_mail() returns trigger language plpgsql as $$
begin
    notify muster_mail;
    return null;
end $$;
create trigger mail_waits after insert on mail for each statement execute function notify_mail();

grant insert on mail to muster_dashboard;
grant select, insert, update, delete on mail to muster_commander;
grant select on mail to muster_admin;
