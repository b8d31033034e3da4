// muster ca init|inspect|bundle|expiring|rotate|revoke|crl: the certificate authorities and what they have issued.
#include "tools/cmd_ca.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/limits.h"
#include "tools/account.h"
#include "tools/table.h"
#include "tools/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400L
#define WITHIN_S (30 * DAY_S)
#define CRL_S (7 * DAY_S)
#define CRL_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define SERIAL_MAX 40 // hex digits: RFC 5280 section 4.1.2.2
#define FILES_MAX 256 // certificates of services and operators that are looked at

static const char sql_expiring[] =
	"select device, serial, to_char(not_after at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
	" from certificate where revoked_at is null and not_after > now() - interval '1 day'"
	" and not_after < now() + make_interval(secs => $1::bigint)"
	" and exists (select from device d where d.device = certificate.device and d.enabled)"
	" and not exists (select from certificate n where n.device = certificate.device and n.revoked_at is null"
	"  and n.not_after > certificate.not_after) order by not_after limit 10000";
static const char sql_revoke[] =
	"with named as (select $1::text as serial, (select c.device from certificate c where ltrim(c.serial, '0') = $1)"
	" as device),"
	" gone as (update certificate set revoked_at = coalesce(revoked_at, now()) where ltrim(serial, '0') = $1),"
	" listed as (insert into revocation as r (kind, name, reason, requested_by) values ('serial', $1, $2, $3)"
	"  on conflict (kind, name) do update set revoked = true, change = nextval('revocation_change'),"
	"  reason = excluded.reason, requested_by = excluded.requested_by, requested_at = now() where not r.revoked"
	"  returning change)"
	" select coalesce(named.device, ''), exists (select from listed) from named";
static const char sql_revoked[] =
	"select coalesce(c.serial, r.name), extract(epoch from coalesce(c.revoked_at, r.requested_at))::bigint, "
	"c.authority"
	" from revocation r full join certificate c on r.kind = 'serial' and r.name = ltrim(c.serial, '0')"
	" where (r.kind = 'serial' and r.revoked) or (c.revoked_at is not null and c.not_after > now()) order by 1";

// ---- what the verbs share ----

static bool open_files(struct cli *cli, struct error *error)
{
	if (!cli_may_look(cli, error))
		return false;
	if (!file_exists(stack_path(&cli->stack, "ca/device.crt").text))
		return error_set(error, ERROR_NOT_FOUND, "there are no certificate authorities in %s", cli->stack.root);
	return stack_become_owner(&cli->stack, error);
}

int ca_open(struct cli *cli)
{
	struct error error;
	if (open_files(cli, &error))
		return CLI_OK;
	return cli_fail(cli, &error, error.kind == ERROR_NOT_FOUND ? "muster ca init makes them" : NULL);
}

struct pg *ca_database(struct cli *cli, struct error *error)
{
	*error = (struct error){.kind = ERROR_NONE};
	if (stack_supervisor(&cli->stack) == 0)
		return NULL;
	return cli_database(cli, "muster_admin", error);
}

static struct text instant(int64_t wall_s)
{
	char rfc3339[CLOCK_RFC3339_BYTES];
	struct text out;
	clock_format_rfc3339(wall_s * 1000, rfc3339);
	(void)snprintf(out.s, sizeof(out.s), "%s", rfc3339);
	return out;
}

static void add_info(struct json *json, const struct pki_certificate_info *info)
{
	json_set_string(json, "name", info->common_name);
	json_set_string(json, "issuer", info->issuer);
	json_set_string(json, "serial", info->serial);
	json_set_string(json, "sha256", info->sha256);
	json_set_string(json, "not_before", instant(info->not_before_s).s);
	json_set_string(json, "not_after", instant(info->not_after_s).s);
}

struct json *ca_json(enum authority_kind kind, const struct authority *authority)
{
	struct json *json = json_new_object();
	json_set_string(json, "kind", authority_kind_name(kind));
	json_set_string(json, "state", authority_state_name(authority->state));
	add_info(json, &authority->info);
	return json;
}

