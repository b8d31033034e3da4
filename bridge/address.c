#include "bridge/address.h"

#include <arpa/inet.h>
#include <string.h>

// FNV-1a: the keys are few and the probes bounded, so nothing stronger is needed.
static uint64_t fnv(const void *data, size_t len_bytes)
{
	uint64_t hash = 14695981039346656037U;

	for (size_t i = 0; i < len_bytes; i++)
		hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211U;
	return hash;
}

struct address_key address_key(const char *address)
{
	struct address_key key = {{0}};
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, address, &four) == 1) {
		key.bytes[0] = 4;
		memcpy(key.bytes + 1, &four, sizeof(four));
	} else if (inet_pton(AF_INET6, address, &six) == 1) {
		bool mapped = IN6_IS_ADDR_V4MAPPED(&six);

		key.bytes[0] = mapped ? 4 : 6;
		memcpy(key.bytes + 1, six.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
	} else {
		uint64_t hash = fnv(address, strlen(address));

		memcpy(key.bytes + 1, &hash, sizeof(hash));
	}
	return key;
}

size_t address_hash(const struct address_key *key)
{
	uint64_t hash = fnv(key->bytes, ADDRESS_KEY_BYTES);

	return (size_t)(hash ^ (hash >> 32));
}
