#include "broker-conf/revocations.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
	char folder[64];
	char path[96];
	struct revocations *list;
};

static void put(const struct fixture *fixture, const char *text)
{
	struct error error = {0};

	assert_true(file_write(fixture->path, text, strlen(text), 0600, &error));
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error error = {0};

	assert_non_null(fixture);
	(void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/revocations-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	(void)snprintf(fixture->path, sizeof(fixture->path), "%s/revoked", fixture->folder);
	put(fixture, "# stolen in May\ndevice kiosk-1\nserial 00AB01\n");
	fixture->list = revocations_new(fixture->path, &error);
	assert_non_null(fixture->list);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	(void)chmod(fixture->folder, 0700);
	(void)unlink(fixture->path);
	(void)rmdir(fixture->folder);
	revocations_free(fixture->list);
	free(fixture);
	return 0;
}

static bool change(const struct fixture *fixture, bool revoked, enum revocation_kind kind, const char *name,
		   struct error *error)
{
	struct revocation one = {.kind = kind, .revoked = revoked};

	(void)snprintf(one.name, sizeof(one.name), "%s", name);
	return revocations_apply(fixture->list, &one, 1, -1, false, error);
}

static bool has(const struct fixture *fixture, const char *device)
{
	return revocations_has(fixture->list, REVOCATION_DEVICE, device);
}

static void reads_devices_and_serials(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_true(revocations_refresh(fixture->list, &error));
	assert_true(has(fixture, "kiosk-1"));
	assert_false(has(fixture, "kiosk-2"));
	assert_false(has(fixture, "kiosk-10"));
	assert_true(revocations_has(fixture->list, REVOCATION_SERIAL, "ab01"));
	assert_true(revocations_has(fixture->list, REVOCATION_SERIAL, "0AB01"));
	assert_false(revocations_has(fixture->list, REVOCATION_SERIAL, "ab0100"));
	assert_true(revocations_has(fixture->list, REVOCATION_SERIAL, "not hex")); // closed
}

static void is_closed_before_it_was_read(void **state)
{
	assert_true(has(*state, "kiosk-2"));
}

static void is_closed_when_missing_and_opens_again(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_true(revocations_refresh(fixture->list, &error));
	assert_int_equal(unlink(fixture->path), 0);
	assert_false(revocations_refresh(fixture->list, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_true(has(fixture, "kiosk-2"));
	put(fixture, "");
	assert_true(revocations_refresh(fixture->list, &error));
	assert_false(has(fixture, "kiosk-1"));
}

static void is_closed_when_it_is_a_folder(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(mkdir(fixture->path, 0700), 0);
	assert_false(revocations_refresh(fixture->list, &error));
	assert_true(has(fixture, "kiosk-2"));
	assert_int_equal(rmdir(fixture->path), 0);
}

static void is_closed_by_any_line_not_understood(void **state)
{
	static const char *const texts[] = {
		"device kiosk-1",     // torn: kiosk-17 perhaps
		"device kiosk-1\n\n", // empty
		"device Kiosk-1\n",
		"device  kiosk-1\n",
		"device kiosk-1 \n",
		"device\n",
		"device \n",
		"serial 0x12\n",
		"serial \n",
		"kiosk-1\n",
		"revoke kiosk-1\n",
		"device kiosk-1\r\n",
		" # comment\n",
		"\xef\xbb\xbf# bom\n",
		"serial 123456789012345678901234567890123456789012\n",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct error error = {0};

		put(fixture, texts[i]);
		if (revocations_refresh(fixture->list, &error))
			fail_msg("case %zu was understood", i);
		assert_true(has(fixture, "kiosk-2"));
	}
}

static void is_closed_by_a_nul_byte(void **state)
{
	static const char text[] = "device kiosk-1\0x\n";
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_true(file_write(fixture->path, text, sizeof(text) - 1, 0600, &error));
	assert_false(revocations_refresh(fixture->list, &error));
}

static void adds_durably_and_keeps_comments(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	auto_free char *text = NULL;
	struct revocations *other = NULL;

	assert_true(change(fixture, true, REVOCATION_DEVICE, "kiosk-2", &error));
	assert_true(change(fixture, true, REVOCATION_DEVICE, "kiosk-2", &error)); // once
	assert_true(change(fixture, true, REVOCATION_SERIAL, "0FF", &error));
	assert_true(has(fixture, "kiosk-2"));
	text = file_read(fixture->path, 4096, NULL, &error);
	assert_string_equal(text, "# stolen in May\ndevice kiosk-1\nserial 00AB01\ndevice kiosk-2\nserial ff\n");
	other = revocations_new(fixture->path, &error);
	assert_true(revocations_refresh(other, &error));
	assert_true(revocations_has(other, REVOCATION_DEVICE, "kiosk-2"));
	revocations_free(other);
}

static void removes_what_it_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	auto_free char *text = NULL;

	assert_true(change(fixture, false, REVOCATION_SERIAL, "ab01", &error));
	assert_true(change(fixture, false, REVOCATION_DEVICE, "kiosk-9", &error)); // was not there
	text = file_read(fixture->path, 4096, NULL, &error);
	assert_string_equal(text, "# stolen in May\ndevice kiosk-1\nstale kiosk-9\n");
	assert_true(has(fixture, "kiosk-1"));
	assert_true(change(fixture, false, REVOCATION_DEVICE, "kiosk-1", &error));
	assert_false(has(fixture, "kiosk-1"));
}

static void refuses_bad_names(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_false(change(fixture, true, REVOCATION_DEVICE, "a\ndevice b", &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_false(change(fixture, true, REVOCATION_DEVICE, "svc.ingest", &error));
	assert_false(change(fixture, true, REVOCATION_SERIAL, "xyz", &error));
}

// The folder is gone for the write but the list is still readable through a second name: what a full disk looks like.
static void holds_what_could_not_be_stored(void **state)
{
	struct fixture *fixture = *state;
	char aside[128];
	struct error error = {0};
	auto_free char *text = NULL;

	(void)snprintf(aside, sizeof(aside), "%s.aside", fixture->path);
	assert_true(revocations_refresh(fixture->list, &error));
	assert_int_equal(rename(fixture->path, aside), 0);
	assert_false(change(fixture, true, REVOCATION_DEVICE, "kiosk-3", &error));
	assert_int_equal(rename(aside, fixture->path), 0);
	assert_true(revocations_refresh(fixture->list, &error));
	assert_true(has(fixture, "kiosk-3"));
	assert_false(has(fixture, "kiosk-4"));
	assert_true(change(fixture, true, REVOCATION_DEVICE, "kiosk-5", &error));
	text = file_read(fixture->path, 4096, NULL, &error);
	assert_non_null(strstr(text, "\ndevice kiosk-3\ndevice kiosk-5\n"));
}

static void counts_what_was_applied(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	auto_free char *text = NULL;
	const struct revocation changes[] = {{REVOCATION_SERIAL, true, "0FF"},
					     {REVOCATION_DEVICE, true, "kiosk-2"},
					     {REVOCATION_SERIAL, false, "ab01"}};

	assert_true(revocations_refresh(fixture->list, &error));
	assert_int_equal(revocations_applied(fixture->list), 0);
	assert_true(revocations_apply(fixture->list, changes, 3, 41, false, &error));
	assert_true(revocations_apply(fixture->list, changes, 0, 42, false, &error)); // nothing but the number
	assert_int_equal(revocations_applied(fixture->list), 42);
	text = file_read(fixture->path, 4096, NULL, &error);
	assert_string_equal(text, "# applied 42\n# stolen in May\ndevice kiosk-1\ndevice kiosk-2\nserial ff\n");
	assert_true(change(fixture, true, REVOCATION_DEVICE, "kiosk-3", &error));
	assert_int_equal(revocations_applied(fixture->list), 42);
}

static void marks_the_restored_as_stale(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	auto_free char *text = NULL;

	assert_true(change(fixture, false, REVOCATION_DEVICE, "kiosk-1", &error));
	assert_false(has(fixture, "kiosk-1"));
	assert_true(revocations_has(fixture->list, REVOCATION_STALE, "kiosk-1"));
	assert_false(revocations_has(fixture->list, REVOCATION_STALE, "kiosk-2"));
	assert_true(change(fixture, false, REVOCATION_STALE, "kiosk-1", &error));
	text = file_read(fixture->path, 4096, NULL, &error);
	assert_string_equal(text, "# stolen in May\nserial 00AB01\n");
}

static void only_a_whole_list_replaces_one_that_cannot_be_read(void **state)
{
	static const char *const broken[] = {"device kiosk-1", "nonsense\n", NULL};
	const struct revocation all[] = {{REVOCATION_DEVICE, true, "kiosk-4"}, {REVOCATION_DEVICE, false, "kiosk-5"}};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct error error = {0};
		auto_free char *text = NULL;

		if (broken[i])
			put(fixture, broken[i]);
		else
			assert_int_equal(unlink(fixture->path), 0);
		assert_false(revocations_apply(fixture->list, all, 2, 7, false, &error));
		assert_true(has(fixture, "anybody"));
		assert_true(revocations_apply(fixture->list, all, 2, 7, true, &error));
		assert_true(has(fixture, "kiosk-4"));
		assert_false(has(fixture, "anybody"));
		text = file_read(fixture->path, 4096, NULL, &error);
		assert_string_equal(text, "# applied 7\ndevice kiosk-4\nstale kiosk-5\n");
	}
}

static void a_whole_list_takes_away_only_what_it_names(void **state)
{
	const struct revocation all[] = {{REVOCATION_DEVICE, true, "kiosk-4"}, {REVOCATION_SERIAL, false, "ab01"}};
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_true(revocations_apply(fixture->list, all, 2, 7, true, &error));
	assert_true(has(fixture, "kiosk-1"));
	assert_true(has(fixture, "kiosk-4"));
	assert_false(revocations_has(fixture->list, REVOCATION_SERIAL, "ab01"));
}

static void digests_devices_and_serials(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	char digest[SHA256_HEX_BYTES];
	char expected[SHA256_HEX_BYTES];

	put(fixture, "# c\nserial 00AB01\nstale kiosk-2\ndevice kiosk-9\ndevice kiosk-10\ndevice kiosk-9\n");
	assert_true(revocations_refresh(fixture->list, &error));
	assert_int_equal(revocations_digest(fixture->list, digest), 3);
	crypto_sha256_hex("device kiosk-10\ndevice kiosk-9\nserial ab01\n", 43, expected);
	assert_string_equal(digest, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_devices_and_serials, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_closed_before_it_was_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_closed_when_missing_and_opens_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_closed_when_it_is_a_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_closed_by_any_line_not_understood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_closed_by_a_nul_byte, set_up, tear_down),
		cmocka_unit_test_setup_teardown(adds_durably_and_keeps_comments, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removes_what_it_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(counts_what_was_applied, set_up, tear_down),
		cmocka_unit_test_setup_teardown(marks_the_restored_as_stale, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_a_whole_list_replaces_one_that_cannot_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_whole_list_takes_away_only_what_it_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(digests_devices_and_serials, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_bad_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(holds_what_could_not_be_stored, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