// A certificate in a file of the state folder.
struct local {
	char path[96]; // below the state folder
	struct pki_certificate_info info;
};

static bool add_folder(const struct stack *stack, const char *folder, struct local *out, size_t *count,
		       struct error *error)
{
	DIR *dir = opendir(stack_path(stack, "%s", folder).text);
	if (!dir)
		return errno == ENOENT || error_errno(error, errno, "cannot read %s", folder);
	bool ok = true;
	const struct dirent *entry;
	while (ok && *count < FILES_MAX && (entry = readdir(dir))) {
		size_t len_bytes = strlen(entry->d_name);
		if (len_bytes < 5 || len_bytes > 80 || strcmp(entry->d_name + len_bytes - 4, ".crt") != 0)
			continue;
		struct local *local = &out[*count];
		(void)snprintf(local->path, sizeof(local->path), "%.10s/%.80s", folder, entry->d_name);
		auto_free char *pem = file_read(stack_path(stack, "%s", local->path).text, PEM_MAX_BYTES, NULL, error);
		ok = pem && (pki_certificate_info(pem, &local->info, error) || error_prefix(error, "%s", local->path));
		if (ok)
			(*count)++;
	}
	(void)closedir(dir);
	return ok;
}

// malloc'd, FILES_MAX of them at most; those of servers, services and operators.
static struct local *local_certificates(const struct stack *stack, size_t *count, struct error *error)
{
	auto_free struct local *list = calloc(FILES_MAX, sizeof(*list));
	*count = 0;
	if (!list) {
		error_errno(error, ENOMEM, "cannot list the certificates");
		return NULL;
	}
	if (!add_folder(stack, "certs", list, count, error) || !add_folder(stack, "operators", list, count, error))
		return NULL;
	return steal(list);
}

// ---- init ----

static int init_run(struct cli *cli)
{
	struct error error = {0};
	(void)umask(077);
	bool existed = file_exists(stack_path(&cli->stack, "ca/device.crt").text);
	if (geteuid() == 0 && !stack_exists(&cli->stack)) {
		stack_hand_over(&cli->stack, cli->argc, cli->argv, &error);
		return cli_fail(cli, &error, "name a folder of a user's: --state DIR");
	}
	if (!stack_become_owner(&cli->stack, &error) || !stack_prepare(&cli->stack, &error) ||
	    !authority_init(&cli->stack, AUTHORITY_DEVICE, &error) ||
	    !authority_init(&cli->stack, AUTHORITY_SERVICE, &error))
		return cli_fail(cli, &error, NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_bool(json, "made", !existed);
		json_set_string(json, "folder", stack_path(&cli->stack, "ca").text);
		cli_print_json(json);
	} else {
		(void)printf("%s in %s\n  ca/device.crt   signs devices; its key is the bridge's\n"
			     "  ca/service.crt  signs services, operators and servers; devices trust it\n"
			     "Keep copies of ca/device.key and ca/service.key where nobody else can read them.\n",
			     existed ? "the authorities are there already," : "two authorities were made",
			     cli->stack.root);
	}
	return CLI_OK;
}

// ---- inspect ----

static int inspect_file(struct cli *cli, const char *path)
{
	struct error error;
	struct pki_bundle bundle auto_pki_bundle = {0};
	auto_free char *text = file_read(path, PEM_MAX_BYTES, NULL, &error);
	auto_json struct json *json = json_new_object();
	struct json *items = json_new_array();
	json_set(json, "items", items);
	if (text && !pki_bundle_parse(text, &bundle, &error))
		(void)error_prefix(&error, "%s", path);
	if (!text || bundle.count == 0)
		return cli_fail(cli, &error, "name a file of certificates in PEM form");
	for (size_t i = 0; i < bundle.count; i++) {
		struct pki_certificate_info info;
		if (!pki_certificate_info(bundle.pems[i], &info, &error))
			return cli_fail(cli, &error, NULL);
		struct json *item = json_new_object();
		add_info(item, &info);
		json_append(items, item);
		if (!cli->json)
			(void)printf("%s\n  by      %s\n  serial  %s\n  sha256  %s\n  from    %s\n  until   %s\n",
				     info.common_name, info.issuer, info.serial, info.sha256,
				     instant(info.not_before_s).s,
				     text_time(instant(info.not_after_s).s, clock_wall_ms()).s);
	}
	if (cli->json)
		cli_print_json(json);
	return CLI_OK;
}

