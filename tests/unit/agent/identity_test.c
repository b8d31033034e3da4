#include "agent/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// RFC 8037, appendix A.2 and A.3
#define KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\"," \
	    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define GOOD "{\"device\":\"kiosk-7\",\"broker\":{\"host\":\"localhost\",\"port\":8883},\"command_keys\":[" KEY "]}"

static bool parse(const char *text, struct identity *identity, struct error *error)
{
	struct json *json auto_json = json_parse(text, strlen(text), error);
	assert_non_null(json);
	return identity_parse(identity, json, error);
}

static void takes_what_enrolment_says(void **state)
{
	struct error error = {0};
	struct identity identity auto_identity = {0};
	assert_true(parse(GOOD, &identity, &error));
	assert_string_equal(identity.device, "kiosk-7");
	assert_string_equal(identity.broker_host, "localhost");
	assert_int_equal(identity.broker_port, 8883);
	assert_int_equal(identity.command_key_count, 1);
	assert_string_equal(identity.command_keys[0].kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

static void refuses_the_rest(void **state)
{
	static const char *const wrong[] = {
		"[]",
		"{}",
		"{\"device\":\"Kiosk 7\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[" KEY "]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"\",\"port\":1},\"command_keys\":[" KEY "]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":0},\"command_keys\":[" KEY "]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":65536},\"command_keys\":[" KEY "]}",
		"{\"device\":\"k\",\"broker\":\"h\",\"command_keys\":[" KEY "]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[7]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[{\"kty\":\"OKP\","
		"\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[{\"kty\":\"OKP\","
		"\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[{\"kty\":\"OKP\","
		"\"crv\":\"Ed25519\",\"kid\":\"another\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
		"{\"device\":\"k\",\"broker\":{\"host\":\"h\",\"port\":1},\"command_keys\":[" KEY "," KEY "," KEY
		"," KEY "," KEY "," KEY "," KEY "," KEY "," KEY "]}",
	};
	struct error error = {0};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct identity identity auto_identity = {0};
		assert_false(parse(wrong[i], &identity, &error));
		assert_string_equal(identity.device, "");
	}
}

static void comes_back_from_the_file(void **state)
{
	char folder[] = "/tmp/muster-identity-XXXXXX";
	struct error error = {0};
	struct identity written auto_identity = {0};
	struct identity read auto_identity = {0};
	struct stat info;
	assert_non_null(mkdtemp(folder));
	identity_init(&written, folder, NULL);
	identity_init(&read, folder, NULL);
	assert_false(identity_exists(&written));
	assert_false(identity_load(&read, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);

	assert_true(parse(GOOD, &written, &error));
	(void)snprintf(written.fingerprint, sizeof(written.fingerprint), "%064d", 7);
	written.enrolled_s = 1767225600;
	assert_true(identity_save(&written, &error));
	assert_int_equal(stat(written.identity_file, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_true(identity_exists(&read));
	assert_true(identity_load(&read, &error));
	assert_string_equal(read.device, "kiosk-7");
	assert_string_equal(read.fingerprint, written.fingerprint);
	assert_int_equal(read.enrolled_s, 1767225600);
	assert_memory_equal(&read.command_keys[0], &written.command_keys[0], sizeof(read.command_keys[0]));
	assert_int_equal(unlink(written.identity_file), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_enrolment_says),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(comes_back_from_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
