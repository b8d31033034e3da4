// What unit tests share: cmocka with the headers it needs, a folder of one's own, and the vectors.
#pragma once

#include "common/file.h"
#include "common/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct scratch {
	char folder[64];
};

static inline int scratch_setup(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));
	if (!scratch)
		return -1;
	(void)snprintf(scratch->folder, sizeof(scratch->folder), "/tmp/muster-unit-XXXXXX");
	if (!mkdtemp(scratch->folder)) {
		free(scratch);
		return -1;
	}
	*state = scratch;
	return 0;
}

static inline int scratch_remove(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)kind;
	(void)place;
	return remove(path);
}

static inline int scratch_teardown(void **state)
{
	struct scratch *scratch = *state;
	int failed = nftw(scratch->folder, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(scratch);
	return failed;
}

// malloc'd
static inline char *scratch_path(void **state, const char *name)
{
	struct scratch *scratch = *state;
	char *path;
	assert_true(asprintf(&path, "%s/%s", scratch->folder, name) > 0);
	return path;
}

// Writes name into the folder; returns its path, malloc'd.
static inline char *scratch_write(void **state, const char *name, const char *text, mode_t mode)
{
	char *path = scratch_path(state, name);
	struct error error;
	assert_true(file_write(path, text, strlen(text), mode, &error));
	return path;
}

#ifdef MUSTER_SOURCE_DIR
static inline struct json *vectors_load(const char *name)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/tests/vectors/%s", MUSTER_SOURCE_DIR, name);
	struct error error = {0};
	size_t len;
	char *text auto_free = file_read(path, 1 << 20, &len, &error);
	if (!text)
		fail_msg("%s", error.what);
	struct json *vectors = json_parse(text, len, &error);
	if (!vectors)
		fail_msg("%s: %s at %s", path, error.what, error.where);
	return vectors;
}
#endif
