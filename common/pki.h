// X.509 over OpenSSL: keys, requests and the two certificate authorities (design: ECDSA P-256, SHA-256).
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pki_profile {
	PKI_DEVICE,   // clientAuth, CN = device id, URI SAN spiffe://<domain>/device/<id>
	PKI_SERVICE,  // clientAuth, CN = svc.<name>
	PKI_OPERATOR, // clientAuth, CN = op.<name>
	PKI_SERVER,   // serverAuth, CN = first host, DNS and IP SANs
};

struct pki_certificate_info {
	char common_name[128];
	char issuer[128];                   // common name of the issuer, "" without
	char serial[41];                    // hex
	int64_t not_before_s, not_after_s;  // seconds since 1970
	char sha256[SHA256_HEX_BYTES];      // of the DER certificate
	char key_sha256[SHA256_HEX_BYTES];  // of the DER SubjectPublicKeyInfo
};

// Private keys are PKCS#8 PEM files made with mode 0600, written to a temporary name, fsynced and renamed.
bool pki_key_create(const char *path, struct error *error) must_check; // fails if the file exists
// A request for the key in key_path, self-signed; the CN is advisory. malloc'd PEM.
char *pki_csr_create(const char *key_path, const char *common_name, struct error *error) must_check;

// The same for a key that no file holds: PEM text, malloc'd, a secret (crypto.h, auto_secret).
char *pki_key_new(struct error *error) must_check;
char *pki_csr_of_key(const char *key_pem, const char *common_name, struct error *error) must_check;
// ERROR_INVALID unless the certificate is for this key.
bool pki_check_pair(const char *key_pem, const char *certificate_pem, struct error *error) must_check;

struct pki_ca;
bool pki_ca_create(const char *cert_path, const char *key_path, const char *common_name, int days,
		   struct error *error) must_check;
// cert_path may hold several certificates, in any order: the authority is the one that the key belongs to. So replacing
// the key file, which is atomic, is what changes authorities.
struct pki_ca *pki_ca_load(const char *cert_path, const char *key_path, struct error *error) must_check;
void pki_ca_free(struct pki_ca *ca);
DEFINE_CLEANUP(struct pki_ca, pki_ca_free)
bool pki_ca_info(const struct pki_ca *ca, struct pki_certificate_info *out, struct error *error) must_check;

struct pki_subject {
	enum pki_profile profile;
	const char *name;         // CN
	const char *domain;       // for the SPIFFE URI; PKI_DEVICE only
	const char *const *hosts; // NULL-terminated DNS names and addresses; PKI_SERVER only
	int64_t lifetime_s;
};
// Takes only the public key from the request, after checking its self-signature and that the key is ECDSA P-256
// (or P-384, or RSA of 2048 bits and more); everything else in the certificate is set here: serial of 128 random
// bits, CA:FALSE, key usage, not before = now - 5 min (or a twelfth of the lifetime). error kind ERROR_INVALID when the
// request is at fault. malloc'd PEM; info may be NULL.
char *pki_issue(struct pki_ca *ca, const char *csr_pem, const struct pki_subject *subject,
		struct pki_certificate_info *info, struct error *error) must_check;
// Hash of the public key in a request, for "the same key asking again gets the same certificate".
bool pki_csr_key_sha256(const char *csr_pem, char out[SHA256_HEX_BYTES], struct error *error) must_check;
// A bundle of certificates, each of an authority and valid now. *count may be NULL.
bool pki_bundle_check(const char *pem, size_t *count, struct error *error) must_check;
bool pki_certificate_info(const char *pem, struct pki_certificate_info *out, struct error *error) must_check;
// Hash of the public half of a private key file, comparable with pki_certificate_info.key_sha256.
bool pki_key_sha256(const char *key_path, char out[SHA256_HEX_BYTES], struct error *error) must_check;

// ---- Bundles: several certificates in one PEM text ----

enum { PKI_BUNDLE_MAX = 16 };
struct pki_bundle {
	char *pems[PKI_BUNDLE_MAX]; // each one certificate and nothing else; owned
	size_t count;
};
// ERROR_INVALID when there is none, more than PKI_BUNDLE_MAX, or one that cannot be read.
bool pki_bundle_parse(const char *text, struct pki_bundle *out, struct error *error) must_check;
void pki_bundle_done(struct pki_bundle *bundle);
#define auto_pki_bundle cleanup(pki_bundle_done)

enum { PKI_HASH_BYTES = 9 };
// The name under which OpenSSL looks for a certificate in a hashed folder (capath), without its number: 8 hex digits of
// the subject's hash.
bool pki_subject_hash(const char *pem, char out[PKI_HASH_BYTES], struct error *error) must_check;
// Was it signed by this authority's key? Periods and purposes are not looked at.
bool pki_is_issued_by(const char *pem, const char *authority_pem);

// ---- Revocation lists (RFC 5280 section 5), for third parties: the broker keeps a list of its own ----

struct pki_revoked {
	const char *serial; // hex
	int64_t at_s;
};
// malloc'd PEM; number rises from list to list (CRL number).
char *pki_crl_create(const struct pki_ca *ca, const struct pki_revoked *revoked, size_t count, int64_t number,
		     int64_t lifetime_s, struct error *error) must_check;
