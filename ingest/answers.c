#include "ingest/answers.h"

#include "common/limits.h"
#include "common/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES ((size_t)1024 * 1024)
#define PER_MS 20      // stored messages: a burst would stand between devices and broker longer than a commit takes
#define AT_ONCE_MAX 2000
#define WAKE_MIN_MS 10 // how late the end of an interval may be noticed
#define IDLE_MAX 1024  // entries without a purpose, beside as many as have one

// idle -> ready -> resting, for an interval after it was answered -> ready again if something came meanwhile, or idle
enum state { IDLE, READY, RESTING };

struct entry {
	const char *device, *epoch;
	int64_t mark;
	int64_t sent_ms;
	enum state state;
	bool again;  // RESTING: the mark has moved
	size_t next; // in its queue
};

struct queue {
	size_t first, last, count; // entries
};

// Entries go by copying those with a purpose to the other set.
struct entries {
	struct arena arena;
	struct index index;
	struct entry *entries;
	size_t count, max;
	struct queue ready, resting; // the latter in the order of sent_ms
};

struct answers {
	struct mqtt *mqtt;
	int64_t interval_ms;
	int64_t sent_ms; // the last look at who is ready
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
	set->ready = set->resting = (struct queue){0};
}

static struct entry *entry_of(struct entries *set, const char *device, const char *epoch)
{
	char name[DEVICE_ID_MAX + EPOCH_MAX + 2];
	char *end = stpcpy(name, device); // by hand: this is done for every device of a batch
	*end++ = '/';
	end = stpcpy(end, epoch);
	bool added;
	size_t number = index_number(&set->index, &set->arena, name, (size_t)(end - name), &added);
	if (!added)
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

static void put(struct entries *set, struct entry *entry, enum state state)
{
	struct queue *queue = state == READY ? &set->ready : &set->resting;
	size_t number = (size_t)(entry - set->entries);
	if (queue->count++ == 0)
		queue->first = number;
	else
		set->entries[queue->last].next = number;
	queue->last = number;
	entry->state = state;
}

static struct entry *first(const struct entries *set, const struct queue *queue)
{
	return queue->count > 0 ? &set->entries[queue->first] : NULL;
}

static struct entry *take(struct entries *set, struct queue *queue)
{
	struct entry *entry = first(set, queue);
	queue->first = entry->next;
	queue->count--;
	entry->state = IDLE;
	return entry;
}

static void forget_idle(struct answers *answers)
{
	struct entries *old = &answers->sets[answers->current];
	struct entries *kept = &answers->sets[!answers->current];
	struct queue *const queues[] = {&old->ready, &old->resting};
	size_t purposeful = old->ready.count + old->resting.count;
	if (purposeful > 0 && old->count <= 2 * purposeful + IDLE_MAX)
		return;
	empty(kept);
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		while (queues[i]->count > 0) {
			const struct entry *entry = take(old, queues[i]);
			struct entry *moved = entry_of(kept, entry->device, entry->epoch);
			moved->mark = entry->mark;
			moved->sent_ms = entry->sent_ms;
			moved->again = entry->again;
			put(kept, moved, i == 0 ? READY : RESTING);
		}
	}
	empty(old);
	answers->current = !answers->current;
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
	entry->again = false;
}

static void answer_device(struct entries *set, const struct epoch_summary *epoch)
{
	struct entry *entry = entry_of(set, epoch->device, epoch->epoch);
	if (epoch->contiguous > entry->mark)
		entry->mark = epoch->contiguous;
	if (entry->state == IDLE)
		put(set, entry, READY);
	else
		entry->again = true;
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
			answer_device(&answers->sets[answers->current], epoch);
	}
	answers_due(answers, mono_ms);
}

void answers_due(struct answers *answers, int64_t mono_ms)
{
	struct entries *set = &answers->sets[answers->current];
	const struct entry *rested;
	if (set->count == 0)
		return;
	while ((rested = first(set, &set->resting)) && mono_ms - rested->sent_ms >= answers->interval_ms) {
		struct entry *entry = take(set, &set->resting);
		if (entry->again)
			put(set, entry, READY);
	}
	int64_t allowed = (mono_ms - answers->sent_ms) * PER_MS;
	if (allowed > AT_ONCE_MAX)
		allowed = AT_ONCE_MAX;
	for (; set->ready.count > 0 && allowed > 0; allowed--) {
		struct entry *entry = take(set, &set->ready);
		send_stored(answers, entry, mono_ms);
		put(set, entry, RESTING);
	}
	answers->sent_ms = mono_ms;
	forget_idle(answers);
}

int answers_timeout_ms(const struct answers *answers, int64_t mono_ms)
{
	const struct entries *set = &answers->sets[answers->current];
	const struct entry *rests = first(set, &set->resting);
	if (set->ready.count > 0)
		return answers->sent_ms < mono_ms ? 0 : 1;
	if (!rests)
		return -1;
	int64_t wait_ms = rests->sent_ms + answers->interval_ms - mono_ms;
	return wait_ms < WAKE_MIN_MS ? WAKE_MIN_MS : (int)wait_ms;
}

void answers_clear(struct answers *answers)
{
	empty(&answers->sets[0]);
	empty(&answers->sets[1]);
}
