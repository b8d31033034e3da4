// The signed command on the wire (docs/protocol.md, "Commands") and the checks that a device makes, shared by
// the agent, the simulator and whoever verifies a history. Pure: no storage, no clock of its own.
#pragma once

#include "common/json.h"
#include "common/jws.h"
#include "common/limits.h"

#define COMMAND_TYP "muster-command+jws"
#define COMMAND_CHAIN_BYTES 44 // base64url of SHA-256, and terminator

struct command {
	char id[COMMAND_ID_BYTES]; // jti
	char device[DEVICE_ID_MAX + 1]; // sub
	int64_t issued_s, expires_s;    // iat, exp: seconds since 1970 (RFC 7519)
	int64_t counter;                // n
	char action[64];
	char by[PRINCIPAL_MAX];         // who asked; "" when the signer does not say
	char prev[COMMAND_CHAIN_BYTES]; // SHA-256 of the JWS signed before it for this device; "" for the first
	struct json *params; // an object, never NULL after parsing; owned
};

enum command_verdict {
	COMMAND_OK,
	COMMAND_REPEATED,  // this jti was seen before: answer with its stored result
	COMMAND_BAD_FORM,  // size, form, kid, signature, typ: answer nothing, count and report as an event
	COMMAND_NOT_MINE,
	COMMAND_EXPIRED,
	COMMAND_REPLAYED,  // n not above the high-water mark, and jti unknown
};

struct command_context {
	const char *device;
	const struct jws_key *keys;
	size_t key_count;
	int64_t now_s;        // the later of the device's clock and the last signed server time it stored
	int64_t counter_high; // highest n accepted so far
	bool (*seen)(void *user, const char *jti);
	void *user;
};

// The order is the contract: size, form, kid, signature, typ, sub, [jti seen before], exp, n. Whether the action
// is allowed here is the caller's next question. out is filled (and must be command_done'd) for every verdict but
// COMMAND_BAD_FORM.
enum command_verdict command_check(const char *jws, size_t jws_bytes, const struct command_context *context,
				   struct command *out, struct error *error) must_check;
void command_done(struct command *command);

// What the next command of the same device says in prev.
void command_chain(const char *jws, size_t jws_bytes, char out[COMMAND_CHAIN_BYTES]);

// Signs claims made from command. malloc'd.
char *command_sign(const struct jws_signer *signer, const struct command *command, struct error *error) must_check;
