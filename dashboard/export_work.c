#include "dashboard/export_work.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "dashboard/export_job.h"
#include "dashboard/scope.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 2000   // for what another dashboard was asked for
#define SWEEP_EVERY_MS 30000 // for what has expired
#define ATTEMPTS_MAX "3"
#define FORGET_DAYS "7"		 // an ended export's row, after its file
#define ANSWER_TIMEOUT_MS 900000 // a sort of all telemetry, before the first row comes

// Compiling a plan for each of a hundred partitions takes longer than what it saves.
static const char PREPARE_SQL[] = "set timezone to 'UTC'; set statement_timeout to 0; set jit to off";
// Held as long as the connection: whoever has it makes the exports.
static const char LOCK_SQL[] = "select pg_try_advisory_lock(hashtext('muster.exports'))";
// What was under way in a dashboard that is gone.
static const char RESUME_SQL[] =
	"update export set changed_at = now(), finished_at = case when attempts < " ATTEMPTS_MAX
	" then null else now() end,"
	" expires_at = case when attempts < " ATTEMPTS_MAX " then null else now() end,"
	" reason = case when cancel then '' when attempts < " ATTEMPTS_MAX
	" then 'Begun again: the dashboard was restarted.'"
	" else 'The dashboard ended " ATTEMPTS_MAX " times while it was made; ask for less at once.' end,"
	" state = case when cancel then 'cancelled' when attempts < " ATTEMPTS_MAX " then 'queued' else 'failed' end"
	" where state = 'running'";
static const char EXPIRE_SQL[] = "update export set state = 'expired', changed_at = now() where state = 'done' and "
				 "expires_at < now() returning id";
static const char FORGET_SQL[] = "delete from export where state not in ('queued', 'running', 'done')"
				 " and changed_at < now() - interval '" FORGET_DAYS " days'";
static const char KEPT_SQL[] = "select 1 from export where id = $1::uuid and state in ('running', 'done')";
static const char HELD_SQL[] = "select coalesce(sum(bytes), 0) from export where state = 'done'";

struct export_work {
	const struct dashboard_config *config;
	struct export_job job;
	int wake_fd;
	pthread_t thread;
	bool started, mine; // mine: the lock is held
	atomic_bool ending;
	int64_t swept_ms;
	struct log_fault fault;
};

void export_path(const struct dashboard_config *config, const char *id, const char *suffix, char out[EXPORT_PATH_MAX])
{
	(void)snprintf(out, EXPORT_PATH_MAX, "%s/%.36s%s", config->exports_dir, id, suffix);
}

static bool prepare(struct pg *pg, void *user, struct error *error)
{
	return pg_exec(pg, PREPARE_SQL, error) && scope_enter_all(pg, error); // until a job says for whom
}

// ---- in the thread ----

static bool prepare_control(struct pg *pg, void *user, struct error *error)
{
	struct export_work *work = user;

	work->mine = false;
	return prepare(pg, NULL, error);
}

static bool own(struct export_work *work, struct error *error)
{
	auto_pg_result struct pg_result *locked = NULL;

	if (work->mine)
		return true;
	if (!PG_QUERY(work->job.control, &locked, error, LOCK_SQL))
		return false;
	work->mine = pg_bool(locked, 0, 0);
	if (!work->mine)
		return true;
	work->swept_ms = 0;
	return PG_QUERY(work->job.control, NULL, error, RESUME_SQL);
}

static void remove_file(struct export_work *work, const char *id, const char *suffix)
{
	char path[EXPORT_PATH_MAX];

	export_path(work->config, id, suffix, path);
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn("export.undeleted", "path", path, "error", strerror(errno));
}

// Files that no export has (any more).
static bool remove_orphans(struct export_work *work, struct error *error)
{
	DIR *folder = opendir(work->config->exports_dir);
	bool ok = folder != NULL;

	if (!folder)
		return error_errno(error, errno, "cannot read %s", work->config->exports_dir);
	for (struct dirent *entry = readdir(folder); entry && ok; entry = readdir(folder)) {
		char id[37];
		auto_pg_result struct pg_result *kept = NULL;

		if (strlen(entry->d_name) != 36 + strlen(EXPORT_DONE) ||
		    strspn(entry->d_name, "0123456789abcdef-") != 36)
			continue;
		(void)snprintf(id, sizeof(id), "%.36s", entry->d_name);
		ok = PG_QUERY(work->job.control, &kept, error, KEPT_SQL, id);
		if (ok && pg_rows(kept) == 0)
			remove_file(work, id, entry->d_name + 36);
	}
	(void)closedir(folder);
	return ok;
}

