#include "tools/signing_key.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SIGNERS_FILE_MAX_BYTES 1048576

static const char *const files[SIGNING_KEY_STATES] = {
	[SIGNING_KEY_CURRENT] = "keys/command.pem",
	[SIGNING_KEY_NEXT] = "keys/command-next.pem",
	[SIGNING_KEY_OLD] = "keys/command-old.pem",
};
static const char announcements[] = "keys/command.pem.signers";

const char *signing_key_state_name(enum signing_key_state state)
{
	static const char *const names[SIGNING_KEY_STATES] = {"current", "next", "old"};
	return names[state];
}

static char *read_announcements(const struct stack *stack, struct error *error)
{
	struct stack_path path = stack_path(stack, "%s", announcements);
	if (!file_exists(path.text))
		return strdup("");
	return file_read(path.text, SIGNERS_FILE_MAX_BYTES, NULL, error);
}

static bool load_key(const struct stack *stack, enum signing_key_state state, struct signing_keys *out,
		     struct error *error)
{
	struct stack_path path = stack_path(stack, "%s", files[state]);
	if (state != SIGNING_KEY_CURRENT && !file_exists(path.text))
		return true;
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = jws_signer_load(path.text, error);
	if (!signer)
		return false;
	out->keys[state] = *jws_signer_key(signer);
	out->present[state] = true;
	return true;
}

bool signing_keys_load(const struct stack *stack, struct signing_keys *out, struct error *error)
{
	struct signing_keys keys = {0};
	for (enum signing_key_state state = 0; state < SIGNING_KEY_STATES; state++) {
		if (!load_key(stack, state, &keys, error))
			return false;
	}
	char *text auto_free = read_announcements(stack, error);
	if (!text)
		return false;
	size_t len_bytes = strlen(text);
	while (len_bytes > 0 && text[len_bytes - 1] == '\n')
		text[--len_bytes] = '\0';
	char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (*line && !signers_read(line, strlen(line), &keys.announced, error))
		return error_prefix(error, "%s", stack_path(stack, "%s", announcements).text);
	*out = keys;
	return true;
}

// A version is the time at which it was announced, so that no restored copy of anything gives one again.
static bool announce(const struct stack *stack, struct signers *signers, struct error *error)
{
	struct stack_path key = stack_path(stack, "%s", files[SIGNING_KEY_CURRENT]);
	struct buf lines auto_buf = {0};
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = jws_signer_load(key.text, error);
	char *before auto_free = signer ? read_announcements(stack, error) : NULL;
	if (!before)
		return false;
	signers->issued_s = clock_wall_ms() / 1000;
	signers->version = signers->issued_s > signers->version ? signers->issued_s : signers->version + 1;
	char *jws auto_free = signers_sign(signer, signers, error);
	if (!jws)
		return false;
	buf_init(&lines, SIGNERS_FILE_MAX_BYTES);
	if (!buf_addf(&lines, "%s%s\n", before, jws))
		return error_set(error, ERROR_LIMIT,
				 "there were too many announcements: devices enrolled before the first must"
				 " be enrolled again; then delete the oldest lines of %s",
				 stack_path(stack, "%s", announcements).text);
	return file_write(stack_path(stack, "%s", announcements).text, lines.data, lines.len_bytes, 0600, error);
}

// What the next announcement starts from.
static struct signers base(const struct signing_keys *keys, const struct signers *trusted)
{
	struct signers set = keys->announced.version > 0 ? keys->announced : *trusted;
	if (keys->announced.version == 0)
		set.version = 0;
	if (!signers_find(&set, keys->keys[SIGNING_KEY_CURRENT].kid) && set.count < SIGNERS_MAX)
		set.keys[set.count++] = keys->keys[SIGNING_KEY_CURRENT];
	return set;
}

bool signing_key_add(const struct stack *stack, const struct signers *trusted, struct error *error)
{
	struct signing_keys keys = {0};
	struct stack_path path = stack_path(stack, "%s", files[SIGNING_KEY_NEXT]);
	if (!signing_keys_load(stack, &keys, error))
		return false;
	struct signers set = base(&keys, trusted);
	// A crash between the file and its announcement leaves a next key that nobody was told of.
	if (keys.present[SIGNING_KEY_NEXT] && signers_find(&set, keys.keys[SIGNING_KEY_NEXT].kid))
		return error_set(error, ERROR_EXISTS, "there is a next signing key already");
	if (set.count == SIGNERS_MAX)
		return error_set(error, ERROR_LIMIT, "devices trust %d keys already, which is as many as they take",
				 SIGNERS_MAX);
	if (!keys.present[SIGNING_KEY_NEXT] && !jws_signer_create(path.text, error))
		return false;
	if (!load_key(stack, SIGNING_KEY_NEXT, &keys, error))
		return false;
	set.keys[set.count++] = keys.keys[SIGNING_KEY_NEXT];
	return announce(stack, &set, error);
}

bool signing_key_switch(const struct stack *stack, struct error *error)
{
	struct stack_path current = stack_path(stack, "%s", files[SIGNING_KEY_CURRENT]);
	struct stack_path old = stack_path(stack, "%s", files[SIGNING_KEY_OLD]);
	struct stack_path next = stack_path(stack, "%s", files[SIGNING_KEY_NEXT]);
	if (!file_exists(next.text))
		return error_set(error, ERROR_NOT_FOUND, "there is no next signing key");
	// At each moment there is a current one.
	if (!file_wipe(old.text, error))
		return false;
	if (link(current.text, old.text) != 0)
		return error_errno(error, errno, "cannot keep %s", current.text);
	return file_replace(next.text, current.text, error);
}

bool signing_key_withdraw(const struct stack *stack, const struct signers *trusted, const char *kid,
			  struct error *error)
{
	struct signing_keys keys = {0};
	if (!signing_keys_load(stack, &keys, error))
		return false;
	struct signers set = base(&keys, trusted);
	const struct jws_key *found = signers_find(&set, kid);
	if (strcmp(kid, keys.keys[SIGNING_KEY_CURRENT].kid) == 0)
		return error_set(error, ERROR_INVALID, "%s is the current key: nothing could be signed without it",
				 kid);
	if (found) {
		size_t at = (size_t)(found - set.keys);
		memmove(&set.keys[at], &set.keys[at + 1], (--set.count - at) * sizeof(set.keys[0]));
		if (!announce(stack, &set, error))
			return false;
	}
	for (enum signing_key_state state = SIGNING_KEY_NEXT; state < SIGNING_KEY_STATES; state++) {
		if (!keys.present[state] || strcmp(keys.keys[state].kid, kid) != 0)
			continue;
		found = &keys.keys[state];
		if (!file_wipe(stack_path(stack, "%s", files[state]).text, error))
			return false;
	}
	return found || error_set(error, ERROR_NOT_FOUND, "devices are not told to trust a key %.64s", kid);
}
