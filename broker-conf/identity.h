// Who may log in under which client id, and in which topic tree a principal may move at all (docs/protocol.md,
// sections 1 to 3). Pure: no broker, no files.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>

enum identity_kind { IDENTITY_NONE, IDENTITY_DEVICE, IDENTITY_SERVICE, IDENTITY_OPERATOR };

// Whose signature is on the certificate: each of the two roots vouches for its own kinds of principal only.
enum identity_issuer { ISSUER_UNKNOWN, ISSUER_DEVICE_CA, ISSUER_SERVICE_CA };

// The kind of principal that a common name stands for; IDENTITY_NONE when it is none of ours. The name is taken with
// its length: a NUL inside, `+ # /`, upper case, broken UTF-8 and overlong names are outside the grammar.
enum identity_kind identity_kind_of(const char *name, size_t len_bytes);

struct identity_login {
	const char *name; // CN of the certificate, with its length as in the certificate
	size_t name_bytes;
	const char *client_id;
	enum identity_issuer issuer;
};

// On success user, the MQTT user name, is the CN. ERROR_DENIED says which rule was broken.
bool identity_check(const struct identity_login *login, char user[PRINCIPAL_MAX], struct error *error) must_check;

// False when the topic lies outside the tree of this kind of principal, whatever the ACL file would say: its %u
// patterns cannot tell a device from an operator.
bool identity_may_touch(const char *user, const char *topic);

// Broker control is for one principal only.
bool identity_may_control(const char *user);