static bool sweep(struct export_work *work, struct error *error)
{
	auto_pg_result struct pg_result *expired = NULL, *held = NULL;
	const int64_t megabyte = 1048576;

	if (work->swept_ms == 0 || clock_mono_ms() - work->swept_ms >= SWEEP_EVERY_MS) {
		if (!PG_QUERY(work->job.control, &expired, error, EXPIRE_SQL))
			return false;
		for (size_t i = 0; i < pg_rows(expired); i++)
			remove_file(work, pg_text(expired, i, 0), EXPORT_DONE);
		if (!PG_QUERY(work->job.control, NULL, error, FORGET_SQL) || !remove_orphans(work, error))
			return false;
		work->swept_ms = clock_mono_ms();
	}
	if (!PG_QUERY(work->job.control, &held, error, HELD_SQL))
		return false;
	int64_t room = work->config->exports_folder_mb * megabyte - pg_int(held, 0, 0);

	work->job.bytes_max = work->config->exports_max_mb * megabyte;
	if (room < work->job.bytes_max)
		work->job.bytes_max = room;
	return true;
}

static bool turn(struct export_work *work, bool *found, struct error *error)
{
	uint64_t ignored;

	*found = false;
	if (!pg_ready(work->job.control, error) || !own(work, error))
		return false;
	if (!work->mine)
		return true;
	// One that was cancelled ended its connection, for which the database is not to blame.
	if (!work->ending && read(work->job.interrupt_fd, &ignored, sizeof(ignored)) > 0)
		pg_disconnect(work->job.data);
	return sweep(work, error) && export_job_next(&work->job, found, error);
}

static void wait_for_work(struct export_work *work)
{
	struct pollfd watched = {.fd = work->wake_fd, .events = POLLIN};
	uint64_t ignored;

	if (poll(&watched, 1, LOOK_EVERY_MS) > 0)
		(void)!read(work->wake_fd, &ignored, sizeof(ignored));
}

static void *run(void *user)
{
	struct export_work *work = user;

	while (!work->ending) {
		struct error error = {0};
		bool found = false;

		if (turn(work, &found, &error))
			log_fault_over(&work->fault, "exports.stalled");
		else if (!work->ending)
			log_fault(&work->fault, "exports.stalled", &error);
		if (!found && !work->ending)
			wait_for_work(work);
	}
	return NULL;
}

// ---- for the others ----

static bool start(struct export_work *work, struct error *error)
{
	sigset_t all, before;
	const struct dashboard_config *config = work->config;
	struct stat status;

	if (!file_mkdirs(config->exports_dir, 0700, error))
		return false;
	if (stat(config->exports_dir, &status) != 0 || (status.st_mode & 077) != 0)
		return error_set(error, ERROR_DENIED, "%s must be for its owner only: chmod 700", config->exports_dir);
	work->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	work->job.interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (work->wake_fd < 0 || work->job.interrupt_fd < 0)
		return error_errno(error, errno, "cannot make an eventfd");
	work->job.control = pg_new(config->database_conninfo, "muster-dashboard exports", error);
	work->job.data = pg_new(config->database_conninfo, "muster-dashboard export", error);
	if (!work->job.control || !work->job.data)
		return false;
	pg_on_connect(work->job.control, prepare_control, work);
	pg_on_connect(work->job.data, prepare, NULL);
	pg_set_timeout(work->job.data, ANSWER_TIMEOUT_MS);
	pg_interrupt_fd(work->job.data, work->job.interrupt_fd);
	// Signals are the loop's.
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&work->thread, NULL, run, work);

	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	work->started = code == 0;
	return code == 0 || error_errno(error, code, "cannot start the thread for exports");
}

struct export_work *export_work_new(const struct dashboard_config *config, struct error *error)
{
	struct export_work *work = calloc(1, sizeof(*work));

	if (!work) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	work->config = config;
	work->job.config = config;
	work->wake_fd = work->job.interrupt_fd = -1;
	if (!start(work, error)) {
		export_work_free(work);
		return NULL;
	}
	return work;
}

void export_work_wake(struct export_work *work)
{
	const uint64_t one = 1;

	if (work)
		(void)!write(work->wake_fd, &one, sizeof(one));
}

void export_work_free(struct export_work *work)
{
	const uint64_t one = 1;

	if (!work)
		return;
	work->ending = true;
	if (work->started) {
		(void)!write(work->job.interrupt_fd, &one, sizeof(one));
		export_work_wake(work);
		(void)pthread_join(work->thread, NULL);
	}
	pg_free(work->job.data);
	pg_free(work->job.control);
	if (work->wake_fd >= 0)
		(void)close(work->wake_fd);
	if (work->job.interrupt_fd >= 0)
		(void)close(work->job.interrupt_fd);
	free(work);
}
