// Self-registration (docs/protocol.md section 11): a device without a token asks to be let in, waits until a person
// decides, and then gets its certificate. It is known by its key, and asks with a secret that only it has: whoever
// knows the public key, or even the request, gets neither the answer nor a say.
//
//     pending -> approved -> issued
//        |  <------+              (the id was taken meanwhile: a person decides again)
//        +-> rejected
#pragma once

#include "bridge/enroll.h"

#define REGISTRATION_ID_BYTES 17 // 16 hex digits of the key's SHA-256
#define REGISTRATION_REASON_MAX 256

// What a device says of itself. The strings belong to the caller.
struct registration_request {
	const char *csr;
	const char *secret;	 // TOKEN_TEXT_BYTES with its terminator
	const char *device;	 // a wish; NULL: none
	const char *fingerprint; // NULL: none told
	const char *serial;	 // of the hardware; NULL: none told
	const char *info;	 // a JSON object as text
	const char *peer;
	const char *request_id;
};

enum registration_outcome {
	REGISTRATION_PENDING,
	REGISTRATION_APPROVED, // to be asked for with the secret
	REGISTRATION_REJECTED, // reason says why
	REGISTRATION_ISSUED,   // enroll holds the certificate
	REGISTRATION_UNKNOWN,  // there is none with this secret
	REGISTRATION_CONFLICT, // the key has another secret, or the secret another key
	REGISTRATION_BAD_CSR,
	REGISTRATION_FULL,   // as many wait as may
	REGISTRATION_DENIED, // it was issued, and does not hold any more; enroll.reason says why
	REGISTRATION_FAILED, // the database or the CA is at fault; error says how
};

struct registration_result {
	enum registration_outcome outcome;
	char id[REGISTRATION_ID_BYTES]; // "" when there is none
	char reason[REGISTRATION_REASON_MAX];
	bool created; // by this request
	struct enroll_result enroll;
};

// The same key with the same secret is the same registration, as it was first told.
struct registration_result registration_ask(struct enroll *enroll, const struct registration_request *request,
					    struct error *error) must_check;
// How it stands; when it is approved, the certificate is issued now, and given again to whoever asks again.
struct registration_result registration_poll(struct enroll *enroll, const char *secret, const char *peer,
					     const char *request_id, struct error *error) must_check;
void registration_result_done(struct registration_result *result);
#define auto_registration_result cleanup(registration_result_done)
