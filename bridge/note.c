#include "bridge/note.h"

#include "bridge/errand.h"

#include <stdio.h>

struct note {
	struct errand errand;
	char peer[64]; // an address
	char request_id[REQUEST_ID_MAX + 1];
	char reason[96];
};

static bool run_limit(struct errand *errand, struct error *error)
{
	const struct note *note = (struct note *)errand;
	const struct enroll_claim claim = {.peer = note->peer, .request_id = note->request_id};

	return enroll_record(&errand->enroll, "rate-limited", "", &claim, note->reason, error);
}

static bool run_expired(struct errand *errand, struct error *error)
{
	return enroll_expire_tokens(&errand->enroll, error);
}

static void note_done(struct errand *errand, bool ok, const struct error *error)
{
	errand_free(errand);
}

static struct note *note_new(struct server *server, bool (*run)(struct errand *errand, struct error *error))
{
	struct note *note = errand_new(sizeof(*note), server, NULL);

	note->errand.run = run;
	note->errand.done = note_done;
	return note;
}

void note_limit(struct server *server, const char *peer, const char *request_id, const char *reason)
{
	struct note *note = note_new(server, run_limit);

	(void)snprintf(note->peer, sizeof(note->peer), "%s", peer);
	(void)snprintf(note->request_id, sizeof(note->request_id), "%s", request_id);
	(void)snprintf(note->reason, sizeof(note->reason), "%s", reason);
	errand_submit(&note->errand);
}

void note_expired_tokens(struct server *server)
{
	errand_submit(&note_new(server, run_expired)->errand);
}
