// What muster signing-key and muster command export share.
#pragma once

#include "common/json.h"
#include "common/pg.h"
#include "tools/signing_key.h"

// The public keys that ever signed, as a JWK Set with their state, and how many devices have the newest announcement;
// leaves a copy of it in keys/signers.json, by which exports are verified. NULL on failure.
struct json *signing_key_survey(const struct stack *stack, struct pg *pg, struct error *error) must_check;
