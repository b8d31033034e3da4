#include "tests/unit/support/http_peer.h"

static void test_answer_and_headers(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /hello") "X-Request-ID: abc.DEF-1_2\r\n\r\n", false, &answer), 200);
	assert_string_equal(body_of(&answer), "hello");
	assert_true(has_header(&answer, "X-Request-ID: abc.DEF-1_2"));
	assert_true(has_header(&answer, "X-Content-Type-Options: nosniff"));
	assert_true(has_header(&answer, "Referrer-Policy: no-referrer"));
	assert_true(has_header(&answer, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'"));
	assert_true(has_header(&answer, "Cache-Control: no-store"));
	assert_true(has_header(&answer, "Content-Length: 5"));
	assert_non_null(strstr(answer.data, "\r\nDate: "));
	assert_null(strstr(answer.data, "Strict-Transport-Security")); // plain HTTP
	UNTIL(after_calls == 1);
	assert_int_equal(after_status, 200);
	assert_string_equal(after_pattern, "/hello");
	assert_int_equal(freed_contexts, 1);
}

static void test_request_id_is_made(void **state)
{
	static const char *const bad[] = {"", "a b", "a\"b", "<script>",
					  "01234567890123456789012345678901234567890123456789012345678901234"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf auto_buf answer;
		char text[256];
		(void)snprintf(text, sizeof(text), HEAD("GET /hello") "X-Request-ID: %s\r\n\r\n", bad[i]);
		assert_int_equal(ASK(text, false, &answer), 200);
		const char *id = strstr(answer.data, "\r\nX-Request-ID: ");
		assert_non_null(id);
		assert_int_equal(strcspn(id + 16, "\r"), 36); // a UUID
	}
}

static void test_own_headers(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /headers") "\r\n", false, &answer), 204);
	assert_true(has_header(&answer, "Content-Security-Policy: default-src 'self'"));
	assert_true(has_header(&answer, "Cache-Control: max-age=60"));
	assert_null(strstr(answer.data, "no-store"));
	assert_null(strstr(answer.data, "frame-ancestors"));
	assert_true(has_header(&answer, "Set-Cookie: a=1"));
	assert_true(has_header(&answer, "Set-Cookie: b=2"));
	assert_null(strstr(answer.data, "Injected"));
	assert_null(strstr(answer.data, "Content-Length"));
}

static void test_parts_of_a_request(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(
		ASK(HEAD("GET /devices/a%20b/parts/x+y?p=1&q=%C3%A9+z&q=2") "User-Agent: t\r\n"
									    "Cookie: other=1; session=s3; x=y\r\n\r\n",
		    false, &answer),
		200);
	assert_string_equal(body_of(&answer), "GET /devices/a%20b/parts/x+y id=a b part=x+y q=\xc3\xa9 z cookie=s3 "
					      "peer=127.0.0.1 agent=t");
}

static void test_routing(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{HEAD("GET /") "\r\n", 200},
		{HEAD("GET /?x") "\r\n", 200},
		{HEAD("GET //") "\r\n", 404},
		{HEAD("GET /hello/") "\r\n", 404},
		{HEAD("GET /hell") "\r\n", 404},
		{HEAD("GET /hello/x") "\r\n", 404},
		{HEAD("GET /devices//parts/1") "\r\n", 404},
		{HEAD("GET /devices/a%2fb/parts/1") "\r\n", 404},
		{HEAD("GET /devices/a%00/parts/1") "\r\n", 404},
		{HEAD("GET /devices/a%zz/parts/1") "\r\n", 404},
		{HEAD("DELETE /hello") "\r\n", 405},
		{HEAD("GET /hello") "X-Deny: 1\r\n\r\n", 401},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf auto_buf answer;
		int status = ASK(cases[i].text, false, &answer);
		if (status != cases[i].status)
			fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
		if (status >= 400) {
			assert_true(has_header(&answer, "Content-Type: application/problem+json"));
			struct json *auto_json problem = json_parse(body_of(&answer), strlen(body_of(&answer)), NULL);
			int64_t in_body = 0;
			assert_true(json_member_int(problem, "status", &in_body));
			assert_int_equal(in_body, status);
			assert_non_null(json_member(problem, "request_id"));
		}
	}
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("PATCH /echo") "\r\n", false, &answer), 405);
	assert_true(has_header(&answer, "Allow: POST, PUT"));
}

static void test_head(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("HEAD /hello") "Connection: close\r\n\r\n", true, &answer), 200);
	assert_true(has_header(&answer, "Content-Length: 5"));
	assert_string_equal(body_of(&answer), "");
}

static void test_bodies(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(
		ASK(HEAD("POST /echo") "Connection: close\r\nContent-Length: 4\r\n\r\nab\ncEXTRA", true, &answer), 201);
	assert_true(has_header(&answer, "Content-Length: 4"));
	assert_memory_equal(body_of(&answer), "ab\nc", 4);

	struct buf auto_buf chunked;
	assert_int_equal(ASK(HEAD("PUT /echo") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
			     false, &chunked),
			 201);
	assert_string_equal(body_of(&chunked), "abcde");
}

static void test_json(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{HEAD("POST /json") "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}", 200},
		{HEAD("POST /json") "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
		 200},
		{HEAD("POST /json") "Content-Type: application/merge-patch+json\r\nContent-Length: 2\r\n\r\n{}", 200},
		{HEAD("POST /json") "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415},
		{HEAD("POST /json") "Content-Length: 2\r\n\r\n{}", 415},
		{HEAD("POST /json") "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", 400},
		{HEAD("POST /json") "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{x", 400},
		{HEAD("POST /json") "Content-Type: application/json\r\n\r\n", 400},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf auto_buf answer;
		int status = ASK(cases[i].text, false, &answer);
		if (status != cases[i].status)
			fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(test_answer_and_headers),
		TEST(test_request_id_is_made),
		TEST(test_own_headers),
		TEST(test_parts_of_a_request),
		TEST(test_routing),
		TEST(test_head),
		TEST(test_bodies),
		TEST(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
