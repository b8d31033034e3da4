// muster ca bundle: what another machine needs of the authorities, in a folder to copy there. Its paths are those of a
// state folder, so that it is copied over one.
#include "tools/cmd_ca.h"

#include "common/file.h"
#include "common/limits.h"
#include "common/topic.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LEAF_S (365L * 86400)
#define HOSTS_MAX 16
#define FILES_MAX 8

enum whom { FOR_BROKER, FOR_SERVICE, FOR_DEVICE };
static const char *const whoms[] = {[FOR_BROKER] = "broker", [FOR_SERVICE] = "service", [FOR_DEVICE] = "device"};

// What to do with it, in the words of whoever has it.
static const char *const advice[] = {
	[FOR_BROKER] = "Copy it over the state folder of the broker's machine, readable by the broker alone. New "
		       "authorities are\n"
		       "trusted from the next connection on; certs/server.* is read at the broker's next start. Then:\n"
		       "muster ca inspect --remote HOST:PORT",
	[FOR_SERVICE] =
		"Copy it to the service's machine, and restart the service there if its certificate is another.",
	[FOR_DEVICE] =
		"Devices that run the agent are told by themselves; this is for those that are set up otherwise.",
};

struct bundle {
	struct cli *cli;
	const char *folder;
	char files[FILES_MAX][64]; // below folder
	size_t count;
};

static bool parse_whom(const char *text, enum whom *out)
{
	for (size_t i = 0; text && i < sizeof(whoms) / sizeof(whoms[0]); i++) {
		if (strcmp(text, whoms[i]) == 0) {
			*out = (enum whom)i;
			return true;
		}
	}
	return false;
}

static bool path_in(const struct bundle *bundle, const char *file, struct stack_path *out, struct error *error)
{
	int length = snprintf(out->text, sizeof(out->text), "%s/%s", bundle->folder, file);
	return (length > 0 && (size_t)length < sizeof(out->text)) ||
	       error_set(error, ERROR_LIMIT, "the path %s is too long", bundle->folder);
}

static void add(struct bundle *bundle, const char *name, const char *suffix)
{
	(void)snprintf(bundle->files[bundle->count++], sizeof(bundle->files[0]), "%s%s", name, suffix);
}

// The authorities of a kind in one file.
static bool add_trust(struct bundle *bundle, enum authority_kind kind, const char *as, struct error *error)
{
	struct stack_path from = stack_path(&bundle->cli->stack, "ca/%s.crt", authority_kind_name(kind));
	struct stack_path to;
	auto_free char *pem = file_read(from.text, PEM_MAX_BYTES, NULL, error);
	if (!pem || !path_in(bundle, as, &to, error) || !file_write(to.text, pem, strlen(pem), 0644, error))
		return false;
	add(bundle, as, "");
	return true;
}

// And under the names by which OpenSSL finds them.
static bool add_folder(struct bundle *bundle, enum authority_kind kind, struct error *error)
{
	struct authority_list list auto_authority_list = {0};
	struct stack_path to;
	char name[32];
	(void)snprintf(name, sizeof(name), "ca/trust/%s", authority_kind_name(kind));
	if (!authority_list_load(&bundle->cli->stack, kind, &list, error) || !path_in(bundle, name, &to, error) ||
	    !authority_publish(&list, to.text, error))
		return false;
	add(bundle, name, "/");
	return true;
}

static bool add_certificate(struct bundle *bundle, const struct pki_subject *subject, const char *name,
			    struct error *error)
{
	struct stack_path to;
	char prefix[40];
	(void)snprintf(prefix, sizeof(prefix), "certs/%.30s", name);
	if (!path_in(bundle, "certs", &to, error) || !file_mkdirs(to.text, 0700, error) ||
	    !path_in(bundle, prefix, &to, error) ||
	    !stack_identity_issue(&bundle->cli->stack, subject, to.text, error))
		return false;
	add(bundle, prefix, ".crt");
	add(bundle, prefix, ".key");
	return true;
}

static bool add_server(struct bundle *bundle, struct error *error)
{
	const char *hosts[HOSTS_MAX + 1] = {NULL};
	size_t count = 0;
	size_t position = 0;
	const char *host;
	while ((host = args_next(&bundle->cli->args, "host", &position)) && count < HOSTS_MAX)
		hosts[count++] = host;
	if (count == 0)
		return true;
	const struct pki_subject subject = {
		.profile = PKI_SERVER, .name = hosts[0], .hosts = hosts, .lifetime_s = LEAF_S};
	return add_certificate(bundle, &subject, "server", error);
}

static bool add_service(struct bundle *bundle, struct error *error)
{
	const char *name = args_value(&bundle->cli->args, "name");
	char principal[PRINCIPAL_MAX];
	if (!name)
		return true;
	if (!topic_is_device_id(name) || strlen(name) > 30)
		return error_set(error, ERROR_INVALID, "\"%.80s\" is no name of a service: 1 to 30 of a-z, 0-9 and -",
				 name);
	(void)snprintf(principal, sizeof(principal), "svc.%s", name);
	const struct pki_subject subject = {.profile = PKI_SERVICE, .name = principal, .lifetime_s = LEAF_S};
	return add_certificate(bundle, &subject, name, error);
}

static bool fill(struct bundle *bundle, enum whom whom, struct error *error)
{
	struct stack_path ca;
	if (!path_in(bundle, "ca", &ca, error) || !file_mkdirs(ca.text, 0700, error) ||
	    !add_trust(bundle, AUTHORITY_SERVICE, "ca/service.crt", error))
		return false;
	if (whom == FOR_DEVICE)
		return true;
	if (whom == FOR_SERVICE)
		return add_service(bundle, error);
	return add_trust(bundle, AUTHORITY_DEVICE, "ca/device.crt", error) &&
	       add_folder(bundle, AUTHORITY_DEVICE, error) && add_folder(bundle, AUTHORITY_SERVICE, error) &&
	       add_server(bundle, error);
}

static void tell(const struct bundle *bundle, enum whom whom)
{
	if (bundle->cli->json) {
		auto_json struct json *json = json_new_object();
		struct json *files = json_new_array();
		json_set_string(json, "for", whoms[whom]);
		json_set_string(json, "folder", bundle->folder);
		json_set(json, "files", files);
		for (size_t i = 0; i < bundle->count; i++) {
			struct json *file = json_new_object();
			json_set_string(file, "path", bundle->files[i]);
			json_append(files, file);
		}
		cli_print_json(json);
		return;
	}
	(void)printf("%s\n", bundle->folder);
	for (size_t i = 0; i < bundle->count; i++)
		(void)printf("  %s\n", bundle->files[i]);
	(void)printf("%s\n", advice[whom]);
}

int ca_bundle_run(struct cli *cli)
{
	struct error error = {0};
	struct bundle bundle = {.cli = cli, .folder = args_value(&cli->args, "out")};
	enum whom whom = FOR_BROKER;
	if (!bundle.folder || !parse_whom(args_value(&cli->args, "for"), &whom)) {
		error_set(&error, ERROR_INVALID, "--for must be broker, service or device, and --out a folder");
		return cli_usage(cli, &error);
	}
	int exit_code = ca_open(cli);
	if (exit_code != CLI_OK)
		return exit_code;
	(void)umask(077);
	if (!file_mkdirs(bundle.folder, 0700, &error) || !fill(&bundle, whom, &error))
		return cli_fail(cli, &error, NULL);
	tell(&bundle, whom);
	return CLI_OK;
}
