#include "dashboard/assets.h"

#include "common/http_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char pack[] = "index.html text/html;charset=utf-8 5 3\nhelloGZ!app-1.js text/javascript 2 0\nab\n";

static void a_pack_is_taken_apart(void **state)
{
	struct assets assets;

	assert_true(assets_parse(&assets, pack, sizeof(pack) - 1, NULL));
	assert_int_equal(assets.count, 2);

	const struct asset *page = assets_find(&assets, "index.html");

	assert_string_equal(page->content_type, "text/html;charset=utf-8");
	assert_memory_equal(page->plain, "hello", page->plain_bytes);
	assert_memory_equal(page->gzip, "GZ!", page->gzip_bytes);
	assert_string_equal(page->etag, "\"2cf24dba5fb0a30e26e83b2ac5b9e29e\""); // of SHA-256("hello")
	assert_int_equal(assets_find(&assets, "app-1.js")->gzip_bytes, 0);
	assert_null(assets_find(&assets, "app-1"));
}

static void every_cut_is_refused(void **state)
{
	struct assets assets;
	struct error error;

	for (size_t length = 0; length < sizeof(pack) - 1; length++) {
		// A cut right behind a file leaves a whole pack of fewer files; only its end mark is missing.
		bool whole = length == strlen("index.html text/html;charset=utf-8 5 3\nhelloGZ!") ||
			     length == sizeof(pack) - 2;

		assert_int_equal(assets_parse(&assets, pack, length, &error), whole);
	}
}

static void malformed_headers_are_refused(void **state)
{
	static const char *const bad[] = {
		"index.html text/html 5\nhello\n",     "index.html text/html -5 3\nhelloGZ!\n",
		"index.html text/html 5 3 9\nhello\n", "index.html text/html 99999999999999999999999 3\nhelloGZ!\n",
		"index.html text/html 5 999\nhelloGZ!\n", "other.html text/html 5 3\nhelloGZ!\n",
	};
	struct assets assets;
	struct error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(assets_parse(&assets, bad[i], strlen(bad[i]), &error));
}

static void accept_encoding_is_understood(void **state)
{
	assert_true(http_accepts_gzip("gzip, deflate, br"));
	assert_true(http_accepts_gzip("br, GZIP;q=0.5"));
	assert_true(http_accepts_gzip("*"));
	assert_false(http_accepts_gzip(NULL));
	assert_false(http_accepts_gzip(""));
	assert_false(http_accepts_gzip("br, x-gzip2"));
	assert_false(http_accepts_gzip("gzip;q=0, br"));
	assert_false(http_accepts_gzip(",,, "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pack_is_taken_apart),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(malformed_headers_are_refused),
		cmocka_unit_test(accept_encoding_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
