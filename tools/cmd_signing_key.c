// muster signing-key list|rotate|withdraw: whom devices obey, and how another key takes the place of one.
#include "tools/cmd_signing_key.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/jwk.h"
#include "tools/account.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char sql_keys[] = "select kid, rtrim(translate(encode(public_key, 'base64'), '+/', '-_'), '='),"
			       " to_char(created_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
			       " to_char(retired_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') from "
			       "signing_key order by created_at, kid";
// A device that never said a version cannot be told: it speaks only HTTP, or its program does not know announcements.
static const char sql_devices[] =
	"select count(*), count(*) filter (where s.signers >= $1::bigint), count(*) filter (where s.signers is null)"
	" from device d left join device_state s on s.device = d.device where d.enabled";
static const char sql_open[] =
	"select count(*) from command where state in ('queued', 'sent') and split_part(jws, '.', 1) = $1";

static const char *state_of(const struct signing_keys *keys, const char *kid, bool retired)
{
	for (enum signing_key_state state = 0; state < SIGNING_KEY_STATES; state++) {
		if (keys->present[state] && strcmp(keys->keys[state].kid, kid) == 0)
			return signing_key_state_name(state);
	}
	if (keys->announced.version > 0)
		return signers_find(&keys->announced, kid) ? "trusted" : "withdrawn";
	return retired ? "withdrawn" : "trusted";
}

static void add_key(struct json *list, const struct signing_keys *keys, const struct jws_key *key, const char *created,
		    const char *retired)
{
	struct json *jwk = jwk_json(key);
	const char *state = state_of(keys, key->kid, retired != NULL);
	json_set_string(jwk, "state", state);
	json_set_string(jwk, "created_at", created);
	if (strcmp(state, "withdrawn") == 0 && retired)
		json_set_string(jwk, "withdrawn_at", retired);
	json_append(list, jwk);
}

static bool add_known(struct json *list, const struct signing_keys *keys, const struct pg_result *rows,
		      struct signers *trusted, struct error *error)
{
	for (size_t row = 0; row < pg_rows(rows); row++) {
		struct jws_key key;
		uint8_t bytes[JWS_KEY_BYTES];
		size_t count = 0;
		const char *x = pg_text(rows, row, 1);
		if (!crypto_base64url_decode(x, strlen(x), bytes, sizeof(bytes), &count) || count != sizeof(bytes))
			return error_set(error, ERROR_FAILED, "the database holds no key for %s",
					 pg_text(rows, row, 0));
		jws_key_from_public(&key, bytes);
		if (list)
			add_key(list, keys, &key, pg_text(rows, row, 2), pg_text(rows, row, 3));
		if (trusted && !pg_text(rows, row, 3) && trusted->count < SIGNERS_MAX - 1)
			trusted->keys[trusted->count++] = key;
	}
	return true;
}

// A key that was made just now is in the files only, until commander has seen it.
static void add_new(struct json *list, const struct signing_keys *keys, const struct pg_result *rows)
{
	for (enum signing_key_state state = 0; state < SIGNING_KEY_STATES; state++) {
		bool known = !keys->present[state];
		for (size_t row = 0; row < pg_rows(rows) && !known; row++)
			known = strcmp(pg_text(rows, row, 0), keys->keys[state].kid) == 0;
		if (!known)
			add_key(list, keys, &keys->keys[state], NULL, NULL);
	}
}

struct json *signing_key_survey(const struct stack *stack, struct pg *pg, struct error *error)
{
	struct signing_keys keys;
	auto_pg_result struct pg_result *rows = NULL;
	auto_pg_result struct pg_result *counts = NULL;
	auto_json struct json *survey = json_new_object();
	struct json *devices = json_new_object();
	struct json *list = json_new_array();
	char version[24];
	json_set(survey, "devices", devices);
	json_set(survey, "keys", list);
	if (!signing_keys_load(stack, &keys, error))
		return NULL;
	(void)snprintf(version, sizeof(version), "%" PRId64, keys.announced.version);
	if (!pg_query(pg, &rows, error, sql_keys, 0, NULL) || !PG_QUERY(pg, &counts, error, sql_devices, version) ||
	    !add_known(list, &keys, rows, NULL, error))
		return NULL;
	add_new(list, &keys, rows);
	json_set_int(survey, "version", keys.announced.version);
	json_set_int(devices, "total", pg_int(counts, 0, 0));
	json_set_int(devices, "current", pg_int(counts, 0, 1));
	json_set_int(devices, "unknown", pg_int(counts, 0, 2));
	const char *text = json_text(survey);
	if (!file_write(stack_path(stack, "keys/signers.json").text, text, strlen(text), 0644, error))
		return NULL;
	return steal(survey);
}

