// muster ca inspect --remote: which of the authorities here a broker elsewhere trusts already, found out as a client
// finds it out: by a TLS handshake with a certificate by each, made for this and good for minutes.
#include "tools/cmd_ca.h"

#include "common/tls.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_MS 5000
#define PROBE_S 300 // lifetime of the certificate
#define PROBE_NAME "muster-probe"

struct remote {
	struct cli *cli;
	char host[256];
	int port;
	enum authority_kind kind;		  // of whom it lets in
	struct authority_list services, clients;
	const struct authority *shown;		  // has signed its own certificate
	size_t refused;
	struct table *table;
};

static void remote_done(struct remote *remote)
{
	authority_list_done(&remote->services);
	authority_list_done(&remote->clients);
	table_free(remote->table);
}

static bool parse_address(const char *text, struct remote *remote)
{
	const char *colon = strrchr(text, ':');
	size_t bytes = colon ? (size_t)(colon - text) : 0;
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;
	if (bytes > 2 && text[0] == '[' && text[bytes - 1] == ']') { // an IPv6 address
		text++;
		bytes -= 2;
	}
	if (bytes < 1 || bytes >= sizeof(remote->host) || !end || end == colon + 1 || *end || port < 1 || port > 65535)
		return false;
	memcpy(remote->host, text, bytes);
	remote->port = (int)port;
	return true;
}

enum answer { ANSWER_TAKEN, ANSWER_REFUSED, ANSWER_STRANGER };

// STRANGER: its own certificate is not by who credential->ca are. False when it cannot be reached.
static bool ask(const struct remote *remote, const struct tls_credential *credential, enum answer *answer,
		struct error *error)
{
	struct tls *tls cleanup(tls_free_cleanup) = tls_new(remote->host, credential, error);
	if (!tls)
		return false;
	*answer = ANSWER_TAKEN;
	if (tls_probe(tls, remote->host, remote->port, PROBE_MS, error))
		return true;
	*answer = error->code ? ANSWER_STRANGER : ANSWER_REFUSED;
	return error->kind == ERROR_DENIED;
}

static void add_row(struct remote *remote, const struct authority *authority, const char *what, const char *result)
{
	TABLE_ROW(remote->table, authority->info.common_name, authority_state_name(authority->state), what, result);
}

static bool find_shown(struct remote *remote, struct error *error)
{
	struct error why = {0};
	for (size_t i = 0; i < remote->services.count && !remote->shown; i++) {
		const struct tls_credential credential = {.ca = remote->services.items[i].pem};
		enum answer answer;
		if (!ask(remote, &credential, &answer, &why)) {
			*error = why;
			return false;
		}
		if (answer != ANSWER_STRANGER)
			remote->shown = &remote->services.items[i];
	}
	return remote->shown ||
	       error_set(error, ERROR_DENIED,
			 "the certificate that %s port %d shows is by none of the service CAs here, or "
			 "for another name (%.200s)",
			 remote->host, remote->port, why.what);
}

// With a certificate by this authority, for nobody.
static bool try_client(const struct remote *remote, const struct authority *authority, enum answer *answer,
		       struct error *error)
{
	const struct pki_subject subject = {
		.profile = remote->kind == AUTHORITY_DEVICE ? PKI_DEVICE : PKI_SERVICE,
		.name = remote->kind == AUTHORITY_DEVICE ? PROBE_NAME : "svc." PROBE_NAME,
		.domain = "muster.local",
		.lifetime_s = PROBE_S,
	};
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) =
		authority_open(&remote->cli->stack, remote->kind, authority->state, error);
	char *key auto_secret = ca ? pki_key_new(error) : NULL;
	char *csr auto_free = key ? pki_csr_of_key(key, subject.name, error) : NULL;
	char *certificate auto_free = csr ? pki_issue(ca, csr, &subject, NULL, error) : NULL;
	if (!certificate)
		return false;
	const struct tls_credential credential = {.key = key, .certificate = certificate, .ca = remote->shown->pem};
	return ask(remote, &credential, answer, error);
}

static bool try_clients(struct remote *remote, struct error *error)
{
	for (size_t i = 0; i < remote->clients.count; i++) {
		enum answer answer;
		if (!try_client(remote, &remote->clients.items[i], &answer, error))
			return false;
		add_row(remote, &remote->clients.items[i], "clients with its certificates",
			answer == ANSWER_TAKEN ? "trusted" : "not trusted");
		remote->refused += answer != ANSWER_TAKEN;
	}
	return true;
}

int ca_remote(struct cli *cli, const char *address)
{
	static const struct table_column columns[] = {
		{.name = "name"}, {.name = "state"}, {.name = "what"}, {.name = "result"}};
	struct error error = {0};
	struct remote remote cleanup(remote_done) = {.cli = cli};
	const char *as = args_value(&cli->args, "as");
	if (!parse_address(address, &remote) || (as && !authority_kind_parse(as, &remote.kind))) {
		error_set(&error, ERROR_INVALID, "--remote takes HOST:PORT, and --as device or service");
		return cli_usage(cli, &error);
	}
	int exit_code = ca_open(cli);
	if (exit_code != CLI_OK)
		return exit_code;
	remote.table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	if (!authority_list_load(&cli->stack, AUTHORITY_SERVICE, &remote.services, &error) ||
	    !authority_list_load(&cli->stack, remote.kind, &remote.clients, &error) || !find_shown(&remote, &error))
		return cli_fail(cli, &error, "muster ca bundle --for broker --host NAME makes what it needs");
	add_row(&remote, remote.shown, "its own certificate", "shown");
	if (!try_clients(&remote, &error))
		return cli_fail(cli, &error, NULL);
	table_print(remote.table, cli->json);
	return remote.refused > 0 ? CLI_PARTLY : CLI_OK;
}
