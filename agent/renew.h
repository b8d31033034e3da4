// Renews the device's certificate, and takes a new bundle of authorities (docs/protocol.md, sections 13 and 14). Knows
// no network: messages leave through a port, and time is passed in.
//
// What is new is first stored beside what is in use, as the next credential: a key, for which a certificate is asked;
// then key, certificate and authorities. A session has one connection at a time, for the broker would cut the older
// one; so the connection is ended, and made again with the next credential. If that holds, it takes the other's place;
// if not, the old one connects again, and the next is tried anew some times before it is given up. So whenever the
// agent dies, what is on the disk connects. A bundle that does not verify the broker is given up in the same way.
//
// The same key asking again gets the same certificate, so what was asked for before a crash is asked for again.
#pragma once

#include "agent/crash.h"
#include "agent/credential.h"
#include "common/clock.h"
#include "common/json.h"

#include <stdbool.h>
#include <stdint.h>

#define RENEW_PACE_MS 60000         // one request a minute: the server answers no more
#define RENEW_ASK_MAX_MS 3600000    // longest wait for an answer, after which the same is asked again
#define RENEW_GIVEN_UP_MS 3600000   // after a refusal, until another key is tried
#define RENEW_PAUSE_SHARE 12        // each of these is at most this part of the certificate's lifetime
#define RENEW_TRIALS_MAX 3          // of a next credential, while the old one connects

struct renew_port {
	// Publishes on csr, QoS 1.
	bool (*ask)(void *user, const char *text, struct error *error);
	// Asks the bridge over HTTPS, with the present credential; the answer goes to renew_answer. May be NULL.
	bool (*ask_https)(void *user, const struct credential *present, const char *csr, struct error *error);
	// Connections are made with this one from now on.
	bool (*use)(void *user, const struct credential *credential, struct error *error);
	void (*reconnect)(void *user); // ends the present connection; another is made
	// For people, here and there: "certificate.renewed", "certificate.refused", "certificate.expired",
	// "trust.changed".
	void (*tell)(void *user, const char *type, const char *reason);
	void *user;
};

enum renew_state {
	RENEW_IDLE,
	RENEW_ASKING, // the next credential is a key, and its certificate is awaited
	RENEW_TRYING, // the next credential is whole
};

struct renew {
	struct credential_store store;
	struct renew_port port;
	struct crash *crash; // may be NULL
	const char *device, *fingerprint; // the caller's
	enum renew_state state;
	int64_t https_after_ms; // without an answer over MQTT; the caller's

	// Of the credential in use, for hello too.
	struct pki_certificate_info info;
	char not_after[CLOCK_RFC3339_BYTES];
	char trust[SHA256_HEX_BYTES]; // of its bundle
	unsigned parts;               // of the fingerprint that it is sealed with

	int64_t due_s;      // wall clock: when to ask for the next
	int64_t wait_ms;    // monotonic: nothing is begun, asked or tried again before
	int64_t asking_ms;  // since when; 0: not since the start
	unsigned asked;     // how often, for this key
	unsigned failed;    // trials of the next credential
	bool due_now;       // a new bundle was taken: the authority of our own certificate may have changed too
	bool with_next;     // connections are made with the next credential
	bool cut;           // end the connection in the next tick
	bool cutting;       // it ends because we end it
	bool expired_told;
	char request[33];   // of the key asked for
	char *bundle;       // came while another credential was on trial; owned
	char why[256];      // the last trial failed
};

// Fills renew, and credential with what the first connection is to be made with.
bool renew_init(struct renew *renew, const struct credential_store *store, const char *device,
		const struct renew_port *port, struct crash *crash, struct credential *credential,
		struct error *error) must_check;
void renew_done(struct renew *renew);

// To be called before hello is sent: it may change what hello says.
void renew_connected(struct renew *renew, int64_t now_ms);
void renew_disconnected(struct renew *renew, const struct error *why);
// A payload of `certificate`; or, with https, the bridge's answer to port.ask_https.
bool renew_answer(struct renew *renew, bool https, const char *text, size_t len_bytes, int64_t now_ms,
		  struct error *error) must_check;
// Outside of any callback of the session.
bool renew_tick(struct renew *renew, bool connected, int64_t now_ms, int64_t wall_ms, struct error *error) must_check;
