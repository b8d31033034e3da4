// What is asked for when a campaign is previewed or created: a JSON body, checked.
#pragma once

#include "common/action.h"
#include "common/clock.h"
#include "common/device_sql.h"
#include "common/rollout.h"
#include "dashboard/targets.h"

#include <stdbool.h>
#include <stdint.h>

#define CAMPAIGN_RELEASE_MAX_S 315360000.0 // ten years: beyond, a preview says no more
#define CAMPAIGN_NAME_MAX 100

struct campaign_body {
	const char *name; // "" when it has none
	const struct action *action;
	struct json *params; // owned
	int64_t ttl_s;
	int64_t expect; // that it is for so many; -1: not said
	bool confirm, continuous, start, in_window;
	int64_t begin_ms; // not before; 0: at once
	struct rollout rollout;
	struct targets targets;
};

void campaign_body_init(struct campaign_body *body);
void campaign_body_done(struct campaign_body *body);
// Texts belong to json. error.what ends in a full stop.
bool campaign_body_read(const struct json *json, struct campaign_body *body, struct error *error) must_check;
// What only creating one needs: a name, and the word that a destructive action is meant.
bool campaign_body_check(const struct campaign_body *body, struct error *error) must_check;
