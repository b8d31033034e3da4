// What proves who the device is: its key, the certificate for it, and the authorities it trusts, sealed together in one
// file of state_dir. AES-256-GCM, under a key that HKDF-SHA256 derives from the hardware's fingerprint and a random
// salt beside it: a copy of the folder is of no use on another machine. The key is never on the disk in plain, not for
// a moment.
//
// The file: 8 bytes "MUSTCRED", version 1, the parts of the fingerprint that count (fingerprint.h), 12 bytes nonce, all
// of which is authenticated; then key, certificate and authorities, each ending in NUL, sealed; then the tag.
#pragma once

#include "common/error.h"
#include "common/pki.h"
#include "common/tls.h"

#include <stdbool.h>

#define CREDENTIAL_CURRENT "credential"
#define CREDENTIAL_NEXT "credential.next" // asked for, or not tried yet
#define CREDENTIAL_SALT "credential.salt"

struct credential {
	char *key;         // PKCS#8 PEM
	char *certificate; // PEM; NULL: none came yet
	char *ca;          // PEM bundle: whom to trust; NULL with certificate
	unsigned parts;    // of the fingerprint; 0: whatever there is when it is stored
	struct pki_certificate_info info; // of certificate
};

void credential_done(struct credential *credential); // wipes
#define auto_credential cleanup(credential_done)
// from is empty afterwards; to is done with first.
void credential_move(struct credential *to, struct credential *from);

struct credential_store {
	const char *state_dir;
	const char *root; // of the machine whose fingerprint counts; "" on a device
};

bool credential_exists(const struct credential_store *store, const char *name);
// ERROR_NOT_FOUND when there is none; ERROR_DENIED when it was sealed on other hardware, or by a user who may read more
// of it, or when the file or the salt is damaged. As CREDENTIAL_CURRENT, plain files device.key, device.crt and ca.crt
// are sealed and wiped first.
bool credential_load(const struct credential_store *store, const char *name, struct credential *out,
		     struct error *error) must_check;
// Atomically: after a crash the old one is there, or the new one. Fills credential->parts when it is 0.
bool credential_save(const struct credential_store *store, const char *name, struct credential *credential,
		     struct error *error) must_check;
// The next one takes the current one's place, atomically.
bool credential_promote(const struct credential_store *store, struct error *error) must_check;
// Gone, as far as the medium allows, when this returns true; also when there was none.
bool credential_wipe(const struct credential_store *store, const char *name, struct error *error) must_check;

// Takes certificate and ca, which must fit the key; error says which does not. device NULL: any name.
bool credential_set_certificate(struct credential *credential, const char *certificate, const char *ca,
				const char *device, struct error *error) must_check;
struct tls_credential credential_for_tls(const struct credential *credential);
