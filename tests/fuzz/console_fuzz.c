// What a browser sends as its password: no input may pass that the key here has not signed, and one that it has signed
// never gives more than it says.
#include "common/console.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOW_S 1767225600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

static void check_forged(const char *text, size_t len_bytes)
{
	// The public key of RFC 8037 appendix A.2.
	static const uint8_t public_key[JWS_KEY_BYTES] = {
		0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
		0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
	};
	struct jws_key key;
	struct console_grant grant;
	struct error error;

	jws_key_from_public(&key, public_key);
	if (console_verify(text, len_bytes, &key, 1, "console.00000000000000000000000000000000", NOW_S, &grant, &error))
		abort();
}

// The same bytes as claims, past the signature.
static void check_claims(const char *text, size_t len_bytes)
{
	struct console_grant grant;
	struct error error;

	if (!console_read(text, len_bytes, &grant, &error))
		return;
	if (grant.count > CONSOLE_DEVICES_MAX || grant.all == (grant.count > 0) || !console_is_client_id(grant.client_id))
		abort();
	if (console_may_read(&grant, "$SYS/broker/uptime") || console_may_read(&grant, "ops/v1/op.a/reply"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	char *text = malloc(len_bytes + 1);

	if (!text)
		return 0;
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	check_forged(text, len_bytes);
	check_claims(text, len_bytes);
	(void)console_may_subscribe(text);
	free(text);
	return 0;
}
