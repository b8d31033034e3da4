#include "broker-conf/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NAME_63 "a23456789012345678901234567890123456789012345678901234567890123"

static bool login(const char *name, const char *client_id, enum identity_issuer issuer)
{
	struct identity_login login = {name, strlen(name), client_id, issuer};
	char user[PRINCIPAL_MAX] = "";
	struct error error = {0};

	if (!identity_check(&login, user, &error)) {
		assert_int_equal(error.kind, ERROR_DENIED);
		assert_string_equal(user, "");
		return false;
	}
	assert_string_equal(user, name);
	return true;
}

static void a_device_is_its_client_id(void **state)
{
	assert_true(login("kiosk-7", "kiosk-7", ISSUER_DEVICE_CA));
	assert_true(login(NAME_63, NAME_63, ISSUER_DEVICE_CA));
	assert_false(login("kiosk-7", "kiosk-8", ISSUER_DEVICE_CA));
	assert_false(login("kiosk-7", "kiosk-7.x", ISSUER_DEVICE_CA));
	assert_false(login("kiosk-7", "", ISSUER_DEVICE_CA));
	assert_false(login("kiosk-7", NULL, ISSUER_DEVICE_CA));
	assert_false(login("kiosk-7", "svc.ingest", ISSUER_DEVICE_CA));
	assert_false(login("kiosk-7", "auto.0f8c2a", ISSUER_DEVICE_CA));
}

static void each_ca_vouches_for_its_own_kind(void **state)
{
	assert_false(login("kiosk-7", "kiosk-7", ISSUER_SERVICE_CA));
	assert_false(login("kiosk-7", "kiosk-7", ISSUER_UNKNOWN));
	assert_false(login("svc.ingest", "svc.ingest", ISSUER_DEVICE_CA));
	assert_false(login("op.alice", "op.alice", ISSUER_DEVICE_CA));
	assert_false(login("op.alice", "op.alice", ISSUER_UNKNOWN));
}

static void a_service_may_add_a_suffix(void **state)
{
	assert_true(login("svc.ingest", "svc.ingest", ISSUER_SERVICE_CA));
	assert_true(login("svc.ingest", "svc.ingest.2", ISSUER_SERVICE_CA));
	assert_false(login("svc.ingest", "svc.ingest2", ISSUER_SERVICE_CA));
	assert_false(login("svc.ingest", "svc.ingest-2", ISSUER_SERVICE_CA));
	assert_false(login("svc.ingest", "svc.commander", ISSUER_SERVICE_CA));
	assert_false(login("svc.ingest", "kiosk-7", ISSUER_SERVICE_CA));
	assert_false(login("svc.ingest", "auto.0f8c2a", ISSUER_SERVICE_CA));
}

static void an_operator_takes_nobodys_id(void **state)
{
	assert_true(login("op.alice", "op.alice", ISSUER_SERVICE_CA));
	assert_true(login("op.alice", "op.alice.laptop", ISSUER_SERVICE_CA));
	assert_true(login("op.alice", "auto.0f8c2a", ISSUER_SERVICE_CA));
	assert_true(login("op.alice", "My Client", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "kiosk-7", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "svc.ingest", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "svc.", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "console.0123456789abcdef0123456789abcdef", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "op.bob", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "op.alice-2", ISSUER_SERVICE_CA)); // could be another operator
	assert_false(login("op.alice", "op.bob.laptop", ISSUER_SERVICE_CA));
	assert_false(login("op.alice", "", ISSUER_SERVICE_CA));
}

static void names_outside_the_grammar_are_nobody(void **state)
{
	static const char *const names[] = {
		"",	   "+",	      "#",	     "a/b",   "a+b",	   "kiosk#",
		"Kiosk-7", "-a",      "svc.",	     "op.",   "svc.A",	   "op.a.b",
		"root.x",  "kiosk 7", "k\xc3\xb6sk", "k\xff", NAME_63 "4", "svc." NAME_63 "4",
		"svc.+"};
	static const char with_nul[] = "kiosk-7\0.evil";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (identity_kind_of(names[i], strlen(names[i])) != IDENTITY_NONE)
			fail_msg("\"%s\" is somebody", names[i]);
		assert_false(login(names[i], names[i], ISSUER_DEVICE_CA));
		assert_false(login(names[i], names[i], ISSUER_SERVICE_CA));
	}
	assert_int_equal(identity_kind_of(with_nul, sizeof(with_nul) - 1), IDENTITY_NONE);
	assert_int_equal(identity_kind_of("kiosk-7", 7), IDENTITY_DEVICE);
	assert_int_equal(identity_kind_of("svc." NAME_63, 67), IDENTITY_SERVICE);
	assert_int_equal(identity_kind_of("op.alice", 8), IDENTITY_OPERATOR);
}

static void each_kind_stays_in_its_tree(void **state)
{
	assert_true(identity_may_touch("kiosk-7", "fleet/v1/kiosk-7/telemetry"));
	assert_false(identity_may_touch("kiosk-7", "ops/v1/kiosk-7/request"));
	assert_false(identity_may_touch("kiosk-7", "svc/v1/kiosk-7/x"));
	assert_false(identity_may_touch("kiosk-7", "$CONTROL/muster/v1"));
	assert_false(identity_may_touch("kiosk-7", "$SYS/broker/uptime"));
	assert_true(identity_may_touch("op.alice", "ops/v1/op.alice/request"));
	assert_false(identity_may_touch("op.alice", "fleet/v1/op.alice/telemetry"));
	assert_true(identity_may_touch("svc.commander", "$CONTROL/muster/v1"));
	assert_false(identity_may_touch(NULL, "fleet/v1/kiosk-7/telemetry"));
	assert_false(identity_may_touch("Nobody", "fleet/v1/kiosk-7/telemetry"));
}

static void only_commander_controls(void **state)
{
	assert_true(identity_may_control("svc.commander"));
	assert_false(identity_may_control("svc.commander2"));
	assert_false(identity_may_control("svc.ingest"));
	assert_false(identity_may_control("op.commander"));
	assert_false(identity_may_control(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_is_its_client_id),
		cmocka_unit_test(each_ca_vouches_for_its_own_kind),
		cmocka_unit_test(a_service_may_add_a_suffix),
		cmocka_unit_test(an_operator_takes_nobodys_id),
		cmocka_unit_test(names_outside_the_grammar_are_nobody),
		cmocka_unit_test(each_kind_stays_in_its_tree),
		cmocka_unit_test(only_commander_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
