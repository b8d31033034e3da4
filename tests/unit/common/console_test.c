#include "common/console.h"

#include "tests/unit/scratch.h"

#define NOW_S 1767225600
#define CLIENT "console.0123456789abcdef0123456789abcdef"

static struct jws_signer *signer;

static int make_key(void **state)
{
	struct error error = {0};

	if (scratch_setup(state) != 0)
		return -1;
	char *path auto_free = scratch_path(state, "console.pem");

	signer = jws_signer_create(path, &error) ? jws_signer_load(path, &error) : NULL;
	return signer ? 0 : -1;
}

static int forget_key(void **state)
{
	jws_signer_free(signer);
	return scratch_teardown(state);
}

static struct console_grant a_grant(void)
{
	return (struct console_grant){.user = "alice", .client_id = CLIENT, .issued_s = NOW_S, .expires_s = NOW_S + 300, .cell = 2,
				      .count = 2, .devices = {"kiosk-7", "kiosk-8"}};
}

static bool verified(const char *token, const char *client_id, int64_t now_s, struct console_grant *out,
		     struct error *error)
{
	return console_verify(token, strlen(token), jws_signer_key(signer), 1, client_id, now_s, out, error);
}

static void what_is_signed_is_read(void **state)
{
	struct console_grant grant = a_grant(), read = {0};
	struct error error = {0};
	char *token auto_free = console_sign(signer, &grant, &error);

	assert_non_null(token);
	assert_true(verified(token, CLIENT, NOW_S + 299, &read, &error));
	assert_string_equal(read.user, "alice");
	assert_int_equal(read.count, 2);
	assert_int_equal(read.cell, 2);
	assert_true(console_may_read(&read, "fleet/v1/kiosk-8/telemetry"));
	assert_true(console_may_read(&read, "fleet/v1/kiosk-7/inventory/software"));
	static const char *const others[] = {"fleet/v1/kiosk-9/telemetry", "fleet/v1/kiosk-7", "fleet/v1/kiosk-7/other",
					     "fleet/v1/+/telemetry", "$SYS/broker/uptime", "ops/v1/op.alice/reply",
					     "guard/v1/revocations", "$CONTROL/muster/v1", ""};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(console_may_read(&read, others[i]));
}

static void all_is_all_of_the_fleet_and_no_more(void **state)
{
	struct console_grant grant = a_grant(), read = {0};
	struct error error = {0};

	grant.all = true;
	grant.count = 0;
	char *token auto_free = console_sign(signer, &grant, &error);

	assert_true(verified(token, CLIENT, NOW_S, &read, &error));
	assert_true(console_may_read(&read, "fleet/v1/any/telemetry"));
	assert_false(console_may_read(&read, "ops/v1/op.alice/reply"));
	assert_false(console_may_read(&read, "$SYS/broker/uptime"));
}

static void it_counts_for_its_client_and_its_time(void **state)
{
	static const struct {
		const char *client_id, *word;
		int64_t now_s, issued_s, expires_s;
	} cases[] = {
		{"console.ffffffffffffffffffffffffffffffff", "another client id", NOW_S, NOW_S, NOW_S + 300},
		{NULL, "another client id", NOW_S, NOW_S, NOW_S + 300},
		{CLIENT, "has expired", NOW_S + 300, NOW_S, NOW_S + 300},
		{CLIENT, "not valid yet", NOW_S, NOW_S + CONSOLE_SKEW_MAX_S + 1, NOW_S + 300},
		{CLIENT, "lives too long", NOW_S, NOW_S, NOW_S + CONSOLE_LIFETIME_MAX_S + 1},
		{CLIENT, "lives too long", NOW_S, NOW_S - 86400, NOW_S + 300},
		{CLIENT, "not valid yet", NOW_S, -1, NOW_S + 300},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct console_grant grant = a_grant(), read = {0};
		struct error error = {0};

		grant.issued_s = cases[i].issued_s;
		grant.expires_s = cases[i].expires_s;
		char *token auto_free = console_sign(signer, &grant, &error);

		assert_false(verified(token, cases[i].client_id, cases[i].now_s, &read, &error));
		assert_int_equal(error.kind, ERROR_DENIED);
		assert_non_null(strstr(error.what, cases[i].word));
	}
}

static void each_bit_counts(void **state)
{
	struct console_grant grant = a_grant(), read = {0};
	struct error error = {0};
	char *token auto_free = console_sign(signer, &grant, &error);

	for (size_t i = 0; token[i]; i++) {
		token[i] ^= 1;
		assert_false(verified(token, CLIENT, NOW_S, &read, &error));
		token[i] ^= 1;
	}
	assert_true(verified(token, CLIENT, NOW_S, &read, &error));
}

