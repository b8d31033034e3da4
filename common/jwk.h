// Ed25519 public keys as JSON Web Keys (RFC 7517, RFC 8037): {"kty":"OKP","crv":"Ed25519","kid":..,"x":..}.
#pragma once

#include "common/json.h"
#include "common/jws.h"

// A kid, where there is one, must be the key's thumbprint.
bool jwk_parse(const struct json *jwk, struct jws_key *out, struct error *error) must_check;
struct json *jwk_json(const struct jws_key *key);
