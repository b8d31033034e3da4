// A forgotten password: a link by e-mail, which works once and for half an hour. Asking is answered at once and always
// alike, and what it comes to is done afterwards, so that neither words nor times say who has an account.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/http.h"

struct dashboard;
struct resets;

struct resets *resets_new(struct dashboard *dashboard, struct error *error) must_check;
void resets_free(struct resets *resets);
DEFINE_CLEANUP(struct resets, resets_free)

http_handler reset_ask;	   // POST /api/v1/password-reset
http_handler reset_finish; // POST /api/v1/password-reset/finish
