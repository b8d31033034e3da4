// Webhooks: messages about alerts leave by HTTPS POST as CloudEvents, signed, at least once. Claimed, sent after COMMIT
// and stored as mails are (mail.h). Each channel has a breaker of its own: one that is down holds up no other.
#pragma once

#include "commander/breaker.h"

#include "common/error.h"
#include "common/http_multi.h"
#include "common/log.h"
#include "common/webhook.h"

#include <stdbool.h>
#include <stdint.h>

#define HOOK_CHANNELS_MAX 256 // whose breakers are kept

struct commander;
struct hook_call; // one on its way, or ended and not stored

struct hook_channel {
	int64_t id; // 0: unused
	struct breaker breaker;
	int64_t used_ms;
};

struct hook {
	struct http_multi *http; // NULL: there are no webhooks
	struct webhook_key key;
	struct hook_channel channels[HOOK_CHANNELS_MAX];
	struct hook_call *claimed, *ended, *under_way;
	bool look;
	struct log_fault fault;
};

void hook_init(struct commander *commander);
void hook_done(struct hook *hook);
void hook_look(struct hook *hook);
bool hook_is_due(const struct hook *hook);

// The step of a turn, in its transaction; then one of the other two.
bool hook_run(struct commander *commander, struct error *error) must_check;
void hook_committed(struct commander *commander);
void hook_rolled_back(struct hook *hook);

void hook_show_metrics(struct commander *commander);
