// The broker's side of Muster's identities: a Mosquitto plugin (API version 5), kept thin. What it decides is decided
// in identity.c, revocations.c and control.c; here the broker's events are turned into their questions.
//
// The broker runs everything in one thread, so nothing here locks. Whatever goes wrong ends in "refused".

#include "broker-conf/certificate.h"
#include "broker-conf/consoles.h"
#include "broker-conf/control.h"
#include "broker-conf/identity.h"
#include "broker-conf/revocations.h"

#include "common/clock.h"
#include "common/console.h"
#include "common/json.h"
#include "common/limiter.h"
#include "common/topic.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <mqtt_protocol.h>

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMITER_SWEEP_MS 60000
#define LIMIT_MAX 1000000000 // of an option; products of it fit
#define LOOK_EVERY_MS 1000   // at the list, besides at each login, and at the consoles

// The plugin's only three names that the broker sees.
#define exported __attribute__((visibility("default")))

// A session that was let in, kept so that revoking a serial finds whom to cut. The client pointer is the key and is
// never followed: a takeover reports the old session's end after the new one's login, under the same client id.
struct session {
	const void *client;
	char user[PRINCIPAL_MAX];
	char serial[SERIAL_HEX_MAX + 1];
};

// The parts of a list, until the last one is there.
struct incoming {
	struct revocation *changes;
	size_t count;
	int part, parts; // of the last one that came
	int64_t change;
};

struct guard {
	mosquitto_plugin_id_t *id;
	struct revocations *revocations;
	struct authorities *authorities;
	struct consoles *consoles;
	void *sessions; // a tree of tsearch(3), by client
	const void *letting_in; // from its login until the next event: its session is being taken up
	struct incoming incoming;
	bool readable;	     // the list, at the last look
	unsigned generation; // its, then
	int64_t look_ms;     // monotonic: when that was
	bool tell;     // say how the list is, at the next tick
	struct limiter *limiter;
	struct limits device_limits, operator_limits;
};

static int compare_sessions(const void *a, const void *b)
{
	uintptr_t left = (uintptr_t)((const struct session *)a)->client;
	uintptr_t right = (uintptr_t)((const struct session *)b)->client;

	return (left > right) - (left < right);
}

static bool remember(struct guard *guard, const void *client, const char *user, const char *serial)
{
	struct session *session = calloc(1, sizeof(*session));
	struct session **node = NULL;

	if (session) {
		session->client = client;
		node = tsearch(session, &guard->sessions, compare_sessions);
	}
	if (!node) {
		free(session);
		return false;
	}
	if (*node != session) // a client that came to its end without our being told
		free(session);
	(void)snprintf((*node)->user, sizeof((*node)->user), "%s", user);
	(void)snprintf((*node)->serial, sizeof((*node)->serial), "%s", serial);
	return true;
}

static bool look_at_list(struct guard *guard, struct error *error)
{
	bool readable = revocations_refresh(guard->revocations, error);

	guard->tell |= readable != guard->readable || revocations_generation(guard->revocations) != guard->generation;
	guard->readable = readable;
	guard->generation = revocations_generation(guard->revocations);
	return readable;
}

static bool check_login(struct guard *guard, struct mosquitto *client, char user[PRINCIPAL_MAX],
			struct certificate *certificate, struct error *error)
{
	struct identity_login login = {.client_id = mosquitto_client_id(client)};
	void *x509 = mosquitto_client_certificate(client); // ours to free
	bool ok;

