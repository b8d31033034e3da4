#include "commander/campaign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void only_ends_count(void **state)
{
	struct campaigns campaigns = {0};

	assert_true(campaign_note(&campaigns, NULL, STATE_SENT, STATE_SUCCEEDED)); // of no campaign
	assert_true(campaign_note(&campaigns, "7", STATE_REQUESTED, STATE_QUEUED));
	assert_true(campaign_note(&campaigns, "7", STATE_SENT, STATE_ACCEPTED));
	assert_int_equal(campaigns.count, 0);
	assert_true(campaign_note(&campaigns, "7", STATE_ACCEPTED, STATE_SUCCEEDED));
	assert_true(campaign_note(&campaigns, "7", STATE_ACCEPTED, STATE_FAILED));
	assert_true(campaign_note(&campaigns, "9", STATE_SENT, STATE_EXPIRED));
	assert_true(campaign_note(&campaigns, "7", STATE_SENT, STATE_SUCCEEDED));
	assert_int_equal(campaigns.count, 2);
	assert_int_equal(campaigns.deltas[0].id, 7);
	assert_int_equal(campaigns.deltas[0].ended[STATE_SUCCEEDED], 2);
	assert_int_equal(campaigns.deltas[0].ended[STATE_FAILED], 1);
	assert_int_equal(campaigns.deltas[1].ended[STATE_EXPIRED], 1);
	campaign_done(&campaigns);
}

static void what_comes_after_the_end_is_taken_back(void **state)
{
	struct campaigns campaigns = {0};

	assert_true(campaign_note(&campaigns, "7", STATE_EXPIRED, STATE_RUNNING));
	assert_true(campaign_note(&campaigns, "7", STATE_RUNNING, STATE_SUCCEEDED));
	assert_int_equal(campaigns.deltas[0].ended[STATE_EXPIRED], -1);
	assert_int_equal(campaigns.deltas[0].ended[STATE_SUCCEEDED], 1);
	assert_int_equal(campaigns.deltas[0].ended[STATE_RUNNING], 0);
	campaign_done(&campaigns);
}

static void there_is_a_ceiling(void **state)
{
	struct campaigns campaigns = {0};
	char id[24];

	for (int i = 0; i < CAMPAIGNS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		assert_true(campaign_note(&campaigns, id, STATE_SENT, STATE_FAILED));
	}
	assert_false(campaign_note(&campaigns, "99999", STATE_SENT, STATE_FAILED));
	assert_true(campaign_note(&campaigns, "0", STATE_SENT, STATE_FAILED));
	campaign_forget(&campaigns);
	assert_true(campaign_note(&campaigns, "99999", STATE_SENT, STATE_FAILED));
	campaign_done(&campaigns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_ends_count),
		cmocka_unit_test(what_comes_after_the_end_is_taken_back),
		cmocka_unit_test(there_is_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
