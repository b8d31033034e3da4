// Where a push reaches the devices, from their hellos.
#pragma once

#include "common/pg.h"
#include "ingest/message.h"

bool push_prepare(struct pg *pg, struct error *error) must_check;
// Keeps the tokens that this batch's hellos tell, and retires those that a device has no longer.
bool push_store(struct pg *pg, const struct message *messages, size_t count, struct error *error) must_check;
