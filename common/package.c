#include "common/package.h"

#include "common/file.h"
#include "common/json.h"
#include "common/limits.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Our names of the ABIs, and Android's (ro.product.cpu.abi).
static const struct {
	const char *name, *abi;
} kinds[PACKAGE_KINDS] = {{"arm64", "arm64-v8a"}, {"armv7", "armeabi-v7a"}, {"x86_64", "x86_64"}};

struct slot {
	struct package *package; // NULL: none that may be given out
	struct file_stamp manifest, archive;
};

struct packages {
	char *folder;
	struct slot slots[PACKAGE_KINDS];
};

void package_release(void *held)
{
	struct package *package = held;
	if (!package || --package->holders > 0)
		return;
	free(package->data);
	free(package);
}

struct packages *packages_new(const char *folder, struct error *error)
{
	struct packages *packages = calloc(1, sizeof(*packages));
	if (packages && folder)
		packages->folder = strdup(folder);
	if (packages && (!folder || packages->folder))
		return packages;
	packages_free(packages);
	(void)error_set(error, ERROR_FAILED, "out of memory");
	return NULL;
}

void packages_free(struct packages *packages)
{
	if (!packages)
		return;
	for (size_t i = 0; i < PACKAGE_KINDS; i++)
		package_release(packages->slots[i].package);
	free(packages->folder);
	free(packages);
}

static bool read_manifest(const char *path, size_t kind, struct package *package, struct error *error)
{
	size_t len_bytes = 0;
	bool complete = false;
	const char *abi = "";
	const char *version = "";
	char *text auto_free = file_read(path, PACKAGE_MANIFEST_MAX_BYTES, &len_bytes, error);
	struct json *manifest auto_json = text ? json_parse(text, len_bytes, error) : NULL;
	if (!manifest)
		return error_prefix(error, "%s", path);
	if (!json_member_string(manifest, "abi", &abi) || strcmp(abi, kinds[kind].name) != 0 ||
	    !json_member_string(manifest, "version", &version))
		return error_set(error, ERROR_INVALID, "%s is no manifest of a package for %s", path, kinds[kind].name);
	if (!json_member_bool(manifest, "complete", &complete) || !complete)
		return error_set(
			error, ERROR_DENIED,
			"the libraries in the package for %s could not be verified when it was built: build it "
			"again",
			kinds[kind].name);
	(void)snprintf(package->version, sizeof(package->version), "%s", version);
	return true;
}

static struct package *read_package(const char *manifest, const char *archive, size_t kind, struct error *error)
{
	struct package *package auto_package = calloc(1, sizeof(*package));
	if (!package) {
		(void)error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	package->holders = 1;
	package->abi = kinds[kind].abi;
	(void)snprintf(package->file, sizeof(package->file), "%s", strrchr(archive, '/') + 1);
	if (!read_manifest(manifest, kind, package, error))
		return NULL;
	package->data = file_read(archive, PACKAGE_MAX_BYTES, &package->len_bytes, error);
	if (!package->data)
		return NULL;
	crypto_sha256_hex(package->data, package->len_bytes, package->sha256);
	return steal(package);
}

struct package *packages_take(struct packages *packages, size_t kind, struct error *error)
{
	char manifest[PATH_MAX];
	char archive[PATH_MAX];
	struct slot seen = {.package = NULL};
	struct slot *slot = &packages->slots[kind];
	if (!packages->folder) {
		(void)error_set(error, ERROR_NOT_FOUND, "no folder with packages of the agent is configured");
		return NULL;
	}
	(void)snprintf(manifest, sizeof(manifest), "%s/muster-agent-android-%s.json", packages->folder,
		       kinds[kind].name);
	(void)snprintf(archive, sizeof(archive), "%s/muster-agent-android-%s.tar.gz", packages->folder,
		       kinds[kind].name);
	bool there = file_stamp(manifest, &seen.manifest, error) && file_stamp(archive, &seen.archive, error);
	if (!there || !slot->package || !file_stamp_equal(&seen.manifest, &slot->manifest) ||
	    !file_stamp_equal(&seen.archive, &slot->archive)) {
		package_release(slot->package);
		*slot = seen;
		slot->package = there ? read_package(manifest, archive, kind, error) : NULL;
	}
	if (slot->package)
		slot->package->holders++;
	return slot->package;
}

struct package *packages_find(struct packages *packages, const char *file, struct error *error)
{
	for (size_t i = 0; i < PACKAGE_KINDS; i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "muster-agent-android-%s.tar.gz", kinds[i].name);
		if (strcmp(name, file) == 0)
			return packages_take(packages, i, error);
	}
	(void)error_set(error, ERROR_NOT_FOUND, "there is no package of this name");
	return NULL;
}
