#include "bridge/worker.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/limits.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define PING_MS 1000 // how often a silent connection is asked whether it lives
#define RETRY_MS 100 // pg_ready has a backoff of its own
#define ANSWER_TIMEOUT_MS 5000
#define LISTEN_MAX_BYTES 1024
#define CONNECTED (1U << WORKER_CHANNELS_MAX)
#define PING_SQL "select 1"

struct queue {
	struct worker_job *first, **last;
};

struct worker {
	struct pg *pg;
	struct worker_options options;
	size_t channel_count;
	char listen_sql[LISTEN_MAX_BYTES];
	int work_fd; // to the thread: jobs, or the end
	int stop_fd;
	int done_fd; // to the loop
	struct loop_watch *watch;
	pthread_t thread;
	bool started;
	_Atomic int64_t answered_ms; // monotonic: when the database last did; 0: there is no connection

	pthread_mutex_t mutex; // over all that follows
	struct queue todo, done;
	size_t waiting;
	unsigned notified; // a bit each channel, and CONNECTED
	bool stop;
};

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

static void queue_add(struct queue *queue, struct worker_job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
}

static struct worker_job *queue_take(struct queue *queue)
{
	struct worker_job *job = queue->first;

	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->last = &queue->first;
	return job;
}

static void wake(int fd)
{
	(void)eventfd_write(fd, 1); // can only fail when it is readable already
}

static void calm(int fd)
{
	eventfd_t ignored;
	(void)eventfd_read(fd, &ignored); // can only fail when it is calm already
}

// ---- the thread ----

static void answered(struct worker *worker, bool ok)
{
	atomic_store(&worker->answered_ms, ok ? clock_mono_ms() : 0);
}

static void notify(struct worker *worker, unsigned channels)
{
	(void)pthread_mutex_lock(&worker->mutex);
	worker->notified |= channels;
	(void)pthread_mutex_unlock(&worker->mutex);
	wake(worker->done_fd);
}

static bool on_connect(struct pg *pg, void *user, struct error *error)
{
	struct worker *worker = user;

	if (!pg_exec(pg, worker->listen_sql, error))
		return false;
	answered(worker, true);
	notify(worker, CONNECTED | ((1U << worker->channel_count) - 1)); // whatever came meanwhile
	return true;
}

static void on_notification(void *user, const char *channel, const char *payload)
{
	struct worker *worker = user;

	for (size_t i = 0; i < worker->channel_count; i++) {
		if (strcmp(worker->options.channels[i], channel) == 0)
			notify(worker, 1U << i);
	}
}

static void run(struct worker *worker, struct worker_job *job)
{
	job->error = (struct error){.kind = ERROR_NONE};
	job->ok = pg_ready(worker->pg, &job->error) && job->run(job, worker->pg, &job->error);
	answered(worker, pg_connected(worker->pg));
	(void)pthread_mutex_lock(&worker->mutex);
	queue_add(&worker->done, job);
	worker->waiting--;
	(void)pthread_mutex_unlock(&worker->mutex);
	wake(worker->done_fd);
}

static void ping(struct worker *worker)
{
	struct error ignored;

	answered(worker, pg_ready(worker->pg, &ignored) && pg_query(worker->pg, NULL, &ignored, PING_SQL, 0, NULL));
}

static void listen_to_database(struct worker *worker)
{
	struct error ignored;

	if (pg_connected(worker->pg) && !pg_notifications(worker->pg, on_notification, worker, &ignored))
		answered(worker, false);
}

// Until there is a job, a notification or something to do.
static void pause_thread(struct worker *worker)
{
	struct pollfd watched[] = {
		{.fd = worker->work_fd, .events = POLLIN},
		{.fd = pg_connected(worker->pg) ? pg_fd(worker->pg) : -1, .events = POLLIN},
	};

	(void)poll(watched, 2, pg_connected(worker->pg) ? PING_MS / 2 : RETRY_MS);
	calm(worker->work_fd);
}

static void *thread_main(void *user)
{
	struct worker *worker = user;

	for (;;) {
		(void)pthread_mutex_lock(&worker->mutex);
		struct worker_job *job = worker->stop ? NULL : queue_take(&worker->todo);
		bool stop = worker->stop;
		(void)pthread_mutex_unlock(&worker->mutex);
		if (stop)
			return NULL;
		if (job)
			run(worker, job);
		else if (clock_mono_ms() - atomic_load(&worker->answered_ms) >= PING_MS)
			ping(worker);
		listen_to_database(worker);
		if (!job)
			pause_thread(worker);
	}
}

// ---- the loop ----

static void deliver(struct worker *worker)
{
	for (;;) {
		(void)pthread_mutex_lock(&worker->mutex);
		struct worker_job *job = queue_take(&worker->done);
		(void)pthread_mutex_unlock(&worker->mutex);
		if (!job)
			return;
		job->done(job, job->ok, &job->error); // may free it
	}
}

