// What went wrong, for whoever can act on it. Fallible functions return bool (or NULL), take a struct error *
// as their last parameter and fill it on failure only. The parameter may be NULL.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// The kinds callers act on; everything else is ERROR_FAILED.
enum error_kind {
	ERROR_NONE = 0,
	ERROR_FAILED,      // no better kind; see what
	ERROR_INVALID,     // the input is at fault: tell its sender, do not try again
	ERROR_NOT_FOUND,
	ERROR_EXISTS,
	ERROR_DENIED,
	ERROR_UNREACHABLE, // the peer is away: try again later
	ERROR_TIMEOUT,
	ERROR_LIMIT,       // a ceiling was reached
};

struct error {
	enum error_kind kind;
	int code;        // errno, or the library's own code; 0 where there is none
	char what[512];  // one line, no newline, no secret; "cannot read /etc/x: Permission denied"
	char where[128]; // file:line of a configuration, a SQLSTATE, a JSON pointer; may be empty
};

// Always return false, so that "return error_set(...)" ends a function.
bool error_set(struct error *error, enum error_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
// Appends ": <strerror(code)>" and keeps code; ENOENT, EACCES, ECONNREFUSED, ETIMEDOUT pick their kind.
bool error_errno(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Puts context before what: "reading the outbox: disk I/O error".
bool error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__ // which reads one source at a time, and would take them for true as well
#define error_set(...) ((void)error_set(__VA_ARGS__), false)
#define error_errno(...) ((void)error_errno(__VA_ARGS__), false)
#define error_prefix(...) ((void)error_prefix(__VA_ARGS__), false)
#endif

const char *error_kind_name(enum error_kind kind);