// ---- telling ----

static int64_t device_count(const struct json *survey, const char *name)
{
	int64_t count = 0;
	(void)json_member_int(json_member(survey, "devices"), name, &count);
	return count;
}

static bool has_state(const struct json *survey, const char *state)
{
	const struct json *keys = json_member(survey, "keys");
	for (size_t i = 0; i < json_array_length(keys); i++) {
		const char *text = "";
		if (json_member_string(json_array_at(keys, i), "state", &text) && strcmp(text, state) == 0)
			return true;
	}
	return false;
}

static void print_next(const struct json *survey)
{
	int64_t total = device_count(survey, "total");
	int64_t current = device_count(survey, "current");
	int64_t unknown = device_count(survey, "unknown");
	(void)printf("\n%" PRId64 " of %" PRId64 " devices have the newest announcement", current, total);
	if (unknown > 0)
		(void)printf("; %" PRId64 " never said which they have, and must be enrolled again to obey a new key",
			     unknown);
	if (has_state(survey, "next"))
		(void)printf("\nnext: muster signing-key rotate switch\n  commands are signed with the new key from "
			     "then on\n");
	else if (has_state(survey, "old"))
		(void)printf(
			"\nnext: muster signing-key withdraw\n  devices refuse from then on what the old key signs\n");
	else
		(void)printf("\nnext: muster signing-key rotate next\n  makes a new key, and tells devices to trust "
			     "it, too\n");
}

static void tell(const struct cli *cli, struct json *survey)
{
	static const struct table_column columns[] = {{.name = "kid"}, {.name = "state"}, {.name = "since"}};
	const struct json *keys = json_member(survey, "keys");
	if (cli->json) {
		cli_print_json(survey);
		return;
	}
	auto_table struct table *table = table_new("keys", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(keys); i++) {
		const struct json *key = json_array_at(keys, i);
		const char *kid = "";
		const char *state = "";
		const char *since = "";
		(void)json_member_string(key, "kid", &kid);
		(void)json_member_string(key, "state", &state);
		(void)(json_member_string(key, "withdrawn_at", &since) ||
		       json_member_string(key, "created_at", &since));
		TABLE_ROW(table, kid, state, *since ? text_time(since, clock_wall_ms()).s : "just now");
	}
	table_print(table, false);
	print_next(survey);
}

// ---- verbs ----

static struct pg *open_all(struct cli *cli, struct error *error)
{
	(void)umask(077);
	return cli_open(cli, error) ? cli_database(cli, "muster_admin", error) : NULL;
}

// Shows how things stand now.
static int done(struct cli *cli, struct pg *pg)
{
	struct error error = {0};
	auto_json struct json *survey = signing_key_survey(&cli->stack, pg, &error);
	if (!survey)
		return cli_fail(cli, &error, NULL);
	tell(cli, survey);
	return CLI_OK;
}

static int list_run(struct cli *cli)
{
	struct error error = {0};
	struct pg *pg cleanup(pg_free_cleanup) = open_all(cli, &error);
	return pg ? done(cli, pg) : cli_fail(cli, &error, NULL);
}

// Whom devices that were enrolled without an announcement trust.
static bool trusted_keys(struct pg *pg, struct signers *out, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	*out = (struct signers){0};
	return pg_query(pg, &rows, error, sql_keys, 0, NULL) && add_known(NULL, NULL, rows, out, error);
}

static bool may_switch(struct cli *cli, struct pg *pg, struct error *error)
{
	auto_json struct json *survey = signing_key_survey(&cli->stack, pg, error);
	if (!survey)
		return false;
	int64_t missing =
		device_count(survey, "total") - device_count(survey, "current") - device_count(survey, "unknown");
	return missing == 0 || args_has(&cli->args, "force") ||
	       error_set(error, ERROR_FAILED, "%" PRId64 " devices do not have the next key yet", missing);
}

