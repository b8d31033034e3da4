#include "commander/mail_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct mail_message usual(void)
{
	return (struct mail_message){.id = "17",
				     .created_ms = 1767225600123,
				     .now_ms = 1767225600000,
				     .from = "muster@example.org",
				     .to = "ada@example.com",
				     .subject = "3 devices are offline",
				     .body = "kiosk-7\nkiosk-8\n"};
}

static void writes_what_rfc_5322_asks_for(void **state)
{
	struct mail_message message = usual();
	auto_buf struct buf out;
	struct error error = {0};

	buf_init(&out, MAIL_MESSAGE_MAX_BYTES);
	assert_true(mail_message_build(&message, &out, &error));
	assert_string_equal(buf_str(&out), "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
					   "From: Muster <muster@example.org>\r\nTo: <ada@example.com>\r\n"
					   "Subject: 3 devices are offline\r\n"
					   "Message-ID: <17.1767225600123@example.org>\r\n"
					   "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
					   "Content-Type: text/plain; charset=utf-8\r\n"
					   "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
					   "kiosk-7\r\nkiosk-8\r\n");
}

static void a_header_cannot_be_put_in(void **state)
{
	static const char *const evil[] = {"a\r\nBcc: eve@example.net", "a\nb", "a\rb", "tab\tbed", ""};
	auto_buf struct buf out;

	buf_init(&out, MAIL_MESSAGE_MAX_BYTES);
	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		struct mail_message message = usual();
		struct error error = {0};

		message.subject = evil[i];
		assert_false(mail_message_build(&message, &out, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		message = usual();
		message.to = evil[i];
		assert_false(mail_message_build(&message, &out, &error));
	}
	assert_int_equal(out.len_bytes, 0);
}

static void addresses_are_bare(void **state)
{
	static const char *const evil[] = {"a@b, c@d", "<a@b>", "nobody", "a@b>\r\nRCPT TO:<c@d"};

	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		struct mail_message message = usual();
		auto_buf struct buf out;
		struct error error = {0};

		buf_init(&out, MAIL_MESSAGE_MAX_BYTES);
		message.to = evil[i];
		assert_false(mail_message_build(&message, &out, &error));
	}
}

// No line is longer than 78 characters, whatever the text is.
static void check_lines(const char *text)
{
	for (const char *line = text; *line;) {
		const char *end = strstr(line, "\r\n");

		assert_non_null(end);
		assert_true(end - line <= 78);
		assert_null(memchr(line, '\n', (size_t)(end - line)));
		line = end + 2;
	}
}

static void other_alphabets_are_encoded(void **state)
{
	struct mail_message message = usual();
	auto_buf struct buf out;
	struct error error = {0};

	buf_init(&out, MAIL_MESSAGE_MAX_BYTES);
	message.subject = "Gerät „Küche“ ist seit 10 min außer Betrieb, und zwar ganz und gar";
	message.body =
		"5 > 4 = wahr \näöü und eine sehr lange Zeile, die länger ist, als eine Zeile in einer Nachricht "
		"sein darf, also länger als 78 Zeichen\n";
	assert_true(mail_message_build(&message, &out, &error));
	check_lines(buf_str(&out));
	assert_non_null(strstr(buf_str(&out), "Subject: =?utf-8?q?Ger=C3=A4t=20=E2=80=9EK"));
	assert_non_null(strstr(buf_str(&out), "5 > 4 =3D wahr=20\r\n=C3=A4=C3=B6=C3=BC und"));
	for (size_t i = 0; i < out.len_bytes; i++)
		assert_true((unsigned char)out.data[i] < 0x7f);
}

static void a_subject_that_looks_encoded_is_not_taken_for_it(void **state)
{
	struct mail_message message = usual();
	auto_buf struct buf out;
	struct error error = {0};

	buf_init(&out, MAIL_MESSAGE_MAX_BYTES);
	message.subject = "=?utf-8?q?x?=";
	assert_true(mail_message_build(&message, &out, &error));
	assert_non_null(strstr(buf_str(&out), "Subject: =?utf-8?q?=3D=3Futf=2D8=3Fq=3Fx=3F=3D?=\r\n"));
}

static void a_lone_byte_and_the_end_do_no_harm(void **state)
{
	struct mail_message message = usual();
	auto_buf struct buf out;
	struct error error = {0};

	buf_init(&out, MAIL_MESSAGE_MAX_BYTES);
	message.subject = "\x80\xff\xf0";
	message.body = "\r\n.\r\nno end";
	assert_true(mail_message_build(&message, &out, &error));
	assert_non_null(strstr(buf_str(&out), "=?utf-8?q?=80=FF=F0?="));
	assert_non_null(strstr(buf_str(&out), "\r\n\r\n\r\n.\r\nno end\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_what_rfc_5322_asks_for),
		cmocka_unit_test(a_header_cannot_be_put_in),
		cmocka_unit_test(addresses_are_bare),
		cmocka_unit_test(other_alphabets_are_encoded),
		cmocka_unit_test(a_subject_that_looks_encoded_is_not_taken_for_it),
		cmocka_unit_test(a_lone_byte_and_the_end_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
