// What the guard takes from a client certificate whose chain the TLS layer has checked already.
#pragma once

#include "broker-conf/identity.h"
#include "broker-conf/revocations.h"

#define CERTIFICATE_NAME_MAX 128 // X.520 allows 64 characters; ours are shorter than PRINCIPAL_MAX

struct certificate {
	char name[CERTIFICATE_NAME_MAX + 1]; // CN as UTF-8; may hold a NUL byte before name_bytes
	size_t name_bytes;
	char serial[SERIAL_HEX_MAX + 1]; // lower case, without leading zeros
};

// x509 is an OpenSSL X509 *. ERROR_DENIED when it has no CN, more than one, or one that is too long.
bool certificate_read(const void *x509, struct certificate *out, struct error *error) must_check;
void certificate_free(void *x509);

// Which roots vouch for devices, and which for services. Each file may hold several: while one root takes another's
// place, both do. The TLS layer of the broker finds a new root by itself (capath) but, once it has seen one, trusts it
// until it ends; so it is here that a root that was taken out of its file stops to count.
struct authorities;

// Reads both.
struct authorities *authorities_load(const char *device_ca_file, const char *service_ca_file,
				     struct error *error) must_check;
void authorities_free(struct authorities *authorities);
DEFINE_CLEANUP(struct authorities, authorities_free)
// Reads what has changed since. On failure nobody vouches for anybody.
bool authorities_refresh(struct authorities *authorities, struct error *error) must_check;
// Which of the two kinds issued it, by issuer name and key identifier; the signature itself was checked by TLS.
enum identity_issuer authorities_issuer(const struct authorities *authorities, const void *x509);
