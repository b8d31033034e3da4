#include "tools/stack.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/jws.h"
#include "common/limits.h"
#include "common/pki.h"
#include "tools/account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CA_DAYS 3650
#define LEAF_S (365L * 86400)
#define API_TOKEN_S (10L * 365 * 86400)
#define TOKEN_FILE_MAX_BYTES 256

// Both files or neither: a key without its certificate is what a crash left.
static bool make_ca(const struct stack *stack, const char *name, const char *common_name, struct error *error)
{
	struct stack_path cert = stack_path(stack, "ca/%s.crt", name);
	struct stack_path key = stack_path(stack, "ca/%s.key", name);
	if (file_exists(cert.text))
		return true;
	if (unlink(key.text) != 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot delete %s", key.text);
	return pki_ca_create(cert.text, key.text, common_name, CA_DAYS, error);
}

// Until two thirds of the lifetime are over.
static bool still_good(const char *cert_path)
{
	struct error ignored;
	struct pki_certificate_info info;
	auto_free char *pem = file_exists(cert_path) ? file_read(cert_path, PEM_MAX_BYTES, NULL, &ignored) : NULL;
	if (!pem || !pki_certificate_info(pem, &info, &ignored))
		return false;
	int64_t renew_s = info.not_before_s + (info.not_after_s - info.not_before_s) / 3 * 2;
	return clock_wall_ms() / 1000 < renew_s;
}

static bool issue(const struct stack *stack, const struct pki_subject *subject, const char *prefix, struct error *error)
{
	struct stack_path cert = stack_path(stack, "%s.crt", prefix);
	struct stack_path key = stack_path(stack, "%s.key", prefix);
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) =
		pki_ca_load(stack_path(stack, "ca/service.crt").text, stack_path(stack, "ca/service.key").text, error);
	if (!ca)
		return false;
	if (!file_exists(key.text) && !pki_key_create(key.text, error))
		return false;
	auto_free char *csr = pki_csr_create(key.text, subject->name, error);
	auto_free char *pem = csr ? pki_issue(ca, csr, subject, NULL, error) : NULL;
	return pem && file_write(cert.text, pem, strlen(pem), 0644, error);
}

bool stack_identity_client(const struct stack *stack, const char *name, const char *prefix, struct error *error)
{
	const struct pki_subject subject = {
		.profile = strncmp(name, "op.", 3) == 0 ? PKI_OPERATOR : PKI_SERVICE,
		.name = name,
		.lifetime_s = LEAF_S,
	};
	if (still_good(stack_path(stack, "%s.crt", prefix).text))
		return true;
	return issue(stack, &subject, prefix, error);
}

static bool server_certificate(const struct stack *stack, struct error *error)
{
	char hostname[256] = "";
	if (gethostname(hostname, sizeof(hostname) - 1) != 0)
		return error_errno(error, errno, "cannot tell this machine's name");
	const char *const hosts[] = {"localhost", "127.0.0.1", "::1", hostname[0] ? hostname : NULL, NULL};
	const struct pki_subject subject = {
		.profile = PKI_SERVER, .name = "localhost", .hosts = hosts, .lifetime_s = LEAF_S};
	if (still_good(stack_path(stack, "certs/server.crt").text))
		return true;
	return issue(stack, &subject, "certs/server", error);
}

static bool signing_key(const struct stack *stack, struct error *error)
{
	struct stack_path path = stack_path(stack, "keys/command.pem");
	return file_exists(path.text) || jws_signer_create(path.text, error);
}

bool stack_identity_files(const struct stack *stack, struct error *error)
{
	return make_ca(stack, "device", "Muster device CA", error) &&
	       make_ca(stack, "service", "Muster service CA", error) && server_certificate(stack, error) &&
	       stack_identity_client(stack, "svc.ingest", "certs/ingest", error) &&
	       stack_identity_client(stack, "svc.commander", "certs/commander", error) &&
	       stack_identity_client(stack, "svc.bridge", "certs/bridge", error) && signing_key(stack, error);
}

bool stack_identity_account(const struct stack *stack, struct pg *pg, struct error *error)
{
	struct stack_path path = stack_path(stack, "api-token");
	char token[TOKEN_TEXT_BYTES];
	bool valid = false;
	if (!account_ensure(pg, STACK_ADMIN, "administrator", error))
		return false;
	if (file_exists(path.text)) {
		auto_free char *saved = file_read_secret(path.text, TOKEN_FILE_MAX_BYTES, error);
		if (!saved || !account_token_valid(pg, saved, &valid, error))
			return false;
	}
	if (valid)
		return true;
	return account_token_create(pg, STACK_ADMIN, "api", "muster on this machine", API_TOKEN_S, token, error) &&
	       file_write(path.text, token, strlen(token), 0600, error);
}

char *stack_login_link(const struct stack *stack, struct pg *pg, const char *user, long lifetime_s, struct error *error)
{
	char token[TOKEN_TEXT_BYTES];
	char *link = NULL;
	if (!account_token_create(pg, user, "login", "link from the command line", lifetime_s, token, error))
		return NULL;
	if (asprintf(&link, "https://localhost:%d/login#%s", stack->ports[STACK_DASHBOARD], token) < 0) {
		error_set(error, ERROR_LIMIT, "no memory");
		return NULL;
	}
	return link;
}
