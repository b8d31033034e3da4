// muster device revoke|restore and muster revocation list, over the dashboard's API.
#include "common/clock.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/canary/proof.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define EFFECT_WAIT_MS 5000 // for the first broker to confirm; the others have as long from then
#define EFFECT_POLL_MS 25

// ---- revoke, restore ----

static const struct json *effects_of(const struct json *revocation)
{
	return json_member(revocation, "effects");
}

// The device as the API tells it, when a broker has confirmed or the time is over.
static struct json *wait_effect(struct api *api, const char *device, struct error *error)
{
	char path[128];
	int64_t deadline = clock_mono_ms() + EFFECT_WAIT_MS;
	(void)snprintf(path, sizeof(path), "/api/v1/devices/%s", device);
	for (;;) {
		auto_json struct json *answer = api_request(api, "GET", path, NULL, error);
		if (!answer)
			return NULL;
		const struct json *revocation = json_member(answer, "revocation");
		if (json_array_length(effects_of(revocation)) > 0 || clock_mono_ms() >= deadline)
			return json_copy(revocation);
		(void)poll(NULL, 0, EFFECT_POLL_MS);
	}
}

static void add_effects(struct buf *out, const struct json *revocation)
{
	const struct json *effects = effects_of(revocation);
	for (size_t i = 0; i < json_array_length(effects); i++) {
		const struct json *effect = json_array_at(effects, i);
		double seconds = 0;
		int64_t cell = 0;
		(void)json_member_double(effect, "seconds", &seconds);
		(void)json_member_int(effect, "cell", &cell);
		(void)buf_addf(out, "%scell %lld after %.3f s", i > 0 ? ", " : "", (long long)cell, seconds);
	}
}

static int report(const struct cli *cli, const char *device, bool revoked, struct json *revocation)
{
	struct error error = {0};
	auto_buf struct buf text = {0};
	buf_init(&text, 4096);
	add_effects(&text, revocation);
	if (cli->json)
		cli_print_json(revocation);
	else if (text.len_bytes > 0)
		(void)printf("%s is %s: %s\n", device, revoked ? "cut off and let in no more" : "let in again",
			     buf_str(&text));
	if (text.len_bytes > 0)
		return CLI_OK;
	error_set(&error, ERROR_TIMEOUT, "it is recorded that %s is %s, but no broker has confirmed it within %d s",
		  device, revoked ? "revoked" : "restored", EFFECT_WAIT_MS / 1000);
	return cli_fail(cli, &error,
			"commander tells the broker as soon as both run: muster status, then muster device show");
}

static int change(struct cli *cli, bool revoked)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	char path[128], question[128];
	const char *device = cli->args.operands[0];
	const char *reason = args_value(&cli->args, "reason");
	auto_json struct json *body = json_new_object();
	if (!topic_is_device_id(device)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id", device);
		return cli_usage(cli, &error);
	}
	(void)snprintf(question, sizeof(question), "Cut off %.63s and let it in no more?", device);
	if (revoked && !cli_confirm(cli, question, &error))
		return cli_fail(cli, &error, CLI_YES);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	json_set_string(body, "reason", reason ? reason : "");
	(void)snprintf(path, sizeof(path), "/api/v1/devices/%s/%s", device, revoked ? "revoke" : "restore");
	auto_json struct json *answer = api_request(api, "POST", path, json_text(body), &error);
	if (!answer && error.kind == ERROR_NOT_FOUND)
		return api_no_device(cli, device);
	if (!answer)
		return api_fail(cli, &error);
	auto_json struct json *revocation = wait_effect(api, device, &error);
	return revocation ? report(cli, device, revoked, revocation) : api_fail(cli, &error);
}

static int revoke_run(struct cli *cli)
{
	return change(cli, true);
}

static int restore_run(struct cli *cli)
{
	return change(cli, false);
}

// ---- list ----

