// Files, whole and durable.
#pragma once

#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

// Reads all of path, up to max_bytes (ERROR_LIMIT beyond). malloc'd and NUL-terminated; len_bytes may be NULL.
char *file_read(const char *path, size_t max_bytes, size_t *len_bytes, struct error *error) must_check;
// As file_read, for secrets: refuses a file that group or others can read; strips one trailing newline.
char *file_read_secret(const char *path, size_t max_bytes, struct error *error) must_check;
// As file_read_secret, where the group may read: for a secret that several daemons share.
char *file_read_group_secret(const char *path, size_t max_bytes, struct error *error) must_check;
// Writes beside path, fsyncs, renames over it and fsyncs the folder: after a crash the old or the new is there.
bool file_write(const char *path, const void *data, size_t len_bytes, mode_t mode, struct error *error) must_check;
// rename(2), durably: after a crash one of the two is at to, whole.
bool file_replace(const char *from, const char *to, struct error *error) must_check;
// Overwrites and removes a file that holds a secret; fine when there is none. A medium that moves its blocks, as flash
// does, may keep the old ones.
bool file_wipe(const char *path, struct error *error) must_check;
bool file_mkdirs(const char *path, mode_t mode, struct error *error) must_check;
bool file_exists(const char *path);

// What tells whether a file is still the one that was read: whoever replaces it by renaming makes another one.
struct file_stamp {
	ino_t inode;
	off_t size_bytes;
	struct timespec changed;
};
bool file_stamp(const char *path, struct file_stamp *out, struct error *error) must_check;
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
