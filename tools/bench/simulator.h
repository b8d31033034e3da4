// A push service that is not Google's: a program that is started, speaks FCM's HTTP v1 and says who is to be woken.
//
// It writes lines to its standard output: first a JSON object with endpoint (URL), ca (PEM of whom to trust for it) and
// credentials (a service account's key file, as an object); then, for each push that it took, the token alone. It ends
// when its standard input does. tests/e2e/support/push_simulator.py is one.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>

struct simulator;

// The one in the tree that this program was built from, when it is there. malloc'd; NULL: it is not.
char *simulator_find(void);
// Starts the program and reads its first line. Before root is given up: the program stays who it is.
struct simulator *simulator_new(const char *program, struct error *error) must_check;
void simulator_free(struct simulator *simulator);
DEFINE_CLEANUP(struct simulator, simulator_free)

const char *simulator_endpoint(const struct simulator *simulator);
const char *simulator_ca(const struct simulator *simulator);
const char *simulator_credentials(const struct simulator *simulator); // JSON text
// The token of the next push; waits for it. False when the program has ended.
bool simulator_next(struct simulator *simulator, char *out, size_t out_bytes);
