// The hardware a certificate is bound to (design: identity): SHA-256 over machine id, product UUID, board serial
// and the first permanent MAC; on Android over the board serial alone.
#pragma once

#include "common/crypto.h"

#include <stdbool.h>

enum fingerprint_part {
	FINGERPRINT_MACHINE = 1,
	FINGERPRINT_PRODUCT = 2,
	FINGERPRINT_BOARD = 4,
	FINGERPRINT_MAC = 8,
};

// The fingerprint over *parts only; 0 stands for all that can be read, and becomes those. Returns which of the parts
// asked for can't be read now, 0 when all is well; without any part at all out is "".
unsigned fingerprint_of(const char *root, unsigned *parts, char out[SHA256_HEX_BYTES]) must_check;
// "product UUID": the first of parts.
const char *fingerprint_part_name(unsigned parts);
// Over all there is. False when the machine has none of the four. *hidden (may be NULL): one of them exists but this
// user may not read it, so the same machine would give root another fingerprint.
bool fingerprint_read(const char *root, char out[SHA256_HEX_BYTES], bool *hidden) must_check;
