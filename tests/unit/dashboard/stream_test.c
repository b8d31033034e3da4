#include "dashboard/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_frame_has_id_event_and_data(void **state)
{
	auto_buf struct buf out;

	buf_init(&out, 256);
	stream_frame(&out, "devices", 1767225600123456, "[{\"device\":\"kiosk-7\"}]");
	assert_string_equal(buf_str(&out),
			    "id: 1767225600123456\nevent: devices\ndata: [{\"device\":\"kiosk-7\"}]\n\n");
}

static void without_an_id_the_last_one_stays(void **state)
{
	auto_buf struct buf out;

	buf_init(&out, 256);
	stream_frame(&out, "end", 0, "{}");
	assert_string_equal(buf_str(&out), "event: end\ndata: {}\n\n");
}

static void a_frame_that_does_not_fit_is_seen(void **state)
{
	auto_buf struct buf out;

	buf_init(&out, 24);
	stream_frame(&out, "devices", 1767225600123456, "[]");
	assert_true(out.overflowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_has_id_event_and_data),
		cmocka_unit_test(without_an_id_the_last_one_stays),
		cmocka_unit_test(a_frame_that_does_not_fit_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
