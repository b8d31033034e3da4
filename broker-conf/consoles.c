#include "broker-conf/consoles.h"

#include "common/console.h"
#include "common/file.h"
#include "common/json.h"
#include "common/jwk.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_FILE_MAX_BYTES 16384
#define USER_PREFIX "console."

struct console {
	const void *client;
	bool ended; // its end was ordered
	struct console_grant grant;
};

struct ended {
	char client_id[CONSOLE_CLIENT_BYTES];
	int64_t until_s;
};

struct consoles {
	char *keys_path;
	struct file_stamp stamp;
	struct jws_key keys[CONSOLES_KEYS_MAX];
	size_t key_count;
	int64_t per_user, total, cell;
	void *tree; // of tsearch(3), by client
	bool ends_known; // all that ended before this broker came up
	struct ended *ended; // CONSOLES_ENDED_MAX of them
	size_t ended_count;
	int64_t closed_until_s; // for everybody: some that have ended could not be remembered
};

static int compare(const void *a, const void *b)
{
	uintptr_t left = (uintptr_t)((const struct console *)a)->client;
	uintptr_t right = (uintptr_t)((const struct console *)b)->client;

	return (left > right) - (left < right);
}

static struct console *find(const struct consoles *consoles, const void *client)
{
	struct console key = {.client = client};
	struct console **node = tfind(&key, &consoles->tree, compare);

	return node ? *node : NULL;
}

// ---- keys ----

static bool parse_keys(struct consoles *consoles, const char *text, size_t len_bytes, struct error *error)
{
	struct json *set auto_json = json_parse(text, len_bytes, error);
	const struct json *keys = json_member(set, "keys");

	if (!set || json_type(keys) != JSON_ARRAY || json_array_length(keys) > CONSOLES_KEYS_MAX)
		return error_set(error, ERROR_INVALID, "%s is no set of up to %d keys", consoles->keys_path,
				 CONSOLES_KEYS_MAX);
	for (size_t i = 0; i < json_array_length(keys); i++) {
		if (!jwk_parse(json_array_at(keys, i), &consoles->keys[i], error))
			return error_prefix(error, "%s", consoles->keys_path);
	}
	consoles->key_count = json_array_length(keys);
	return true;
}

// Without a file that can be read whole there are no keys.
static bool refresh_keys(struct consoles *consoles, struct error *error)
{
	struct file_stamp stamp;
	size_t len_bytes = 0;

	if (!consoles->keys_path)
		return error_set(error, ERROR_DENIED, "there is no live console here (plugin_opt_console_keys)");
	if (!file_stamp(consoles->keys_path, &stamp, error)) {
		consoles->key_count = 0;
		return false;
	}
	if (consoles->key_count > 0 && file_stamp_equal(&stamp, &consoles->stamp))
		return true;
	consoles->key_count = 0;

	char *text auto_free = file_read(consoles->keys_path, KEYS_FILE_MAX_BYTES, &len_bytes, error);

	if (!text || !parse_keys(consoles, text, len_bytes, error))
		return false;
	consoles->stamp = stamp;
	return true;
}

// ---- who is there ----

struct tally {
	const char *user;
	int64_t of_user, total;
};

static void count(const void *node, VISIT visit, void *user)
{
	const struct console *console = *(struct console *const *)node;
	struct tally *tally = user;

	if (visit != postorder && visit != leaf)
		return;
	tally->total++;
	tally->of_user += strcmp(console->grant.user, tally->user) == 0;
}

static bool has_room(const struct consoles *consoles, const char *user, struct error *error)
{
	struct tally tally = {.user = user};

	twalk_r(consoles->tree, count, &tally);
	if (tally.of_user >= consoles->per_user)
		return error_set(error, ERROR_LIMIT, "%s has %lld consoles open already", user,
				 (long long)tally.of_user);
	if (tally.total >= consoles->total)
		return error_set(error, ERROR_LIMIT, "%lld consoles are open already", (long long)tally.total);
	return true;
}

static bool enter(struct consoles *consoles, const void *client, const struct console_grant *grant)
{
	struct console *console = calloc(1, sizeof(*console));
	struct console **node = NULL;

	if (console) {
		console->client = client;
		console->grant = *grant;
		node = tsearch(console, &consoles->tree, compare);
	}
	if (node && *node == console)
		return true;
	free(console);
	return false;
}

// ---- what was ended before its time ----

static void forget_ended(struct consoles *consoles, int64_t now_s)
{
	for (size_t i = consoles->ended_count; i-- > 0;) {
		if (consoles->ended[i].until_s <= now_s)
			consoles->ended[i] = consoles->ended[--consoles->ended_count];
	}
}

static bool has_ended(const struct consoles *consoles, const char *client_id)
{
	for (size_t i = 0; i < consoles->ended_count; i++) {
		if (strcmp(consoles->ended[i].client_id, client_id) == 0)
			return true;
	}
	return false;
}

