// What enrolment does on the device, whoever carries the messages: makes the key, which never leaves the device, says
// what to ask the bridge for, and takes the answer (docs/protocol.md, section 11). Each step may be repeated after a
// crash: the same key asking again gets the same certificate.
#pragma once

#include "agent/identity.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>

// An object with csr, and with device (the wish; NULL leaves the name to the server) and fingerprint where there is
// one. A key made by an earlier try is used again.
struct json *provision_request(const struct identity *identity, const char *wish, struct error *error) must_check;
// Checks that the answer fits the key, and keeps it; fills identity.
bool provision_install(struct identity *identity, const struct json *answer, struct error *error) must_check;

// The same for a device that is enrolled, and is to be so again under its id: identity is loaded. The new key waits
// beside the credential in use, which goes when the new one is whole; outbox and counter stay.
struct json *provision_request_again(const struct identity *identity, struct error *error) must_check;
bool provision_install_again(struct identity *identity, const struct json *answer, struct error *error) must_check;
