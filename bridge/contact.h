// The presence of HTTP-only devices: nobody holds a connection that could break, so the bridge says for them that they
// are online while they come, and offline when they have not come for a while (docs/decisions/0006).
#pragma once

#include "bridge/link.h"
#include "bridge/worker.h"
#include "common/metrics.h"

#include <stdbool.h>

struct contacts;

struct contacts_options {
	struct link *link;
	struct worker *worker;
	struct metrics *metrics;
	int offline_after_s;
	// A request of the device is under way, so it is there.
	bool (*here)(const char *device, void *user);
	void *user;
};

struct contacts *contacts_new(struct loop *loop, const struct contacts_options *options, struct error *error)
	must_check;
void contacts_free(struct contacts *contacts); // says nothing: another bridge, or the next start, goes on
DEFINE_CLEANUP(struct contacts, contacts_free)

// The device came. reports: with something that ingest takes as a sign of life, so that none need be published.
void contacts_seen(struct contacts *contacts, const char *device, bool reports);
// The database is there (again): takes over the devices that it holds for online.
void contacts_adopt(struct contacts *contacts);
