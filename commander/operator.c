#include "commander/operator.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/reply.h"
#include "commander/transition.h"

#include "common/clock.h"
#include "common/topic.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Devices of other tenants than the operator's do not exist for it.
#define OF_TENANT(operator, tenant)                                                                                    \
	"exists (select from operator o where o.name = " operator " and (o.tenant is null or o.tenant = " tenant "))"
static const char check_sql[] =
	"select (select enabled from operator where name = $1),"
	" (select enabled from device where device = $2 and " OF_TENANT("$1", "device.tenant") "), "
	CELL_HAS("$2", "3") ", (select (extract(epoch from opens) * 1000)::bigint from device d,"
	" next_window(d.time_zone, d.maintenance_window, greatest(now(), to_timestamp($4::bigint / 1000.0)))"
	" where d.device = $2),"
	" (extract(epoch from now()) * 1000)::bigint, command_over_limit($1, now(), 9223372036854775807)";
enum check_column { OPERATOR, DEVICE_ENABLED, OURS, OPENS_MS, NOW_MS, OVER_LIMIT };
static const char cancel_sql[] =
	"update command set cancel_requested_at = now(), cancel_requested_by = $2 where id = $1::uuid"
	" and source <> 'internal' and cancel_requested_at is null"
	" and " OF_TENANT("$2", "(select d.tenant from device d where d.device = command.device)")
	" and state in ('requested', 'queued', 'sent', 'accepted', 'running') returning device";
static const char insert_sql[] =
	"insert into command (id, device, action, params, requested_by, source, request_id, reply_topic, correlation,"
	" expires_at, not_before, in_window, confirmed, max_attempts) values ($1, $2, $3, $4, $5, 'mqtt', $6, $7,"
	" decode($8, 'hex'), greatest(now(), to_timestamp($10::bigint / 1000.0)) + make_interval(secs => $9::bigint),"
	" to_timestamp($10::bigint / 1000.0), $11, $12, $13::integer) on conflict (id) do nothing";
static const char audit_sql[] =
	"insert into audit (actor, action, target, request_id, detail)"
	" values ($1, 'command.request', $2, $3, jsonb_build_object('command', $4::text, 'action', $5::text))";
static const char cancel_audit_sql[] =
	"insert into audit (actor, action, target, request_id, detail)"
	" values ($1, 'command.cancel', $2, $3, jsonb_build_object('command', $4::text))";
static const char again_sql[] =
	"select device, action, state, reason, result, (extract(epoch from changed_at) * 1000)::bigint"
	" from command where id = $1";

static void refuse(struct operator_request *out, const char *what, const char *detail)
{
	out->refused = true;
	(void)refusal_set(&out->refusal, what, "%s", detail);
}

// Below ops/v1/<operator>/, and not the topic on which requests come in: our own reply would be the next request.
static bool may_reply_to(const char *topic, const char *operator)
{
	char prefix[TOPIC_MAX_BYTES];
	int length = snprintf(prefix, sizeof(prefix), "ops/v1/%s/", operator);

	return length > 0 && strncmp(topic, prefix, (size_t)length) == 0 && topic[length] != '\0' &&
	       strcmp(topic + length, "request") != 0 && strlen(topic) < TOPIC_MAX_BYTES && !strpbrk(topic, "+#");
}

static void take_addresses(const struct mqtt_message *message, struct operator_request *out)
{
	if (message->correlation_bytes > OPERATOR_CORRELATION_MAX) {
		refuse(out, "bad request", "the correlation data is longer than 1024 bytes");
	} else if (message->correlation_bytes > 0) {
		out->correlation = malloc(message->correlation_bytes);
		if (out->correlation) {
			memcpy(out->correlation, message->correlation, message->correlation_bytes);
			out->correlation_bytes = message->correlation_bytes;
		}
	}
	if (!message->response_topic)
		return;
	if (may_reply_to(message->response_topic, out->operator))
		(void)snprintf(out->reply_topic, sizeof(out->reply_topic), "%s", message->response_topic);
	else
		refuse(out, "bad response topic",
		       "the MQTT 5 response topic must be below ops/v1/<your name>/, other than "
		       "request; leave it out to be answered on reply");
}