static void print_list(const struct json *items, bool all)
{
	static const struct table_column columns[] = {{.name = "name"}, {.name = "state"},  {.name = "since"},
						      {.name = "by"},	{.name = "reason"}, {.name = "effect"}};
	int64_t now_ms = clock_wall_ms();
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		auto_buf struct buf name = {0};
		auto_buf struct buf reason = {0};
		auto_buf struct buf effect = {0};
		bool revoked = false;
		buf_init(&name, 256);
		buf_init(&reason, 1024);
		buf_init(&effect, 4096);
		(void)json_member_bool(item, "revoked", &revoked);
		(void)buf_addf(&name, "%s%s", strcmp(text_member(item, "kind"), "serial") == 0 ? "certificate " : "",
			       text_member(item, "name"));
		text_add_safe(&reason, text_member(item, "reason"));
		add_effects(&effect, item);
		TABLE_ROW(table, buf_str(&name), revoked ? "revoked" : "restored",
			  text_ago(text_member(item, "requested_at"), now_ms).s, text_member(item, "requested_by"),
			  buf_str(&reason), effect.len_bytes > 0 ? buf_str(&effect) : "no broker has confirmed it yet");
	}
	table_print(table, false);
	if (json_array_length(items) == 0)
		(void)printf("%s\n", all ? "nothing was ever revoked" :
					   "no device is revoked; --all shows what was, and single certificates");
}

// What the canary of each cell has last found: "proven 12 s ago: cut after 0.018 s, 3 of 3 tries refused".
static void print_proofs(const struct json *proofs)
{
	int64_t now_ms = clock_wall_ms();
	size_t count = json_array_length(proofs);
	for (size_t i = 0; i < count; i++) {
		const struct json *proof = json_array_at(proofs, i);
		int64_t cell = 0, refused = 0, admitted = 0;
		double cut_s = 0;
		bool ok = false;
		char where[32] = "";
		char cut[48];
		char let_in[48] = "";
		(void)json_member_int(proof, "cell", &cell);
		(void)json_member_int(proof, "refused", &refused);
		(void)json_member_int(proof, "admitted", &admitted);
		(void)json_member_bool(proof, "ok", &ok);
		if (count > 1)
			(void)snprintf(where, sizeof(where), "cell %lld: ", (long long)cell);
		if (json_member_double(proof, "cut_s", &cut_s))
			(void)snprintf(cut, sizeof(cut), "cut after %.3f s", cut_s);
		else
			(void)snprintf(cut, sizeof(cut), "not cut within %d s", PROOF_CUT_MS / 1000);
		if (admitted > 0)
			(void)snprintf(let_in, sizeof(let_in), ", %lld let in", (long long)admitted);
		(void)printf("%s%s %s: %s, %lld of %d tries refused%s\n", where, ok ? "proven" : "NOT proven",
			     text_ago(text_member(proof, "requested_at"), now_ms).s, cut, (long long)refused,
			     PROOF_TRIES, let_in);
	}
	if (count == 0)
		(void)printf("not proven: no canary has tried it yet\n");
}

static int list_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	bool all = args_has(&cli->args, "all");
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *answer = api_items(api, "/api/v1/revocations", all ? "&all=1" : "", &error);
	if (!answer)
		return api_fail(cli, &error);
	auto_json struct json *found = api_request(api, "GET", "/api/v1/revocations/proofs", NULL, &error);
	if (!found)
		return api_fail(cli, &error);
	json_set(answer, "proofs", json_copy(json_member(found, "items")));
	if (cli->json) {
		cli_print_json(answer);
		return CLI_OK;
	}
	print_list(json_member(answer, "items"), all);
	print_proofs(json_member(answer, "proofs"));
	return CLI_OK;
}

static const struct args_option revoke_options[] = {
	{"reason", "TEXT", "why, for those who look later"},
	{"yes", NULL, "do not ask"},
	{NULL, NULL, NULL},
};
static const struct args_option restore_options[] = {
	{"reason", "TEXT", "why, for those who look later"},
	{NULL, NULL, NULL},
};
static const struct args_option list_options[] = {
	{"all", NULL, "also what was restored, and single certificates"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_revocation[] = {
	{"device", "revoke", "DEVICE", 1, 1, "cut it off and let it in no more", revoke_options, revoke_run},
	{"device", "restore", "DEVICE", 1, 1, "let a revoked one in again", restore_options, restore_run},
	{"revocation", "list", NULL, 0, 0, "who is shut out, and how soon that took effect", list_options, list_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
