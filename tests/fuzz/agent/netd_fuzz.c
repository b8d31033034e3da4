// The name service's answer.
#include "agent/netd.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	struct error error = {0};
	size_t count = 0;
	if (!netd_parse(data, len_bytes, addresses, &count, &error)) {
		if (error.kind == ERROR_NONE || count != 0)
			abort();
		return 0;
	}
	if (count == 0 || count > NETD_ADDRESSES_MAX)
		abort();
	for (size_t i = 0; i < count; i++) {
		if (addresses[i].family != AF_INET && addresses[i].family != AF_INET6)
			abort();
	}
	return 0;
}