	if (!x509)
		return error_set(error, ERROR_DENIED, "there is no client certificate");
	ok = authorities_refresh(guard->authorities, error) && certificate_read(x509, certificate, error);
	login.issuer = authorities_issuer(guard->authorities, x509);
	certificate_free(x509);
	if (!ok)
		return false;
	login.name = certificate->name;
	login.name_bytes = certificate->name_bytes;
	if (!identity_check(&login, user, error))
		return false;
	// One principal is let in without a list: who can bring it back.
	if (!look_at_list(guard, error))
		return identity_may_control(user);
	if (topic_is_device_id(user) && revocations_has(guard->revocations, REVOCATION_DEVICE, user))
		return error_set(error, ERROR_DENIED, "%s is revoked", user);
	if (revocations_has(guard->revocations, REVOCATION_SERIAL, certificate->serial))
		return error_set(error, ERROR_DENIED, "certificate %s of %s is revoked", certificate->serial, user);
	return true;
}

// What was queued for the device before it was let in again is dropped: see on_acl_check.
static void end_staleness(struct guard *guard, const char *device, const void *client)
{
	struct revocation change = {.kind = REVOCATION_STALE};
	struct error error = {0};

	if (!topic_is_device_id(device) || !revocations_has(guard->revocations, REVOCATION_STALE, device))
		return;
	guard->letting_in = client;
	(void)snprintf(change.name, sizeof(change.name), "%s", device);
	// Otherwise its next login drops again what commander then sends again.
	if (!revocations_apply(guard->revocations, &change, 1, -1, false, &error))
		mosquitto_log_printf(MOSQ_LOG_WARNING, "guard: %s stays marked as stale: %s", device, error.what);
}

static int refuse_login(const struct mosquitto *client, const char *why)
{
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: login from %s refused: %s", mosquitto_client_address(client),
			     why);
	return MOSQ_ERR_AUTH;
}

static bool has_certificate(const struct mosquitto *client)
{
	void *x509 = mosquitto_client_certificate(client); // ours to free

	if (x509)
		certificate_free(x509);
	return x509;
}

// A browser, which has no certificate: what it brings was signed by the dashboard.
static int let_console_in(struct guard *guard, const struct mosquitto_evt_basic_auth *login)
{
	struct mosquitto *client = login->client;
	const struct console_login console = {
		.client = client,
		.client_id = mosquitto_client_id(client),
		.token = login->password,
		.websockets = mosquitto_client_protocol(client) == mp_websockets,
		// What an MQTT 5 session leaves behind says its expiry, which a plugin is not told.
		.leaves_nothing =
			mosquitto_client_protocol_version(client) == 4 && mosquitto_client_clean_session(client),
	};
	struct error error = {0};
	char user[PRINCIPAL_MAX];

	if (!look_at_list(guard, &error) ||
	    !consoles_let_in(guard->consoles, &console, clock_wall_ms() / 1000, user, &error))
		return refuse_login(client, error.what);
	if (mosquitto_set_username(client, user) == MOSQ_ERR_SUCCESS)
		return MOSQ_ERR_SUCCESS;
	consoles_forget(guard->consoles, client);
	return refuse_login(client, "out of memory");
}

static int on_login(int event, void *event_data, void *user_data)
{
	struct guard *guard = user_data;
	struct mosquitto_evt_basic_auth *login = event_data;
	struct certificate certificate;
	struct error error = {0};
	char user[PRINCIPAL_MAX];

	guard->letting_in = NULL;
	if (!has_certificate(login->client))
		return let_console_in(guard, login);
	if (!check_login(guard, login->client, user, &certificate, &error))
		return refuse_login(login->client, error.what);
	// Whatever user name the client sent is replaced: the ACL knows the CN only.
	if (mosquitto_set_username(login->client, user) != MOSQ_ERR_SUCCESS ||
	    !remember(guard, login->client, user, certificate.serial)) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: login of %s refused: out of memory", user);
		return MOSQ_ERR_AUTH;
	}
	end_staleness(guard, user, login->client);
	return MOSQ_ERR_SUCCESS;
}

static bool is_command(const char *topic)
{
	struct topic parsed;

	return topic_parse(topic, strlen(topic), &parsed) && parsed.kind == TOPIC_COMMAND;
}

