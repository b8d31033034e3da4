// Who may speak as an HTTP-only device: bearer credentials, of which only the SHA-256 is known here. They are looked up
// in the database once and kept; whatever is revoked there is forgotten here within a second, by notification. While
// the database is silent nobody is let in, since it may have revoked anybody.
#pragma once

#include "bridge/quota.h"
#include "bridge/worker.h"
#include "common/http.h"
#include "common/metrics.h"

#include <stdbool.h>

struct credentials;

struct credentials_options {
	struct worker *worker;
	struct quota *strangers;   // charged for each credential that does not hold
	struct quota_rate devices; // requests of one device
	struct metrics *metrics;
	// These devices are not let in any more.
	void (*forgotten)(const char *device, void *user);
	void *user;
};

struct credentials *credentials_new(const struct credentials_options *options, struct error *error) must_check;
void credentials_free(struct credentials *credentials);
DEFINE_CLEANUP(struct credentials, credentials_free)

// Calls admitted, now or later, when the request carries a credential that holds; otherwise answers 401, 429 or 503
// itself. device lives as long as the call.
typedef void credentials_fn(struct http_request *request, const char *device, void *user);
void credentials_check(struct credentials *credentials, struct http_request *request, credentials_fn *admitted,
		       void *user);
// Something was revoked: finds out what.
void credentials_revoked(struct credentials *credentials);
