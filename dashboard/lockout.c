#include "dashboard/lockout.h"

#include "common/buf.h"
#include "common/crypto.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 16
#define KEY_TEXT_MAX 512

struct entry {
	uint8_t key[KEY_BYTES]; // start of the SHA-256 of scope and key: fixed in size whatever is typed
	unsigned failures;      // 0: the entry is free
	int64_t last_ms, locked_until_ms;
};

// A plain table: a login costs a password hash of many milliseconds, so a scan of 4,096 keys does not show.
struct lockout {
	struct entry entries[LOCKOUT_KEYS_MAX];
};

struct lockout *lockout_new(void)
{
	return calloc(1, sizeof(struct lockout));
}

void lockout_free(struct lockout *lockout)
{
	free(lockout);
}

static void make_key(enum lockout_scope scope, const char *text, uint8_t out[KEY_BYTES])
{
	char whole[KEY_TEXT_MAX];
	uint8_t hash[SHA256_BYTES];
	size_t length = strnlen(text, sizeof(whole) - 1);

	whole[0] = scope == LOCKOUT_ACCOUNT ? 'a' : 'p';
	memcpy(whole + 1, text, length);
	crypto_sha256(whole, length + 1, hash);
	memcpy(out, hash, KEY_BYTES);
}

static struct entry *find(const struct lockout *lockout, const uint8_t key[KEY_BYTES])
{
	for (size_t i = 0; i < LOCKOUT_KEYS_MAX; i++) {
		const struct entry *entry = &lockout->entries[i];

		if (entry->failures > 0 && memcmp(entry->key, key, KEY_BYTES) == 0)
			return (struct entry *)entry;
	}
	return NULL;
}

// A free entry, or the one that failed longest ago.
static struct entry *take(struct lockout *lockout)
{
	struct entry *oldest = &lockout->entries[0];

	for (size_t i = 0; i < LOCKOUT_KEYS_MAX; i++) {
		struct entry *entry = &lockout->entries[i];

		if (entry->failures == 0)
			return entry;
		if (entry->last_ms < oldest->last_ms)
			oldest = entry;
	}
	return oldest;
}

int64_t lockout_remaining_ms(const struct lockout *lockout, enum lockout_scope scope, const char *key, int64_t now_ms)
{
	uint8_t hash[KEY_BYTES];

	make_key(scope, key, hash);
	const struct entry *entry = find(lockout, hash);

	return entry && entry->locked_until_ms > now_ms ? entry->locked_until_ms - now_ms : 0;
}

void lockout_fail(struct lockout *lockout, enum lockout_scope scope, const char *key, int64_t now_ms)
{
	uint8_t hash[KEY_BYTES];

	make_key(scope, key, hash);
	struct entry *entry = find(lockout, hash);

	if (!entry) {
		entry = take(lockout);
		*entry = (struct entry){0};
		memcpy(entry->key, hash, KEY_BYTES);
	} else if (now_ms - entry->last_ms > LOCKOUT_LONGEST_MS && now_ms >= entry->locked_until_ms) {
		entry->failures = 0;
	}
	entry->failures++;
	entry->last_ms = now_ms;
	if (entry->failures < LOCKOUT_FAILURES)
		return;

	int64_t lock_ms = LOCKOUT_FIRST_MS;

	for (unsigned i = LOCKOUT_FAILURES; i < entry->failures && lock_ms < LOCKOUT_LONGEST_MS; i++)
		lock_ms *= 2;
	entry->locked_until_ms = now_ms + (lock_ms < LOCKOUT_LONGEST_MS ? lock_ms : LOCKOUT_LONGEST_MS);
}

void lockout_forget(struct lockout *lockout, enum lockout_scope scope, const char *key)
{
	uint8_t hash[KEY_BYTES];

	make_key(scope, key, hash);
	struct entry *entry = find(lockout, hash);

	if (entry)
		*entry = (struct entry){0};
}
