// Firebase Cloud Messaging, HTTP v1: wakes a device through the push service of its maker. What leaves says no more
// than "connect": no command, no name, no secret.
//
// An access token is got for a signed statement of the service account (RFC 7523), kept for its lifetime, and renewed
// before it ends while the old one still serves. A token that the service refuses is replaced once, and the push sent
// again. Knows no database: wake.c decides whom to wake, and keeps what came of it.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FCM_PUSHES_MAX 100 // under way at a time: what HTTP/2 servers commonly allow on a connection
#define FCM_STATUS_BYTES 64
#define FCM_REASON_BYTES 256

struct fcm;

struct fcm_options {
	const char *credentials_file; // of a service account, JSON as Google gives it
	const char *endpoint;         // https://fcm.googleapis.com
	const char *ca_file;          // NULL: the system's
	int timeout_ms;               // of each request
};

enum fcm_verdict {
	FCM_TAKEN,   // handed over
	FCM_GONE,    // nobody has this push token any more
	FCM_REFUSED, // for what it says: trying again is of no use
	FCM_BUSY,    // asked to be left alone for a while (429)
	FCM_FAILED,  // the service is away or ill: try again
};

struct fcm_outcome {
	enum fcm_verdict verdict;
	int http_status;               // 0: no answer
	char status[FCM_STATUS_BYTES]; // "OK", or the service's word, or TIMEOUT, UNREACHABLE, NO_TOKEN
	char reason[FCM_REASON_BYTES]; // for people; "" when taken
	int64_t retry_after_s;         // -1: it did not say
	int64_t latency_ms;            // from fcm_push to here
	bool http2;
};

struct fcm_push {
	const char *token; // of the device's app
	const char *request_id;
	int64_t ttl_s;     // how long the service may keep it
};

typedef void fcm_done_fn(void *user, void *ticket, const struct fcm_outcome *outcome);

// Reads the credentials, and asks nobody yet. done is called from the loop, once for each push, and must not push.
struct fcm *fcm_new(struct loop *loop, const struct fcm_options *options, fcm_done_fn *done, void *user,
		    struct error *error) must_check;
// Drops what is under way without calling done: ticket_free is called for those.
void fcm_free(struct fcm *fcm, void (*ticket_free)(void *ticket));

// ERROR_LIMIT beyond FCM_PUSHES_MAX. The ticket is the caller's again when done is called.
bool fcm_push(struct fcm *fcm, const struct fcm_push *push, void *ticket, struct error *error) must_check;
size_t fcm_under_way(const struct fcm *fcm);
const char *fcm_project(const struct fcm *fcm);

struct fcm_counts {
	uint64_t tokens;      // access tokens got
	uint64_t connections; // made
};
struct fcm_counts fcm_counts(const struct fcm *fcm);

// What an answer means; body is not NULL. status 401 is FCM_FAILED here: a new token was tried already.
void fcm_classify(int http_status, const char *body, size_t body_bytes, struct fcm_outcome *out);
