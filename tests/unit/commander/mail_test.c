#include "commander/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static enum mail_verdict judge(int reply, enum error_kind kind)
{
	struct smtp_outcome outcome = {.sent = kind == ERROR_NONE, .reply = reply};

	outcome.error.kind = kind;
	return mail_judge(&outcome);
}

static void what_the_server_says_decides(void **state)
{
	assert_int_equal(judge(250, ERROR_NONE), MAIL_SENT);
	assert_int_equal(judge(550, ERROR_FAILED), MAIL_REFUSED); // no such mailbox
	assert_int_equal(judge(552, ERROR_FAILED), MAIL_REFUSED); // too large
	assert_int_equal(judge(451, ERROR_FAILED), MAIL_LATER);	  // greylisting
	assert_int_equal(judge(450, ERROR_FAILED), MAIL_LATER);
	assert_int_equal(judge(0, ERROR_INVALID), MAIL_REFUSED); // it could not even be built
}

static void a_server_that_is_not_there_is_not_the_mails_fault(void **state)
{
	assert_int_equal(judge(0, ERROR_UNREACHABLE), MAIL_AWAY);
	assert_int_equal(judge(421, ERROR_FAILED), MAIL_AWAY);	// it shuts down
	assert_int_equal(judge(535, ERROR_DENIED), MAIL_AWAY);	// our password
	assert_int_equal(judge(550, ERROR_TIMEOUT), MAIL_AWAY); // a reply to something else
	assert_int_equal(judge(250, ERROR_FAILED), MAIL_AWAY);	// and then it was gone
}

static void tries_become_rarer(void **state)
{
	for (int i = 0; i < 100; i++) {
		assert_in_range(mail_retry_s(60, 1), 30, 60);
		assert_in_range(mail_retry_s(60, 2), 60, 120);
		assert_in_range(mail_retry_s(60, 5), 480, 960);
		assert_in_range(mail_retry_s(60, 1000), 1800, 3600);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_server_says_decides),
		cmocka_unit_test(a_server_that_is_not_there_is_not_the_mails_fault),
		cmocka_unit_test(tries_become_rarer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
