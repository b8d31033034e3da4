#include "agent/identity.h"

#include "agent/fingerprint.h"
#include "common/file.h"
#include "common/jwk.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_MAX_BYTES 65536

static char *below(const char *folder, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		abort();
	return path;
}

void identity_init(struct identity *identity, const char *state_dir, const char *root)
{
	*identity = (struct identity){
		.root = root ? root : "",
		.state_dir = strdup(state_dir),
		.identity_file = below(state_dir, "identity.json"),
		.outbox_file = below(state_dir, "outbox.db"),
		.counter_file = below(state_dir, "counter.json"),
	};
	if (!identity->state_dir)
		abort();
}

struct credential_store identity_store(const struct identity *identity)
{
	return (struct credential_store){.state_dir = identity->state_dir, .root = identity->root};
}

void identity_done(struct identity *identity)
{
	free(identity->state_dir);
	free(identity->identity_file);
	free(identity->outbox_file);
	free(identity->counter_file);
	*identity = (struct identity){0};
}

bool identity_fingerprint(const struct identity *identity, unsigned parts, char out[SHA256_HEX_BYTES], bool *hidden)
{
	char counted[SHA256_HEX_BYTES];
	unsigned missing = fingerprint_of(identity->root, &parts, counted);
	if (!fingerprint_read(identity->root, out, hidden))
		out[0] = '\0';
	if (*identity->fingerprint && (*hidden || (!missing && strcmp(counted, identity->fingerprint) == 0)))
		(void)snprintf(out, SHA256_HEX_BYTES, "%s", identity->fingerprint);
	return *out != '\0';
}

bool identity_is_copy(const struct identity *identity, struct error *error)
{
	char now[SHA256_HEX_BYTES];
	bool hidden = false;
	if (!*identity->fingerprint || !identity_fingerprint(identity, 0, now, &hidden) ||
	    strcmp(now, identity->fingerprint) == 0)
		return false;
	(void)error_set(
		error, ERROR_DENIED,
		"these are the files of %s on another machine than the one that was enrolled (fingerprint %.8s, and "
		"this is %.8s), and its credential can be used only there: if this one takes its place, run "
		"muster-agent enroll --again with a token for %s; if it is another device, muster-agent unenroll "
		"and then enroll",
		identity->device, identity->fingerprint, now, identity->device);
	return true;
}

bool identity_exists(const struct identity *identity)
{
	return file_exists(identity->identity_file);
}

bool identity_load(struct identity *identity, struct error *error)
{
	size_t len_bytes;
	char *text auto_free = file_read(identity->identity_file, IDENTITY_MAX_BYTES, &len_bytes, error);
	if (!text)
		return false;
	struct json *json auto_json = json_parse(text, len_bytes, error);
	if (!json || !identity_parse(identity, json, error))
		return error_prefix(error, "%s", identity->identity_file);
	return true;
}

bool identity_parse(struct identity *identity, const struct json *json, struct error *error)
{
	const char *device = "";
	const char *host = "";
	const char *fingerprint = "";
	int64_t port = 0;
	int64_t enrolled_s = 0;
	int64_t signers = 0;
	int64_t counter = 0;
	const struct json *broker = json_member(json, "broker");
	const struct json *keys = json_member(json, "command_keys");
	size_t count =
		json_type(json) == JSON_OBJECT && keys && json_type(keys) == JSON_ARRAY ? json_array_length(keys) : 0;

	if (!json_member_string(json, "device", &device) || !topic_is_device_id(device))
		return error_set(error, ERROR_INVALID, "\"device\" is missing or is no device id");
	if (!broker || !json_member_string(broker, "host", &host) || !*host ||
	    strlen(host) >= sizeof(identity->broker_host) || !json_member_int(broker, "port", &port) || port < 1 ||
	    port > 65535)
		return error_set(error, ERROR_INVALID, "\"broker\" is missing, or its host or port is wrong");
	if (count == 0 || count > IDENTITY_KEYS_MAX)
		return error_set(error, ERROR_INVALID, "\"command_keys\" must hold 1 to %d keys", IDENTITY_KEYS_MAX);
	struct jws_key parsed[IDENTITY_KEYS_MAX];
	for (size_t i = 0; i < count; i++) {
		if (!jwk_parse(json_array_at(keys, i), &parsed[i], error))
			return false;
	}
	(void)json_member_string(json, "fingerprint", &fingerprint);
	(void)json_member_int(json, "enrolled", &enrolled_s);
	(void)json_member_int(json, "signers", &signers);
	(void)json_member_int(json, "command_counter", &counter);

	(void)snprintf(identity->device, sizeof(identity->device), "%s", device);
	(void)snprintf(identity->broker_host, sizeof(identity->broker_host), "%s", host);
	(void)snprintf(identity->fingerprint, sizeof(identity->fingerprint), "%s", fingerprint);
	identity->broker_port = (int)port;
	identity->enrolled_s = enrolled_s;
	identity->signers = signers;
	identity->command_counter = counter;
	memcpy(identity->command_keys, parsed, count * sizeof(parsed[0]));
	identity->command_key_count = count;
	return true;
}

bool identity_save(const struct identity *identity, struct error *error)
{
	struct json *json auto_json = json_new_object();
	json_set_string(json, "device", identity->device);
	struct json *broker = json_new_object();
	json_set_string(broker, "host", identity->broker_host);
	json_set_int(broker, "port", identity->broker_port);
	json_set(json, "broker", broker);
	struct json *keys = json_new_array();
	for (size_t i = 0; i < identity->command_key_count; i++)
		json_append(keys, jwk_json(&identity->command_keys[i]));
	json_set(json, "command_keys", keys);
	json_set_int(json, "signers", identity->signers);
	json_set_int(json, "command_counter", identity->command_counter);
	json_set_string(json, "fingerprint", identity->fingerprint);
	json_set_int(json, "enrolled", identity->enrolled_s);

	const char *text = json_text(json);
	return file_write(identity->identity_file, text, strlen(text), 0600, error);
}