static void other_claims_are_refused(void **state)
{
#define CLAIMS(sub, client, devices) \
	"{\"sub\":" sub ",\"client_id\":" client ",\"iat\":1767225600,\"exp\":1767225900,\"cell\":1,\"devices\":" devices "}"
	static const char *const payloads[] = {
		"", "[]", "{}", "null",
		"{\"sub\":\"a\",\"client_id\":\"" CLIENT "\",\"iat\":1767225600,\"exp\":1767225900,\"devices\":\"a\"}",
		CLAIMS("\"a\"", "\"" CLIENT "\"", "\"a\",\"cell\":1"),
		CLAIMS("\"\"", "\"" CLIENT "\"", "\"a\""),
		CLAIMS("7", "\"" CLIENT "\"", "\"a\""),
		CLAIMS("\"a\"", "\"svc.ingest\"", "\"a\""),
		CLAIMS("\"a\"", "\"console.0123456789ABCDEF0123456789abcdef\"", "\"a\""),
		CLAIMS("\"a\"", "\"" CLIENT "\"", "\"\""),
		CLAIMS("\"a\"", "\"" CLIENT "\"", "\"a  b\""),
		CLAIMS("\"a\"", "\"" CLIENT "\"", "\"+\""),
		CLAIMS("\"a\"", "\"" CLIENT "\"", "\"a/b\""),
		CLAIMS("\"a\"", "\"" CLIENT "\"", "[\"a\"]"),
		CLAIMS("\"a\"", "\"" CLIENT "\"", "\"* a\""),
	};

	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		struct console_grant read;
		struct error error = {0};
		char *token auto_free = jws_sign(signer, CONSOLE_TYP, payloads[i], strlen(payloads[i]), &error);

		assert_false(verified(token, CLIENT, NOW_S, &read, &error));
	}
	struct console_grant grant = a_grant(), read = {0};
	struct error error = {0};
	const char *payload = CLAIMS("\"a\"", "\"" CLIENT "\"", "\"a\"");
	char *command auto_free = jws_sign(signer, "muster-command+jws", payload, strlen(payload), &error);
	char *good auto_free = jws_sign(signer, CONSOLE_TYP, payload, strlen(payload), &error);

	assert_false(verified(command, CLIENT, NOW_S, &read, &error));
	assert_true(verified(good, CLIENT, NOW_S, &grant, &error)); // negative control
}

static void too_many_devices_are_refused(void **state)
{
	struct console_grant grant = a_grant(), read = {0};
	struct error error = {0};
	char large[CONSOLE_TOKEN_MAX_BYTES + 2];

	for (grant.count = 0; grant.count < CONSOLE_DEVICES_MAX; grant.count++)
		(void)snprintf(grant.devices[grant.count], sizeof(grant.devices[0]), "%.60s%zu",
			       "a-name-as-long-as-one-may-be-and-that-is-sixty-three-characte", 10 + grant.count);
	char *token auto_free = console_sign(signer, &grant, &error);

	assert_true(verified(token, CLIENT, NOW_S, &read, &error));
	assert_int_equal(read.count, CONSOLE_DEVICES_MAX);
	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	assert_false(verified(large, CLIENT, NOW_S, &read, &error));
	assert_non_null(strstr(error.what, "too large"));
}

static void only_the_fleet_is_subscribed_to(void **state)
{
	assert_true(console_may_subscribe("fleet/v1/#"));
	assert_true(console_may_subscribe("fleet/v1/+/telemetry"));
	static const char *const others[] = {"#", "+/#", "$share/x/fleet/v1/#", "$SYS/#", "ops/v1/#", "fleet/#", ""};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(console_may_subscribe(others[i]));
}

static void client_ids_are_of_one_form(void **state)
{
	char one[CONSOLE_CLIENT_BYTES], other[CONSOLE_CLIENT_BYTES];

	console_client_id(one);
	console_client_id(other);
	assert_true(console_is_client_id(one));
	assert_string_not_equal(one, other);
	assert_false(console_is_client_id("console."));
	assert_false(console_is_client_id(CLIENT "0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_signed_is_read),
		cmocka_unit_test(all_is_all_of_the_fleet_and_no_more),
		cmocka_unit_test(it_counts_for_its_client_and_its_time),
		cmocka_unit_test(each_bit_counts),
		cmocka_unit_test(other_claims_are_refused),
		cmocka_unit_test(too_many_devices_are_refused),
		cmocka_unit_test(only_the_fleet_is_subscribed_to),
		cmocka_unit_test(client_ids_are_of_one_form),
	};

	return cmocka_run_group_tests(tests, make_key, forget_key);
}
