#include "common/file.h"

#include "common/cleanup.h"
#include "common/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *read_all(int fd, const char *path, size_t max_bytes, size_t *len_bytes, struct error *error)
{
	struct buf buf auto_buf = {0};
	buf_init(&buf, max_bytes);

	char chunk[16384];
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			(void)error_errno(error, errno, "cannot read %s", path);
			return NULL;
		}
		// Also when nothing came: an empty file gives "", not NULL.
		if (!buf_add(&buf, chunk, (size_t)got)) {
			(void)error_set(error, ERROR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
			return NULL;
		}
		if (got == 0)
			break;
	}
	if (len_bytes)
		*len_bytes = buf.len_bytes;
	return steal(buf.data);
}

char *file_read(const char *path, size_t max_bytes, size_t *len_bytes, struct error *error)
{
	int fd auto_close = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		(void)error_errno(error, errno, "cannot read %s", path);
		return NULL;
	}
	return read_all(fd, path, max_bytes, len_bytes, error);
}

static char *read_secret(const char *path, mode_t refused, size_t max_bytes, struct error *error)
{
	int fd auto_close = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		(void)error_errno(error, errno, "cannot read %s", path);
		return NULL;
	}
	// The open descriptor is asked, not the name, which may be exchanged in between.
	struct stat status;
	if (fstat(fd, &status) != 0) {
		(void)error_errno(error, errno, "cannot read %s", path);
		return NULL;
	}
	if (!S_ISREG(status.st_mode)) {
		(void)error_set(error, ERROR_INVALID, "%s is not a regular file", path);
		return NULL;
	}
	if (status.st_mode & refused) {
		(void)error_set(error, ERROR_DENIED,
				"%s holds a secret and is open to others (mode %04o): chmod %s it", path,
				(unsigned)(status.st_mode & 07777), refused & S_IRGRP ? "600" : "640");
		return NULL;
	}
	size_t len = 0;
	char *secret = read_all(fd, path, max_bytes, &len, error);
	if (!secret)
		return NULL;
	if (len > 0 && secret[len - 1] == '\n')
		secret[--len] = '\0';
	if (strlen(secret) != len) {
		crypto_wipe(secret, len);
		free(secret);
		(void)error_set(error, ERROR_INVALID, "%s holds a NUL byte", path);
		return NULL;
	}
	return secret;
}

char *file_read_secret(const char *path, size_t max_bytes, struct error *error)
{
	return read_secret(path, S_IRWXG | S_IRWXO, max_bytes, error);
}

char *file_read_group_secret(const char *path, size_t max_bytes, struct error *error)
{
	return read_secret(path, S_IWGRP | S_IXGRP | S_IRWXO, max_bytes, error);
}

static bool write_all(int fd, const void *data, size_t len_bytes)
{
	const char *at = data;
	while (len_bytes > 0) {
		ssize_t put = write(fd, at, len_bytes);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		at += put;
		len_bytes -= (size_t)put;
	}
	return true;
}

// A rename is durable only once its folder is synced.
static bool sync_folder_of(const char *path, struct error *error)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	if (!slash)
		(void)snprintf(folder, sizeof(folder), ".");
	else if (len == 0)
		(void)snprintf(folder, sizeof(folder), "/");
	else
		(void)snprintf(folder, sizeof(folder), "%.*s", (int)len, path);

	int fd auto_close = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return error_errno(error, errno, "cannot sync %s", folder);
	return true;
}

static bool write_and_sync(int *fd, const char *path, const void *data, size_t len_bytes, mode_t mode,
			   struct error *error)
{
	if (fchmod(*fd, mode) != 0)
		return error_errno(error, errno, "cannot set the mode of %s", path);
	if (!write_all(*fd, data, len_bytes))
		return error_errno(error, errno, "cannot write %s", path);
	if (fsync(*fd) != 0)
		return error_errno(error, errno, "cannot sync %s", path);
	if (close(steal_fd(*fd)) != 0)
		return error_errno(error, errno, "cannot write %s", path);
	return true;
}

bool file_write(const char *path, const void *data, size_t len_bytes, mode_t mode, struct error *error)
{
	char temporary[PATH_MAX];
	int len = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	if (len < 0 || (size_t)len >= sizeof(temporary))
		return error_errno(error, ENAMETOOLONG, "cannot write %s", path);

	int fd auto_close = mkostemp(temporary, O_CLOEXEC); // made with mode 0600
	if (fd < 0)
		return error_errno(error, errno, "cannot write %s", path);
	if (!write_and_sync(&fd, path, data, len_bytes, mode, error)) {
		(void)unlink(temporary);
		return false;
	}
	if (rename(temporary, path) != 0) {
		int code = errno;
		(void)unlink(temporary);
		return error_errno(error, code, "cannot write %s", path);
	}
	return sync_folder_of(path, error);
}

bool file_replace(const char *from, const char *to, struct error *error)
{
	if (rename(from, to) != 0)
		return error_errno(error, errno, "cannot rename %s to %s", from, to);
	return sync_folder_of(to, error);
}

static bool overwrite(int fd, const char *path, struct error *error)
{
	static const char zeros[4096];
	struct stat status;
	if (fstat(fd, &status) != 0)
		return error_errno(error, errno, "cannot wipe %s", path);
	for (off_t left = status.st_size; left > 0; left -= (off_t)sizeof(zeros)) {
		if (!write_all(fd, zeros, left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros)))
			return error_errno(error, errno, "cannot wipe %s", path);
	}
	return fsync(fd) == 0 || error_errno(error, errno, "cannot sync %s", path);
}

bool file_wipe(const char *path, struct error *error)
{
	int fd auto_close = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd < 0)
		return error_errno(error, errno, "cannot wipe %s", path);
	if (!overwrite(fd, path, error))
		return false;
	if (unlink(path) != 0)
		return error_errno(error, errno, "cannot remove %s", path);
	return sync_folder_of(path, error);
}

static bool make_folder(const char *path, mode_t mode, struct error *error)
{
	if (mkdir(path, mode) == 0)
		return true;
	int code = errno;
	struct stat status;
	if (code == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return true;
	return error_errno(error, code == EEXIST ? ENOTDIR : code, "cannot make folder %s", path);
}

bool file_mkdirs(const char *path, mode_t mode, struct error *error)
{
	char partial[PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(partial))
		return error_errno(error, len == 0 ? ENOENT : ENAMETOOLONG, "cannot make folder '%s'", path);
	memcpy(partial, path, len + 1);

	for (char *slash = strchr(partial + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		bool made = make_folder(partial, mode, error);
		*slash = '/';
		if (!made)
			return false;
	}
	return make_folder(partial, mode, error);
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

bool file_stamp(const char *path, struct file_stamp *out, struct error *error)
{
	struct stat info;
	if (stat(path, &info) != 0)
		return error_errno(error, errno, "cannot read %s", path);
	*out = (struct file_stamp){.inode = info.st_ino, .size_bytes = info.st_size, .changed = info.st_mtim};
	return true;
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->inode == b->inode && a->size_bytes == b->size_bytes && a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}
