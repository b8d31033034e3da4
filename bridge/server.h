// The bridge as a whole: what its HTTP resources share. One event loop, in which nobody waits for the database: two
// threads ask it, one for whatever devices do all the time, and one for enrolment, whose transactions take longer.
#pragma once

#include "bridge/authority.h"
#include "bridge/contact.h"
#include "bridge/credentials.h"
#include "bridge/enroll.h"
#include "bridge/link.h"
#include "bridge/options.h"
#include "bridge/part.h"
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
#include "common/package.h"

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
	struct enroll enroll; // without a connection: each errand has that of its thread
	struct authority authority; // its ca is also enroll.ca, its trust_pem also ours
	struct trust trust;
	struct part part; // what it says of itself
	struct settle *settle;
	struct throttle *throttle; // of failures
	struct throttle *askers;   // of new registrations
	struct throttle *renewals; // by device
	struct metrics *metrics;
	struct link *link; // to the broker
	struct worker *worker;	 // for whatever devices do
	struct worker *enroller; // for enrolment, see errand.h
	size_t errands;		 // under way in it
	struct cells cells;
	struct quota *strangers; // requests of addresses without a credential
	struct credentials *credentials;
	struct relay *relay;
	struct poll *poll;
	struct contacts *contacts;
	struct packages *packages; // of the agent
	struct http_server *http;
	struct loop_timer *expiry; // of tokens
	struct loop_timer *tick;   // once a second: looks at the files, tells devices
	struct answer_metrics answers[ANSWER_KINDS];
	const char *trust_pem; // what devices are told to trust
	int64_t started_ms;  // monotonic
	bool database_silent; // and told so
	struct log_fault database_fault, authority_fault, tls_fault;
};

// Loads the CA and starts to listen. The database may be away: /ready tells.
bool server_init(struct server *server, struct loop *loop, const struct options *options, struct error *error)
	must_check;
void server_done(struct server *server);

// The database has answered lately.
bool server_database_ok(const struct server *server);