static void add_authorities(struct table *table, struct json *items, enum authority_kind kind,
			    const struct authority_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct authority *item = &list->items[i];
		TABLE_ROW(table, item->info.common_name, authority_state_name(item->state), "",
			  text_ago(instant(item->info.not_after_s).s, clock_wall_ms()).s, item->info.sha256);
		json_append(items, ca_json(kind, item));
	}
}

static int inspect_run(struct cli *cli)
{
	static const struct table_column columns[] = {
		{.name = "name"}, {.name = "state"}, {.name = "issuer"}, {.name = "expires"}, {.name = "sha256"}};
	struct error error;
	if (args_value(&cli->args, "remote"))
		return ca_remote(cli, args_value(&cli->args, "remote"));
	if (cli->args.operand_count > 0)
		return inspect_file(cli, cli->args.operands[0]);
	int exit_code = ca_open(cli);
	if (exit_code != CLI_OK)
		return exit_code;
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	auto_json struct json *json = json_new_object();
	struct json *authorities = json_new_array();
	struct json *certificates = json_new_array();
	json_set(json, "authorities", authorities);
	json_set(json, "certificates", certificates);
	for (enum authority_kind kind = AUTHORITY_DEVICE; kind <= AUTHORITY_SERVICE; kind++) {
		struct authority_list list auto_authority_list = {0};
		if (!authority_list_load(&cli->stack, kind, &list, &error))
			return cli_fail(cli, &error, NULL);
		add_authorities(table, authorities, kind, &list);
	}
	size_t count;
	auto_free struct local *locals = local_certificates(&cli->stack, &count, &error);
	if (!locals)
		return cli_fail(cli, &error, NULL);
	for (size_t i = 0; i < count; i++) {
		struct json *item = json_new_object();
		json_set_string(item, "file", locals[i].path);
		add_info(item, &locals[i].info);
		json_append(certificates, item);
		TABLE_ROW(table, locals[i].info.common_name, "", locals[i].info.issuer,
			  text_ago(instant(locals[i].info.not_after_s).s, clock_wall_ms()).s, locals[i].info.sha256);
	}
	if (cli->json)
		cli_print_json(json);
	else
		table_print(table, false);
	return CLI_OK;
}

// ---- expiring ----

static void add_expiring(struct table *table, const char *kind, const char *name, const char *serial,
			 const char *not_after, bool json)
{
	TABLE_ROW(table, kind, name, serial, json ? not_after : text_ago(not_after, clock_wall_ms()).s);
}

static bool expiring_files(struct cli *cli, struct table *table, int64_t until_s, size_t *found, struct error *error)
{
	for (enum authority_kind kind = AUTHORITY_DEVICE; kind <= AUTHORITY_SERVICE; kind++) {
		struct authority_list list auto_authority_list = {0};
		if (!authority_list_load(&cli->stack, kind, &list, error))
			return false;
		for (size_t i = 0; i < list.count; i++) {
			const struct pki_certificate_info *info = &list.items[i].info;
			if (info->not_after_s >= until_s)
				continue;
			add_expiring(table, "authority", info->common_name, info->serial, instant(info->not_after_s).s,
				     cli->json);
			(*found)++;
		}
	}
	size_t count;
	auto_free struct local *locals = local_certificates(&cli->stack, &count, error);
	if (!locals)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (locals[i].info.not_after_s >= until_s)
			continue;
		add_expiring(table, "service", locals[i].info.common_name, locals[i].info.serial,
			     instant(locals[i].info.not_after_s).s, cli->json);
		(*found)++;
	}
	return true;
}

