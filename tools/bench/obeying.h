// Devices that obey: connections that subscribe to their commands and answer each as an agent does, `accepted` and then
// `succeeded`, numbered as from an outbox, and signed when there is a key. They look at a command's id only: what a
// device needs to check it is not the server's. One thread.
#pragma once

#include "common/error.h"
#include "tools/bench/wire.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct obeying_options {
	int port;
	size_t devices;
	struct wire_tls *tls;
	const char *(*certificate)(void *user, size_t number);
	void *user;
	struct evp_pkey_st *key; // of all certificates, signs results; NULL: they are not signed
	_Atomic bool *ready; // set when all are subscribed
};

// The id of the command in a JWS: 36 characters and a terminator. False when it has none.
bool obeying_command_id(const char *jws, size_t jws_bytes, char out[37]);

// Until it fails.
void obeying_run(const struct obeying_options *options, struct error *error);
