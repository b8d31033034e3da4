-- Who sees the course of a tenant: who sees the tenant as a whole (0031). Elsewhere it may be said already.
select protect_tenant_rows('fleet_sample') where not (select relrowsecurity from pg_class where oid = 'fleet_sample'::regclass);
