#include "common/smtp.h"

#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

// What goes over the wire is tested against a server that nobody here wrote: tests/e2e/test_mail.py.

static struct loop *loop;
static size_t freed;

static int setup(void **state)
{
	struct error error = {0};

	loop = loop_new(&error);
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

static void on_done(void *user, const struct smtp_outcome *outcome)
{
	*(struct smtp_outcome *)user = *outcome;
}

static void on_free(void *user)
{
	freed++;
}

static struct smtp *client(const char *url, bool plain, struct error *error)
{
	const struct smtp_options options = {
		.url = url, .plain = plain, .helo = "example.org", .timeout_ms = PROCESS_DEADLINE_MS, .sends_max = 1};

	return smtp_new(loop, &options, on_done, error);
}

static void only_servers_of_these_forms(void **state)
{
	static const char *const wrong[] = {"http://mail", "smtp://", "smtp://mail/x", "smtp://u:p@mail", "mail"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error error = {0};

		assert_null(client(wrong[i], false, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
	}
}

static void nothing_crosses_a_network_in_the_clear(void **state)
{
	struct error error = {0};

	assert_null(client("smtp://mail.example.org:25", true, &error));
	assert_null(client("smtp://127.0.0.1.example.org:25", true, &error));
	struct smtp *smtp = client("smtp://127.0.0.1:25", true, &error);

	assert_non_null(smtp);
	smtp_free(smtp, NULL);
}

static void no_address_holds_a_command(void **state)
{
	static const char *const evil[] = {"a@b>\r\nDATA", "a b@c", "nobody", "<a@b>"};
	struct error error = {0};
	struct smtp *smtp = client("smtp://127.0.0.1:1", true, &error);

	assert_non_null(smtp);
	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		assert_false(smtp_start(smtp, "a@b", evil[i], "x", 1, NULL, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_false(smtp_start(smtp, evil[i], "a@b", "x", 1, NULL, &error));
	}
	smtp_free(smtp, NULL);
}

static void a_server_that_is_away_is_told(void **state)
{
	struct smtp_outcome outcome = {.sent = true};
	struct error error = {0};
	struct smtp *smtp = client("smtp://127.0.0.1:1", true, &error);

	assert_true(smtp_start(smtp, "a@b", "c@d", "x", 1, &outcome, &error));
	assert_false(smtp_start(smtp, "a@b", "c@d", "x", 1, &outcome, &error)); // sends_max
	assert_int_equal(error.kind, ERROR_LIMIT);
	for (int64_t end_ms = clock_mono_ms() + PROCESS_DEADLINE_MS; smtp_under_way(smtp) > 0 && clock_mono_ms() < end_ms;)
		assert_true(loop_run_once(loop, 20, &error));
	assert_false(outcome.sent);
	assert_int_equal(outcome.error.kind, ERROR_UNREACHABLE);
	assert_int_equal(outcome.reply, 0);
	smtp_free(smtp, NULL);
}

static void what_is_dropped_is_handed_back(void **state)
{
	struct smtp_outcome outcome = {0};
	struct error error = {0};
	struct smtp *smtp = client("smtp://127.0.0.1:1", true, &error);

	freed = 0;
	assert_true(smtp_start(smtp, "a@b", "c@d", "x", 1, &outcome, &error));
	smtp_free(smtp, on_free);
	assert_int_equal(freed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_servers_of_these_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_crosses_a_network_in_the_clear, setup, teardown),
		cmocka_unit_test_setup_teardown(no_address_holds_a_command, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_is_away_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_dropped_is_handed_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