static void on_done(int fd, int ready, void *user)
{
	struct worker *worker = user;

	calm(fd);
	deliver(worker);
	(void)pthread_mutex_lock(&worker->mutex);
	unsigned notified = worker->notified;
	worker->notified = 0;
	(void)pthread_mutex_unlock(&worker->mutex);
	for (size_t i = 0; i < worker->channel_count; i++) {
		if (notified & (1U << i))
			worker->options.notified(i, worker->options.user);
	}
	if (notified & CONNECTED && worker->options.connected)
		worker->options.connected(worker->options.user);
}

bool worker_submit(struct worker *worker, struct worker_job *job)
{
	(void)pthread_mutex_lock(&worker->mutex);
	bool room = worker->waiting < WORKER_QUEUE_MAX && !worker->stop;
	if (room) {
		queue_add(&worker->todo, job);
		worker->waiting++;
	}
	(void)pthread_mutex_unlock(&worker->mutex);
	if (room)
		wake(worker->work_fd);
	return room;
}

bool worker_fresh(struct worker *worker)
{
	int64_t answered_ms = atomic_load(&worker->answered_ms);

	return answered_ms > 0 && clock_mono_ms() - answered_ms < WORKER_FRESH_MS;
}

bool worker_silent(struct worker *worker)
{
	return atomic_load(&worker->answered_ms) > 0 && !worker_fresh(worker);
}

// ---- making ----

static bool make_listen(struct worker *worker, struct error *error)
{
	auto_buf struct buf sql = {0};

	buf_init(&sql, LISTEN_MAX_BYTES - 1);
	for (const char *const *channel = worker->options.channels; channel && *channel; channel++) {
		worker->channel_count++;
		(void)buf_addf(&sql, "listen %s; ", *channel);
	}
	(void)snprintf(worker->listen_sql, sizeof(worker->listen_sql), "%s", buf_str(&sql));
	return (!sql.overflowed && worker->channel_count <= WORKER_CHANNELS_MAX) ||
	       error_set(error, ERROR_LIMIT, "too many channels to listen to");
}

static bool make_parts(struct worker *worker, struct loop *loop, struct error *error)
{
	worker->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->work_fd < 0 || worker->stop_fd < 0 || worker->done_fd < 0)
		return error_errno(error, errno, "cannot make the database's thread");
	worker->pg = pg_new(worker->options.conninfo, worker->options.application_name, error);
	if (!worker->pg || !make_listen(worker, error))
		return false;
	pg_set_timeout(worker->pg, ANSWER_TIMEOUT_MS);
	pg_on_connect(worker->pg, on_connect, worker);
	pg_interrupt_fd(worker->pg, worker->stop_fd);
	worker->watch = loop_watch_new(loop, worker->done_fd, LOOP_READ, on_done, worker, error);
	if (!worker->watch)
		return false;
	int code = pthread_create(&worker->thread, NULL, thread_main, worker);
	if (code != 0)
		return error_errno(error, code, "cannot start the database's thread");
	worker->started = true;
	return true;
}

struct worker *worker_new(struct loop *loop, const struct worker_options *options, struct error *error)
{
	struct worker *worker cleanup(worker_free_cleanup) = calloc(1, sizeof(*worker));

	if (!worker) {
		error_errno(error, ENOMEM, "cannot make the database's thread");
		return NULL;
	}
	worker->options = *options;
	worker->work_fd = worker->stop_fd = worker->done_fd = -1;
	(void)pthread_mutex_init(&worker->mutex, NULL); // cannot fail on Linux
	queue_init(&worker->todo);
	queue_init(&worker->done);
	return make_parts(worker, loop, error) ? steal(worker) : NULL;
}

// What did not run any more.
static void give_up(struct worker *worker)
{
	struct worker_job *job;

	while ((job = queue_take(&worker->todo))) {
		job->ok = false;
		error_set(&job->error, ERROR_UNREACHABLE, "the bridge is stopping");
		queue_add(&worker->done, job);
	}
	deliver(worker);
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	if (worker->started) {
		(void)pthread_mutex_lock(&worker->mutex);
		worker->stop = true;
		(void)pthread_mutex_unlock(&worker->mutex);
		wake(worker->stop_fd);
		wake(worker->work_fd);
		(void)pthread_join(worker->thread, NULL);
	}
	give_up(worker);
	loop_watch_free(worker->watch);
	pg_free(worker->pg);
	close_cleanup(&worker->work_fd);
	close_cleanup(&worker->stop_fd);
	close_cleanup(&worker->done_fd);
	(void)pthread_mutex_destroy(&worker->mutex);
	free(worker);
}
