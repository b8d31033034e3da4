#include "ingest/summary.h"

#include "common/limits.h"
#include "ingest/event.h"
#include "ingest/kind.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES ((size_t)4 * 1024 * 1024)

void summary_init(struct summary *summary)
{
	*summary = (struct summary){0};
	arena_init(&summary->arena, KEEP_BYTES);
}

void summary_done(struct summary *summary)
{
	arena_done(&summary->arena);
	index_done(&summary->device_index);
	index_done(&summary->epoch_index);
	free((void *)summary->devices);
	free((void *)summary->epochs);
}

static void *grown(void *pointers, size_t count, size_t *max)
{
	if (count < *max)
		return pointers;
	*max = *max ? 2 * *max : 256;
	pointers = reallocarray(pointers, *max, sizeof(void *));
	if (!pointers)
		abort();
	return pointers;
}

static struct device_summary *device_of(struct summary *summary, const char *name)
{
	bool added;
	size_t number = index_number(&summary->device_index, &summary->arena, name, strlen(name), &added);
	if (!added)
		return summary->devices[number];
	struct device_summary *device = arena_alloc(&summary->arena, sizeof(*device));
	device->device = name;
	device->first = device->last = SUMMARY_END;
	summary->devices = grown((void *)summary->devices, summary->device_count, &summary->device_max);
	summary->devices[summary->device_count++] = device;
	return device;
}

static struct epoch_summary *epoch_of(struct summary *summary, const char *device, const char *epoch)
{
	char name[DEVICE_ID_MAX + EPOCH_MAX + 2];
	char *end = stpcpy(name, device); // by hand: this is done for every message
	*end++ = '/';
	end = stpcpy(end, epoch);
	bool added;
	size_t number =
		index_number(&summary->epoch_index, &summary->arena, name, (size_t)(end - name), &added);
	if (!added)
		return summary->epochs[number];
	struct epoch_summary *made = arena_alloc(&summary->arena, sizeof(*made));
	made->device = device;
	made->epoch = epoch;
	summary->epochs = grown((void *)summary->epochs, summary->epoch_count, &summary->epoch_max);
	summary->epochs[summary->epoch_count++] = made;
	return made;
}

static void add_seq(struct summary *summary, struct epoch_summary *epoch, int64_t seq)
{
	epoch->received++;
	struct run *last = epoch->runs ? &epoch->runs[epoch->run_count - 1] : NULL;
	if (last && seq == last->last + 1) {
		last->last = seq;
		return;
	}
	if (!epoch->runs || epoch->run_count == epoch->run_max) {
		size_t max = epoch->run_max ? 2 * epoch->run_max : 1;
		struct run *runs = arena_alloc(&summary->arena, max * sizeof(*runs));
		if (epoch->runs)
			memcpy(runs, epoch->runs, epoch->run_count * sizeof(*runs));
		epoch->runs = runs;
		epoch->run_max = max;
	}
	epoch->runs[epoch->run_count++] = (struct run){seq, seq};
}

static void add_reply(struct summary *summary, struct epoch_summary *epoch, const struct message *message)
{
	const struct reply *reply = message->reply;
	if (message->receipt)
		return;
	if (!reply) {
		epoch->unanswered = true;
		return;
	}
	for (struct reply_link *link = epoch->replies; link; link = link->next) {
		if (strcmp(link->reply->topic, reply->topic) == 0) {
			link->reply = reply; // one answer a batch: the newest correlation data
			return;
		}
	}
	struct reply_link *link = arena_alloc(&summary->arena, sizeof(*link));
	*link = (struct reply_link){reply, epoch->replies};
	epoch->replies = link;
}

static void add_hello(struct summary *summary, const struct message *message, const struct hello *hello)
{
	summary->hellos++;
	if (!hello->epoch)
		return;
	struct epoch_summary *epoch = epoch_of(summary, message->device, hello->epoch);
	if (hello->oldest_seq > epoch->floor)
		epoch->floor = hello->oldest_seq;
	add_reply(summary, epoch, message);
}

static void add_rows(struct summary *summary, const struct message *message, struct device_summary *device)
{
	for (size_t row = 0; row < message->count; row++) {
		const struct stamp *stamp = &message->stamps[row];
		// A refused message is dealt with for good by its quarantine row: it counts, or its sender would
		// send it again for ever.
		if (stamp->numbered) {
			struct epoch_summary *epoch = epoch_of(summary, message->device, stamp->epoch);
			add_seq(summary, epoch, stamp->seq);
			add_reply(summary, epoch, message);
		}
		if (!message->refusal && message->kind->tell)
			message->kind->tell(message, row, device);
	}
}

