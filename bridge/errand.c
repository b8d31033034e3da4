#include "bridge/errand.h"

#include "common/clock.h"

#include <stdlib.h>

#define WAIT_MS 10000 // behind others: whoever asked is then told to come back

void *errand_new(size_t bytes, struct server *server, struct http_request *request)
{
	struct errand *errand = calloc(1, bytes);

	if (!errand)
		abort();
	errand->server = server;
	errand->request = request;
	return errand;
}

static bool run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct errand *errand = (struct errand *)job;

	if (clock_mono_ms() > errand->deadline_ms)
		return error_set(error, ERROR_TIMEOUT, "the database takes too long");
	errand->enroll.pg = pg;
	return errand->run(errand, error);
}

static void done(struct worker_job *job, bool ok, const struct error *error)
{
	struct errand *errand = (struct errand *)job;
	struct server *server = errand->server;

	if (errand->counted)
		server->errands--;
	if (ok)
		log_fault_over(&server->database_fault, "database.failed");
	else
		log_fault(&server->database_fault, "database.failed", error);
	errand->done(errand, ok, error);
}

void errand_submit(struct errand *errand)
{
	struct server *server = errand->server;
	struct error error = {.kind = ERROR_NONE};

	errand->job = (struct worker_job){.run = run, .done = done};
	errand->enroll = server->enroll;
	errand->authority = server->authority;
	errand->deadline_ms = clock_mono_ms() + WAIT_MS;
	if (worker_silent(server->enroller)) {
		(void)error_set(&error, ERROR_TIMEOUT, "the database does not answer");
	} else if (!worker_submit(server->enroller, &errand->job)) {
		(void)error_set(&error, ERROR_LIMIT, "too many requests wait for the database");
	} else {
		errand->counted = true;
		server->errands++;
		return;
	}
	done(&errand->job, false, &error);
}

void errand_free(struct errand *errand)
{
	json_free(errand->body);
	free(errand);
}

void errand_reply_failed(struct errand *errand, const char *detail)
{
	http_reply_header(errand->request, "Retry-After", "5");
	http_reply_problem(errand->request, 503, detail);
}
