// Reading /proc and /sys. Every path is taken below a root, which is "" on a device and a folder of recorded files in
// the tests.
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYSTEM_FILE_MAX_BYTES 65536 // /proc/cpuinfo of a large machine is cut there

// The whole (or first SYSTEM_FILE_MAX_BYTES of the) file, white space at its end taken off; malloc'd. NULL with errno
// set when it can't be read.
char *system_read(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3))) must_check;
// The file's only line as a number.
bool system_read_int(int64_t *out, const char *root, const char *format, ...)
	__attribute__((format(printf, 3, 4))) must_check;
bool system_exists(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3))) must_check;
// Where a symbolic link points to, malloc'd; NULL when it is none.
char *system_link(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3))) must_check;

// Names in a folder, sorted, at most max; NULL-terminated and malloc'd, freed by system_list_free. An empty list when
// there is no such folder.
char **system_list(const char *root, const char *folder, size_t max) must_check;
void system_list_free(char **names);
static inline void system_list_free_cleanup(char ***names)
{
	system_list_free(*names);
}
#define auto_system_list cleanup(system_list_free_cleanup)

// The value of a "name<white space>:<white space>value" or NAME=value line (quotes taken off), malloc'd; NULL without.
char *system_field(const char *text, const char *name, char separator) must_check;
