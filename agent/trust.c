#include "agent/trust.h"

#include <string.h>

enum trust_verdict trust_take(struct identity *identity, const char *jws, size_t jws_bytes, struct error *error)
{
	struct signers signers;
	struct identity next = *identity; // its paths stay the identity's
	if (!signers_verify(jws, jws_bytes, identity->command_keys, identity->command_key_count, &signers, error)) {
		// What comes again after a withdrawal was signed by a key that is gone, rightly.
		struct signers said;
		bool old = signers_read(jws, jws_bytes, &said, NULL) && said.version <= identity->signers;
		return old ? TRUST_KNOWN : TRUST_REFUSED;
	}
	if (signers.version <= identity->signers)
		return TRUST_KNOWN;
	memcpy(next.command_keys, signers.keys, signers.count * sizeof(signers.keys[0]));
	next.command_key_count = signers.count;
	next.signers = signers.version;
	if (!identity_save(&next, error))
		return TRUST_FAILED;
	*identity = next;
	return TRUST_TAKEN;
}
