#include "agent/contact.h"

#define RETRY_MS 1000 // between two looks at whether what waits has been stored

void contact_init(struct contact *contact, bool on_demand, int64_t stay_s, int64_t now_ms)
{
	*contact = (struct contact){
		.on_demand = on_demand,
		.stay_ms = stay_s * 1000,
		.woken_ms = now_ms,
		.busy_ms = now_ms,
		.wake_ms = now_ms - CONTACT_WAKE_EVERY_MS,
	};
}

static bool awake(struct contact *contact, int64_t now_ms)
{
	bool slept = contact->asleep;
	contact->woken_ms = now_ms;
	contact->busy_ms = now_ms;
	contact->asleep = false;
	return slept;
}

bool contact_heartbeat(struct contact *contact, int64_t now_ms)
{
	return contact->asleep && awake(contact, now_ms);
}

void contact_wake(struct contact *contact, int64_t now_ms)
{
	int64_t earliest_ms = contact->wake_ms + CONTACT_WAKE_EVERY_MS;
	if (contact->due_ms == 0)
		contact->due_ms = earliest_ms > now_ms ? earliest_ms : now_ms;
}

bool contact_woken(struct contact *contact, int64_t now_ms)
{
	if (contact->due_ms == 0 || now_ms < contact->due_ms)
		return false;
	contact->due_ms = 0;
	contact->wake_ms = now_ms;
	(void)awake(contact, now_ms);
	return true;
}

void contact_busy(struct contact *contact, int64_t now_ms)
{
	contact->busy_ms = now_ms;
}

static int64_t try_ms(const struct contact *contact)
{
	return contact->stay_ms > CONTACT_TRY_MIN_MS ? contact->stay_ms : CONTACT_TRY_MIN_MS;
}

bool contact_sleep(struct contact *contact, bool connected, bool idle, int64_t now_ms)
{
	if (!contact->on_demand || contact->asleep || contact->due_ms != 0)
		return false;
	contact->looked_ms = now_ms;
	if (connected)
		contact->asleep = (idle && now_ms >= contact->busy_ms + contact->stay_ms) ||
				  now_ms >= contact->busy_ms + contact->stay_ms * CONTACT_LONGEST_STAYS;
	else
		contact->asleep = now_ms >= contact->woken_ms + try_ms(contact);
	return contact->asleep;
}

int64_t contact_deadline_ms(const struct contact *contact)
{
	int64_t deadline_ms = INT64_MAX;
	if (contact->due_ms != 0)
		deadline_ms = contact->due_ms;
	if (!contact->on_demand || contact->asleep)
		return deadline_ms;
	int64_t sleep_ms = contact->busy_ms + contact->stay_ms;
	if (sleep_ms < contact->looked_ms + RETRY_MS)
		sleep_ms = contact->looked_ms + RETRY_MS; // something is not done yet
	return sleep_ms < deadline_ms ? sleep_ms : deadline_ms;
}
