#include "tools/log_text.h"

#include "tests/unit/scratch.h"

static void lines_become_text(void **state)
{
	static const struct {
		const char *line;
		const char *text;
	} cases[] = {
		{"{\"ts\":\"2026-11-21T01:10:59.290Z\",\"level\":\"info\",\"program\":\"p\",\"event\":\"a.b\",\"port\":"
		 "20503,\"x\":\"y\"}",
		 "01:10:59 a.b port=20503 x=y"},
		{"{\"level\":\"warn\",\"event\":\"a\",\"error\":\"two words\",\"none\":\"\",\"t\":true}",
		 "warn a error=\"two words\" none=\"\" t=true"},
		{"{\"ts\":\"short\",\"event\":\"a\"}", "a"},
		{"2026-11-21: New client", "2026-11-21: New client"},
		{"{\"no\":\"event\"}", "{\"no\":\"event\"}"},
		{"{\"event\":\"torn", "{\"event\":\"torn"},
		{"", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out auto_buf = {0};
		buf_init(&out, 1000);
		log_text(cases[i].line, strlen(cases[i].line), &out);
		assert_string_equal(buf_str(&out), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines_become_text)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
