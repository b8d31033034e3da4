-- What the pages for enrolment and certificates look at.

-- Certificates by the time they end, those that still stand; how many that are is counted from the index alone.
create index certificate_by_end on certificate (not_after, serial) where revoked_at is null;
create index certificate_by_authority on certificate (authority) where revoked_at is null;
create index preapproved_by_time on preapproved (created_at desc, serial);

select protect_tenant_rows('preapproved');
grant select, insert, update, delete on preapproved to muster_dashboard;
