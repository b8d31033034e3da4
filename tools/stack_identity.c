#include "tools/stack.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/jwk.h"
#include "common/jws.h"
#include "common/limits.h"
#include "tools/account.h"
#include "tools/authority.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAF_S (365L * 86400)
#define API_TOKEN_S (10L * 365 * 86400)
#define TOKEN_FILE_MAX_BYTES 256

static bool belongs_together(const struct pki_certificate_info *info, const char *key_path)
{
	struct error ignored;
	char key_sha256[SHA256_HEX_BYTES];
	return file_exists(key_path) && pki_key_sha256(key_path, key_sha256, &ignored) &&
	       strcmp(info->key_sha256, key_sha256) == 0;
}

// By the service CA that issues now, for its key, and not yet two thirds through its life.
static bool still_good(const struct stack *stack, const char *prefix)
{
	struct error ignored;
	struct pki_certificate_info info;
	struct authority_list list auto_authority_list = {0};
	struct stack_path cert = stack_path(stack, "%s.crt", prefix);
	auto_free char *pem = file_exists(cert.text) ? file_read(cert.text, PEM_MAX_BYTES, NULL, &ignored) : NULL;
	if (!pem || !pki_certificate_info(pem, &info, &ignored) ||
	    !authority_list_load(stack, AUTHORITY_SERVICE, &list, &ignored))
		return false;
	int64_t renew_s = info.not_before_s + (info.not_after_s - info.not_before_s) / 3 * 2;
	return clock_wall_ms() / 1000 < renew_s && belongs_together(&info, stack_path(stack, "%s.key", prefix).text) &&
	       pki_is_issued_by(pem, authority_find(&list, AUTHORITY_CURRENT)->pem);
}

static bool issue(const struct stack *stack, const struct pki_subject *subject, const char *prefix, struct error *error)
{
	return stack_identity_issue(stack, subject, stack_path(stack, "%s", prefix).text, error);
}

bool stack_identity_issue(const struct stack *stack, const struct pki_subject *subject, const char *prefix,
			  struct error *error)
{
	struct stack_path cert;
	struct stack_path key;
	if (snprintf(cert.text, sizeof(cert.text), "%s.crt", prefix) >= (int)sizeof(cert.text) ||
	    snprintf(key.text, sizeof(key.text), "%s.key", prefix) >= (int)sizeof(key.text))
		return error_set(error, ERROR_LIMIT, "the path %s is too long", prefix);
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) =
		authority_open(stack, AUTHORITY_SERVICE, AUTHORITY_CURRENT, error);
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
	return still_good(stack, prefix) || issue(stack, &subject, prefix, error);
}

static bool issue_server(const struct stack *stack, const char *prefix, struct error *error)
{
	char hostname[256] = "";
	if (gethostname(hostname, sizeof(hostname) - 1) != 0)
		return error_errno(error, errno, "cannot tell this machine's name");
	const char *const hosts[] = {"localhost", "127.0.0.1", "::1", hostname[0] ? hostname : NULL, NULL};
	const struct pki_subject subject = {
		.profile = PKI_SERVER, .name = "localhost", .hosts = hosts, .lifetime_s = LEAF_S};
	return issue(stack, &subject, prefix, error);
}

static bool take_over(const struct stack *stack, const char *from, const char *to, struct error *error)
{
	struct stack_path path = stack_path(stack, "%s", from);
	if (rename(path.text, stack_path(stack, "%s", to).text) != 0)
		return error_errno(error, errno, "cannot rename %s", path.text);
	return true;
}

// Aside first, so that whoever looks meanwhile finds a pair; what a crash between the two leaves is made anew.
bool stack_identity_server(const struct stack *stack, struct error *error)
{
	struct stack_path leftover = stack_path(stack, "certs/server-new.key");
	if (unlink(leftover.text) != 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot delete %s", leftover.text);
	return issue_server(stack, "certs/server-new", error) &&
	       take_over(stack, "certs/server-new.key", "certs/server.key", error) &&
	       take_over(stack, "certs/server-new.crt", "certs/server.crt", error);
}

// Those in the state folder; whoever took a copy along needs the new one.
static bool operators(const struct stack *stack, struct error *error)
{
	DIR *dir = opendir(stack_path(stack, "operators").text);
	if (!dir)
		return errno == ENOENT || error_errno(error, errno, "cannot read the certificates of operators");
	bool ok = true;
	const struct dirent *entry;
	while (ok && (entry = readdir(dir))) {
		char name[128];
		char prefix[160];
		size_t len_bytes = strlen(entry->d_name);
		if (len_bytes < 5 || len_bytes > 100 || strcmp(entry->d_name + len_bytes - 4, ".crt") != 0)
			continue;
		(void)snprintf(name, sizeof(name), "op.%.*s", (int)len_bytes - 4, entry->d_name);
		(void)snprintf(prefix, sizeof(prefix), "operators/%s", name + 3);
		ok = stack_identity_client(stack, name, prefix, error);
	}
	(void)closedir(dir);
	return ok;
}

static bool signing_key(const struct stack *stack, struct error *error)
{
	struct stack_path path = stack_path(stack, "keys/command.pem");
	return file_exists(path.text) || jws_signer_create(path.text, error);
}

// The private key is the dashboard's; the broker has the public one alone.
static bool console_key(const struct stack *stack, struct error *error)
{
	struct stack_path path = stack_path(stack, "keys/console.pem");
	if (!file_exists(path.text) && !jws_signer_create(path.text, error))
		return false;
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = jws_signer_load(path.text, error);
	if (!signer)
		return false;
	struct json *set auto_json = json_new_object();
	struct json *keys = json_new_array();
	json_append(keys, jwk_json(jws_signer_key(signer)));
	json_set(set, "keys", keys);
	const char *text = json_text(set);
	return file_write(stack_path(stack, "broker/console.jwks").text, text, strlen(text), 0600, error);
}

static bool master_key(const struct stack *stack, const char *name, struct error *error)
{
	struct stack_path path = stack_path(stack, "keys/%s.key", name);
	char text[TOKEN_TEXT_BYTES];
	if (file_exists(path.text))
		return true;
	crypto_random_token(text);
	bool ok = file_write(path.text, text, strlen(text), 0600, error);
	crypto_wipe(text, sizeof(text));
	return ok;
}

bool stack_identity_files(const struct stack *stack, struct error *error)
{
	return authority_init(stack, AUTHORITY_DEVICE, error) && authority_init(stack, AUTHORITY_SERVICE, error) &&
	       (still_good(stack, "certs/server") || stack_identity_server(stack, error)) &&
	       stack_identity_client(stack, "svc.ingest", "certs/ingest", error) &&
	       stack_identity_client(stack, "svc.commander", "certs/commander", error) &&
	       stack_identity_client(stack, "svc.bridge", "certs/bridge", error) && operators(stack, error) &&
	       signing_key(stack, error) && master_key(stack, "admin", error) &&
	       master_key(stack, "webhook", error) && console_key(stack, error);
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
