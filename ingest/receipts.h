// What ingest says after COMMIT to a service that wants to know of each message: which are stored, and which were
// refused and why. One message a batch and response topic.
#pragma once

#include "common/mqtt.h"
#include "ingest/message.h"

#include <stdbool.h>
#include <stddef.h>

struct receipts;

typedef void receipts_send_fn(void *user, const char *topic, const char *payload, size_t payload_bytes);

struct receipts *receipts_new(receipts_send_fn *send, void *user, struct error *error) must_check;
void receipts_free(struct receipts *receipts);
DEFINE_CLEANUP(struct receipts, receipts_free)

// May this correlation data name a message in a receipt? 1 to RECEIPT_NAME_MAX letters, digits and "-".
bool receipts_is_name(const void *correlation, size_t correlation_bytes);
// Sends the receipts of messages that were committed.
void receipts_committed(struct receipts *receipts, const struct message *messages, size_t count);
