// What a person's browser shows to the broker to read along (docs/protocol.md, section 26): a JWS that the dashboard
// signs and the broker's guard checks, for one MQTT client id, some devices and some minutes.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/jws.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_TYP "muster-console+jws"
#define CONSOLE_CLIENT_PREFIX "console."
#define CONSOLE_CLIENT_BYTES 41 // the prefix, 32 hex digits and the terminator
#define CONSOLE_USER_MAX 64
#define CONSOLE_DEVICES_MAX 50
#define CONSOLE_LIFETIME_MAX_S 900
#define CONSOLE_SKEW_MAX_S 60	   // between the clocks of dashboard and broker
#define CONSOLE_TOKEN_MAX_BYTES 8192 // 50 long device ids are 4,300 bytes of it

struct console_grant {
	char user[CONSOLE_USER_MAX];
	char client_id[CONSOLE_CLIENT_BYTES];
	int64_t issued_s, expires_s; // seconds since 1970
	int64_t cell;		     // whose broker it is for
	bool all;		     // every device; then none is named
	size_t count;
	char devices[CONSOLE_DEVICES_MAX][DEVICE_ID_MAX + 1];
};

// A client id of its own, at random.
void console_client_id(char out[CONSOLE_CLIENT_BYTES]);
bool console_is_client_id(const char *text);

// malloc'd.
char *console_sign(const struct jws_signer *signer, const struct console_grant *grant, struct error *error) must_check;
// Checks size, signature, form, and that it counts now_s, for client_id. ERROR_DENIED says what is wrong.
bool console_verify(const char *token, size_t token_bytes, const struct jws_key *keys, size_t key_count,
		    const char *client_id, int64_t now_s, struct console_grant *out, struct error *error) must_check;

// The form of the claims alone.
bool console_read(const char *payload, size_t payload_bytes, struct console_grant *out, struct error *error) must_check;

// May its holder get a message of this topic? What the fleet's devices say and are told; nothing else there is.
bool console_may_read(const struct console_grant *grant, const char *topic);
// Only filters of the fleet's own tree: no $share, which would take messages away from others.
bool console_may_subscribe(const char *filter);
