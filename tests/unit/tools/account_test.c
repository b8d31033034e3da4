#include "tools/account.h"

#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"
#include "tools/migrate.h"

struct fixture {
	struct scratch scratch;
	struct postgres postgres;
	struct pg *pg; // as muster_admin: the rights are tested too
};

static struct pg *open_database(struct fixture *fixture, const char *role)
{
	char conninfo[160];
	struct error error;
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=%s dbname=postgres",
		       fixture->postgres.port, role);
	struct pg *pg = pg_new(conninfo, "test", &error);
	assert_non_null(pg);
	// It listens before it lets anybody in.
	int64_t deadline = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(pg, &error)) {
		if (error.kind != ERROR_UNREACHABLE || clock_mono_ms() > deadline)
			fail_msg("%s", error.what);
		process_pause();
	}
	return pg;
}

static int start(void **state)
{
	size_t count = 0;
	size_t applied = 0;
	struct error error = {0};
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	if (!fixture)
		return -1;
	(void)snprintf(fixture->scratch.folder, sizeof(fixture->scratch.folder), "/tmp/muster-unit-XXXXXX");
	*state = fixture;
	if (!mkdtemp(fixture->scratch.folder) || !postgres_init(&fixture->postgres, fixture->scratch.folder))
		return -1;
	struct pg *owner cleanup(pg_free_cleanup) = open_database(fixture, "muster");
	const struct migration *list = migrations(&count);
	if (!migrate(owner, list, count, &applied, &error))
		return -1;
	fixture->pg = open_database(fixture, "muster_admin");
	return 0;
}

static int stop(void **state)
{
	struct fixture *fixture = *state;
	pg_free(fixture->pg);
	postgres_stop(&fixture->postgres);
	return scratch_teardown(state);
}

static struct pg *pg_of(void **state)
{
	return ((struct fixture *)*state)->pg;
}

static int64_t number(struct pg *pg, const char *sql, const char *param)
{
	struct error error;
	auto_pg_result struct pg_result *result = NULL;
	if (!PG_QUERY(pg, &result, &error, sql, param))
		fail_msg("%s", error.what);
	return pg_int(result, 0, 0);
}

static void an_account_is_made_once(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error = {0};
	assert_true(account_ensure(pg, "admin", "administrator", &error));
	assert_true(account_ensure(pg, "admin", "viewer", &error));
	assert_int_equal(
		number(pg, "select count(*) from user_account where name = $1 and role = 'administrator'", "admin"), 1);
	assert_true(account_add(pg, "eve", "viewer", NULL, &error));
	assert_false(account_add(pg, "eve", "operator", NULL, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
	assert_false(account_add(pg, "Not A Name", "operator", NULL, &error));
	assert_true(pg_error_is_data(&error));
	assert_int_equal(number(pg, "select count(*) from audit where action = 'user.create' and target = $1", "eve"),
			 1);
}

static void a_token_is_stored_as_its_hash(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error = {0};
	char token[TOKEN_TEXT_BYTES];
	char other[TOKEN_TEXT_BYTES];
	bool valid = false;
	assert_true(account_ensure(pg, "ann", "operator", &error));
	assert_true(account_token_create(pg, "ann", "api", "label", 60, token, &error));
	assert_int_equal(strlen(token), TOKEN_TEXT_BYTES - 1);
	assert_true(account_token_valid(pg, token, &valid, &error));
	assert_true(valid);
	crypto_random_token(other);
	assert_true(account_token_valid(pg, other, &valid, &error));
	assert_false(valid);
	assert_true(account_token_create(pg, "ann", "login", "label", 60, other, &error));
	assert_true(account_token_valid(pg, other, &valid, &error));
	assert_false(valid); // of another kind
	assert_int_equal(number(pg, "select count(*) from access_token t where t::text like '%' || $1 || '%'", token),
			 0);
	assert_true(
		PG_QUERY(pg, NULL, &error, "update access_token set expires_at = now() where user_name = $1", "ann"));
	assert_true(account_token_valid(pg, token, &valid, &error));
	assert_false(valid);
	assert_false(account_token_create(pg, "nobody", "api", "label", 60, token, &error));
	assert_true(pg_sqlstate_is(&error, "23503"));
}

static void an_enrolment_token_is_made_and_revoked(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error = {0};
	const struct enrollment enrollment = {.device = "kiosk-1", .tags = "a,b", .uses = 3, .lifetime_s = 60};
	char token[TOKEN_TEXT_BYTES];
	char id[ENROLLMENT_ID_BYTES];
	char hash[SHA256_HEX_BYTES];
	assert_true(enrollment_create(pg, &enrollment, token, id, &error));
	crypto_sha256_hex(token, strlen(token), hash);
	assert_memory_equal(id, hash, 8);
	assert_int_equal(
		number(pg,
		       "select count(*) from enrollment_token where token_hash = decode($1, 'hex') and uses_left = 3"
		       " and device = 'kiosk-1' and tags = '{a,b}' and expires_at between now() and now() + interval "
		       "'61 s'",
		       hash),
		1);
	assert_true(enrollment_revoke(pg, id, &error));
	assert_false(enrollment_revoke(pg, id, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_int_equal(number(pg, "select count(*) from enrollment_event where token_id = $1", id), 2);
}

static void without_tags_there_are_none(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error = {0};
	const struct enrollment enrollment = {.uses = 1, .lifetime_s = 60};
	char token[TOKEN_TEXT_BYTES];
	char id[ENROLLMENT_ID_BYTES];
	assert_true(enrollment_create(pg, &enrollment, token, id, &error));
	assert_int_equal(
		number(pg, "select count(*) from enrollment_token where id = $1 and tags = '{}' and device is null",
		       id),
		1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_account_is_made_once),
		cmocka_unit_test(a_token_is_stored_as_its_hash),
		cmocka_unit_test(an_enrolment_token_is_made_and_revoked),
		cmocka_unit_test(without_tags_there_are_none),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
