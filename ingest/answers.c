#include "ingest/answers.h"

#include "common/limits.h"
#include "common/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES ((size_t)1024 * 1024)
enum { SWEEPS = 4 }; // an interval; how late an answer may be

struct entry {
	const char *device, *epoch;
	int64_t mark;
	int64_t sent_ms;
	bool waits;
};

// Whoever was answered within the interval, or waits for its end. There are two: a sweep moves what stays to the other.
struct entries {
	struct arena arena;
	struct index index;
	struct entry *entries;
	size_t count, max;
};

struct answers {
	struct mqtt *mqtt;
	int64_t interval_ms;
	int64_t sweep_ms; // the next one, when there are entries
	struct entries sets[2];
	int current;
};

struct answers *answers_new(struct mqtt *mqtt, int64_t interval_ms, struct error *error)
{
	struct answers *answers = calloc(1, sizeof(*answers));
	if (!answers) {
		error_errno(error, ENOMEM, "cannot make the answers");
		return NULL;
	}
	answers->mqtt = mqtt;
	answers->interval_ms = interval_ms;
	for (int i = 0; i < 2; i++)
		arena_init(&answers->sets[i].arena, KEEP_BYTES);
	return answers;
}

void answers_free(struct answers *answers)
{
	for (int i = 0; answers && i < 2; i++) {
		arena_done(&answers->sets[i].arena);
		index_done(&answers->sets[i].index);
		free(answers->sets[i].entries);
	}
	free(answers);
}

static void empty(struct entries *set)
{
	arena_reset(&set->arena);
	index_clear(&set->index);
	set->count = 0;
}

static struct entry *entry_of(struct entries *set, const char *device, const char *epoch, bool *added)
{
	char name[DEVICE_ID_MAX + EPOCH_MAX + 2];
	int len = snprintf(name, sizeof(name), "%s/%s", device, epoch);
	size_t number = index_number(&set->index, &set->arena, name, (size_t)len, added);
	if (!*added)
		return &set->entries[number];
	if (set->count == set->max) {
		set->max = set->max ? 2 * set->max : 64;
		set->entries = reallocarray(set->entries, set->max, sizeof(*set->entries));
		if (!set->entries)
			abort();
	}
	struct entry *entry = &set->entries[set->count++];
	*entry = (struct entry){
		.device = arena_string(&set->arena, device),
		.epoch = arena_string(&set->arena, epoch),
	};
	return entry;
}

// Whatever cannot be sent is covered by a later answer, or asked for again.
static void publish(struct answers *answers, const char *topic, const char *epoch, int64_t mark,
		    const struct reply *reply)
{
	char text[EPOCH_MAX + 64]; // an epoch is letters, digits and "-"
	int len = snprintf(text, sizeof(text), "{\"epoch\":\"%s\",\"seq\":%lld}", epoch, (long long)mark);
	struct mqtt_publish message = {.topic = topic, .payload = text, .payload_bytes = (size_t)len};
	if (reply) {
		message.correlation = reply->correlation;
		message.correlation_bytes = reply->correlation_bytes;
	}
	if (!mqtt_publish(answers->mqtt, &message, NULL, NULL))
		return;
}

static void send_stored(struct answers *answers, struct entry *entry, int64_t mono_ms)
{
	char topic[TOPIC_MAX_BYTES];
	if (topic_build(topic, TOPIC_STORED, entry->device, NULL))
		publish(answers, topic, entry->epoch, entry->mark, NULL);
	entry->sent_ms = mono_ms;
	entry->waits = false;
}

static void answer_device(struct answers *answers, const struct epoch_summary *epoch, int64_t mono_ms)
{
	struct entries *set = &answers->sets[answers->current];
	bool added;
	if (set->count == 0)
		answers->sweep_ms = mono_ms + answers->interval_ms / SWEEPS;
	struct entry *entry = entry_of(set, epoch->device, epoch->epoch, &added);
	if (epoch->contiguous > entry->mark)
		entry->mark = epoch->contiguous;
	if (added || mono_ms - entry->sent_ms >= answers->interval_ms)
		send_stored(answers, entry, mono_ms);
	else
		entry->waits = true;
}

void answers_committed(struct answers *answers, const struct summary *summary, int64_t mono_ms)
{
	for (size_t i = 0; i < summary->epoch_count; i++) {
		const struct epoch_summary *epoch = summary->epochs[i];
		if (epoch->contiguous == 0) // nothing yet that a device could delete
			continue;
		for (const struct reply_link *link = epoch->replies; link; link = link->next)
			publish(answers, link->reply->topic, epoch->epoch, epoch->contiguous, link->reply);
		if (epoch->unanswered)
			answer_device(answers, epoch, mono_ms);
	}
}

void answers_due(struct answers *answers, int64_t mono_ms)
{
	struct entries *old = &answers->sets[answers->current];
	if (old->count == 0 || mono_ms < answers->sweep_ms)
		return;
	struct entries *kept = &answers->sets[!answers->current];
	empty(kept);
	for (size_t i = 0; i < old->count; i++) {
		struct entry *entry = &old->entries[i];
		bool over = mono_ms - entry->sent_ms >= answers->interval_ms;
		if (over && !entry->waits)
			continue;
		if (over)
			send_stored(answers, entry, mono_ms);
		bool added;
		struct entry *moved = entry_of(kept, entry->device, entry->epoch, &added);
		moved->mark = entry->mark;
		moved->sent_ms = entry->sent_ms;
		moved->waits = entry->waits;
	}
	empty(old);
	answers->current = !answers->current;
	answers->sweep_ms = mono_ms + answers->interval_ms / SWEEPS;
}

int answers_timeout_ms(const struct answers *answers, int64_t mono_ms)
{
	if (answers->sets[answers->current].count == 0)
		return -1;
	return answers->sweep_ms > mono_ms ? (int)(answers->sweep_ms - mono_ms) : 0;
}

void answers_clear(struct answers *answers)
{
	empty(&answers->sets[0]);
	empty(&answers->sets[1]);
}
