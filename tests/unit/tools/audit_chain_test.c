#include "tools/audit_chain.h"

#include "common/buf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 5
#define TEXT_MAX 400

struct row {
	struct audit_link link;
	char text[TEXT_MAX];
};

// A chain as the database makes it.
static void make(struct row rows[ROWS])
{
	struct audit_point before = audit_beginning;
	for (size_t i = 0; i < ROWS; i++) {
		struct row *row = &rows[i];
		row->link.point.position = before.position + 1;
		memcpy(row->link.prev, before.hash, sizeof(before.hash));
		(void)snprintf(row->text, sizeof(row->text),
			       "{\"id\": %zu, \"prev\": \"%s\", \"actor\": \"ann\", \"position\": %" PRId64 "}", i + 10,
			       before.hash, before.position + 1);
		row->link.text = row->text;
		row->link.text_bytes = strlen(row->text);
		crypto_sha256_hex(row->text, row->link.text_bytes, row->link.point.hash);
		before = row->link.point;
	}
}

static bool check(struct row rows[ROWS], size_t first, size_t count, const struct audit_point *expected,
		  struct error *error)
{
	struct audit_chain chain;
	audit_chain_begin(&chain, first > 0 ? &rows[first - 1].link.point : &audit_beginning, expected);
	for (size_t i = first; i < count; i++) {
		if (!audit_chain_add(&chain, &rows[i].link, error))
			return false;
	}
	return audit_chain_end(&chain, error);
}

static void a_whole_chain_holds(void **state)
{
	struct row rows[ROWS];
	struct error error = {0};
	make(rows);
	assert_true(check(rows, 0, ROWS, NULL, &error));
	assert_true(check(rows, 2, ROWS, NULL, &error));
	assert_true(check(rows, 0, ROWS, &rows[3].link.point, &error));
	assert_true(check(rows, 0, ROWS, &rows[ROWS - 1].link.point, &error));
	assert_true(check(rows, 2, ROWS, &rows[1].link.point, &error));
}

static void a_change_shows_where_it_is(void **state)
{
	struct row rows[ROWS];
	struct error error = {0};
	for (size_t at = 0; at < ROWS; at++) {
		char position[24];
		make(rows);
		rows[at].text[strlen(rows[at].text) - 20] ^= 1;
		assert_false(check(rows, 0, ROWS, NULL, &error));
		(void)snprintf(position, sizeof(position), "position %zu was changed", at + 1);
		assert_non_null(strstr(error.what, position));
	}
	// With its hash made anew, the next one shows it.
	make(rows);
	rows[1].text[8] = '9';
	crypto_sha256_hex(rows[1].text, rows[1].link.text_bytes, rows[1].link.point.hash);
	assert_false(check(rows, 0, ROWS, NULL, &error));
	assert_non_null(strstr(error.what, "position 3 does not follow"));
}

static void what_is_missing_or_moved_shows(void **state)
{
	struct row rows[ROWS], moved;
	struct error error = {0};
	make(rows);
	rows[2].link.text = NULL;
	assert_false(check(rows, 0, ROWS, NULL, &error));
	assert_non_null(strstr(error.what, "position 3 was deleted"));
	make(rows);
	rows[2].link.point.position = 4; // as if 3 and its link were gone
	assert_false(check(rows, 0, ROWS, NULL, &error));
	assert_non_null(strstr(error.what, "position 3 is missing"));
	make(rows);
	moved = rows[1]; // two rows change places, with their positions made to fit
	moved.link.text = moved.text;
	rows[1].link.text = rows[2].text;
	rows[2].link.text = moved.text;
	assert_false(check(rows, 0, ROWS, NULL, &error));
	assert_non_null(strstr(error.what, "position 2 was changed"));
}

static void a_cut_shows_against_a_point_kept_elsewhere(void **state)
{
	struct row rows[ROWS];
	struct error error = {0};
	make(rows);
	struct audit_point kept = rows[ROWS - 1].link.point;
	assert_true(check(rows, 0, ROWS - 1, NULL, &error)); // by itself a shorter chain is whole
	assert_false(check(rows, 0, ROWS - 1, &kept, &error));
	assert_non_null(strstr(error.what, "ends at position 4"));
	kept.hash[0] = kept.hash[0] == 'a' ? 'b' : 'a';
	assert_false(check(rows, 0, ROWS, &kept, &error));
	assert_non_null(strstr(error.what, "another hash than expected"));
	assert_false(check(rows, 3, ROWS, &rows[0].link.point, &error));
}

static void points_and_lines_are_read_strictly(void **state)
{
	struct row rows[ROWS];
	struct audit_link link;
	struct audit_point point;
	struct error error = {0};
	char line[TEXT_MAX + 120];
	make(rows);
	(void)snprintf(line, sizeof(line), "5:%s", rows[4].link.point.hash);
	assert_true(audit_point_parse(line, &point));
	assert_int_equal(point.position, 5);
	static const char *const bad[] = {"", "5", "5:", "5:ab", "0:", ":", "x:y"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(audit_point_parse(bad[i], &point));
	(void)snprintf(line, sizeof(line), "{\"hash\":\"%s\",\"row\":%s}", rows[1].link.point.hash, rows[1].text);
	assert_true(audit_line_parse(line, strlen(line), &link, &error));
	assert_int_equal(link.point.position, 2);
	assert_int_equal(link.text_bytes, strlen(rows[1].text));
	assert_string_equal(link.prev, rows[0].link.point.hash);
	assert_false(audit_line_parse(line, strlen(line) - 1, &link, &error));
	assert_false(audit_line_parse(line, 0, &link, &error));
	assert_false(audit_line_parse("{}", 2, &link, &error));
	line[3] = 'x';
	assert_false(audit_line_parse(line, strlen(line), &link, &error));
	(void)snprintf(line, sizeof(line), "{\"hash\":\"%s\",\"row\":{\"position\":1}}", rows[1].link.point.hash);
	assert_false(audit_line_parse(line, strlen(line), &link, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_chain_holds),
		cmocka_unit_test(a_change_shows_where_it_is),
		cmocka_unit_test(what_is_missing_or_moved_shows),
		cmocka_unit_test(a_cut_shows_against_a_point_kept_elsewhere),
		cmocka_unit_test(points_and_lines_are_read_strictly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
