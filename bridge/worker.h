// The database, from a thread of its own: whatever it takes to answer, the event loop goes on. Jobs run one after
// another, in order, on one connection, which also listens to notifications.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stddef.h>

struct worker;

// A job is embedded in whatever it works on.
struct worker_job {
	// In the thread; must not touch what belongs to the loop. False: it failed.
	bool (*run)(struct worker_job *job, struct pg *pg, struct error *error);
	// In the loop, once for each submitted job, also when it could not run; releases it.
	void (*done)(struct worker_job *job, bool ok, const struct error *error);
	struct worker_job *next; // the worker's, as is what follows
	bool ok;
	struct error error;
};

struct worker_options {
	const char *conninfo;
	const char *application_name;
	// NULL-terminated, at most WORKER_CHANNELS_MAX: what to listen to. NULL: to nothing, and then neither of the
	// functions is needed.
	const char *const *channels;
	// In the loop: the channel (by its index) was notified, or may have been while there was no connection.
	void (*notified)(size_t channel, void *user);
	void (*connected)(void *user); // in the loop, after each connect
	void *user;
};

struct worker *worker_new(struct loop *loop, const struct worker_options *options, struct error *error) must_check;
// Waits for the job at work, whose statement is interrupted; done of all jobs left is called.
void worker_free(struct worker *worker);
DEFINE_CLEANUP(struct worker, worker_free)

// False when WORKER_QUEUE_MAX jobs wait already, or the worker is being freed; done is not called then.
bool worker_submit(struct worker *worker, struct worker_job *job) must_check;
// The database has answered within the last WORKER_FRESH_MS, so that notifications come.
bool worker_fresh(struct worker *worker);
// There is a connection, and whatever the database was asked last on it, it has not answered for WORKER_FRESH_MS.
bool worker_silent(struct worker *worker);
