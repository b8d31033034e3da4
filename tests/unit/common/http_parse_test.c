#include "common/http_parse.h"
#include "tests/unit/scratch.h"

struct parsed {
	char text[HTTP_HEADERS_MAX_BYTES + 1];
	struct http_head head;
	struct http_refusal refusal;
};

// The status of the refusal, 0 when it parses.
static int parse(struct parsed *out, const char *text, size_t len_bytes)
{
	assert_true(len_bytes < sizeof(out->text));
	memcpy(out->text, text, len_bytes);
	out->text[len_bytes] = '\0';
	out->refusal = (struct http_refusal){0};
	if (http_head_parse(out->text, len_bytes, &out->head, &out->refusal))
		return 0;
	assert_non_null(out->refusal.detail);
	return out->refusal.status;
}

static void test_good(void **state)
{
	static const char text[] =
		"POST /a/b%20c?x=1&y HTTP/1.1\r\nHost: h\r\nContent-Length: 12 \r\nX-Thing:\t a b \r\n"
		"Expect: 100-continue\r\n\r\n";
	struct parsed parsed;
	assert_int_equal(parse(&parsed, text, sizeof(text) - 1), 0);
	assert_string_equal(parsed.head.method, "POST");
	assert_string_equal(parsed.head.path, "/a/b%20c");
	assert_string_equal(parsed.head.query, "x=1&y");
	assert_int_equal(parsed.head.content_length, 12);
	assert_false(parsed.head.chunked);
	assert_true(parsed.head.keep_alive);
	assert_true(parsed.head.expect_continue);
	assert_string_equal(http_head_field(&parsed.head, "x-thing"), "a b");
	assert_null(http_head_field(&parsed.head, "none"));
}

