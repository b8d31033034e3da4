// Who the device is: what enrolment left in state_dir. identity.json is written last, so that its presence means that
// the rest is there.
#pragma once

#include "agent/credential.h"
#include "common/crypto.h"
#include "common/error.h"
#include "common/json.h"
#include "common/jws.h"
#include "common/limits.h"
#include "common/signers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTITY_KEYS_MAX SIGNERS_MAX // command signing keys

struct identity {
	char device[DEVICE_ID_MAX + 1];
	char broker_host[254]; // DNS names have up to 253 bytes
	int broker_port;
	struct jws_key command_keys[IDENTITY_KEYS_MAX];
	size_t command_key_count;
	int64_t signers; // version of the announcement that these keys are from; 0: from enrolment, where none was
			 // named
	char fingerprint[SHA256_HEX_BYTES]; // at enrolment; "" when the machine had none
	int64_t command_counter; // commands up to this n are from before the enrolment
	int64_t enrolled_s; // server time, seconds since 1970; commands issued before are not ours. 0: unknown
	const char *root; // of the machine's files, see system.h; "" on a device
	char *state_dir;
	char *identity_file, *outbox_file, *counter_file; // below it
};

// Fills only the paths.
// root: as in the configuration, NULL being "".
void identity_init(struct identity *identity, const char *state_dir, const char *root);
void identity_done(struct identity *identity);
static inline void identity_done_cleanup(struct identity *identity)
{
	identity_done(identity);
}
#define auto_identity cleanup(identity_done_cleanup)

// Where this device's credential is; its strings belong to identity.
struct credential_store identity_store(const struct identity *identity);
// The fingerprint now; parts are those that count for this device's credential. What root saw at enrolment, this user
// may not see: then, with *hidden, what was recorded then stands for it, for the same machine must not look like
// another. False when there is none.
bool identity_fingerprint(const struct identity *identity, unsigned parts, char out[SHA256_HEX_BYTES], bool *hidden)
	must_check;
// The files are a copy on another machine: then error names both, and the ways on.
bool identity_is_copy(const struct identity *identity, struct error *error);
bool identity_exists(const struct identity *identity);
// ERROR_NOT_FOUND before enrolment.
bool identity_load(struct identity *identity, struct error *error) must_check;
// Checks and takes device, broker, command_keys (protocol, section 11), and fingerprint and enrolled where present.
bool identity_parse(struct identity *identity, const struct json *json, struct error *error) must_check;
// Writes identity.json, mode 0600, durably.
bool identity_save(const struct identity *identity, struct error *error) must_check;
