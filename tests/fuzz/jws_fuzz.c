// No input may pass for a signed command: the key here was used for none of them.
#include "common/command.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	// The public key of RFC 8037 appendix A.2.
	static const uint8_t public_key[JWS_KEY_BYTES] = {
		0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
		0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
	};
	struct jws_key key;
	jws_key_from_public(&key, public_key);
	struct command_context context = {.device = "device-1", .keys = &key, .key_count = 1};
	struct command command;
	struct error error;
	if (command_check((const char *)data, len_bytes, &context, &command, &error) != COMMAND_BAD_FORM ||
	    error.kind != ERROR_INVALID)
		abort();
	return 0;
}