static int by_first(const void *a, const void *b)
{
	const struct run *x = a;
	const struct run *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

// Runs in order, without overlap, joined where they touch.
static void tidy_runs(struct epoch_summary *epoch)
{
	int64_t distinct = 0;
	int64_t behind = 0;
	int64_t top = 0;
	size_t kept = 0;
	for (size_t i = 0; i < epoch->run_count; i++) { // still as they came
		struct run run = epoch->runs[i];
		if (run.first < top)
			behind += (run.last < top ? run.last : top - 1) - run.first + 1;
		if (run.last > top)
			top = run.last;
	}
	if (epoch->run_count > 1)
		qsort(epoch->runs, epoch->run_count, sizeof(*epoch->runs), by_first);
	for (size_t i = 0; i < epoch->run_count; i++) {
		struct run run = epoch->runs[i];
		if (kept > 0 && run.first <= epoch->runs[kept - 1].last + 1) {
			if (run.last > epoch->runs[kept - 1].last)
				epoch->runs[kept - 1].last = run.last;
		} else {
			epoch->runs[kept++] = run;
		}
	}
	for (size_t i = 0; i < kept; i++)
		distinct += epoch->runs[i].last - epoch->runs[i].first + 1;
	epoch->run_count = kept;
	epoch->repeated = epoch->received - distinct;
	epoch->late = behind > epoch->repeated ? behind - epoch->repeated : 0;
}

static int by_device(const void *a, const void *b)
{
	const struct device_summary *const *x = a;
	const struct device_summary *const *y = b;
	return strcmp((*x)->device, (*y)->device);
}

static int by_epoch(const void *a, const void *b)
{
	const struct epoch_summary *const *x = a;
	const struct epoch_summary *const *y = b;
	int order = strcmp((*x)->device, (*y)->device);
	return order ? order : strcmp((*x)->epoch, (*y)->epoch);
}

static void chain(struct summary *summary, struct device_summary *device, size_t place)
{
	if (device->last == SUMMARY_END)
		device->first = place;
	else
		summary->next[device->last] = place;
	device->last = place;
	summary->next[place] = SUMMARY_END;
}

void summary_make(struct summary *summary, const struct message *messages, size_t count)
{
	arena_reset(&summary->arena);
	index_clear(&summary->device_index);
	index_clear(&summary->epoch_index);
	summary->device_count = summary->epoch_count = summary->refused = summary->hellos = 0;
	summary->held = false;
	summary->next = arena_alloc(&summary->arena, count * sizeof(*summary->next));
	for (size_t i = 0; i < count; i++) {
		const struct message *message = &messages[i];
		if (message->refusal)
			summary->refused++;
		if (!message->device || message->foreign)
			continue;
		struct device_summary *device = device_of(summary, message->device);
		chain(summary, device, i);
		device->messages += message->count > 0 ? message->count : 1;
		device->bytes += message->payload_bytes;
		if (message->alive && message->received_ms > device->seen_ms)
			device->seen_ms = message->received_ms;
		if (message->alive && !device->offline.firm)
			device->offline = (struct evidence){0}; // it lives on
		add_rows(summary, message, device);
		if (message->hello && !message->refusal)
			add_hello(summary, message, message->hello);
	}
	for (size_t i = 0; i < summary->device_count && !summary->held; i++)
		summary->held = summary->devices[i]->offline.why && !summary->devices[i]->offline.firm;
	for (size_t i = 0; i < summary->epoch_count; i++)
		tidy_runs(summary->epochs[i]);
	if (summary->device_count > 1)
		qsort((void *)summary->devices, summary->device_count, sizeof(void *), by_device);
	if (summary->epoch_count > 1)
		qsort((void *)summary->epochs, summary->epoch_count, sizeof(void *), by_epoch);
}

struct epoch_summary *summary_epoch(const struct summary *summary, const char *device, const char *epoch)
{
	const struct epoch_summary wanted = {.device = device, .epoch = epoch};
	const struct epoch_summary *key = &wanted;
	struct epoch_summary **found = bsearch((const void *)&key, (const void *)summary->epochs, summary->epoch_count,
					       sizeof(void *), by_epoch);
	if (!found)
		abort(); // asked for what was never there
	return *found;
}

void device_summary_reading(struct device_summary *device, const struct reading *reading, int64_t ts_ms)
{
	if (!device->has_reading || ts_ms >= device->reading_ms) {
		reading_merge(&device->reading, reading);
		device->reading_ms = ts_ms;
	} else {
		struct reading merged = *reading;
		reading_merge(&merged, &device->reading);
		device->reading = merged;
	}
	device->has_reading = true;
}

void device_summary_online(struct device_summary *device, const char *why, int64_t session, int64_t at_ms, bool firm)
{
	struct evidence *online = &device->online;
	struct evidence *offline = &device->offline;
	// What the broker remembers may be of an earlier connection, to this broker or another.
	if (!firm && session > 0 && (session < online->session || session < offline->session))
		return;
	if (!online->why || offline->why || firm > online->firm)
		*online = (struct evidence){why, session, at_ms, firm}; // otherwise the evidence that came first
	else if (session > 0)
		online->session = session;
	*offline = (struct evidence){0};
}

void device_summary_offline(struct device_summary *device, const char *why, int64_t session, int64_t at_ms, bool firm)
{
	if (session > 0 && (session < device->online.session || session < device->offline.session))
		return; // of an earlier connection
	device->offline = (struct evidence){why, session, at_ms, firm};
}
