// Renewal of a device's certificate (docs/protocol.md section 11) as one transaction: by the certificate that it uses,
// the device gets its next one. The device's row is locked first, so that its requests are decided one after another,
// however many bridges there are.
#pragma once

#include "bridge/authority.h"
#include "bridge/options.h"
#include "common/limits.h"
#include "common/pg.h"

// What a device asks for. The strings belong to the caller, and their form has been checked.
struct renew_claim {
	const char *device;
	const char *csr;
	const char *fingerprint; // NULL: none told
	const char *serial;	 // of the certificate that it has shown, in hex; NULL: the broker has seen it, not we
	const char *peer;	 // address, or "mqtt"
	const char *request_id;
};

enum renew_outcome {
	RENEW_ISSUED,
	RENEW_REPEATED, // the same key: the certificate that it has already
	RENEW_DENIED,	// the device may not; reason is for the history
	RENEW_EARLY,	// not before half of the lifetime
	RENEW_SOON,	// one a minute
	RENEW_FULL,	// too many that hold at once
	RENEW_BAD_CSR,
	RENEW_FAILED, // the database or the CA is at fault; error says how
};

struct renew_result {
	enum renew_outcome outcome;
	const char *reason; // for whatever was refused
	char *certificate;  // PEM; owned
	char serial[41];
	int64_t not_after_s;
	int64_t retry_after_s; // RENEW_EARLY, RENEW_SOON
};

// Records what was issued and what was denied in enrollment_event. Does not log.
struct renew_result renew_run(struct pg *pg, const struct authority *authority, const struct options *options,
			      const struct renew_claim *claim, struct error *error) must_check;
void renew_result_done(struct renew_result *result);
#define auto_renew_result cleanup(renew_result_done)
