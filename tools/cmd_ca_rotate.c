// muster ca rotate: one authority takes another's place, or the servers get a new certificate, step by step. Without a
// step it says where things stand; each step says what comes next and what it waits for.
#include "tools/cmd_ca.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "tools/account.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX_BYTES ((size_t)16 * 1024)

// Devices that hold a certificate, those of them that have this bundle, and those that never said which they have.
static const char sql_trusting[] =
	"select count(*), count(*) filter (where s.trust = $1), count(*) filter (where s.trust is null)"
	" from device d left join device_state s on s.device = d.device where d.enabled and exists (select from"
	" certificate c where c.device = d.device and c.revoked_at is null and c.not_after > now())";
// Devices that still hold a certificate by another authority than this.
static const char sql_issued[] =
	"select (select count(distinct c.device) from certificate c join device d on d.device = c.device and d.enabled"
	"  where c.revoked_at is null and c.not_after > now()),"
	" (select count(distinct c.device) from certificate c join device d on d.device = c.device and d.enabled"
	"  where c.revoked_at is null and c.not_after > now() and c.authority is distinct from $1)";

enum step { STEP_NONE, STEP_NEXT, STEP_SWITCH, STEP_WITHDRAW };
static const char *const step_names[] = {
	[STEP_NONE] = "", [STEP_NEXT] = "next", [STEP_SWITCH] = "switch", [STEP_WITHDRAW] = "withdraw"};

// Where a rotation stands.
struct standing {
	enum authority_kind kind;
	struct authority_list list;
	bool counted;			    // the stack runs, so that devices could be asked about
	int64_t devices, trusting, unknown; // of the service CA's bundle
	int64_t before;			    // devices whose certificate is not by the current device CA
	bool broker_old;		    // the broker runs with the server certificate of before
	enum step next;
	bool ready; // nobody is cut off by it
	struct text why;
};

static int64_t started_ms(const struct stack *stack, const char *name)
{
	struct error ignored;
	int64_t started = 0;
	auto_json struct json *facts = stack_status(stack, &ignored);
	const struct json *parts = facts ? json_member(facts, "parts") : NULL;
	for (size_t i = 0; i < json_array_length(parts); i++) {
		const char *part = "";
		if (json_member_string(json_array_at(parts, i), "name", &part) && strcmp(part, name) == 0)
			(void)json_member_int(json_array_at(parts, i), "started_ms", &started);
	}
	return started;
}