static bool still_counts(const struct consoles *consoles, const struct console_grant *grant, int64_t now_s,
			 struct error *error)
{
	if (grant->cell != consoles->cell)
		return error_set(error, ERROR_DENIED, "the console's credential is for cell %lld",
				 (long long)grant->cell);
	if (!consoles->ends_known)
		return error_set(
			error, ERROR_DENIED,
			"commander has not said yet which consoles have ended: it must run and reach this broker");
	if (consoles->closed_until_s > now_s)
		return error_set(error, ERROR_LIMIT, "too many consoles have ended lately; wait %lld s",
				 (long long)(consoles->closed_until_s - now_s));
	return !has_ended(consoles, grant->client_id) ||
	       error_set(error, ERROR_DENIED,
			 "the console's credential was ended: its login is over, or its rights changed");
}

static void mark_ended(const void *node, VISIT visit, void *user)
{
	struct console *console = *(struct console *const *)node;
	const char *client_id = user;

	if ((visit == postorder || visit == leaf) && strcmp(console->grant.client_id, client_id) == 0)
		console->ended = true;
}

void consoles_end(struct consoles *consoles, const char *client_id, int64_t until_s)
{
	char wanted[CONSOLE_CLIENT_BYTES];

	(void)snprintf(wanted, sizeof(wanted), "%s", client_id);
	twalk_r(consoles->tree, mark_ended, wanted);
	if (has_ended(consoles, wanted))
		return;
	if (consoles->ended_count == CONSOLES_ENDED_MAX) {
		consoles->closed_until_s = until_s > consoles->closed_until_s ? until_s : consoles->closed_until_s;
		return;
	}

	struct ended *ended = &consoles->ended[consoles->ended_count++];

	memcpy(ended->client_id, wanted, sizeof(wanted));
	ended->until_s = until_s;
}

void consoles_ends_known(struct consoles *consoles)
{
	consoles->ends_known = true;
}

// ---- coming and going ----

bool consoles_let_in(struct consoles *consoles, const struct console_login *login, int64_t now_s,
		     char user[PRINCIPAL_MAX], struct error *error)
{
	struct console_grant grant;

	if (!login->websockets || !login->token || !login->client_id)
		return error_set(error, ERROR_DENIED, "there is neither a certificate nor a console's credential");
	if (!login->leaves_nothing)
		return error_set(error, ERROR_DENIED, "a console must use MQTT 3.1.1 with a clean session");
	if (!refresh_keys(consoles, error) ||
	    !console_verify(login->token, strlen(login->token), consoles->keys, consoles->key_count, login->client_id,
			    now_s, &grant, error) ||
	    !still_counts(consoles, &grant, now_s, error))
		return false;
	consoles_forget(consoles, login->client); // one that came to its end without our being told
	if (!has_room(consoles, grant.user, error))
		return false;
	if (!enter(consoles, login->client, &grant))
		return error_errno(error, ENOMEM, "cannot note a console");
	(void)snprintf(user, PRINCIPAL_MAX, USER_PREFIX "%s", grant.user);
	return true;
}

void consoles_forget(struct consoles *consoles, const void *client)
{
	struct console *console = find(consoles, client);

	if (!console)
		return;
	(void)tdelete(console, &consoles->tree, compare);
	free(console);
}

bool consoles_is_user(const char *user)
{
	return user && strncmp(user, USER_PREFIX, sizeof(USER_PREFIX) - 1) == 0;
}

bool consoles_may_read(const struct consoles *consoles, const void *client, const char *topic)
{
	const struct console *console = find(consoles, client);

	return console && !console->ended && console_may_read(&console->grant, topic);
}

// ---- their ends ----

struct overdue {
	int64_t now_s;
	struct console *found;
};

static void look(const void *node, VISIT visit, void *user)
{
	struct console *console = *(struct console *const *)node;
	struct overdue *overdue = user;

	if ((visit == postorder || visit == leaf) && !console->ended && console->grant.expires_s <= overdue->now_s)
		overdue->found = console;
}

bool consoles_expired(struct consoles *consoles, int64_t now_s, char *client_id, size_t client_id_bytes)
{
	struct overdue overdue = {.now_s = now_s};

	forget_ended(consoles, now_s);
	twalk_r(consoles->tree, look, &overdue);
	if (!overdue.found)
		return false;
	overdue.found->ended = true;
	(void)snprintf(client_id, client_id_bytes, "%s", overdue.found->grant.client_id);
	return true;
}

struct consoles *consoles_new(const struct consoles_options *options, struct error *error)
{
	struct consoles *consoles = calloc(1, sizeof(*consoles));

	if (consoles) {
		consoles->per_user = options->per_user;
		consoles->total = options->total;
		consoles->cell = options->cell;
		consoles->keys_path = options->keys_path ? strdup(options->keys_path) : NULL;
		consoles->ended = calloc(CONSOLES_ENDED_MAX, sizeof(*consoles->ended));
	}
	if (consoles && consoles->ended && (consoles->keys_path || !options->keys_path))
		return consoles;
	(void)error_errno(error, ENOMEM, "cannot keep the consoles");
	consoles_free(consoles);
	return NULL;
}

void consoles_free(struct consoles *consoles)
{
	if (!consoles)
		return;
	tdestroy(consoles->tree, free);
	free(consoles->keys_path);
	free(consoles->ended);
	free(consoles);
}
