// What the tests of enrolment share: a database with the schema, a device CA, and requests with fresh keys.
#pragma once

#include "bridge/enroll.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"
#include "tests/unit/support/schema.h"

struct fixture {
	struct scratch *scratch;
	struct postgres postgres;
	struct options options;
	char domain[16];
	char cert[128], key[128];
	struct pg *admin; // sees and makes everything
	struct cells cells;
	struct enroll enroll;
	unsigned keys; // made so far
};

static inline bool connect_to(struct fixture *fixture, const char *user, struct pg **out)
{
	char conninfo[160];
	struct error error = {.kind = ERROR_NONE};

	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d dbname=postgres user=%s",
		       fixture->postgres.port, user);
	*out = pg_new(conninfo, "test", &error);
	// The server listens a moment before it lets anybody in.
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (*out && clock_mono_ms() < deadline_ms) {
		if (pg_ready(*out, &error))
			return true;
		process_pause();
	}
	(void)fprintf(stderr, "%s\n", error.what);
	return false;
}

static inline int group_setup(void **state)
{
	static struct fixture fixture;
	struct error error = {.kind = ERROR_NONE};

	*state = &fixture;
	if (scratch_setup((void **)&fixture.scratch) != 0 ||
	    !postgres_init(&fixture.postgres, fixture.scratch->folder) ||
	    !connect_to(&fixture, "muster", &fixture.admin))
		return -1;
	if (!schema_init(fixture.admin, &error) || !connect_to(&fixture, "muster_bridge", &fixture.enroll.pg)) {
		(void)fprintf(stderr, "%s\n", error.what);
		return -1;
	}
	(void)snprintf(fixture.domain, sizeof(fixture.domain), "example.org");
	(void)snprintf(fixture.cert, sizeof(fixture.cert), "%s/ca.crt", fixture.scratch->folder);
	(void)snprintf(fixture.key, sizeof(fixture.key), "%s/ca.key", fixture.scratch->folder);
	if (!pki_ca_create(fixture.cert, fixture.key, "Test devices", 30, &error))
		return -1;
	fixture.enroll.ca = pki_ca_load(fixture.cert, fixture.key, &error);
	fixture.options =
		(struct options){.ca_domain = fixture.domain, .device_lifetime_s = 7L * 86400, .credential_days = 30};
	fixture.enroll.options = &fixture.options;
	fixture.enroll.cells = &fixture.cells;
	return fixture.enroll.ca ? 0 : -1;
}

static inline int group_teardown(void **state)
{
	struct fixture *fixture = *state;

	pki_ca_free(fixture->enroll.ca);
	pg_free(fixture->enroll.pg);
	pg_free(fixture->admin);
	postgres_stop(&fixture->postgres);
	return scratch_teardown((void **)&fixture->scratch);
}

static inline int64_t count(struct fixture *fixture, const char *sql)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct error error = {.kind = ERROR_NONE};

	if (!pg_query(fixture->admin, &rows, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	return pg_int(rows, 0, 0);
}

// A request with a new key. malloc'd.
static inline char *make_csr(struct fixture *fixture)
{
	char path[128];
	struct error error = {.kind = ERROR_NONE};

	(void)snprintf(path, sizeof(path), "%s/%u-%d.key", fixture->scratch->folder, fixture->keys++, getpid());
	char *csr = pki_key_create(path, &error) ? pki_csr_create(path, "whatever", &error) : NULL;
	if (!csr)
		fail_msg("%s", error.what);
	return csr;
}
