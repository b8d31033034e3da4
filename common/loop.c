#include "common/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/time.h>

enum { SIGNAL_COUNT = 2 };

struct loop {
	struct event_base *base;
	struct event *wake; // bounds loop_run_once
	struct event *signals[SIGNAL_COUNT];
	bool stop; // also remembers a loop_stop that comes before loop_run
};

struct loop_watch {
	struct event *event;
	struct event_base *base;
	loop_fd_fn *fn;
	void *user;
	int fd;
};

struct loop_timer {
	struct event *event;
	struct event_base *base;
	loop_timer_fn *fn;
	void *user;
};

static struct timeval to_timeval(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static void on_wake(evutil_socket_t fd, short what, void *user)
{
}

static void on_signal(evutil_socket_t signal_number, short what, void *user)
{
	loop_stop(user);
}

struct loop *loop_new(struct error *error)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop) {
		error_errno(error, ENOMEM, "cannot make an event loop");
		return NULL;
	}
	loop->base = event_base_new();
	if (loop->base)
		loop->wake = evtimer_new(loop->base, on_wake, NULL);
	if (!loop->wake) {
		error_set(error, ERROR_FAILED, "cannot make an event loop");
		loop_free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		if (loop->signals[i])
			event_free(loop->signals[i]);
	}
	if (loop->wake)
		event_free(loop->wake);
	if (loop->base)
		event_base_free(loop->base);
	free(loop);
}

bool loop_run(struct loop *loop, struct error *error)
{
	bool ok = true;
	if (!loop->stop && event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
		ok = error_errno(error, errno, "the event loop failed");
	loop->stop = false;
	return ok;
}

bool loop_run_once(struct loop *loop, int timeout_ms, struct error *error)
{
	int flags = timeout_ms == 0 ? EVLOOP_NONBLOCK : EVLOOP_ONCE;
	if (timeout_ms > 0) {
		struct timeval after = to_timeval(timeout_ms);
		if (event_add(loop->wake, &after) < 0)
			return error_set(error, ERROR_FAILED, "cannot set the event loop's timer");
	}
	int result = event_base_loop(loop->base, flags | EVLOOP_NO_EXIT_ON_EMPTY);
	int code = errno;
	event_del(loop->wake);
	if (result < 0)
		return error_errno(error, code, "the event loop failed");
	return true;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
	event_base_loopbreak(loop->base);
}

bool loop_stop_on_signals(struct loop *loop, struct error *error)
{
	static const int numbers[SIGNAL_COUNT] = {SIGTERM, SIGINT};
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		if (loop->signals[i])
			continue;
		loop->signals[i] = evsignal_new(loop->base, numbers[i], on_signal, loop);
		if (!loop->signals[i] || event_add(loop->signals[i], NULL) < 0)
			return error_set(error, ERROR_FAILED, "cannot watch for signal %d", numbers[i]);
	}
	return true;
}

static void on_ready(evutil_socket_t fd, short what, void *user)
{
	struct loop_watch *watch = user;
	int ready = ((what & EV_READ) ? LOOP_READ : 0) | ((what & EV_WRITE) ? LOOP_WRITE : 0);
	watch->fn((int)fd, ready, watch->user); // may free the watch
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, int events, loop_fd_fn *fn, void *user,
				  struct error *error)
{
	struct loop_watch *watch = calloc(1, sizeof(*watch));
	if (!watch) {
		error_errno(error, ENOMEM, "cannot watch descriptor %d", fd);
		return NULL;
	}
	*watch = (struct loop_watch){.base = loop->base, .fn = fn, .user = user, .fd = fd};
	watch->event = event_new(loop->base, fd, EV_PERSIST, on_ready, watch);
	if (!watch->event || !loop_watch_set(watch, events)) {
		error_set(error, ERROR_FAILED, "cannot watch descriptor %d", fd);
		loop_watch_free(watch);
		return NULL;
	}
	return watch;
}

bool loop_watch_set(struct loop_watch *watch, int events)
{
	short wanted =
		(short)(EV_PERSIST | ((events & LOOP_READ) ? EV_READ : 0) | ((events & LOOP_WRITE) ? EV_WRITE : 0));
	bool active = wanted & (EV_READ | EV_WRITE);
	if (event_get_events(watch->event) == wanted && active == (event_pending(watch->event, wanted, NULL) != 0))
		return true;
	if (event_del(watch->event) < 0)
		return false;
	if (!active)
		return true;
	return event_assign(watch->event, watch->base, watch->fd, wanted, on_ready, watch) == 0 &&
	       event_add(watch->event, NULL) == 0;
}

void loop_watch_free(struct loop_watch *watch)
{
	if (!watch)
		return;
	if (watch->event)
		event_free(watch->event);
	free(watch);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct loop_timer *timer = user;
	timer->fn(timer->user); // may free the timer
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *user, struct error *error)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));
	if (!timer) {
		error_errno(error, ENOMEM, "cannot make a timer");
		return NULL;
	}
	*timer = (struct loop_timer){.base = loop->base, .fn = fn, .user = user};
	timer->event = evtimer_new(loop->base, on_timer, timer);
	if (!timer->event) {
		error_set(error, ERROR_FAILED, "cannot make a timer");
		free(timer);
		return NULL;
	}
	return timer;
}

static void timer_set(struct loop_timer *timer, int64_t ms, short flags)
{
	struct timeval after = to_timeval(ms);
	event_del(timer->event);
	// Neither can fail: the event is not pending, and its slot in the timer heap was taken by the first use.
	(void)event_assign(timer->event, timer->base, -1, flags, on_timer, timer);
	(void)event_add(timer->event, &after);
}

void loop_timer_once(struct loop_timer *timer, int64_t after_ms)
{
	timer_set(timer, after_ms, 0);
}

void loop_timer_every(struct loop_timer *timer, int64_t every_ms)
{
	timer_set(timer, every_ms > 0 ? every_ms : 1, EV_PERSIST);
}

void loop_timer_stop(struct loop_timer *timer)
{
	event_del(timer->event);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	event_free(timer->event);
	free(timer);
}

void *loop_base(struct loop *loop)
{
	return loop->base;
}
