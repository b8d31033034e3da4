#include "tools/stack.h"

#include "common/file.h"
#include "common/limits.h"

#include <limits.h>
#include <stdio.h>

static const char *const abis[] = {"arm64", "armv7", "x86_64"};

static bool copy(const char *from, const struct stack_path *to, size_t max_bytes, struct error *error)
{
	size_t len_bytes = 0;
	auto_free char *data = file_read(from, max_bytes, &len_bytes, error);
	return data && file_write(to->text, data, len_bytes, 0644, error);
}

// From beside the folder of this build's programs: where the presets android-* put what they make.
bool stack_agents_copy(const struct stack *stack, struct error *error)
{
	for (size_t i = 0; i < sizeof(abis) / sizeof(abis[0]); i++) {
		char from[PATH_MAX];
		char archive[PATH_MAX];
		struct stack_path manifest = stack_path(stack, "agents/muster-agent-android-%s.json", abis[i]);
		struct stack_path to = stack_path(stack, "agents/muster-agent-android-%s.tar.gz", abis[i]);
		(void)snprintf(from, sizeof(from), "%s/../../android-%s/muster-agent-android-%s/manifest.json",
			       stack->bin, abis[i], abis[i]);
		(void)snprintf(archive, sizeof(archive), "%s/../../android-%s/muster-agent-android-%s.tar.gz",
			       stack->bin, abis[i], abis[i]);
		if (!file_exists(from))
			continue;
		// Without an archive the manifest says why there is none.
		if ((file_exists(archive) && !copy(archive, &to, PACKAGE_MAX_BYTES, error)) ||
		    !copy(from, &manifest, PACKAGE_MANIFEST_MAX_BYTES, error))
			return error_prefix(error, "the packages of the agent");
	}
	return true;
}
