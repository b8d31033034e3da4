// Scope-bound cleanup: a resource declared with one of these attributes is released when its scope ends, and
// steal() hands it on instead. They replace goto ladders.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))
#define must_check __attribute__((warn_unused_result))

// Takes the pointer out of its variable, so that the scope's cleanup finds NULL.
#define steal(pointer)                      \
	({                                  \
		__auto_type stolen = (pointer); \
		(pointer) = NULL;           \
		stolen;                     \
	})

// Takes the descriptor out of its variable, leaving -1.
#define steal_fd(fd)              \
	({                        \
		int stolen = (fd); \
		(fd) = -1;        \
		stolen;           \
	})

// Defines <name>_cleanup(type **) for use with cleanup(); free_fn must accept NULL.
#define DEFINE_CLEANUP(type, free_fn)                      \
	static inline void free_fn##_cleanup(type **pointer) \
	{                                                  \
		free_fn(*pointer);                         \
	}

static inline void free_cleanup(void *pointer)
{
	free(*(void **)pointer);
}

static inline void close_cleanup(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void fclose_cleanup(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

#define auto_free cleanup(free_cleanup)
#define auto_close cleanup(close_cleanup)
#define auto_fclose cleanup(fclose_cleanup)