static void take_name(const struct json *body, struct operator_request *out)
{
	const char *text = NULL;

	if (!json_member(body, "request"))
		return;
	if (!json_member_string(body, "request", &text) || text[0] == '\0' || strlen(text) >= sizeof(out->name) ||
	    !mqtt_text_valid(text)) // it goes with the command, as a property of its packet
		refuse(out, "bad request", "\"request\" must be a string of 1 to 64 bytes without control characters");
	else
		(void)snprintf(out->name, sizeof(out->name), "%s", text);
}

// {"cancel":"<command id>","request":..}
static void take_cancel(const struct json *body, struct operator_request *out)
{
	const char *id = NULL;

	if (!json_member_string(body, "cancel", &id) || !crypto_is_uuid(id))
		refuse(out, "bad request", "\"cancel\" must be the id of a command");
	else
		(void)snprintf(out->cancel, sizeof(out->cancel), "%s", id);
	for (struct json_iterator it = json_begin(body); json_next(&it);) {
		if (strcmp(it.name, "cancel") != 0 && strcmp(it.name, "request") != 0)
			refuse(out, "bad request", "beside \"cancel\" there can be \"request\" only");
	}
}

static void take_body(const struct json *body, struct operator_request *out)
{
	static const char *const others[] = {"request", NULL};

	if (json_type(body) != JSON_OBJECT) {
		refuse(out, "bad request", "the payload is not a JSON object");
		return;
	}
	take_name(body, out);
	if (out->refused)
		return;
	if (json_member(body, "cancel"))
		take_cancel(body, out);
	else if (!command_request_read(body, others, clock_wall_ms(), &out->ask, &out->refusal))
		out->refused = true;
}

// A UUID of version 8 (RFC 9562 section 5.8) over everything that makes this request itself.
static void name_command(const struct mqtt_message *message, struct operator_request *out)
{
	auto_buf struct buf text = {0};
	uint8_t hash[SHA256_BYTES];

	if (out->name[0] == '\0' && out->correlation_bytes == 0) {
		crypto_uuid4(out->id);
		return;
	}
	buf_init(&text, (size_t)PAYLOAD_MAX_BYTES + 4096);
	(void)buf_addf(&text, "%s%c%zu%c", out->operator, '\0', out->correlation_bytes, '\0');
	(void)buf_add(&text, out->correlation ? out->correlation : "", out->correlation_bytes);
	(void)buf_add(&text, message->payload, message->payload_bytes); // holds `request`
	crypto_sha256(buf_str(&text), text.len_bytes, hash);
	hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x80);
	hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
	(void)snprintf(out->id, sizeof(out->id), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		       hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7], hash[8], hash[9],
		       hash[10], hash[11], hash[12], hash[13], hash[14], hash[15]);
}

bool operator_parse(const struct mqtt_message *message, struct operator_request *out)
{
	struct topic topic;
	struct error error = {0};
	auto_json struct json *body = NULL;

	*out = (struct operator_request){0};
	if (!topic_parse(message->topic, strlen(message->topic), &topic) || topic.kind != TOPIC_REQUEST)
		return false;
	(void)snprintf(out->operator, sizeof(out->operator), "%s", topic.principal);
	if (!topic_build(out->reply_topic, TOPIC_REPLY, out->operator, NULL))
		return false;
	take_addresses(message, out);
	body = json_parse(message->payload ? message->payload : "", message->payload_bytes, &error);
	if (!body) {
		out->refused = true;
		(void)refusal_set(&out->refusal, "bad request", "the payload is not JSON: %s", error.what);
		return true;
	}
	take_body(body, out);
	if (!out->refused)
		name_command(message, out);
	return true;
}

void operator_request_done(struct operator_request *request)
{
	free(request->correlation);
	request->correlation = NULL;
	command_request_done(&request->ask);
}