static int rotate_run(struct cli *cli)
{
	struct error error = {0};
	struct signers trusted;
	const char *step = cli->args.operand_count > 0 ? cli->args.operands[0] : NULL;
	bool next = step && strcmp(step, "next") == 0;
	if (step && !next && strcmp(step, "switch") != 0) {
		error_set(&error, ERROR_INVALID, "\"%s\" is none of the steps next and switch", step);
		return cli_usage(cli, &error);
	}
	struct pg *pg cleanup(pg_free_cleanup) = open_all(cli, &error);
	if (!pg || !trusted_keys(pg, &trusted, &error))
		return cli_fail(cli, &error, NULL);
	if (!step)
		return done(cli, pg);
	if (!next && !may_switch(cli, pg, &error))
		return cli_fail(cli, &error,
				"devices get it when they are in contact; muster signing-key list shows how"
				" far it is, --force goes on all the same");
	if (!(next ? signing_key_add(&cli->stack, &trusted, &error) : signing_key_switch(&cli->stack, &error)) ||
	    !account_audit(pg, "signing_key.rotate", step, "{}", &error))
		return cli_fail(cli, &error, "muster signing-key list shows which step comes next");
	return done(cli, pg);
}

// Commands that wait under this key would be refused.
static bool may_withdraw(struct cli *cli, struct pg *pg, const char *kid, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	char header[160];
	char encoded[240];
	int len = snprintf(header, sizeof(header),
			   "{\"alg\":\"EdDSA\",\"kid\":\"%.64s\",\"typ\":\"muster-command+jws\"}", kid);
	crypto_base64url(header, (size_t)len, encoded);
	if (!PG_QUERY(pg, &rows, error, sql_open, encoded))
		return false;
	return pg_int(rows, 0, 0) == 0 || args_has(&cli->args, "force") ||
	       error_set(error, ERROR_FAILED,
			 "%" PRId64 " commands that it signed are not answered yet, and would be refused",
			 pg_int(rows, 0, 0));
}

static int withdraw_run(struct cli *cli)
{
	struct error error = {0};
	struct signers trusted;
	struct signing_keys keys;
	const char *kid = cli->args.operand_count > 0 ? cli->args.operands[0] : NULL;
	struct pg *pg cleanup(pg_free_cleanup) = open_all(cli, &error);
	if (!pg || !trusted_keys(pg, &trusted, &error) || !signing_keys_load(&cli->stack, &keys, &error))
		return cli_fail(cli, &error, NULL);
	if (!kid && !keys.present[SIGNING_KEY_OLD]) {
		error_set(&error, ERROR_NOT_FOUND, "there is no old signing key");
		return cli_fail(cli, &error, "name the key to be withdrawn; muster signing-key list shows all");
	}
	if (!kid)
		kid = keys.keys[SIGNING_KEY_OLD].kid;
	if (!may_withdraw(cli, pg, kid, &error))
		return cli_fail(cli, &error,
				"cancel them, wait until they have expired, or go on all the same with --force");
	if (!signing_key_withdraw(&cli->stack, &trusted, kid, &error) ||
	    !account_audit(pg, "signing_key.withdraw", kid, "{}", &error))
		return cli_fail(cli, &error,
				"muster signing-key list shows all; the current one must be replaced first: muster"
				" signing-key rotate next, then rotate switch");
	return done(cli, pg);
}

static const struct args_option rotate_options[] = {
	{"force", NULL, "switch although some devices do not have the next key yet"},
	{NULL, NULL, NULL},
};
static const struct args_option withdraw_options[] = {
	{"force", NULL, "at once, although devices will refuse what it signed and they did not do yet"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_signing_key[] = {
	{"signing-key", "list", NULL, 0, 0, "the keys that sign commands, and how many devices know them", NULL,
	 list_run},
	{"signing-key", "rotate", "[STEP]", 0, 1, "where a rotation stands, or one step on: next, switch",
	 rotate_options, rotate_run},
	{"signing-key", "withdraw", "[KID]", 0, 1, "devices obey a key (the old one) no more", withdraw_options,
	 withdraw_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
