#include "tools/sim/outbox.h"

#include "common/crypto.h"

#include <stdlib.h>
#include <string.h>

void outbox_init(struct outbox *outbox)
{
	*outbox = (struct outbox){.next_seq = 1};
	crypto_uuid4(outbox->epoch);
}

void outbox_done(struct outbox *outbox)
{
	while (outbox->head) {
		struct outbox_entry *entry = outbox->head;

		outbox->head = entry->next;
		free(entry);
	}
	memset(outbox, 0, sizeof(*outbox));
}

bool outbox_push(struct outbox *outbox, enum topic_kind kind, const char *payload, size_t payload_bytes,
		 int64_t seq_count, int64_t made_ms)
{
	struct outbox_entry *entry = malloc(sizeof(*entry) + payload_bytes);

	if (!entry)
		return false;
	*entry = (struct outbox_entry){
		.kind = kind,
		.first_seq = outbox->next_seq,
		.last_seq = outbox->next_seq + seq_count - 1,
		.made_ms = made_ms,
		.payload_bytes = payload_bytes,
	};
	memcpy(entry->payload, payload, payload_bytes);
	outbox->next_seq += seq_count;
	if (outbox->tail)
		outbox->tail->next = entry;
	else
		outbox->head = entry;
	outbox->tail = entry;
	if (!outbox->unsent)
		outbox->unsent = entry;
	outbox->count++;
	return true;
}

struct outbox_entry *outbox_next(const struct outbox *outbox, size_t window)
{
	return outbox->in_flight < window ? outbox->unsent : NULL;
}

void outbox_sent(struct outbox *outbox, int mid)
{
	struct outbox_entry *entry = outbox->unsent;

	entry->mid = mid;
	entry->sent_before = true;
	outbox->in_flight++;
	outbox->unsent = entry->next;
}

void outbox_rewind(struct outbox *outbox)
{
	for (struct outbox_entry *entry = outbox->head; entry != outbox->unsent; entry = entry->next)
		entry->mid = 0;
	outbox->unsent = outbox->head;
	outbox->in_flight = 0;
}

static void remove_entry(struct outbox *outbox, struct outbox_entry *before, struct outbox_entry *entry)
{
	if (before)
		before->next = entry->next;
	else
		outbox->head = entry->next;
	if (outbox->tail == entry)
		outbox->tail = before;
	if (outbox->unsent == entry)
		outbox->unsent = entry->next;
	if (entry->mid != 0)
		outbox->in_flight--;
	outbox->count--;
	free(entry);
}

size_t outbox_stored(struct outbox *outbox, const char *epoch, int64_t seq)
{
	size_t removed = 0;

	if (strcmp(epoch, outbox->epoch) != 0)
		return 0;
	while (outbox->head && outbox->head->last_seq <= seq) {
		remove_entry(outbox, NULL, outbox->head);
		removed++;
	}
	return removed;
}

bool outbox_forget(struct outbox *outbox, int mid)
{
	struct outbox_entry *before = NULL;

	if (mid == 0)
		return false;
	for (struct outbox_entry *entry = outbox->head; entry; before = entry, entry = entry->next) {
		if (entry->mid == mid) {
			remove_entry(outbox, before, entry);
			return true;
		}
	}
	return false;
}

int64_t outbox_oldest_seq(const struct outbox *outbox)
{
	return outbox->head ? outbox->head->first_seq : outbox->next_seq;
}
