// Enrolment as one transaction: a token is turned into a device and its certificate, or nothing happens. The
// token's row is locked first, so that claims on one token are decided one after another, however many bridges
// there are. What follows the token's check serves every way of being let in (see registration.h).
#pragma once

#include "bridge/cells.h"
#include "bridge/options.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/json.h"
#include "common/pg.h"
#include "common/pki.h"

struct enroll {
	struct pg *pg;
	struct pki_ca *ca;
	const struct options *options;
	const struct cells *cells;
};

// What a device asks for. The strings belong to the caller.
struct enroll_claim {
	const char *token;
	const char *csr;         // NULL: a bearer credential is asked for instead of a certificate
	const char *secret;      // with that: 32 bytes in base64url, by which the device may ask again; NULL: none
	const char *device;      // a wish; NULL: the server makes an id
	const char *fingerprint; // NULL: none told
	const char *peer;
	const char *request_id;
};

enum enroll_outcome {
	ENROLL_ISSUED,
	ENROLL_REPEATED, // the same key or secret with the same token: what it has already
	ENROLL_DENIED,   // the token does not hold; event and reason say why, the device is not told
	ENROLL_EXPIRED,  // the same because its time has passed
	ENROLL_TAKEN,    // the wished id belongs to another device
	ENROLL_BAD_CSR,
	ENROLL_FAILED,   // the database or the CA is at fault; error says how
};

struct enroll_result {
	enum enroll_outcome outcome;
	const char *event;  // enrollment_event.type, for whatever was refused
	const char *reason;
	char token_id[16];  // "" when the token is unknown
	char device[DEVICE_ID_MAX + 1];
	const struct cell *cell; // where the device belongs; of enroll.cells
	char *certificate;  // PEM; owned
	int64_t not_after_s; // of the certificate or the credential
	char credential[TOKEN_TEXT_BYTES];
	size_t revoked;     // earlier certificates of this device that are revoked by this enrolment
	struct json *command_keys; // JWKs of the signers in use; owned
	int64_t command_counter;   // commands up to this n are not for this enrolment
	int64_t signers;           // version of the announcement that they are from; 0: there is none
};

// Does not log and does not record refusals: see enroll_record.
struct enroll_result enroll_run(struct enroll *enroll, const struct enroll_claim *claim, struct error *error)
	must_check;
void enroll_result_done(struct enroll_result *result);
#define auto_enroll_result cleanup(enroll_result_done)

// Why a device is let in. The strings belong to the caller.
struct enroll_grant {
	const char *token_id; // NULL: not by a token
	const char *device;   // the id that an administrator gave; NULL: the wish, or one is made
	bool replaces;        // that id may be a device already, whose place this one takes
	const char *tags;     // as an array of PostgreSQL
	const char *cell;     // a number; NULL: the one that the device has, or the least loaded
	const char *tenant;   // whose the device is
};

// The two below belong into a transaction of the caller's. They return false when the database failed, and fill result
// otherwise; a refusal is a success with result->event set, and may have written what the caller must roll back.
//
// Whether the key of the claim has a certificate by this grant already: then the matter is decided.
bool enroll_again(struct enroll *enroll, const struct enroll_claim *claim, const struct enroll_grant *grant,
		  const char *key_sha256, struct enroll_result *result, bool *found, struct error *error) must_check;
// Device and certificate.
bool enroll_admit(struct enroll *enroll, const struct enroll_claim *claim, const struct enroll_grant *grant,
		  struct enroll_result *result, struct error *error) must_check;

// Records, once each, tokens whose time has passed unused.
bool enroll_expire_tokens(struct enroll *enroll, struct error *error) must_check;

// One row of enrollment_event, outside any transaction; token_id and device may be "" or NULL.
bool enroll_record(struct enroll *enroll, const char *type, const char *token_id, const struct enroll_claim *claim,
		   const char *reason, struct error *error) must_check;

// "d-" and 12 random hex digits.
void enroll_make_id(char out[DEVICE_ID_MAX + 1]);
