#include "commander/verifier.h"

#include "common/signature.h"
#include "tests/unit/support/certificate.h"

#define COUNT 300

static const char text[] = "what was said";
static struct verifier *verifier;
static char *certificate;
static char good[SIGNATURE_TEXT_MAX], foreign[SIGNATURE_TEXT_MAX];

static int group_setup(void **state)
{
	struct error error = {0};
	if (scratch_setup(state) != 0)
		return -1;
	char *key auto_free = pki_key_new(&error);
	char *other auto_free = pki_key_new(&error);
	certificate = certificate_issue(state, "kiosk-7", key, NULL);
	verifier = verifier_new(&error);
	return verifier && signature_make_pem(key, text, strlen(text), good, &error) &&
			       signature_make_pem(other, text, strlen(text), foreign, &error)
		       ? 0
		       : -1;
}

static int group_teardown(void **state)
{
	verifier_free(verifier);
	free(certificate);
	return scratch_teardown(state);
}

// Every third is by another key; of every seventh something is missing.
static bool is_good(size_t i)
{
	return i % 3 != 0 && i % 7 != 0;
}

static void fill(struct verifier_check *checks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		checks[i] = (struct verifier_check){
			.certificates = i % 21 == 7 ? NULL : certificate,
			.text = i % 21 == 14 ? NULL : text,
			.sig = i % 21 == 0 ? NULL : i % 7 == 0 ? "AA" : i % 3 == 0 ? foreign : good,
		};
}

static void answers_each(void **state)
{
	struct verifier_check checks[COUNT];
	fill(checks, COUNT);
	verifier_start(verifier, checks, COUNT);
	for (size_t chunk = 50; chunk <= COUNT; chunk += 50) {
		verifier_await(verifier, chunk);
		for (size_t i = chunk - 50; i < chunk; i++)
			assert_int_equal(checks[i].good, is_good(i));
	}
	verifier_stop(verifier);
}

// A transaction that failed leaves its checks, which go with its rows.
static void gives_up_in_the_middle(void **state)
{
	for (size_t round = 0; round < 30; round++) {
		struct verifier_check *checks = calloc(COUNT, sizeof(*checks));
		assert_non_null(checks);
		fill(checks, COUNT);
		verifier_start(verifier, checks, COUNT);
		verifier_await(verifier, round % 3 * 2);
		for (size_t i = 0; i < round % 3 * 2; i++)
			assert_int_equal(checks[i].good, is_good(i));
		verifier_stop(verifier);
		memset(checks, 0xff, COUNT * sizeof(*checks));
		free(checks);
	}
	answers_each(state);
}

static void nothing_and_one(void **state)
{
	struct verifier_check check = {.certificates = certificate, .text = text, .sig = good};
	verifier_start(verifier, NULL, 0);
	verifier_await(verifier, 0);
	verifier_stop(verifier);
	verifier_start(verifier, &check, 1);
	verifier_await(verifier, 1);
	verifier_stop(verifier);
	assert_true(check.good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_each),
		cmocka_unit_test(gives_up_in_the_middle),
		cmocka_unit_test(nothing_and_one),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
