#include "agent/names.h"

bool names_init(const char *root, const char *host, char *const *addresses, struct error *error)
{
	if (!addresses || !addresses[0])
		return true;
	return error_set(error, ERROR_INVALID,
			 "broker.addresses is for the agent for Android: here, give %s its address in /etc/hosts",
			 host);
}
