// Between cmd_ca.c and cmd_ca_rotate.c.
#pragma once

#include "tools/authority.h"
#include "tools/cli.h"

// The state folder's authorities, whether the stack runs or not, as its owner; prints what is wrong and returns the
// exit code, or CLI_OK.
int ca_open(struct cli *cli) __attribute__((warn_unused_result));
// As muster_admin when the stack runs; NULL otherwise, or (error->kind set) when it cannot be reached.
struct pg *ca_database(struct cli *cli, struct error *error) __attribute__((warn_unused_result));

struct json *ca_json(enum authority_kind kind, const struct authority *authority);

// muster ca bundle --for WHOM --out DIR
int ca_bundle_run(struct cli *cli);
// muster ca inspect --remote HOST:PORT
int ca_remote(struct cli *cli, const char *address);

// muster ca rotate WHAT [STEP]
int ca_rotate_run(struct cli *cli);