// A console reads what its credential names, and writes nothing. The ACL file has no say in that.
static bool console_may(const struct guard *guard, const struct mosquitto_evt_acl_check *check)
{
	switch (check->access) {
	case MOSQ_ACL_READ:
		return consoles_may_read(guard->consoles, check->client, check->topic);
	case MOSQ_ACL_SUBSCRIBE:
		return mosquitto_client_sub_count(check->client) < CONSOLES_SUBSCRIPTIONS_MAX &&
		       console_may_subscribe(check->topic);
	case MOSQ_ACL_UNSUBSCRIBE:
		return true;
	default:
		return false;
	}
}

static int on_acl_check(int event, void *event_data, void *user_data)
{
	const struct guard *guard = user_data;
	const struct mosquitto_evt_acl_check *check = event_data;

	if (consoles_is_user(mosquitto_client_username(check->client)))
		return console_may(guard, check) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;

	// Subscribing is judged at delivery, message by message.
	if (check->access == MOSQ_ACL_SUBSCRIBE || check->access == MOSQ_ACL_UNSUBSCRIBE)
		return MOSQ_ERR_PLUGIN_DEFER;
	if (!identity_may_touch(mosquitto_client_username(check->client), check->topic))
		return MOSQ_ERR_ACL_DENIED;
	// Before it answers CONNECT, the broker asks for every message that waits in the session, and drops those
	// denied.
	if (guard->letting_in == check->client && check->access == MOSQ_ACL_READ && is_command(check->topic))
		return MOSQ_ERR_ACL_DENIED;
	return MOSQ_ERR_PLUGIN_DEFER; // the ACL file decides
}

// With an event of a device goes from where it came, as the last of its user properties: ingest, which reads no other,
// keeps it where the event says that the device is another machine. What the device itself wrote comes before it.
static bool say_peer(struct mosquitto_evt_message *message)
{
	const char *address = mosquitto_client_address(message->client);
	struct topic topic;

	if (!topic_parse(message->topic, strlen(message->topic), &topic) || topic.kind != TOPIC_EVENT)
		return true;
	return mosquitto_property_add_string_pair(&message->properties, MQTT_PROP_USER_PROPERTY, TOPIC_PEER_PROPERTY,
						  address ? address : "") == MOSQ_ERR_SUCCESS;
}

