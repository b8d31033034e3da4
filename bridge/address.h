// Whom an address stands for, as a key of tables: an IPv6 host has all of its /64. Any other text, such as a device id,
// counts by its hash.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_KEY_BYTES 9 // family and up to 64 bits of the address

struct address_key {
	uint8_t bytes[ADDRESS_KEY_BYTES];
};

struct address_key address_key(const char *address);
size_t address_hash(const struct address_key *key);
