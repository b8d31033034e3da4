// What somebody asks of the database that is not a device's everyday: enrolment, registration, renewal. It is carried
// out in the thread of server.enroller, so that the event loop goes on whatever the database does, and answered in the
// loop.
#pragma once

#include "bridge/server.h"

// Embedded, as the first member, in whatever it needs besides.
struct errand {
	struct worker_job job;
	struct server *server;
	struct http_request *request; // to be answered by done; NULL: not over HTTP
	struct json *body;            // whose strings the request consists of; owned
	// In the thread, which must not touch what belongs to the loop. False: the database failed.
	bool (*run)(struct errand *errand, struct error *error);
	// In the loop, once, also when it could not run; ends in errand_free.
	void (*done)(struct errand *errand, bool ok, const struct error *error);
	// As things stood when it was submitted; enroll.pg is the thread's. What they point to stays until done.
	struct enroll enroll;
	struct authority authority;
	int64_t deadline_ms; // monotonic: not begun later
	bool counted;
};

// calloc'd, with errand as its first member; aborts when memory ran out.
void *errand_new(size_t bytes, struct server *server, struct http_request *request);
// A database that is silent is not waited for: done is then called at once.
void errand_submit(struct errand *errand);
void errand_free(struct errand *errand);

// 503 with Retry-After.
void errand_reply_failed(struct errand *errand, const char *detail);
