// The event loop of the programs that do several things at once, over libevent. One thread; callbacks must not
// block for long.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_watch;

struct loop *loop_new(struct error *error) must_check;
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop, loop_free)
#define auto_loop cleanup(loop_free_cleanup)

bool loop_run(struct loop *loop, struct error *error) must_check; // until loop_stop
bool loop_run_once(struct loop *loop, int timeout_ms, struct error *error) must_check;
void loop_stop(struct loop *loop);
bool loop_stop_on_signals(struct loop *loop, struct error *error) must_check; // SIGTERM, SIGINT

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void loop_fd_fn(int fd, int ready, void *user);
struct loop_watch *loop_watch_new(struct loop *loop, int fd, int events, loop_fd_fn *fn, void *user,
				  struct error *error) must_check;
bool loop_watch_set(struct loop_watch *watch, int events); // LOOP_READ | LOOP_WRITE
void loop_watch_free(struct loop_watch *watch);            // does not close the descriptor

typedef void loop_timer_fn(void *user);
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *user, struct error *error) must_check;
void loop_timer_once(struct loop_timer *timer, int64_t after_ms); // replaces an earlier setting
void loop_timer_every(struct loop_timer *timer, int64_t every_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

// For common/http.c only: the struct event_base *.
void *loop_base(struct loop *loop);
