#include "tools/sim/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#define PENDING_MAX_BYTES (64UL * 1024 * 1024) // of one turn; swarm.c makes far less in one

bool ledger_open(struct ledger *ledger, const char *path, struct error *error)
{
	ledger->fd = -1;
	buf_init(&ledger->pending, PENDING_MAX_BYTES);
	if (!path)
		return true;
	ledger->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return ledger->fd >= 0 || error_errno(error, errno, "cannot open %s", path);
}

void ledger_close(struct ledger *ledger)
{
	if (ledger->fd >= 0)
		(void)close(ledger->fd);
	ledger->fd = -1;
	buf_done(&ledger->pending);
}

void ledger_addf(struct ledger *ledger, const char *format, ...)
{
	va_list args;

	if (ledger->fd < 0)
		return;
	va_start(args, format);
	buf_vaddf(&ledger->pending, format, args);
	va_end(args);
}

bool ledger_flush(struct ledger *ledger, struct error *error)
{
	size_t done_bytes = 0;

	if (ledger->fd < 0 || (ledger->pending.len_bytes == 0 && !ledger->pending.overflowed))
		return true;
	if (ledger->pending.overflowed)
		return error_set(error, ERROR_LIMIT, "too many ledger lines in one turn");
	while (done_bytes < ledger->pending.len_bytes) {
		ssize_t wrote = write(ledger->fd, ledger->pending.data + done_bytes,
				      ledger->pending.len_bytes - done_bytes);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return error_errno(error, errno, "cannot write the ledger");
		done_bytes += (size_t)wrote;
	}
	if (fdatasync(ledger->fd) < 0)
		return error_errno(error, errno, "cannot sync the ledger");
	buf_clear(&ledger->pending);
	return true;
}