void operator_inbox_clear(struct operator_inbox *inbox)
{
	for (size_t i = 0; i < inbox->count; i++)
		operator_request_done(&inbox->requests[i]);
	inbox->count = 0;
}

static bool answer(struct commander *commander, const struct operator_request *request, const struct buf *text,
		   struct error *error)
{
	struct outgoing_message message = {
		.topic = request->reply_topic,
		.payload = buf_str(text),
		.correlation = request->correlation,
		.correlation_bytes = request->correlation_bytes,
		.keep = true,
	};

	if (text->overflowed)
		return error_set(error, ERROR_LIMIT, "a reply is too large");
	return outgoing_add(&commander->outgoing, &message) ||
	       error_set(error, ERROR_LIMIT, "too many messages wait to be published");
}

static bool answer_refusal(struct commander *commander, const struct operator_request *request,
			   const struct refusal *refusal, struct error *error)
{
	auto_buf struct buf text = {0};

	buf_init(&text, REPLY_MAX_BYTES);
	reply_refusal_json(request->name, refusal->what, refusal->detail, &text);
	log_warn("operator.refused", "operator", request->operator, "reason", refusal->detail, "request_id",
		 request->name[0] ? request->name : NULL);
	metric_add(metrics_counter(commander->metrics, "muster_operator_requests_total", "result=\"refused\"",
				   "Requests of operators over MQTT"),
		   1);
	return answer(commander, request, &text, error);
}

// The same request once more: its sender may have missed the answer.
static bool answer_again(struct commander *commander, const struct operator_request *request, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	auto_buf struct buf text = {0};
	const char *params[] = {request->id};
	struct reply_state state = {.request = request->name, .command = request->id};

	if (!pg_query(commander->pg, &row, error, again_sql, 1, params))
		return false;
	if (pg_rows(row) == 0 || strcmp(pg_text(row, 0, 2), command_state_name(STATE_REQUESTED)) == 0)
		return true; // the first answer is still to come
	state.device = pg_text(row, 0, 0);
	state.action = pg_text(row, 0, 1);
	state.state = pg_text(row, 0, 2);
	state.reason = pg_text(row, 0, 3);
	state.output = pg_text(row, 0, 4);
	state.at_ms = pg_int(row, 0, 5);
	buf_init(&text, REPLY_MAX_BYTES);
	reply_state_json(&state, &text);
	return answer(commander, request, &text, error);
}

static bool check(struct commander *commander, const struct operator_request *request, struct refusal *refusal,
		  bool *allowed, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	const struct command_request *ask = &request->ask;
	char begin[24];
	const char *params[] = {request->operator, ask->device, commander->cell, begin};
	struct command_demand demand = {
		.device = ask->device,
		.action = ask->action,
		.params = ask->params,
		.confirmed = ask->confirmed,
		.begin_ms = ask->begin_ms,
		.in_window = ask->in_window,
	};

	*allowed = false;
	(void)snprintf(begin, sizeof(begin), "%" PRId64, ask->begin_ms);
	if (!pg_query(commander->pg, &row, error, check_sql, 4, params))
		return false;
	demand.device_known = pg_text(row, 0, DEVICE_ENABLED) != NULL;
	demand.device_enabled = pg_bool(row, 0, DEVICE_ENABLED);
	demand.opens_ms = pg_int(row, 0, OPENS_MS);
	demand.now_ms = pg_int(row, 0, NOW_MS);
	demand.over_limit = pg_bool(row, 0, OVER_LIMIT);
	demand.expires_ms = (ask->begin_ms > demand.now_ms ? ask->begin_ms : demand.now_ms) + ask->ttl_s * 1000;
	// Both roles in the table may command; what tells them apart is for the programs that ask for approval.
	if (!pg_text(row, 0, OPERATOR))
		(void)refusal_set(refusal, "unknown operator",
			    "%s is not in the table of operators; muster operator add %s adds it", request->operator,
			    request->operator+ strlen("op."));
	else if (!pg_bool(row, 0, OPERATOR))
		(void)refusal_set(refusal, "operator disabled", "%s is disabled; an administrator can enable it",
			    request->operator);
	else if (request->cancel[0] != '\0')
		*allowed = true;
	else if (!pg_bool(row, 0, OURS)) // the answers would come out at another broker
		(void)refusal_set(refusal, "another cell",
				  "device \"%s\" is in another cell; ask at that cell's broker", ask->device);
	else
		*allowed = command_demand_check(&demand, refusal);
	return true;
}

