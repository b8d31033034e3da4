#include "agent/provision.h"

#include "agent/credential.h"
#include "agent/fingerprint.h"
#include "common/file.h"
#include "common/pki.h"
#include "common/topic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool prepare_folder(const char *path, struct error *error)
{
	if (!file_mkdirs(path, 0700, error))
		return error_prefix(error, "the state folder can't be made (run this as the user the agent runs as, or "
				    "set state_dir)");
	// It may have been there before, and be open to others.
	if (chmod(path, 0700) < 0)
		return error_errno(error, errno, "cannot set the mode of %s", path);
	return true;
}

static bool make_key(const struct credential_store *store, const char *name, struct credential *out,
		     struct error *error)
{
	struct credential made auto_credential = {.key = pki_key_new(error)};
	if (!made.key || !credential_save(store, name, &made, error))
		return false;
	credential_move(out, &made);
	return true;
}

// name is advisory.
static struct json *request_for(const struct identity *identity, const struct credential *credential, const char *name,
				struct error *error)
{
	char fingerprint[SHA256_HEX_BYTES];
	char *csr auto_free = pki_csr_of_key(credential->key, name, error);
	if (!csr)
		return NULL;
	struct json *request = json_new_object();
	json_set_string(request, "csr", csr);
	if (fingerprint_read(identity->root, fingerprint, NULL))
		json_set_string(request, "fingerprint", fingerprint);
	return request;
}

// Fills identity and credential with the answer.
static bool take_answer(struct identity *identity, struct credential *credential, const struct json *answer,
			struct error *error)
{
	const char *certificate = "";
	const char *ca = "";
	if (!identity_parse(identity, answer, error))
		return false;
	if (!json_member_string(answer, "certificate", &certificate) || !json_member_string(answer, "ca", &ca))
		return error_set(error, ERROR_INVALID, "\"certificate\" or \"ca\" is missing");
	if (!credential_set_certificate(credential, certificate, ca, identity->device, error))
		return false;
	identity->enrolled_s = credential->info.not_before_s;
	if (!fingerprint_read(identity->root, identity->fingerprint, NULL))
		identity->fingerprint[0] = '\0'; // the machine has nothing to tell it by
	return true;
}

// ---- the first time ----

struct json *provision_request(const struct identity *identity, const char *wish, struct error *error)
{
	struct credential_store store = identity_store(identity);
	struct credential credential auto_credential = {0};
	if (wish && !topic_is_device_id(wish)) {
		(void)error_set(error, ERROR_INVALID, "--device %.80s is no device id: use 1 to 63 of a-z, 0-9 and -, "
				"and no - at the start", wish);
		return NULL;
	}
	if (!prepare_folder(identity->state_dir, error))
		return NULL;
	bool ok = credential_exists(&store, CREDENTIAL_CURRENT) ?
			  credential_load(&store, CREDENTIAL_CURRENT, &credential, error) :
			  make_key(&store, CREDENTIAL_CURRENT, &credential, error);
	struct json *request = ok ? request_for(identity, &credential, wish ? wish : "device", error) : NULL;
	if (request && wish)
		json_set_string(request, "device", wish);
	return request;
}

bool provision_install(struct identity *identity, const struct json *answer, struct error *error)
{
	struct credential_store store = identity_store(identity);
	struct credential credential auto_credential = {0};
	if (!credential_exists(&store, CREDENTIAL_CURRENT))
		return error_set(error, ERROR_NOT_FOUND,
				 "there is no key on this device that an answer could be for: ask first (muster-agent "
				 "request)");
	// identity.json last: it says that all is there.
	return credential_load(&store, CREDENTIAL_CURRENT, &credential, error) &&
	       take_answer(identity, &credential, answer, error) &&
	       credential_save(&store, CREDENTIAL_CURRENT, &credential, error) && identity_save(identity, error);
}

// ---- again ----

// A key that was made for an answer which never came, be it of a renewal, serves as well as another; whatever else is
// there is of no use any more.
struct json *provision_request_again(const struct identity *identity, struct error *error)
{
	struct credential_store store = identity_store(identity);
	struct credential next auto_credential = {0};
	bool have = credential_exists(&store, CREDENTIAL_NEXT) &&
		    credential_load(&store, CREDENTIAL_NEXT, &next, NULL) && !next.certificate;
	if (!have &&
	    (!credential_wipe(&store, CREDENTIAL_NEXT, error) || !make_key(&store, CREDENTIAL_NEXT, &next, error)))
		return NULL;
	struct json *request = request_for(identity, &next, identity->device, error);
	if (request)
		json_set_string(request, "device", identity->device);
	return request;
}

bool provision_install_again(struct identity *identity, const struct json *answer, struct error *error)
{
	struct credential_store store = identity_store(identity);
	struct credential next auto_credential = {0};
	const char *device = "";
	if (json_type(answer) != JSON_OBJECT || !json_member_string(answer, "device", &device) ||
	    strcmp(device, identity->device) != 0)
		return error_set(error, ERROR_INVALID,
				 "the token was made for %.63s, and this device is %s: ask for one that is bound to it "
				 "(muster token create --device %s), or run muster-agent unenroll first",
				 *device ? device : "nobody", identity->device, identity->device);
	// The next credential is whole before identity.json names what belongs to it: the agent takes it from there.
	return credential_load(&store, CREDENTIAL_NEXT, &next, error) && take_answer(identity, &next, answer, error) &&
	       credential_save(&store, CREDENTIAL_NEXT, &next, error) && identity_save(identity, error) &&
	       credential_promote(&store, error);
}
