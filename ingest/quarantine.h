// What cannot be stored is kept with the reason, for people to look at.
#pragma once

#include "ingest/copy.h"
#include "ingest/message.h"

bool quarantine_store(struct copy *copy, struct pg *pg, const struct message *messages, size_t count,
		      struct error *error) must_check;
