#include "common/curl_loop.h"

#include <errno.h>
#include <stdlib.h>

struct curl_loop {
	struct loop *loop;
	CURLM *curlm;
	struct loop_timer *timer; // libcurl's
	struct loop_timer *ended; // there are transfers that have ended
	curl_loop_fn *fn;
};

static void act(struct curl_loop *multi, curl_socket_t fd, int mask)
{
	int running = 0;
	(void)curl_multi_socket_action(multi->curlm, fd, mask, &running); // transfers that fail tell by their message
	loop_timer_once(multi->ended, 0);
}

static void on_ready(int fd, int ready, void *user)
{
	act(user, fd, ((ready & LOOP_READ) ? CURL_CSELECT_IN : 0) | ((ready & LOOP_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timeout(void *user)
{
	act(user, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *curlm, long timeout_ms, void *user)
{
	struct curl_loop *multi = user;
	if (timeout_ms < 0)
		loop_timer_stop(multi->timer);
	else
		loop_timer_once(multi->timer, timeout_ms);
	return 0;
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *user, void *watched)
{
	struct curl_loop *multi = user;
	struct loop_watch *watch = watched;
	int events = ((what & CURL_POLL_IN) ? LOOP_READ : 0) | ((what & CURL_POLL_OUT) ? LOOP_WRITE : 0);
	if (what == CURL_POLL_REMOVE) {
		loop_watch_free(watch);
		(void)curl_multi_assign(multi->curlm, fd, NULL);
		return 0;
	}
	if (watch)
		return loop_watch_set(watch, events) ? 0 : -1;
	watch = loop_watch_new(multi->loop, fd, events, on_ready, multi, NULL);
	if (!watch)
		return -1;
	return curl_multi_assign(multi->curlm, fd, watch) == CURLM_OK ? 0 : -1;
}

static void on_ended(void *user)
{
	struct curl_loop *multi = user;
	int left = 0;
	for (CURLMsg *message; (message = curl_multi_info_read(multi->curlm, &left));) {
		void *transfer = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		multi->fn(transfer, code);
	}
}

static bool fill(struct curl_loop *multi, struct error *error)
{
	multi->curlm = curl_multi_init();
	multi->timer = loop_timer_new(multi->loop, on_timeout, multi, error);
	multi->ended = multi->timer ? loop_timer_new(multi->loop, on_ended, multi, error) : NULL;
	if (!multi->ended)
		return false;
	if (!multi->curlm || curl_multi_setopt(multi->curlm, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
	    curl_multi_setopt(multi->curlm, CURLMOPT_SOCKETDATA, multi) != CURLM_OK ||
	    curl_multi_setopt(multi->curlm, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
	    curl_multi_setopt(multi->curlm, CURLMOPT_TIMERDATA, multi) != CURLM_OK)
		return error_set(error, ERROR_FAILED, "cannot make libcurl's multi handle");
	return true;
}

struct curl_loop *curl_loop_new(struct loop *loop, curl_loop_fn *fn, struct error *error)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)error_set(error, ERROR_FAILED, "cannot initialise libcurl");
		return NULL;
	}
	struct curl_loop *multi = calloc(1, sizeof(*multi));
	if (!multi) {
		curl_global_cleanup();
		(void)error_errno(error, ENOMEM, "cannot make libcurl's multi handle");
		return NULL;
	}
	multi->loop = loop;
	multi->fn = fn;
	if (!fill(multi, error)) {
		curl_loop_free(multi);
		return NULL;
	}
	return multi;
}

void curl_loop_free(struct curl_loop *multi)
{
	if (!multi)
		return;
	if (multi->curlm)
		(void)curl_multi_cleanup(multi->curlm);
	loop_timer_free(multi->timer);
	loop_timer_free(multi->ended);
	free(multi);
	curl_global_cleanup();
}

CURLM *curl_loop_multi(struct curl_loop *multi)
{
	return multi->curlm;
}