static void test_variants(void **state)
{
	struct parsed parsed;
	static const char absolute[] = "GET https://h:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n";
	assert_int_equal(parse(&parsed, absolute, sizeof(absolute) - 1), 0);
	assert_string_equal(parsed.head.path, "/p");
	static const char old[] = "GET / HTTP/1.0\r\n\r\n";
	assert_int_equal(parse(&parsed, old, sizeof(old) - 1), 0);
	assert_false(parsed.head.keep_alive);
	static const char old_kept[] = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
	assert_int_equal(parse(&parsed, old_kept, sizeof(old_kept) - 1), 0);
	assert_true(parsed.head.keep_alive);
	static const char closed[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close\r\n\r\n";
	assert_int_equal(parse(&parsed, closed, sizeof(closed) - 1), 0);
	assert_false(parsed.head.keep_alive);
	static const char chunked[] = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n";
	assert_int_equal(parse(&parsed, chunked, sizeof(chunked) - 1), 0);
	assert_true(parsed.head.chunked);
}

static void test_refused(void **state)
{
#define HEAD "GET / HTTP/1.1\r\nHost: h\r\n"
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"", 400},
		{"\r\n", 400},
		{"GET /\r\n\r\n", 400},
		{"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 505},
		{"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
		{"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{" / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET /\x80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: h\r\nA: b\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{HEAD "Host: h\r\n\r\n", 400},
		{HEAD "A : b\r\n\r\n", 400},
		{HEAD "A: b\r\n c\r\n\r\n", 400},
		{HEAD ": b\r\n\r\n", 400},
		{HEAD "nocolon\r\n\r\n", 400},
		{HEAD "A: \x01\r\n\r\n", 400},
		{HEAD "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
		{HEAD "Content-Length: 1\r\ncontent-length: 2\r\n\r\n", 400},
		{HEAD "Content-Length: 1, 1\r\n\r\n", 400},
		{HEAD "Content-Length: +1\r\n\r\n", 400},
		{HEAD "Content-Length: -1\r\n\r\n", 400},
		{HEAD "Content-Length: 0x1\r\n\r\n", 400},
		{HEAD "Content-Length:\r\n\r\n", 400},
		{HEAD "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{HEAD "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
		{HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{HEAD "Transfer-Encoding: \vchunked\r\n\r\n", 400},
		{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{HEAD "Expect: cake\r\n\r\n", 417},
	};
	struct parsed parsed;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = parse(&parsed, cases[i].text, strlen(cases[i].text));
		if (status != cases[i].status)
			fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
	}
	static const char with_nul[] = HEAD "A: b\0c\r\n\r\n";
	assert_int_equal(parse(&parsed, with_nul, sizeof(with_nul) - 1), 400);
}

static void test_field_ceiling(void **state)
{
	struct parsed parsed;
	char text[4096] = HEAD;
	for (int i = 0; i < HTTP_FIELDS_MAX - 1; i++)
		strcat(text, "A: b\r\n");
	strcat(text, "\r\n");
	assert_int_equal(parse(&parsed, text, strlen(text)), 0);
	text[strlen(text) - 2] = '\0';
	strcat(text, "A: b\r\n\r\n");
	assert_int_equal(parse(&parsed, text, strlen(text)), 431);
}

// Feeds data in pieces of step bytes; the body goes to out. 1: done, 0: wants more, -1: bad.
static int unchunk(const char *data, size_t len_bytes, size_t step, char *out, size_t *rest)
{
	struct http_chunks chunks = {0};
	size_t start = 0;
	size_t end = 0;
	size_t out_bytes = 0;
	for (;;) {
		size_t used;
		enum http_chunk_result result = http_chunks_next(&chunks, data + start, end - start, &used);
		assert_true(used <= end - start);
		if (result == HTTP_CHUNK_DATA) {
			memcpy(out + out_bytes, data + start, used);
			out_bytes += used;
		}
		start += used;
		out[out_bytes] = '\0';
		*rest = len_bytes - start;
		if (result == HTTP_CHUNK_DONE)
			return 1;
		if (result == HTTP_CHUNK_BAD)
			return -1;
		if (used > 0)
			continue;
		if (end == len_bytes)
			return 0;
		end = end + step < len_bytes ? end + step : len_bytes;
	}
}

static void test_chunks(void **state)
{
	static const char good[] = "5\r\nhello\r\n1;a=\"b\"\r\n \r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nrest";
	char out[64];
	size_t rest;
	for (size_t step = 1; step < sizeof(good); step++) {
		assert_int_equal(unchunk(good, sizeof(good) - 1, step, out, &rest), 1);
		assert_string_equal(out, "hello 0123456789");
		assert_int_equal(rest, 4);
	}
	static const char *const bad[] = {
		"\r\n",
		"x\r\n",
		"-1\r\n",
		"5 \r\nhello\r\n",
		"5\nhello",
		"5\r\nhelloX\r\n",
		"5\r\nhello\n0\r\n",
		"123456789\r\n",
		"0x5\r\nhello\r\n",
		"5\r\nhello\r\n\r\n",
		"0\r\nA\nB\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (unchunk(bad[i], strlen(bad[i]), 1, out, &rest) != -1)
			fail_msg("case %zu was taken", i);
	}
	assert_int_equal(unchunk("5\r\nhel", 6, 6, out, &rest), 0);
	char endless[8192];
	memset(endless, '1', sizeof(endless));
	memcpy(endless, "0;", 2);
	assert_int_equal(unchunk(endless, sizeof(endless), 100, out, &rest), -1);
	memcpy(endless, "0\r\n", 3);
	for (size_t i = 3; i + 4 < sizeof(endless); i += 4)
		memcpy(endless + i, "a:\r\n", 4);
	assert_int_equal(unchunk(endless, sizeof(endless), 100, out, &rest), -1);
}

static void test_decode(void **state)
{
	static const struct {
		const char *text;
		bool plus;
		const char *decoded; // NULL: refused
	} cases[] = {
		{"", false, ""},
		{"a%20b+c", false, "a b+c"},
		{"a%20b+c", true, "a b c"},
		{"%C3%a9", false, "\xc3\xa9"},
		{"%2", false, NULL},
		{"%", false, NULL},
		{"%gg", false, NULL},
		{"a%00b", false, NULL},
		{"%2525", false, "%25"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "%s", cases[i].text);
		assert_int_equal(http_decode(text, cases[i].plus), cases[i].decoded != NULL);
		if (cases[i].decoded)
			assert_string_equal(text, cases[i].decoded);
	}
}

static void check_range(const char *text, int64_t size_bytes, enum http_range expected, int64_t from, int64_t to)
{
	int64_t first = -1, last = -1;
	assert_int_equal(http_range_parse(text, size_bytes, &first, &last), expected);
	if (expected == HTTP_RANGE_PART) {
		assert_int_equal(first, from);
		assert_int_equal(last, to);
	}
}

static void test_range(void **state)
{
	check_range(NULL, 100, HTTP_RANGE_WHOLE, 0, 0);
	check_range("bytes=0-9", 100, HTTP_RANGE_PART, 0, 9);
	check_range("Bytes=90-", 100, HTTP_RANGE_PART, 90, 99);
	check_range("bytes=90-5000", 100, HTTP_RANGE_PART, 90, 99);
	check_range("bytes=-7", 100, HTTP_RANGE_PART, 93, 99);
	check_range("bytes=-700", 100, HTTP_RANGE_PART, 0, 99);
	check_range("bytes=99999999999999999999999-", 100, HTTP_RANGE_NONE, 0, 0);
	check_range("bytes=0-99999999999999999999999", 100, HTTP_RANGE_PART, 0, 99);
	check_range("bytes=100-", 100, HTTP_RANGE_NONE, 0, 0);
	check_range("bytes=-0", 100, HTTP_RANGE_NONE, 0, 0);
	check_range("bytes=0-", 0, HTTP_RANGE_NONE, 0, 0);
	static const char *const none[] = {"bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=1-2,5-6", "bytes=1 -2",
					   "items=0-1", "bytes 0-1", "bytes=--1", ""};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		check_range(none[i], 100, HTTP_RANGE_WHOLE, 0, 0);
}

static void test_etag(void **state)
{
	assert_true(http_etag_matches("\"a\"", "\"a\""));
	assert_true(http_etag_matches("W/\"a\"", "\"a\""));
	assert_true(http_etag_matches("\"b\", \"a\"", "\"a\""));
	assert_true(http_etag_matches("*", "\"a\""));
	assert_false(http_etag_matches("\"ab\"", "\"a\""));
	assert_false(http_etag_matches("", "\"a\""));
	assert_false(http_etag_matches(NULL, "\"a\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_etag),
		cmocka_unit_test(test_good),	      cmocka_unit_test(test_variants), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_field_ceiling), cmocka_unit_test(test_chunks),   cmocka_unit_test(test_decode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
