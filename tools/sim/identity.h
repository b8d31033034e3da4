// How a simulated device gets its identity: from its folder of the state, or by enrolling through the bridge
// (docs/protocol.md section 11). The folder holds what an agent's state folder does: device.key device.crt ca.crt
// identity.json.
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"
#include "common/http_client.h"
#include "common/jws.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>

struct identity {
	char device[DEVICE_ID_MAX + 1];
	char *host; // broker
	int port;
	struct jws_key *keys; // whose commands are obeyed
	size_t key_count;
	int64_t signers; // version of the announcement that they are from
	char certificate[41];         // its serial; "" when unknown
	char trust[SHA256_HEX_BYTES]; // of ca.crt; "" when unknown
	struct evp_pkey_st *key;      // signs results; NULL: they are not signed
};

void identity_done(struct identity *identity);
// Parses identity.json, and the answer of the bridge, which has the same members.
bool identity_parse(const char *text, size_t len_bytes, struct identity *out, struct error *error) must_check;
// dir is the device's own folder. ERROR_NOT_FOUND when it has not enrolled yet.
bool identity_load(const char *dir, struct identity *out, struct error *error) must_check;
// ERROR_UNREACHABLE and ERROR_LIMIT are worth another try, with the same folder: the key in it is kept, so a lost
// answer costs no second use of the token.
bool identity_enroll(struct http_client *bridge, const char *token, const char *device, const char *fingerprint,
		     const char *dir, struct identity *out, struct error *error) must_check;

// Fills certificate and trust from the files in dir: what hello says.
void identity_look(const char *dir, struct identity *identity);
// Takes the key of the certificate to sign results with.
bool identity_sign(const char *dir, struct identity *identity, struct error *error) must_check;
// Takes a new bundle of CAs to trust. ERROR_INVALID when it is none.
bool identity_trust(const char *dir, const char *ca, struct identity *identity, struct error *error) must_check;
