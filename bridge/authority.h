// What the bridge signs with and what it tells devices to trust: three files, which change while it runs (an authority
// takes another's place). What cannot be read leaves the former in use.
#pragma once

#include "bridge/options.h"
#include "common/file.h"
#include "common/pki.h"

struct authority_past;

struct authority {
	const struct options *options;
	struct file_stamp stamps[3]; // CA certificates, CA key, trust
	struct pki_ca *ca;
	struct pki_certificate_info info; // of ca
	char *trust_pem;		  // as devices get it
	char trust_sha256[SHA256_HEX_BYTES];
	struct authority_past *past; // what took another's place, and may still be in somebody's hands
};

bool authority_open(struct authority *authority, const struct options *options, struct error *error) must_check;
void authority_close(struct authority *authority);
// *changed: there is something new; ca and trust_pem are other objects than before.
bool authority_refresh(struct authority *authority, bool *changed, struct error *error) must_check;
// Nobody has the former objects in hand any more: until then they stay.
void authority_forget(struct authority *authority);
