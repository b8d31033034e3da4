#include "tools/authority.h"

#include "common/file.h"
#include "tests/unit/scratch.h"

#include <dirent.h>

static struct stack stack_in(void **state)
{
	struct scratch *scratch = *state;
	struct stack stack = {0};
	struct error error;
	(void)snprintf(stack.root, sizeof(stack.root), "%s", scratch->folder);
	assert_true(stack_prepare(&stack, &error));
	return stack;
}

static void must(bool done, const struct error *error)
{
	if (!done)
		fail_msg("%s", error->what);
}

static struct authority_list list_of(const struct stack *stack, enum authority_kind kind)
{
	struct authority_list list = {0};
	struct error error = {0};
	must(authority_list_load(stack, kind, &list, &error), &error);
	return list;
}

static size_t files_in(const struct stack *stack, const char *folder)
{
	size_t count = 0;
	DIR *dir = opendir(stack_path(stack, "%s", folder).text);
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

// What OpenSSL makes of the folder: does the issuing authority's work pass?
static int verifies(const struct stack *stack, const char *kind, const char *certificate)
{
	char command[2048];
	(void)snprintf(command, sizeof(command),
		       "openssl verify -no-CAfile -no-CAstore -CApath %s/ca/trust/%s %s/%s >/dev/null 2>&1",
		       stack->root, kind, stack->root, certificate);
	return system(command); // NOLINT(cert-env33-c): our own text
}

static void issue_to(const struct stack *stack, const char *name)
{
	struct error error = {0};
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = "pump-7", .domain = "fleet.example", .lifetime_s = 86400};
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) =
		authority_open(stack, AUTHORITY_DEVICE, AUTHORITY_CURRENT, &error);
	if (!ca)
		fail_msg("%s", error.what);
	struct stack_path key = stack_path(stack, "pump.key");
	if (!file_exists(key.text))
		must(pki_key_create(key.text, &error), &error);
	char *csr auto_free = pki_csr_create(key.text, "x", &error);
	char *pem auto_free = pki_issue(ca, csr, &subject, NULL, &error);
	assert_non_null(pem);
	must(file_write(stack_path(stack, "%s", name).text, pem, strlen(pem), 0644, &error), &error);
}