// Only what the ACL let through: at ACL_CHECK a will, too, would be counted, and a device that went away in a flood
// would stay online for ever. The broker offers a plugin no other reason code than 0x87 for the PUBACK.
static int on_publish(int event, void *event_data, void *user_data)
{
	struct guard *guard = user_data;
	struct mosquitto_evt_message *message = event_data;
	const char *user = mosquitto_client_username(message->client);
	const struct limits *limits = NULL;

	guard->letting_in = NULL;
	if (user && topic_is_device_id(user))
		limits = &guard->device_limits;
	else if (user && topic_is_operator(user))
		limits = &guard->operator_limits;
	if (limits && !limiter_take(guard->limiter, limits, user, limiter_weight(message->payload, message->payloadlen),
				    message->payloadlen, clock_mono_ms()))
		return MOSQ_ERR_ACL_DENIED;
	return limits != &guard->device_limits || say_peer(message) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

static void tell_device(const struct limits *limits, const struct limiter_notice *notice, const char *topic)
{
	char text[512];
	int bytes = snprintf(text, sizeof(text),
			     "{\"type\":\"limit.exceeded\",\"ts\":%" PRId64 ",\"messages\":%" PRId64
			     ",\"bytes\":%" PRId64 ",\"span_ms\":%" PRId64 ",\"messages_per_s\":%" PRId64
			     ",\"bytes_per_s\":%" PRId64 "}",
			     clock_wall_ms(), notice->messages, notice->bytes, notice->span_ms, limits->messages_per_s,
			     limits->bytes_per_s);
	(void)mosquitto_broker_publish_copy(NULL, topic, bytes, text, 1, false, NULL);
}

static void tell_operator(const struct limits *limits, const struct limiter_notice *notice, const char *topic)
{
	char text[512];
	int bytes = snprintf(text, sizeof(text),
			     "{\"error\":\"limit exceeded\",\"detail\":\"%" PRId64
			     " messages were refused; %" PRId64 " a second are allowed\"}",
			     notice->messages, limits->messages_per_s);
	(void)mosquitto_broker_publish_copy(NULL, topic, bytes, text, 1, false, NULL);
}

// How the list is, for commander: the answer to each control message, and what it finds when it connects.
static void tell_list(struct guard *guard, const char *failure)
{
	auto_json struct json *json = json_new_object();
	char digest[SHA256_HEX_BYTES];
	const char *text = NULL;

	guard->tell = false;
	json_set_bool(json, "readable", guard->readable);
	json_set_int(json, "applied", revocations_applied(guard->revocations));
	json_set_int(json, "entries", (int64_t)revocations_digest(guard->revocations, digest));
	json_set_string(json, "sha256", digest);
	if (failure)
		json_set_string(json, "error", failure);
	text = json_text(json);
	(void)mosquitto_broker_publish_copy(NULL, TOPIC_REVOCATIONS, (int)strlen(text), text, 1, true, NULL);
}

static int on_disconnect(int event, void *event_data, void *user_data)
{
	struct guard *guard = user_data;
	const struct mosquitto_evt_disconnect *end = event_data;
	struct session key = {.client = end->client};
	struct session **node = tfind(&key, &guard->sessions, compare_sessions);
	struct session *session = node ? *node : NULL;

	consoles_forget(guard->consoles, end->client);
	if (session) {
		(void)tdelete(session, &guard->sessions, compare_sessions);
		free(session);
	}
	return MOSQ_ERR_SUCCESS;
}

// ---- control ----

struct cut {
	const struct guard *guard;
	char (*users)[PRINCIPAL_MAX];
	size_t count, capacity;
};

static bool is_revoked(const struct guard *guard, const struct session *session)
{
	return (topic_is_device_id(session->user) &&
		revocations_has(guard->revocations, REVOCATION_DEVICE, session->user)) ||
	       revocations_has(guard->revocations, REVOCATION_SERIAL, session->serial);
}

static void collect(const void *node, VISIT visit, void *user)
{
	const struct session *session = *(struct session *const *)node;
	struct cut *cut = user;

	if ((visit != postorder && visit != leaf) || !is_revoked(cut->guard, session))
		return;
	if (cut->count == cut->capacity) {
		size_t capacity = cut->capacity ? 2 * cut->capacity : 16;
		void *grown = realloc(cut->users, capacity * sizeof(cut->users[0]));

		if (!grown)
			return;
		cut->users = grown;
		cut->capacity = capacity;
	}
	memcpy(cut->users[cut->count++], session->user, PRINCIPAL_MAX);
}

// Ends the sessions of whoever is revoked. Their wills are published: what the fleet sees of them is that they are
// offline.
static void cut_revoked(const struct guard *guard)
{
	struct cut cut = {.guard = guard};

	twalk_r(guard->sessions, collect, &cut);
	for (size_t i = 0; i < cut.count; i++) // each changes the tree
		(void)mosquitto_kick_client_by_username(cut.users[i], true);
	free(cut.users);
}

static void end_consoles(struct guard *guard)
{
	char client_id[CONSOLE_CLIENT_BYTES];

	while (consoles_expired(guard->consoles, clock_wall_ms() / 1000, client_id, sizeof(client_id)))
		(void)mosquitto_kick_client_by_clientid(client_id, false);
}

// Somebody else may have changed the list, or lost it; and the time of a console may be over.
static void watch(struct guard *guard)
{
	struct error ignored = {0};

	if (clock_mono_ms() - guard->look_ms >= LOOK_EVERY_MS) {
		unsigned known = guard->generation;

		guard->look_ms = clock_mono_ms();
		end_consoles(guard);
		if (look_at_list(guard, &ignored) && guard->generation != known)
			cut_revoked(guard);
	}
	if (guard->tell)
		tell_list(guard, NULL);
}

static int on_tick(int event, void *event_data, void *user_data)
{
	struct guard *guard = user_data;
	struct limiter_notice notice;
	char topic[TOPIC_MAX_BYTES];

	guard->letting_in = NULL;
	watch(guard);
	while (limiter_due(guard->limiter, clock_mono_ms(), &notice)) {
		mosquitto_log_printf(MOSQ_LOG_WARNING,
				     "guard: %s is over its limit: %" PRId64 " messages of %" PRId64 " bytes refused",
				     notice.name, notice.messages, notice.bytes);
		if (topic_build(topic, TOPIC_LIMIT, notice.name, NULL))
			tell_device(&guard->device_limits, &notice, topic);
		else if (topic_build(topic, TOPIC_REPLY, notice.name, NULL))
			tell_operator(&guard->operator_limits, &notice, topic);
	}
	return MOSQ_ERR_SUCCESS;
}

static bool apply(struct guard *guard, const struct revocation *changes, size_t count, int64_t change, bool whole,
		  struct error *error)
{
	bool stored = revocations_apply(guard->revocations, changes, count, change, whole, error);
	struct error ignored = {0};

	if (look_at_list(guard, &ignored))
		cut_revoked(guard); // also when it could not be stored: until the broker stops it holds all the same
	for (size_t i = 0; i < count && !whole; i++) {
		// A session of before would otherwise live on, also under a certificate that is good no more.
		if (changes[i].kind == REVOCATION_DEVICE)
			(void)mosquitto_kick_client_by_clientid(changes[i].name, true);
	}
	return stored;
}

static void forget_incoming(struct incoming *incoming)
{
	free(incoming->changes);
	*incoming = (struct incoming){0};
}

// Parts come in order, from one sender at a time.
static bool add_part(struct incoming *incoming, const struct control_request *part, struct error *error)
{
	size_t count = part->part == 1 ? 0 : incoming->count;
	void *grown = NULL;

	if (part->part == 1)
		forget_incoming(incoming);
	else if (part->part != incoming->part + 1 || part->parts != incoming->parts || part->change != incoming->change)
		return error_set(error, ERROR_INVALID, "part %d of a list came out of turn", part->part);
	grown = realloc(incoming->changes, (count + part->count + 1) * sizeof(*incoming->changes));
	if (!grown)
		return error_errno(error, ENOMEM, "cannot hold a list of revocations");
	incoming->changes = grown;
	memcpy(incoming->changes + count, part->changes, part->count * sizeof(*incoming->changes));
	incoming->count = count + part->count;
	incoming->part = part->part;
	incoming->parts = part->parts;
	incoming->change = part->change;
	return true;
}

static void cut_consoles(struct guard *guard, const struct control_request *request)
{
	for (size_t i = 0; i < request->ended_count; i++) {
		consoles_end(guard->consoles, request->ended[i].client_id, request->ended[i].until_s);
		(void)mosquitto_kick_client_by_clientid(request->ended[i].client_id, false);
	}
	if (request->complete)
		consoles_ends_known(guard->consoles);
}

static bool obey(struct guard *guard, const struct control_request *request, struct error *error)
{
	struct incoming *incoming = &guard->incoming;
	bool ok;

	switch (request->op) {
	case CONTROL_CONSOLES:
		cut_consoles(guard, request);
		return true;
	case CONTROL_KICK:
		(void)mosquitto_kick_client_by_clientid(request->changes[0].name, true);
		return true;
	case CONTROL_CHANGE:
		if (request->change > 0 && request->change <= revocations_applied(guard->revocations))
			return true; // two commanders tell the same
		return apply(guard, request->changes, request->count, request->change, false, error);
	case CONTROL_LIST:
		break;
	}
	if (!add_part(incoming, request, error))
		return false;
	if (incoming->part < incoming->parts)
		return true;
	ok = apply(guard, incoming->changes, incoming->count, incoming->change, true, error);
	forget_incoming(incoming);
	return ok;
}

static void log_request(const struct control_request *request)
{
	const struct revocation *one = request->changes;

	if (request->op == CONTROL_CONSOLES)
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: %zu consoles ended%s", request->ended_count,
				     request->complete ? ", all that have" : "");
	else if (request->op == CONTROL_LIST)
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: list of revocations up to %lld, part %d of %d",
				     (long long)request->change, request->part, request->parts);
	else
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: %s %s %s",
				     one->kind == REVOCATION_DEVICE ? "device" : "serial", one->name,
				     request->op == CONTROL_KICK ? "cut" : one->revoked ? "revoked" : "restored");
}

