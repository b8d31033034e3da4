#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int code;
	enum error_kind kind;
} errno_kinds[] = {
	{ENOENT, ERROR_NOT_FOUND},
	{ENOTDIR, ERROR_NOT_FOUND},
	{EEXIST, ERROR_EXISTS},
	{EACCES, ERROR_DENIED},
	{EPERM, ERROR_DENIED},
	{EROFS, ERROR_DENIED},
	{ECONNREFUSED, ERROR_UNREACHABLE},
	{ECONNRESET, ERROR_UNREACHABLE},
	{EPIPE, ERROR_UNREACHABLE},
	{EHOSTUNREACH, ERROR_UNREACHABLE},
	{ENETUNREACH, ERROR_UNREACHABLE},
	{ENETDOWN, ERROR_UNREACHABLE},
	{ETIMEDOUT, ERROR_TIMEOUT},
	{EMFILE, ERROR_LIMIT},
	{ENFILE, ERROR_LIMIT},
	{ENOSPC, ERROR_LIMIT},
	{EDQUOT, ERROR_LIMIT},
	{EFBIG, ERROR_LIMIT},
};

static enum error_kind kind_of_errno(int code)
{
	for (size_t i = 0; i < sizeof(errno_kinds) / sizeof(errno_kinds[0]); i++)
		if (errno_kinds[i].code == code)
			return errno_kinds[i].kind;
	return ERROR_FAILED;
}

// Messages of libraries end in newlines or span lines; a log line must not.
static void make_one_line(char *text)
{
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
		text[--len] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
}

bool(error_set)(struct error *error, enum error_kind kind, const char *format, ...)
{
	if (!error)
		return false;

	// Formatted aside: an argument may point into error->what itself.
	char what[sizeof(error->what)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);

	make_one_line(what);
	memcpy(error->what, what, sizeof(what));
	error->kind = kind;
	error->code = 0;
	error->where[0] = '\0';
	return false;
}

bool(error_errno)(struct error *error, int code, const char *format, ...)
{
	if (!error)
		return false;

	char context[sizeof(error->what)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(context, sizeof(context), format, args);
	va_end(args);

	char text[128];
	(void)error_set(error, kind_of_errno(code), "%s: %s", context, strerror_r(code, text, sizeof(text)));
	error->code = code;
	return false;
}

bool(error_prefix)(struct error *error, const char *format, ...)
{
	if (!error)
		return false;

	char joined[2 * sizeof(error->what)];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(joined, sizeof(error->what), format, args);
	va_end(args);
	if (len < 0)
		return false;
	size_t used = strlen(joined);
	(void)snprintf(joined + used, sizeof(joined) - used, ": %s", error->what);

	joined[sizeof(error->what) - 1] = '\0';
	make_one_line(joined);
	memcpy(error->what, joined, strlen(joined) + 1);
	return false;
}

const char *error_kind_name(enum error_kind kind)
{
	switch (kind) {
	case ERROR_NONE:
		return "none";
	case ERROR_FAILED:
		return "failed";
	case ERROR_INVALID:
		return "invalid";
	case ERROR_NOT_FOUND:
		return "not_found";
	case ERROR_EXISTS:
		return "exists";
	case ERROR_DENIED:
		return "denied";
	case ERROR_UNREACHABLE:
		return "unreachable";
	case ERROR_TIMEOUT:
		return "timeout";
	case ERROR_LIMIT:
		return "limit";
	}
	return "unknown";
}
