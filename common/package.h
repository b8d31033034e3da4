// Packages of the agent that devices are given: in one folder muster-agent-android-<abi>.tar.gz, each with its
// manifest (agent/android/package.sh) beside it as muster-agent-android-<abi>.json. Kept in memory; a changed one is
// read again.
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { PACKAGE_KINDS = 3 };

struct package {
	char file[64];       // name of the archive, without folder
	const char *abi;     // as Android names it: "arm64-v8a"
	char version[32];
	char sha256[SHA256_HEX_BYTES]; // of the archive
	char *data;
	size_t len_bytes;
	size_t holders; // private
};

struct packages;

struct packages *packages_new(const char *folder, struct error *error) must_check; // NULL: there are none
void packages_free(struct packages *packages);
DEFINE_CLEANUP(struct packages, packages_free)

// The package of this kind, 0 to PACKAGE_KINDS - 1, which package_release gives back, also after packages_free. NULL
// when it is not there, or not to be given out: error says why.
struct package *packages_take(struct packages *packages, size_t kind, struct error *error) must_check;
// The same by the name of its archive: ERROR_NOT_FOUND for any other name.
struct package *packages_find(struct packages *packages, const char *file, struct error *error) must_check;
void package_release(void *package); // NULL is fine
static inline void package_release_cleanup(struct package **package)
{
	package_release(*package);
}
#define auto_package cleanup(package_release_cleanup)
