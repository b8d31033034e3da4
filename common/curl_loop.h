// libcurl's multi interface on common/loop.h: what http_multi.c and smtp.c share, and nobody else includes. libcurl
// says which descriptors it watches and when it wants to be called; the loop tells it what became of them. Transfers
// that have ended are handed over from a timer of their own, so that whoever hears of one may start the next, and
// starting one never calls back.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/loop.h"

#include <curl/curl.h>

struct curl_loop;

// What CURLOPT_PRIVATE of the transfer says, and how it ended. The handle is the owner's to take out and free.
typedef void curl_loop_fn(void *transfer, CURLcode code);

struct curl_loop *curl_loop_new(struct loop *loop, curl_loop_fn *fn, struct error *error) must_check;
void curl_loop_free(struct curl_loop *curl_loop); // its transfers must be gone
CURLM *curl_loop_multi(struct curl_loop *curl_loop);
