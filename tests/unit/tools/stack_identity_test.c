#include "common/cleanup.h"
#include "common/clock.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"
#include "tools/stack.h"

static const char *const files[] = {"ca/device.crt",	"ca/service.crt",      "certs/server.crt",
				    "certs/ingest.crt", "certs/commander.crt", "certs/bridge.crt", "keys/command.pem"};
static const char *const secrets[] = {"ca/device.key",	     "ca/service.key",	 "certs/server.key", "certs/ingest.key",
				      "certs/commander.key", "certs/bridge.key", "keys/command.pem"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct stack stack_in(void **state)
{
	struct scratch *scratch = *state;
	struct stack stack = {0};
	struct error error;
	(void)snprintf(stack.root, sizeof(stack.root), "%s", scratch->folder);
	assert_true(stack_prepare(&stack, &error));
	return stack;
}

static char *contents(const struct stack *stack, const char *name)
{
	struct error error;
	char *text = file_read(stack_path(stack, "%s", name).text, 65536, NULL, &error);
	if (!text)
		fail_msg("%s", error.what);
	return text;
}

static void made_once_and_kept(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	char *first[COUNT(files)];
	if (!stack_identity_files(&stack, &error))
		fail_msg("%s", error.what);
	for (size_t i = 0; i < COUNT(files); i++)
		first[i] = contents(&stack, files[i]);
	assert_true(stack_identity_files(&stack, &error));
	for (size_t i = 0; i < COUNT(files); i++) {
		char *second auto_free = contents(&stack, files[i]);
		assert_string_equal(first[i], second);
		free(first[i]);
	}
	for (size_t i = 0; i < COUNT(secrets); i++) {
		struct stat info;
		assert_int_equal(stat(stack_path(&stack, "%s", secrets[i]).text, &info), 0);
		assert_int_equal(info.st_mode & 0777, 0600);
	}
}

static void what_is_lost_or_old_is_made_anew(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	const struct pki_subject old = {.profile = PKI_SERVICE, .name = "svc.ingest", .lifetime_s = 1};
	struct pki_certificate_info info;
	assert_true(stack_identity_files(&stack, &error));
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = pki_ca_load(stack_path(&stack, "ca/service.crt").text,
								     stack_path(&stack, "ca/service.key").text, &error);
	char *csr auto_free = pki_csr_create(stack_path(&stack, "certs/ingest.key").text, "svc.ingest", &error);
	char *pem auto_free = pki_issue(ca, csr, &old, NULL, &error);
	assert_non_null(pem);
	assert_true(file_write(stack_path(&stack, "certs/ingest.crt").text, pem, strlen(pem), 0644, &error));
	assert_int_equal(unlink(stack_path(&stack, "certs/server.crt").text), 0);
	char *renewed auto_free = NULL;
	for (int64_t give_up_ms = clock_mono_ms() + 300000; !renewed || strcmp(pem, renewed) == 0;) {
		assert_true(clock_mono_ms() < give_up_ms); // two thirds of a second have to go by
		free(steal(renewed));
		assert_true(stack_identity_files(&stack, &error));
		renewed = contents(&stack, "certs/ingest.crt");
	}
	assert_true(pki_certificate_info(renewed, &info, &error));
	assert_string_equal(info.common_name, "svc.ingest");
	char *server auto_free = contents(&stack, "certs/server.crt");
	assert_true(pki_certificate_info(server, &info, &error));
	assert_string_equal(info.common_name, "localhost");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {TEST(made_once_and_kept), TEST(what_is_lost_or_old_is_made_anew)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