// It reads its server certificate at its start only.
static bool broker_is_older(const struct stack *stack)
{
	struct stat info;
	int64_t started = stack_supervisor(stack) != 0 ? started_ms(stack, "broker") : 0;
	if (started == 0 || stat(stack_path(stack, "certs/server.crt").text, &info) != 0)
		return false;
	return started <= (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
}

static bool count_devices(struct standing *standing, struct pg *pg, struct error *error)
{
	auto_pg_result struct pg_result *trusting = NULL;
	auto_pg_result struct pg_result *issued = NULL;
	const char *current = authority_find(&standing->list, AUTHORITY_CURRENT)->info.sha256;
	if (!PG_QUERY(pg, &trusting, error, sql_trusting, standing->list.trust) ||
	    !PG_QUERY(pg, &issued, error, sql_issued, current))
		return false;
	standing->counted = true;
	standing->devices = pg_int(trusting, 0, 0);
	standing->trusting = pg_int(trusting, 0, 1);
	standing->unknown = pg_int(trusting, 0, 2);
	standing->before = pg_int(issued, 0, 1);
	return true;
}

static void decide_next(struct standing *standing)
{
	bool service = standing->kind == AUTHORITY_SERVICE;
	struct text *why = &standing->why;
	long long missing = standing->devices - standing->trusting;
	if (authority_find(&standing->list, AUTHORITY_NEXT)) {
		standing->next = STEP_SWITCH;
		standing->ready = !service || (standing->counted && missing == 0);
		if (service && !standing->counted)
			(void)snprintf(why->s, sizeof(why->s), "the stack does not run: devices cannot be asked about");
		else if (!standing->ready)
			(void)snprintf(why->s, sizeof(why->s), "%lld of %lld devices do not trust the new CA yet",
				       missing, (long long)standing->devices);
	} else if (authority_find(&standing->list, AUTHORITY_OLD)) {
		standing->next = STEP_WITHDRAW;
		standing->ready = service ? !standing->broker_old : standing->counted && standing->before == 0;
		if (service && !standing->ready)
			(void)snprintf(why->s, sizeof(why->s), "the broker still shows its old server certificate");
		else if (!service && !standing->counted)
			(void)snprintf(why->s, sizeof(why->s), "the stack does not run: devices cannot be asked about");
		else if (!standing->ready)
			(void)snprintf(why->s, sizeof(why->s), "%lld devices have not renewed their certificate yet",
				       (long long)standing->before);
	} else {
		standing->next = STEP_NEXT;
		standing->ready = true;
	}
}

static void standing_done(struct standing *standing)
{
	authority_list_done(&standing->list);
}
#define auto_standing cleanup(standing_done)

static bool look(struct cli *cli, struct pg *pg, enum authority_kind kind, struct standing *out, struct error *error)
{
	standing_done(out);
	*out = (struct standing){.kind = kind};
	if (!authority_list_load(&cli->stack, kind, &out->list, error) || (pg && !count_devices(out, pg, error)))
		return false;
	out->broker_old = broker_is_older(&cli->stack);
	decide_next(out);
	return true;
}

// ---- telling ----

static struct json *to_json(const struct standing *standing)
{
	struct json *json = json_new_object();
	struct json *authorities = json_new_array();
	for (size_t i = 0; i < standing->list.count; i++)
		json_append(authorities, ca_json(standing->kind, &standing->list.items[i]));
	json_set_string(json, "what", authority_kind_name(standing->kind));
	json_set(json, "authorities", authorities);
	json_set_string(json, "trust", standing->list.trust);
	if (standing->counted) {
		struct json *devices = json_new_object();
		json_set_int(devices, "total", standing->devices);
		if (standing->kind == AUTHORITY_SERVICE) {
			json_set_int(devices, "trusting", standing->trusting);
			json_set_int(devices, "unknown", standing->unknown);
		} else {
			json_set_int(devices, "not_renewed", standing->before);
		}
		json_set(json, "devices", devices);
	}
	json_set_bool(json, "broker_restart_needed", standing->broker_old);
	json_set_string(json, "next", step_names[standing->next]);
	json_set_bool(json, "ready", standing->ready);
	json_set_string(json, "waits_for", standing->why.s);
	return json;
}

// What the next step does, in the words of whoever has to decide on it.
static const char *const meanings[][3] = {
	[AUTHORITY_DEVICE] = {"makes a new device CA beside this one; broker and bridge trust both at once",
			      "the bridge signs with the new CA from then on; what the old one signed still holds, and"
			      " devices that ask get a new certificate",
			      "the old CA is trusted no more, and its key is deleted"},
	[AUTHORITY_SERVICE] =
		{"makes a new service CA beside this one; the bridge tells the devices to trust both",
		 "servers, services and operators get certificates by the new CA; the broker shows its own"
		 " when it is restarted, the HTTPS servers at once",
		 "the old CA is trusted no more, its key is deleted, and devices are told to forget it"},
};

static void tell_devices(const struct standing *standing, struct buf *out)
{
	if (!standing->counted)
		return;
	if (standing->kind == AUTHORITY_SERVICE)
		(void)buf_addf(out, "devices: %lld of %lld have the present bundle (%lld never said which they have)\n",
			       (long long)standing->trusting, (long long)standing->devices,
			       (long long)standing->unknown);
	else
		(void)buf_addf(out, "devices: %lld of %lld have a certificate by the current CA\n",
			       (long long)(standing->devices - standing->before), (long long)standing->devices);
}

static void tell(const struct cli *cli, const struct standing *standing)
{
	struct buf auto_buf out;
	buf_init(&out, TEXT_MAX_BYTES);
	if (cli->json) {
		auto_json struct json *json = to_json(standing);
		cli_print_json(json);
		return;
	}
	const char *kind = authority_kind_name(standing->kind);
	for (size_t i = 0; i < standing->list.count; i++) {
		char not_after[CLOCK_RFC3339_BYTES];
		const struct authority *item = &standing->list.items[i];
		clock_format_rfc3339(item->info.not_after_s * 1000, not_after);
		(void)buf_addf(&out, "%-8s %s, until %s\n", authority_state_name(item->state), item->info.common_name,
			       text_time(not_after, clock_wall_ms()).s);
	}
	tell_devices(standing, &out);
	if (standing->broker_old && standing->kind == AUTHORITY_SERVICE)
		buf_add_str(&out, "the broker still shows its old server certificate: muster stack restart broker\n");
	(void)buf_addf(&out, "next: muster ca rotate %s %s\n  %s\n", kind, step_names[standing->next],
		       meanings[standing->kind][standing->next - 1]);
	if (!standing->ready)
		(void)buf_addf(&out, "  not yet: %s (--force goes on all the same)\n", standing->why.s);
	(void)fputs(buf_str(&out), stdout);
}

// ---- steps ----

static bool parse_step(const char *text, enum step *out)
{
	for (enum step step = STEP_NEXT; step <= STEP_WITHDRAW; step++) {
		if (strcmp(text, step_names[step]) == 0) {
			*out = step;
			return true;
		}
	}
	return false;
}

static bool act(struct cli *cli, enum authority_kind kind, enum step step, struct error *error)
{
	switch (step) {
	case STEP_NEXT:
		return authority_add(&cli->stack, kind, error);
	case STEP_SWITCH:
		// What the old one has issued is made anew: see stack_identity_files.
		return authority_switch(&cli->stack, kind, error) &&
		       (kind == AUTHORITY_DEVICE || stack_identity_files(&cli->stack, error));
	case STEP_WITHDRAW:
		return authority_withdraw(&cli->stack, kind, error);
	case STEP_NONE:
		break;
	}
	return true;
}

static bool note(struct cli *cli, struct pg *pg, const char *what, enum step step, struct error *error)
{
	char target[64];
	(void)snprintf(target, sizeof(target), "%s %s", what, step_names[step]);
	return !pg || (authority_record(&cli->stack, pg, error) && account_audit(pg, "ca.rotate", target, "{}", error));
}

static int refuse(struct cli *cli, const struct standing *standing, enum step step)
{
	struct error error;
	char next[160];
	const char *kind = authority_kind_name(standing->kind);
	if (step != standing->next) {
		error_set(&error, ERROR_INVALID, "\"%s\" is not the next step", step_names[step]);
		(void)snprintf(next, sizeof(next), "muster ca rotate %s %s", kind, step_names[standing->next]);
	} else {
		error_set(&error, ERROR_FAILED, "%s", standing->why.s);
		(void)snprintf(next, sizeof(next),
			       "muster ca rotate %s shows how far it is; --force goes on all the same", kind);
	}
	return cli_fail(cli, &error, next);
}

static int rotate_authority(struct cli *cli, struct pg *pg, enum authority_kind kind, enum step step)
{
	struct error error = {0};
	struct standing standing auto_standing = {0};
	if (!look(cli, pg, kind, &standing, &error))
		return cli_fail(cli, &error, NULL);
	if (step != STEP_NONE) {
		if (step != standing.next || (!standing.ready && !args_has(&cli->args, "force")))
			return refuse(cli, &standing, step);
		if (!act(cli, kind, step, &error) || !note(cli, pg, authority_kind_name(kind), step, &error) ||
		    !look(cli, pg, kind, &standing, &error))
			return cli_fail(cli, &error, "muster ca rotate goes on from where it stopped");
	}
	tell(cli, &standing);
	return CLI_OK;
}

// The CA stays, so everybody trusts the new certificate already.
static int rotate_server(struct cli *cli, struct pg *pg)
{
	struct error error = {0};
	if (!stack_identity_server(&cli->stack, &error) ||
	    (pg && !account_audit(pg, "ca.rotate", "server", "{}", &error)))
		return cli_fail(cli, &error, NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "what", "server");
		json_set_string(json, "certificate", stack_path(&cli->stack, "certs/server.crt").text);
		json_set_bool(json, "broker_restart_needed", broker_is_older(&cli->stack));
		cli_print_json(json);
	} else {
		(void)printf(
			"the servers have a new key and certificate: %s\n"
			"Bridge and dashboard show it within seconds, the broker when it is restarted; devices keep\n"
			"what they report meanwhile and come back by themselves.\nnext: muster stack restart broker\n",
			stack_path(&cli->stack, "certs/server.crt").text);
	}
	return CLI_OK;
}

int ca_rotate_run(struct cli *cli)
{
	struct error error;
	enum authority_kind kind = AUTHORITY_DEVICE;
	enum step step = STEP_NONE;
	const char *what = cli->args.operands[0];
	const char *word = cli->args.operand_count > 1 ? cli->args.operands[1] : NULL;
	bool server = strcmp(what, "server") == 0;
	if (!server && !authority_kind_parse(what, &kind)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is none of device, service and server", what);
		return cli_usage(cli, &error);
	}
	if (word && (server || !parse_step(word, &step))) {
		error_set(&error, ERROR_INVALID,
			  server ? "server has no steps, so \"%s\" is one word too many"
				 : "\"%s\" is none of the steps next, switch and withdraw",
			  word);
		return cli_usage(cli, &error);
	}
	int exit_code = ca_open(cli);
	if (exit_code != CLI_OK)
		return exit_code;
	(void)umask(077);
	struct pg *pg cleanup(pg_free_cleanup) = ca_database(cli, &error);
	if (error.kind != ERROR_NONE)
		return cli_fail(cli, &error, NULL);
	return server ? rotate_server(cli, pg) : rotate_authority(cli, pg, kind, step);
}