// The answer is the message on TOPIC_REVOCATIONS: PUBACK carries no reason here (the broker always says success), and
// an error would end the sender's connection.
static int on_control(int event, void *event_data, void *user_data)
{
	struct guard *guard = user_data;
	const struct mosquitto_evt_control *control = event_data;
	const char *user = mosquitto_client_username(control->client);
	struct control_request request auto_control = {0};
	struct error error = {0};

	guard->letting_in = NULL;
	if (!identity_may_control(user)) { // the ACL file says so too
		mosquitto_log_printf(MOSQ_LOG_WARNING, "guard: control from %s refused", user ? user : "nobody");
		return MOSQ_ERR_ACL_DENIED;
	}
	if (control_parse(control->payload ? control->payload : "", control->payloadlen, &request, &error) &&
	    obey(guard, &request, &error)) {
		log_request(&request);
		if (request.op == CONTROL_CHANGE || (request.op == CONTROL_LIST && request.part == request.parts))
			tell_list(guard, NULL);
		return MOSQ_ERR_SUCCESS;
	}
	mosquitto_log_printf(MOSQ_LOG_ERR, "guard: control failed: %s", error.what);
	tell_list(guard, error.what);
	return MOSQ_ERR_SUCCESS;
}

exported int mosquitto_plugin_version(int version_count, const int *versions)
{
	for (int i = 0; i < version_count; i++) {
		if (versions[i] == 5)
			return 5;
	}
	return -1;
}