static int expiring_run(struct cli *cli)
{
	static const struct table_column columns[] = {
		{.name = "kind"}, {.name = "name"}, {.name = "serial"}, {.name = "expires"}};
	struct error error;
	long within_s;
	char seconds[24];
	size_t found = 0;
	if (!args_duration(&cli->args, "within", WITHIN_S, &within_s, &error))
		return cli_usage(cli, &error);
	int exit_code = ca_open(cli);
	if (exit_code != CLI_OK)
		return exit_code;
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	if (!expiring_files(cli, table, clock_wall_ms() / 1000 + within_s, &found, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = ca_database(cli, &error);
	auto_pg_result struct pg_result *rows = NULL;
	(void)snprintf(seconds, sizeof(seconds), "%ld", within_s);
	if (error.kind != ERROR_NONE || (pg && !PG_QUERY(pg, &rows, &error, sql_expiring, seconds)))
		return cli_fail(cli, &error, NULL);
	for (size_t i = 0; rows && i < pg_rows(rows); i++)
		add_expiring(table, "device", pg_text(rows, i, 0), pg_text(rows, i, 1), pg_text(rows, i, 2), cli->json);
	found += rows ? pg_rows(rows) : 0;
	if (found > 0 || cli->json)
		table_print(table, cli->json);
	else
		(void)printf("nothing expires within %s\n", text_duration(within_s).s);
	if (!pg)
		(void)fprintf(stderr, "the stack does not run: devices' certificates were not looked at\n");
	return CLI_OK;
}

// ---- revoke ----

static bool parse_serial(const char *text, char out[SERIAL_MAX + 1])
{
	text += strspn(text, "0");
	size_t len_bytes = strlen(text);
	if (len_bytes < 1 || len_bytes > SERIAL_MAX || strspn(text, "0123456789abcdefABCDEF") != len_bytes)
		return false;
	for (size_t i = 0; i <= len_bytes; i++)
		out[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] - 'A' + 'a' : text[i]);
	return true;
}

static int revoke_run(struct cli *cli)
{
	struct error error;
	char serial[SERIAL_MAX + 1];
	const char *reason = args_value(&cli->args, "reason");
	auto_pg_result struct pg_result *rows = NULL;
	if (!parse_serial(cli->args.operands[0], serial)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no serial number in hex of up to %d digits",
			  cli->args.operands[0], SERIAL_MAX);
		return cli_usage(cli, &error);
	}
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !PG_QUERY(pg, &rows, &error, sql_revoke, serial, reason ? reason : "", "cli") ||
	    !account_audit(pg, "certificate.revoke", serial, "{}", &error))
		return cli_fail(cli, &error, NULL);
	const char *device = pg_text(rows, 0, 0);
	bool now = pg_bool(rows, 0, 1);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "serial", serial);
		json_set_string(json, "device", device[0] ? device : NULL);
		json_set_bool(json, "revoked", true);
		json_set_bool(json, "was_revoked", !now);
		cli_print_json(json);
	} else {
		(void)printf("%s %s%s%s\n", serial, now ? "is revoked" : "was revoked already",
			     device[0] ? ", of device " : "; no device has it in this database", device);
	}
	return CLI_OK;
}

// ---- crl ----

static bool open_issuer(struct cli *cli, enum authority_kind kind, bool old, struct pki_ca **out, struct error *error)
{
	struct authority_list list auto_authority_list = {0};
	if (!authority_list_load(&cli->stack, kind, &list, error))
		return false;
	if (old && !authority_find(&list, AUTHORITY_OLD))
		return error_set(error, ERROR_NOT_FOUND, "there is no old %s CA", authority_kind_name(kind));
	*out = authority_open(&cli->stack, kind, old ? AUTHORITY_OLD : AUTHORITY_CURRENT, error);
	return *out != NULL;
}

// Serials of which it is known that another authority issued them are left out.
static struct pki_revoked *entries(const struct pg_result *rows, const struct pki_certificate_info *issuer,
				   size_t *count)
{
	struct pki_revoked *list = calloc(pg_rows(rows) + 1, sizeof(*list));
	*count = 0;
	for (size_t i = 0; list && i < pg_rows(rows); i++) {
		const char *authority = pg_text(rows, i, 2);
		if (!authority || strcmp(authority, issuer->sha256) == 0)
			list[(*count)++] = (struct pki_revoked){pg_text(rows, i, 0), pg_int(rows, i, 1)};
	}
	return list;
}