static bool insert(struct commander *commander, const struct operator_request *request, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	char correlation[2 * OPERATOR_CORRELATION_MAX + 1] = "";
	const struct command_request *ask = &request->ask;
	char ttl[24], begin[24], attempts[24];
	const char *audit[] = {request->operator, ask->device, request->name, request->id, ask->action};
	const char *params[] = {request->id,
				ask->device,
				ask->action,
				json_text(ask->params),
				request->operator,
				request->name,
				request->reply_topic,
				request->correlation ? correlation : NULL,
				ttl,
				ask->begin_ms > 0 ? begin : NULL,
				ask->in_window ? "true" : "false",
				ask->confirmed ? "true" : "false",
				attempts};

	if (request->correlation)
		crypto_hex(request->correlation, request->correlation_bytes, correlation);
	(void)snprintf(ttl, sizeof(ttl), "%" PRId64, ask->ttl_s);
	(void)snprintf(begin, sizeof(begin), "%" PRId64, ask->begin_ms);
	(void)snprintf(attempts, sizeof(attempts), "%" PRId64, ask->max_attempts);
	if (!pg_query(commander->pg, &row, error, insert_sql, sizeof(params) / sizeof(params[0]), params))
		return false;
	if (pg_affected(row) == 0)
		return answer_again(commander, request, error);
	commander->due |= DUE_REQUESTS;
	metric_add(metrics_counter(commander->metrics, "muster_operator_requests_total", "result=\"accepted\"",
				   "Requests of operators over MQTT"),
		   1);
	return pg_query(commander->pg, NULL, error, audit_sql, sizeof(audit) / sizeof(audit[0]), audit);
}

// The state that follows is told to whoever asked for the command; the answer here is that it was taken.
static bool cancel(struct commander *commander, const struct operator_request *request, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	auto_buf struct buf text = {0};
	const char *params[] = {request->cancel, request->operator};
	struct refusal refusal;

	if (!pg_query(commander->pg, &row, error, cancel_sql, 2, params))
		return false;
	if (pg_rows(row) == 0) {
		(void)refusal_set(&refusal, "nothing to cancel",
				  "there is no command %s that has not ended, or it is being cancelled already",
				  request->cancel);
		return answer_refusal(commander, request, &refusal, error);
	}
	commander->due |= DUE_CANCEL;
	buf_init(&text, REPLY_MAX_BYTES);
	reply_cancel_json(request->name, request->cancel, &text);
	return answer(commander, request, &text, error) &&
	       PG_QUERY(commander->pg, NULL, error, cancel_audit_sql, request->operator, pg_text(row, 0, 0),
			request->name, request->cancel);
}

static bool grant(struct commander *commander, const struct operator_request *request, struct error *error)
{
	return request->cancel[0] != '\0' ? cancel(commander, request, error) : insert(commander, request, error);
}

bool operator_run(struct commander *commander, struct error *error)
{
	for (size_t i = 0; i < commander->inbox.count; i++) {
		struct operator_request *request = &commander->inbox.requests[i];
		struct refusal refusal = request->refusal;
		bool allowed = false;

		if (!request->refused && !check(commander, request, &refusal, &allowed, error))
			return error_prefix(error, "checking a request of %s", request->operator);
		if (!(allowed ? grant(commander, request, error)
			      : answer_refusal(commander, request, &refusal, error)))
			return error_prefix(error, "storing a request of %s", request->operator);
	}
	return true;
}