static const char *option(const struct mosquitto_opt *options, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(options[i].key, name) == 0)
			return options[i].value;
	}
	return NULL;
}

static bool read_number(const struct mosquitto_opt *options, int count, const char *name, int64_t otherwise,
			int64_t *out, struct error *error)
{
	const char *text = option(options, count, name);
	char *end = NULL;

	*out = otherwise;
	if (!text)
		return true;
	errno = 0;
	*out = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *out < 0 || *out > LIMIT_MAX)
		return error_set(error, ERROR_INVALID, "plugin_opt_%s %.64s is not a number from 0 to %d", name, text,
				 LIMIT_MAX);
	return true;
}

// What is not set is limited all the same.
static bool read_limits(struct guard *guard, const struct mosquitto_opt *options, int count, struct error *error)
{
	struct limits *device = &guard->device_limits;
	struct limits *person = &guard->operator_limits;

	return read_number(options, count, "messages_per_s", 400, &device->messages_per_s, error) &&
	       read_number(options, count, "messages_burst", 4000, &device->messages_burst, error) &&
	       read_number(options, count, "bytes_per_s", 524288, &device->bytes_per_s, error) &&
	       read_number(options, count, "bytes_burst", 16777216, &device->bytes_burst, error) &&
	       read_number(options, count, "requests_per_s", 100, &person->messages_per_s, error) &&
	       read_number(options, count, "requests_burst", 2000, &person->messages_burst, error) &&
	       limits_check(device, error) && limits_check(person, error);
}

