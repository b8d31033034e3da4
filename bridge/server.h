// The bridge as a whole: what its HTTP resources share. One event loop. Enrolment uses the database with short blocking
// calls; whatever devices do all the time goes through the worker, so that nobody waits for a database that hangs.
#pragma once

#include "bridge/authority.h"
#include "bridge/contact.h"
#include "bridge/credentials.h"
#include "bridge/enroll.h"
#include "bridge/link.h"
#include "bridge/options.h"
#include "bridge/poll.h"
#include "bridge/quota.h"
#include "bridge/relay.h"
#include "bridge/settle.h"
#include "bridge/throttle.h"
#include "bridge/trust.h"
#include "bridge/worker.h"
#include "common/http.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"

enum { ANSWER_KINDS = 64 };

// The metrics of a kind of answer, found once.
struct answer_metrics {
	const char *pattern; // of a route; NULL: free
	char method;         // its first letter
	int status;
	struct metric *count, *seconds;
};

struct server {
	const struct options *options;
	struct enroll enroll;
	struct authority authority; // its ca is also enroll.ca, its trust_pem also ours
	struct trust trust;
	struct settle *settle;
	struct throttle *throttle; // of failures
	struct throttle *askers;   // of new registrations
	struct throttle *renewals; // by device
	struct metrics *metrics;
	struct link *link; // to the broker
	struct worker *worker;
	struct quota *strangers; // requests of addresses without a credential
	struct credentials *credentials;
	struct relay *relay;
	struct poll *poll;
	struct contacts *contacts;
	struct http_server *http;
	struct loop_timer *expiry; // of tokens
	struct loop_timer *tick;   // once a second: looks at the files, tells devices
	struct answer_metrics answers[ANSWER_KINDS];
	const char *trust_pem; // what devices are told to trust
	int64_t started_ms;  // monotonic
	int64_t checked_ms;  // monotonic; when the database was last asked, see health.c
	bool database_ok;
	struct log_fault database_fault, authority_fault, tls_fault;
};

// Loads the CA and starts to listen. The database may be away: /ready tells.
bool server_init(struct server *server, struct loop *loop, const struct options *options, struct error *error)
	must_check;
void server_done(struct server *server);

// Writes into the history which tokens have expired; called by a timer, and when somebody comes with one of them.
void server_expire_tokens(struct server *server);