static void a_rotation_from_end_to_end(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	struct authority_list list auto_authority_list = {0};
	assert_false(authority_list_load(&stack, AUTHORITY_DEVICE, &list, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	must(authority_init(&stack, AUTHORITY_DEVICE, &error), &error);
	issue_to(&stack, "first.crt");
	assert_int_equal(verifies(&stack, "device", "first.crt"), 0);

	must(authority_add(&stack, AUTHORITY_DEVICE, &error), &error);
	assert_int_equal(files_in(&stack, "ca/trust/device"), 2);
	list = list_of(&stack, AUTHORITY_DEVICE);
	assert_int_equal(list.count, 2);
	char before[SHA256_HEX_BYTES];
	(void)snprintf(before, sizeof(before), "%s", authority_find(&list, AUTHORITY_CURRENT)->info.sha256);
	const struct authority *next = authority_find(&list, AUTHORITY_NEXT);
	assert_non_null(next);
	assert_string_not_equal(next->info.common_name, authority_find(&list, AUTHORITY_CURRENT)->info.common_name);
	issue_to(&stack, "second.crt"); // still by the first
	char *second auto_free = file_read(stack_path(&stack, "second.crt").text, 10000, NULL, &error);
	assert_true(pki_is_issued_by(second, authority_find(&list, AUTHORITY_CURRENT)->pem));

	must(authority_switch(&stack, AUTHORITY_DEVICE, &error), &error);
	authority_list_done(&list);
	list = list_of(&stack, AUTHORITY_DEVICE);
	assert_string_equal(authority_find(&list, AUTHORITY_OLD)->info.sha256, before);
	assert_string_not_equal(authority_find(&list, AUTHORITY_CURRENT)->info.sha256, before);
	issue_to(&stack, "third.crt");
	char *third auto_free = file_read(stack_path(&stack, "third.crt").text, 10000, NULL, &error);
	assert_true(pki_is_issued_by(third, authority_find(&list, AUTHORITY_CURRENT)->pem));
	assert_int_equal(verifies(&stack, "device", "first.crt"), 0);
	assert_int_equal(verifies(&stack, "device", "third.crt"), 0);
	struct pki_ca *old cleanup(pki_ca_free_cleanup) =
		authority_open(&stack, AUTHORITY_DEVICE, AUTHORITY_OLD, &error);
	assert_non_null(old); // for its revocation list

	must(authority_withdraw(&stack, AUTHORITY_DEVICE, &error), &error);
	assert_int_equal(files_in(&stack, "ca/trust/device"), 1);
	assert_int_not_equal(verifies(&stack, "device", "first.crt"), 0);
	assert_int_equal(verifies(&stack, "device", "third.crt"), 0);
	assert_false(file_exists(stack_path(&stack, "ca/device-old.key").text));
}

static void steps_out_of_order_are_refused(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	must(authority_init(&stack, AUTHORITY_SERVICE, &error), &error);
	assert_false(authority_switch(&stack, AUTHORITY_SERVICE, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_false(authority_withdraw(&stack, AUTHORITY_SERVICE, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	must(authority_add(&stack, AUTHORITY_SERVICE, &error), &error);
	assert_false(authority_add(&stack, AUTHORITY_SERVICE, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
	must(authority_switch(&stack, AUTHORITY_SERVICE, &error), &error);
	assert_false(authority_add(&stack, AUTHORITY_SERVICE, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
}

// Whatever file is left behind by a crash, the next step goes on, and all that was issued still holds.
static void what_a_crash_leaves_is_put_right(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	must(authority_init(&stack, AUTHORITY_DEVICE, &error), &error);
	issue_to(&stack, "first.crt");
	// Behind the key of the next one, before its bundle.
	must(pki_key_create(stack_path(&stack, "ca/device-next.key").text, &error), &error);
	must(authority_add(&stack, AUTHORITY_DEVICE, &error), &error);
	// Behind the bundle, before the broker's folder.
	struct authority_list list auto_authority_list = list_of(&stack, AUTHORITY_DEVICE);
	char hash[PKI_HASH_BYTES];
	must(pki_subject_hash(authority_find(&list, AUTHORITY_NEXT)->pem, hash, &error), &error);
	assert_int_equal(unlink(stack_path(&stack, "ca/trust/device/%s.0", hash).text), 0);
	// Behind the first half of the switch.
	assert_int_equal(link(stack_path(&stack, "ca/device.key").text, stack_path(&stack, "ca/device-old.key").text),
			 0);
	must(authority_switch(&stack, AUTHORITY_DEVICE, &error), &error);
	issue_to(&stack, "second.crt");
	assert_int_equal(verifies(&stack, "device", "first.crt"), 0);
	assert_int_equal(verifies(&stack, "device", "second.crt"), 0);
	// Behind the bundle of the withdrawal.
	must(authority_withdraw(&stack, AUTHORITY_DEVICE, &error), &error);
	must(file_write(stack_path(&stack, "ca/trust/device/stray.0").text, "x", 1, 0644, &error), &error);
	must(authority_init(&stack, AUTHORITY_DEVICE, &error), &error);
	assert_int_equal(files_in(&stack, "ca/trust/device"), 1);
}

static void keys_are_for_their_owner_alone(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	struct stat info;
	static const char *const keys[] = {"ca/device.key", "ca/device-next.key"};
	must(authority_init(&stack, AUTHORITY_DEVICE, &error), &error);
	must(authority_add(&stack, AUTHORITY_DEVICE, &error), &error);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_int_equal(stat(stack_path(&stack, "%s", keys[i]).text, &info), 0);
		assert_int_equal(info.st_mode & 07777, 0600);
	}
	assert_int_equal(chmod(stack_path(&stack, "ca/device.key").text, 0640), 0);
	assert_null(authority_open(&stack, AUTHORITY_DEVICE, AUTHORITY_CURRENT, &error));
	assert_int_equal(error.kind, ERROR_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {TEST(a_rotation_from_end_to_end), TEST(steps_out_of_order_are_refused),
					   TEST(what_a_crash_leaves_is_put_right),
					   TEST(keys_are_for_their_owner_alone)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
