#include "ingest/receipts.h"

#include "common/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECEIPT_NAME_MAX 36
#define RECEIPT_BYTES ((size_t)32 * 1024)     // of one message; more go into the next
#define RECEIPT_BYTES_MAX ((size_t)64 * 1024) // with its last entry, whose reason may be long
enum { TOPICS_MAX = 8 };		      // gathered at a time: as many bridges as ask in one batch

struct gathered {
	const char *topic; // NULL: free
	struct buf stored, refused;
};

struct receipts {
	receipts_send_fn *send;
	void *user;
	struct gathered topics[TOPICS_MAX];
	struct buf text;
};

struct receipts *receipts_new(receipts_send_fn *send, void *user, struct error *error)
{
	struct receipts *receipts = calloc(1, sizeof(*receipts));
	if (!receipts) {
		error_errno(error, ENOMEM, "cannot make the receipts");
		return NULL;
	}
	receipts->send = send;
	receipts->user = user;
	for (size_t i = 0; i < TOPICS_MAX; i++) {
		buf_init(&receipts->topics[i].stored, RECEIPT_BYTES_MAX);
		buf_init(&receipts->topics[i].refused, RECEIPT_BYTES_MAX);
	}
	buf_init(&receipts->text, 3 * RECEIPT_BYTES_MAX);
	return receipts;
}

void receipts_free(struct receipts *receipts)
{
	for (size_t i = 0; receipts && i < TOPICS_MAX; i++) {
		buf_done(&receipts->topics[i].stored);
		buf_done(&receipts->topics[i].refused);
	}
	if (receipts)
		buf_done(&receipts->text);
	free(receipts);
}

bool receipts_is_name(const void *correlation, size_t correlation_bytes)
{
	const char *text = correlation;
	for (size_t i = 0; i < correlation_bytes; i++) {
		char c = text[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return correlation_bytes > 0 && correlation_bytes <= RECEIPT_NAME_MAX;
}

static void flush(struct receipts *receipts, struct gathered *gathered)
{
	struct buf *text = &receipts->text;
	buf_clear(text);
	buf_add_str(text, "{\"stored\":[");
	buf_add(text, buf_str(&gathered->stored), gathered->stored.len_bytes);
	buf_add_str(text, "],\"refused\":[");
	buf_add(text, buf_str(&gathered->refused), gathered->refused.len_bytes);
	buf_add_str(text, "]}");
	if (!text->overflowed)
		receipts->send(receipts->user, gathered->topic, text->data, text->len_bytes);
	gathered->topic = NULL;
	buf_clear(&gathered->stored);
	buf_clear(&gathered->refused);
}

static struct gathered *gather(struct receipts *receipts, const char *topic)
{
	size_t at = 0;
	while (at < TOPICS_MAX && receipts->topics[at].topic && strcmp(receipts->topics[at].topic, topic) != 0)
		at++;
	if (at == TOPICS_MAX)
		flush(receipts, &receipts->topics[at = 0]);
	receipts->topics[at].topic = topic;
	return &receipts->topics[at];
}

static void add(struct gathered *gathered, const struct message *message)
{
	struct buf *list = message->refusal ? &gathered->refused : &gathered->stored;
	const char *comma = list->len_bytes > 0 ? "," : "";
	const char *name = message->receipt->correlation;
	int name_bytes = (int)message->receipt->correlation_bytes;
	if (message->refusal) {
		buf_addf(list, "%s{\"correlation\":\"%.*s\",\"reason\":", comma, name_bytes, name);
		json_quote(list, message->refusal);
		buf_addf(list, ",\"foreign\":%s}", message->foreign ? "true" : "false");
	} else {
		buf_addf(list, "%s\"%.*s\"", comma, name_bytes, name);
	}
}

void receipts_committed(struct receipts *receipts, const struct message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct message *message = &messages[i];
		if (!message->receipt)
			continue;
		struct gathered *gathered = gather(receipts, message->receipt->topic);
		add(gathered, message);
		if (gathered->stored.len_bytes + gathered->refused.len_bytes >= RECEIPT_BYTES)
			flush(receipts, gathered);
	}
	for (size_t i = 0; i < TOPICS_MAX; i++) {
		if (receipts->topics[i].topic)
			flush(receipts, &receipts->topics[i]);
	}
}
