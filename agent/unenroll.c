#include "agent/unenroll.h"

#include "agent/lock.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

// What enrolment and the agent make, and what they leave beside it when they die: "credential.next", "outbox.db-wal",
// "identity.json.x7Qzl2". The key comes first. Nothing else in the folder is touched.
static const char *const ours[] = {
	"credential", "settings.json", "device.key", "device.crt", "ca.crt", "identity.json", "outbox.db",
	"counter.json", "registration", "push-token",
};

static bool is_of(const char *name, const char *stem)
{
	size_t bytes = strlen(stem);
	return strncmp(name, stem, bytes) == 0 && (name[bytes] == '\0' || name[bytes] == '.' || name[bytes] == '-');
}

static void folder_cleanup(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder);
}

static bool wipe_all(const char *state_dir, const char *stem, int *wiped, struct error *error)
{
	DIR *folder cleanup(folder_cleanup) = opendir(state_dir);
	if (!folder)
		return error_errno(error, errno, "cannot read %s", state_dir);
	for (const struct dirent *entry; (entry = readdir(folder));) { // NOLINT(concurrency-mt-unsafe): one thread
		char path[PATH_MAX];
		if (!is_of(entry->d_name, stem))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", state_dir, entry->d_name);
		if (!file_wipe(path, error))
			return false;
		++*wiped;
	}
	return true;
}

bool unenroll(const struct agent_options *options, bool force, int *wiped, struct error *error)
{
	const char *state_dir = options->state_dir;
	*wiped = 0;
	if (!file_exists(state_dir))
		return true;
	auto_close int lock_fd = lock_take(state_dir, error);
	if (lock_fd < 0 && (!error || error->kind != ERROR_EXISTS || !force))
		return error_prefix(error, "nothing was wiped");
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (!wipe_all(state_dir, ours[i], wiped, error))
			return false;
	}
	return true;
}