static char *make_crl(struct cli *cli, enum authority_kind kind, long lifetime_s, size_t *count, struct error *error)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = NULL;
	struct pki_certificate_info issuer;
	auto_pg_result struct pg_result *rows = NULL;
	if (!cli_open(cli, error) || !open_issuer(cli, kind, args_has(&cli->args, "old"), &ca, error) ||
	    !pki_ca_info(ca, &issuer, error))
		return NULL;
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", error);
	if (!pg || !pg_query(pg, &rows, error, sql_revoked, 0, NULL))
		return NULL;
	auto_free struct pki_revoked *list = entries(rows, &issuer, count);
	if (!list) {
		error_errno(error, ENOMEM, "cannot make the list");
		return NULL;
	}
	// Rises from list to list, on every machine.
	return pki_crl_create(ca, list, *count, clock_wall_ms(), lifetime_s, error);
}

static int crl_run(struct cli *cli)
{
	struct error error;
	long lifetime_s;
	size_t count = 0;
	enum authority_kind kind = AUTHORITY_DEVICE;
	if (!args_duration(&cli->args, "lifetime", CRL_S, &lifetime_s, &error))
		return cli_usage(cli, &error);
	if (cli->args.operand_count > 0 && !authority_kind_parse(cli->args.operands[0], &kind)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is neither device nor service", cli->args.operands[0]);
		return cli_usage(cli, &error);
	}
	auto_free char *pem = make_crl(cli, kind, lifetime_s, &count, &error);
	if (!pem)
		return cli_fail(cli, &error, NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "kind", authority_kind_name(kind));
		json_set_int(json, "revoked", (int64_t)count);
		json_set_string(json, "crl", pem);
		cli_print_json(json);
	} else {
		(void)fputs(pem, stdout);
	}
	return CLI_OK;
}

static const struct args_option inspect_options[] = {
	{"remote", "HOST:PORT", "whom a broker elsewhere trusts, and by whom its own certificate is"},
	{"as", "KIND", "its listener is that of device or of service (device)"},
	{NULL, NULL, NULL},
};
static const struct args_option bundle_options[] = {
	{"for", "WHOM", "broker, service or device"},
	{"out", "DIR", "folder that is made or brought up to date"},
	{"host", "NAME", "broker: and a server certificate for this name or address; may be repeated"},
	{"name", "NAME", "service: and a certificate for svc.NAME"},
	{NULL, NULL, NULL},
};
static const struct args_option expiring_options[] = {
	{"within", "TIME", "how soon: 12h, 30d (30d)"},
	{NULL, NULL, NULL},
};
static const struct args_option rotate_options[] = {
	{"force", NULL, "go on although some would be cut off"},
	{NULL, NULL, NULL},
};
static const struct args_option revoke_options[] = {
	{"reason", "TEXT", "for the history"},
	{NULL, NULL, NULL},
};
static const struct args_option crl_options[] = {
	{"lifetime", "TIME", "until the next list (7d)"},
	{"old", NULL, "of the authority that is being replaced"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_ca[] = {
	{"ca", "init", NULL, 0, 0, "make the certificate authorities (muster up does it, too)", NULL, init_run},
	{"ca", "inspect", "[FILE]", 0, 1, "authorities and certificates here, in a file, or whom a broker trusts",
	 inspect_options, inspect_run},
	{"ca", "bundle", NULL, 0, 0, "what another machine needs of them", bundle_options, ca_bundle_run},
	{"ca", "expiring", NULL, 0, 0, "what expires soon", expiring_options, expiring_run},
	{"ca", "rotate", "WHAT [STEP]", 1, 2, "device, service or server: where it stands, or one step on",
	 rotate_options, ca_rotate_run},
	{"ca", "revoke", "SERIAL", 1, 1, "one certificate is taken back", revoke_options, revoke_run},
	{"ca", "crl", "[device|service]", 0, 1, "a revocation list for third parties, on standard output", crl_options,
	 crl_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