static bool set_up(struct guard *guard, const struct mosquitto_opt *options, int count, struct error *error)
{
	const char *revoked = option(options, count, "revoked");
	const char *device_ca = option(options, count, "device_ca");
	const char *service_ca = option(options, count, "service_ca");
	struct consoles_options consoles = {.keys_path = option(options, count, "console_keys")};

	if (!revoked || !device_ca || !service_ca)
		return error_set(error, ERROR_INVALID,
				 "plugin_opt_revoked, plugin_opt_device_ca and "
				 "plugin_opt_service_ca are needed");
	if (!read_limits(guard, options, count, error))
		return false;
	if (!read_number(options, count, "consoles_per_user", 10, &consoles.per_user, error) ||
	    !read_number(options, count, "consoles", 200, &consoles.total, error) ||
	    !read_number(options, count, "cell", 1, &consoles.cell, error))
		return false;
	guard->consoles = consoles_new(&consoles, error);
	if (!guard->consoles)
		return false;
	guard->limiter = limiter_new(LIMITER_SWEEP_MS, clock_mono_ms());
	if (!guard->limiter)
		return error_set(error, ERROR_FAILED, "out of memory");
	guard->authorities = authorities_load(device_ca, service_ca, error);
	guard->revocations = guard->authorities ? revocations_new(revoked, error) : NULL;
	return guard->revocations != NULL;
}

static void tear_down(struct guard *guard)
{
	tdestroy(guard->sessions, free);
	forget_incoming(&guard->incoming);
	revocations_free(guard->revocations);
	authorities_free(guard->authorities);
	consoles_free(guard->consoles);
	limiter_free(guard->limiter);
	free(guard);
}

exported int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **user_data, struct mosquitto_opt *options,
				   int option_count)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	struct error error = {0};

	if (!guard)
		return MOSQ_ERR_NOMEM;
	guard->id = id;
	if (!set_up(guard, options, option_count, &error)) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: %s", error.what);
		tear_down(guard);
		return MOSQ_ERR_UNKNOWN; // the broker does not start
	}
	guard->tell = true;
	if (!look_at_list(guard, &error))
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: %s; until it is there again nobody but commander is let in",
				     error.what);
	if (mosquitto_callback_register(id, MOSQ_EVT_BASIC_AUTH, on_login, NULL, guard) != MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(id, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL, guard) != MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(id, MOSQ_EVT_MESSAGE, on_publish, NULL, guard) != MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(id, MOSQ_EVT_TICK, on_tick, NULL, guard) != MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(id, MOSQ_EVT_DISCONNECT, on_disconnect, NULL, guard) != MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(id, MOSQ_EVT_CONTROL, on_control, TOPIC_CONTROL, guard) != MOSQ_ERR_SUCCESS) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: cannot register with the broker");
		return MOSQ_ERR_UNKNOWN; // guard stays: a callback may be registered already, and the broker ends now
	}
	*user_data = guard;
	return MOSQ_ERR_SUCCESS;
}

exported int mosquitto_plugin_cleanup(void *user_data, struct mosquitto_opt *options, int option_count)
{
	struct guard *guard = user_data;

	if (!guard)
		return MOSQ_ERR_SUCCESS;
	(void)mosquitto_callback_unregister(guard->id, MOSQ_EVT_BASIC_AUTH, on_login, NULL);
	(void)mosquitto_callback_unregister(guard->id, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL);
	(void)mosquitto_callback_unregister(guard->id, MOSQ_EVT_MESSAGE, on_publish, NULL);
	(void)mosquitto_callback_unregister(guard->id, MOSQ_EVT_TICK, on_tick, NULL);
	(void)mosquitto_callback_unregister(guard->id, MOSQ_EVT_DISCONNECT, on_disconnect, NULL);
	(void)mosquitto_callback_unregister(guard->id, MOSQ_EVT_CONTROL, on_control, TOPIC_CONTROL);
	tear_down(guard);
	return MOSQ_ERR_SUCCESS;
}
