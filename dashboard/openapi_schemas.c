#include "dashboard/openapi_schemas.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 64
#define TYPE_MAX_BYTES 64

const struct openapi_schema openapi_schemas[] = {
	{"Session", NULL,
	 "name: string|role: string|can_act: boolean|second_factor: boolean|needs_second_factor: boolean|"
	 "expires_at: string|version: string"},
	{"Pending", NULL, "pending: string|expires_in_s: integer"},
	{"Sent", NULL, "sent: string"},
	{"Account", NULL,
	 "name: string|role: string|email: string?|created_at: string|has_password: boolean|"
	 "password_changed_at: string?|second_factor: string?|recovery_codes_left: integer"},
	{"TotpSecret", NULL, "secret: string|uri: string"},
	{"RecoveryCodes", NULL, "recovery_codes: string[]"},
	{"Login", NULL,
	 "id: string|user: string|peer: string|user_agent: string|created_at: string|last_used: string?|"
	 "expires_at: string|current: boolean"},
	{"ApiKey", NULL,
	 "id: string|user: string|label: string|role: string?|scopes: string[]?|group: string?|"
	 "created_at: string|created_by: string|last_used: string?|expires_at: string|revoked_at: string?"},
	{"ApiKeyMade", "ApiKey", "key: string"},
	{"User", NULL,
	 "name: string|role: string|email: string?|enabled: boolean|tenant: string?|created_at: string|"
	 "has_password: boolean|second_factor: string?|sessions: integer|api_keys: integer|last_seen: string?"},
	{"LoginLink", NULL, "name: string|login_link: string"},
	{"Rights", NULL, "user: string|tenant: string?|role: string|rights: Right[]"},
	{"Right", NULL, "group: string|role: string|given_by: string|given_at: string"},
	{"AdminKey", NULL,
	 "id: string|label: string|created_by: string|created_at: string|last_used: string?|"
	 "revoked_at: string?|revoked_by: string?"},
	{"AdminKeyMade", NULL, "id: string|secret: string|label: string"},
	{"Tenant", NULL, "name: string|description: string|created_at: string|devices?: integer"},
	{"AuditRow", NULL,
	 "position: integer?|id: integer|at: string|actor: string|action: string|target: string|peer: string|"
	 "request_id: string|detail: object|hash: string?"},
	{"AuditCheck", NULL,
	 "start: integer|checked: integer|hash: string?|ok: boolean|wrong: integer?|fault: string?|"
	 "head: AuditHead"},
	{"AuditHead", NULL, "position: integer|hash: string?"},
	{"Device", NULL,
	 "device: string|display_name: string?|tags: string[]|enabled: boolean|disabled: Disabled?|"
	 "status: string|presence: string|why: string|evidence: string?|session: integer?|since: string?|"
	 "first_seen: string?|last_seen: string?|stale_at: string?|interval_s: integer?|"
	 "agent_version: string?|changed_at: string?|latest: Latest"},
	{"Disabled", NULL, "at: string?|by: string|reason: string"},
	{"Latest", NULL,
	 "ts?: string|battery_pct?: number|charging?: boolean|cpu_pct?: number|load1?: number|"
	 "mem_total?: integer|mem_available?: integer|disk_total?: integer|disk_free?: integer|"
	 "uptime_s?: number|network_type?: string|rssi_dbm?: number|temperature_c?: number|custom?: object"},
	{"DeviceDetail", "Device",
	 "notes: string|groups: string[]|cell: integer|time_zone: string|command_policy: string|"
	 "maintenance_window: Window?|created_at: string|enrolled_at: string?|reports_in: integer?|"
	 "fingerprint: string?|mismatches: integer|mismatch_at: string?|mismatch_fingerprint: string?|"
	 "mismatch_peer: string?|mismatch_history: Mismatch[]|certificate: DeviceCertificate?|"
	 "revocation: Revocation?|ledger: Ledger[]|inventory: Inventory{}|wake: Wake|commands: DeviceCommand[]"},
	{"DeviceCommand", NULL,
	 "id: string|action: string|state: string|requested_by: string|created_at: string|"
	 "finished_at: string?|changed_at: string|reason: string"},
	{"Window", NULL, "days: integer[]|from: string|to: string"},
	{"Mismatch", NULL, "count: integer|at: string|bound: string?|said: string?|peer: string?"},
	{"DeviceCertificate", NULL,
	 "serial: string|sha256: string|not_before: string|not_after: string|revoked_at: string?"},
	{"Ledger", NULL,
	 "epoch: string|first_seq: integer|contiguous: integer|highest: integer|missing: integer|"
	 "stored: integer|received: integer|duplicates: integer|late: integer|dropped: integer|lost: integer|"
	 "gaps: Gap[]|first_at: string|last_at: string"},
	{"Gap", NULL, "from: integer|to: integer|state: string|opened_at: string|closed_at: string?"},
	{"Inventory", NULL, "ts: string|received_at: string|body: any"},
	{"InventoryChange", NULL,
	 "id: integer|at: string|kind: string|name: string|change: string|before: any|after: any"},
	{"Wake", NULL,
	 "last: object?|push: Push?|due_at: string?|delay_ms: number?|delay_count: integer|unanswered: integer"},
	{"Push", NULL, "platform: string|updated_at: string|retired_at: string?|retired_reason: string?"},
	{"DeviceCount", NULL, "count: integer|by_status: StatusCounts|marks: string[]?"},
	{"StatusCounts", NULL,
	 "all: integer|online: integer|stale: integer|offline: integer|never: integer|revoked: integer"},
	{"DeviceSettings", NULL,
	 "device: string|display_name: string?|notes: string|command_policy: string|time_zone: string|"
	 "maintenance_window: Window?"},
	{"DeviceTags", NULL, "device: string|tags: string[]"},
	{"DeviceMoved", NULL, "device: string|tenant: string"},
	{"Revocation", NULL,
	 "kind: string|name: string|revoked: boolean|reason: string|requested_by: string|requested_at: string|"
	 "change: integer|effects: RevocationEffect[]"},
	{"RevocationEffect", NULL, "cell: integer|applied_at: string|seconds: number"},
	{"Proof", NULL,
	 "cell: integer|serial: string|cause: string|requested_at: string|cut_s: number?|refused: integer|"
	 "admitted: integer|ok: boolean"},
	{"Series", NULL,
	 "device: string|metric: string|unit: string|source: string|from: integer|to: integer|"
	 "step_ms: integer|columns: string[]|points: number?[][]"},
	{"Bulk", NULL,
	 "id: integer|verb: string|params: object|query: string?|listed: integer?|total: integer|"
	 "done: integer|changed: integer|state: string|reason: string|created_by: string|created_at: string|"
	 "finished_at: string?"},
	{"BulkPreview", NULL,
	 "verb: string|devices: integer|online: integer|offline: integer|never: integer|revoked: integer|"
	 "takes_s: number|sample: string[]"},
	{"Event", NULL,
	 "device: string|epoch: string|seq: integer|ts: string|measured_at: string|received_at: string|"
	 "type: string|body: object"},
	{"Overview", NULL,
	 "at: string|all: boolean|devices: DeviceTotals|commands_today: CommandTotals|ledger: LedgerTotals|"
	 "quarantine: Quarantine|waiting: Waiting|history: number?[][]?|changes: Change[]|system: PartTotals"},
	{"DeviceTotals", NULL,
	 "total: integer|online: integer|stale: integer|offline: integer|never: integer|revoked: integer"},
	{"CommandTotals", NULL, "total: integer|open: integer|succeeded: integer|failed: integer|cancelled: integer"},
	{"LedgerTotals", NULL,
	 "stored: integer|received: integer|duplicates: integer|lost: integer|open: integer|late: integer|"
	 "per_minute: number?"},
	{"Quarantine", NULL, "total: integer|last_day: integer"},
	{"Waiting", NULL, "registrations: integer"},
	{"Change", NULL, "kind: string|at: string|count: integer|names: string[]|id: integer?"},
	{"PartTotals", NULL, "parts: integer|troubled: TroubledPart[]"},
	{"TroubledPart", NULL, "part: string|state: string|why: string"},
	{"System", NULL,
	 "at: string|all: boolean|parts: Part[]|queues: Queue[]|database: Database|proofs: SystemProof[]|"
	 "authorities: SystemAuthority[]"},
	{"Part", NULL,
	 "part: string|instance: string|version: string|started_at: string|seen_at: string|state: string|"
	 "since: string|why: string|detail: object"},
	{"Queue", NULL, "queue: string|count: integer|oldest_at: string?"},
	{"Database", NULL,
	 "version: string|started_at: string|size_bytes: integer|connections: integer|"
	 "connections_max: integer|oldest_transaction_s: number?|replica: boolean|mail_waiting: integer|"
	 "mail_oldest_at: string?|mail_error: string?"},
	{"SystemProof", NULL,
	 "cell: integer|cause: string|requested_at: string|cut_s: number?|refused: integer|admitted: integer|"
	 "ok: boolean"},
	{"SystemAuthority", NULL, "sha256: string|kind: string|state: string|not_after: string|created_at: string"},
	{"Action", NULL,
	 "action: string|description: string|destructive: boolean|cancellable: boolean|platforms: string[]|"
	 "timeout_s: integer|params: object"},
	{"Command", NULL,
	 "id: string|device: string|action: string|params: object|state: string|n: integer?|"
	 "requested_by: string|source: string|request_id: string|created_at: string|expires_at: string|"
	 "sent_at: string?|attempts: integer|finished_at: string?|changed_at: string|reason: string|"
	 "result: any|not_before: string?|in_window: boolean|next_at: string?|held: boolean|"
	 "max_attempts: integer|accept_by: string?|finish_by: string?|progress: number?|"
	 "idempotency_key: string?|cancel_requested_at: string?|cancel_requested_by: string?|cancels: string?|"
	 "campaign: integer?"},
	{"CommandDetail", "Command",
	 "confirmed: boolean|jws: string?|woken_at: string?|events: CommandEvent[]|results: CommandResult[]|"
	 "wakes: object[]"},
	{"CommandEvent", NULL, "state: string|at: string|cause: string|request_id: string"},
	{"CommandResult", NULL,
	 "state: string|received_at: string|verdict: string|certificate: string?|signed: string?|sig: string?|"
	 "body: object"},
	{"CommandsCancelling", NULL, "cancelling: integer"},
	{"CommandsRemoved", NULL, "removed: integer|more: boolean"},
	{"OutputChunk", NULL, "n: integer|ts: string|data: string|end: boolean|cut: boolean"},
	{"Group", NULL,
	 "name: string|tenant: string|description: string|query: string?|listed: integer?|created_by: string|"
	 "created_at: string|changed_at: string"},
	{"GroupDetail", "Group", "devices: integer|campaigns: GroupCampaign[]"},
	{"GroupCampaign", NULL, "id: integer|name: string|state: string"},
	{"GroupChanged", NULL, "group: string|changed: integer|unknown: string[]"},
	{"Tags", NULL, "at: string|items: Tag[]"},
	{"Tag", NULL, "tag: string|devices: integer"},
	{"TagsChanged", NULL, "changed: integer|more: boolean"},
	{"SavedFilter", NULL,
	 "name: string|tenant: string|query: string|created_by: string|created_at: string|changed_at: string"},
	{"Campaign", NULL,
	 "id: integer|name: string|action: string|params: object|ttl_s: integer|at: string?|"
	 "in_window: boolean|query: string?|listed: integer?|continuous: boolean|rollout: Rollout|"
	 "state: string|stage: string|reason: string|created_by: string|created_at: string|"
	 "approved_by: string?|approved_at: string?|started_at: string?|finished_at: string?|"
	 "changed_at: string|request_id: string|progress: Progress"},
	{"Rollout", NULL, "canary: integer|success_pct: number|error_pct: number|rate_per_min: integer|factor: number"},
	{"Progress", NULL,
	 "total: integer|swept: boolean|waiting: integer|released: integer|open: integer|succeeded: integer|"
	 "failed: integer|rejected: integer|expired: integer|cancelled: integer"},
	{"CampaignTarget", NULL,
	 "device: string|state: string|command: string?|reason: string|added_at: string|changed_at: string?"},
	{"CampaignPreview", NULL,
	 "action: string|destructive: boolean|devices: integer|online: integer|offline: integer|"
	 "never: integer|offline_pct: number|left_out?: integer|release_s: number|expected_finish: string|"
	 "latest_finish: string|sample: string[]"},
	{"Pace", NULL, "step_s: integer|points: integer[][]"},
	{"Export", NULL,
	 "id: string|kind: string|format: string|columns: string[]|query: string|device: string?|"
	 "from: string?|to: string?|state: string|cancelling: boolean|rows: integer|estimate: integer?|"
	 "bytes: integer|truncated: boolean|reason: string|created_at: string|started_at: string?|"
	 "finished_at: string?|expires_at: string?|file: string?"},
	{"ExportKind", NULL, "kind: string|by_device: boolean|by_time: boolean|columns: string[]"},
	{"Trends", NULL,
	 "metric: string|unit: string|from: integer|to: integer|step_ms: integer|scope?: string|"
	 "query?: string|by?: string|devices?: integer|sampled?: integer|margin?: number?|columns: string[]|"
	 "points: number?[][]"},
	{"Comparison", NULL,
	 "metric: string|unit: string|from: integer|to: integer|step_ms: integer|columns: string[]|"
	 "devices: ComparedDevice[]"},
	{"ComparedDevice", NULL, "device: string|display_name: string?|points: number?[][]"},
	{"EventTypes", NULL,
	 "from: integer|to: integer|step_ms: integer|total: integer|others: integer|types: EventType[]"},
	{"EventType", NULL, "type: string|total: integer|points: integer[][]"},
	{"Uptime", NULL,
	 "device?: string|display_name?: string?|presence?: string|since?: string?|possible_s?: number|"
	 "online_s?: number|scope?: string|days?: number[][]|online_pct: number?"},
	{"Reporter", NULL, "device: string|display_name: string?|readings: integer|events: integer"},
	{"Scopes", NULL, "metrics: Metric[]|scopes: string[]"},
	{"Metric", NULL, "metric: string|unit: string"},
	{"Alert", NULL,
	 "id: integer|rule: integer?|rule_name: string|kind: string|severity: string|object: string|"
	 "device: string?|title: string|value: any|state: string|since: string|raised_at: string|"
	 "cleared_at: string?|cleared_why: string|cleared_by: string|acknowledged_at: string?|"
	 "acknowledged_by: string|assigned_to: string|silence: integer?|flaps: integer|changed_at: string"},
	{"AlertDetail", "Alert", "events: AlertEvent[]"},
	{"AlertEvent", NULL, "at: string|type: string|actor: string|text: string"},
	{"AlertCounts", NULL,
	 "active: integer|info: integer|warning: integer|critical: integer|unacknowledged: integer"},
	{"Changed", NULL, "changed: integer"},
	{"AlertKind", NULL,
	 "kind: string|title: string|object: string|by_hand: boolean|description: string|params: object"},
	{"AlertRule", NULL,
	 "id: integer|name: string|kind: string|params: object|looks_for?: string|query: string|severity: string|"
	 "enabled: boolean|clear_s: integer|builtin: boolean|error: string|created_by: string|"
	 "created_at: string|changed_at: string|active?: integer"},
	{"AlertRulePreview", NULL, "hits: integer|devices: integer|examples: string[]|looks_for: string"},
	{"Silence", NULL,
	 "id: integer|rule: integer?|query: string|from: string|until: string|week: Window?|time_zone: string|"
	 "reason: string|state: string|created_by: string|created_at: string|ended_by: string"},
	{"Channel", NULL,
	 "id: integer|name: string|kind: string|addresses: string[]|url: string|bearer: boolean|wait_s: integer|"
	 "interval_s: integer|repeat_s: integer|enabled: boolean|created_by: string|created_at: string|"
	 "changed_at: string|old_secret_until: string?|routes?: ChannelRoute[]|last?: Delivery?|secret?: string"},
	{"ChannelRoute", NULL, "rule: integer?|severity: string"},
	{"Delivery", NULL,
	 "id: string|at: string|subject: string|raised: any|cleared: any|still: any|state: string|"
	 "attempts: integer|sent_at: string?|status: integer?|error: string|mails?: Mail[]"},
	{"Mail", NULL, "sent_at: string?|attempts: integer|error: string?"},
	{"Registration", NULL,
	 "id: string|tenant: string|state: string|wish: string?|taken: boolean|replaces: boolean|"
	 "device: string?|serial: string?|tags: string[]|cell: integer?|info: object|fingerprint: string?|"
	 "peer: string|reason: string|created_at: string|decided_at: string?|decided_by: string?|"
	 "polled_at: string?"},
	{"RegistrationDetail", "Registration", "events: EnrolmentEvent[]"},
	{"EnrolmentEvent", NULL,
	 "at: string|type: string|device: string?|peer: string?|reason: string?|request_id: string"},
	{"Decided", NULL, "id: string|done: boolean|detail?: string"},
	{"Preapproval", NULL,
	 "serial: string|device: string?|tags: string[]|cell?: integer?|created_by: string|created_at: string|"
	 "used_at: string?"},
	{"Token", NULL,
	 "id: string|state: string|device: string?|tags: string[]|cell: integer?|uses_left: integer|"
	 "created_by: string|created_at: string|expires_at: string|revoked_at: string?"},
	{"TokenDetail", "Token", "events: EnrolmentEvent[]"},
	{"TokenMade", NULL, "id: string|token: string|device: string?|uses: integer|expires_s: integer"},
	{"Certificate", NULL,
	 "serial: string|device: string|sha256: string|state: string|in_use: boolean?|overdue: boolean|"
	 "authority: string?|last_seen: string?|not_before: string|not_after: string|created_at: string|"
	 "revoked_at: string?"},
	{"CertificateCounts", NULL,
	 "days: integer|valid: integer|expiring: integer|expired: integer|authorities: Authority[]"},
	{"Authority", NULL,
	 "kind: string|state: string|sha256: string|not_after: string|changed_at: string|"
	 "certificates: integer?"},
	{"Console", NULL, "expires_at: string|connections: ConsoleConnection[]|unreachable: ConsoleUnreachable[]"},
	{"ConsoleConnection", NULL,
	 "cell: integer|url: string|client_id: string|username: string|password: string|topics: string[]"},
	{"ConsoleUnreachable", NULL, "device: string|cell: integer"},
	{"PreapprovalsAdded", NULL, "added: integer|changed: integer|unchanged: integer|used: integer"},
};
const size_t openapi_schemas_count = sizeof(openapi_schemas) / sizeof(openapi_schemas[0]);

// ---- types ----

static struct json *with(const char *name, struct json *value)
{
	struct json *object = json_new_object();

	json_set(object, name, value);
	return object;
}

static struct json *of_type(const char *type)
{
	struct json *schema = json_new_object();

	json_set_string(schema, "type", type);
	return schema;
}

static struct json *reference(const char *name, const char *suffix)
{
	struct json *schema = json_new_object();
	char target[NAME_MAX_BYTES * 2];

	(void)snprintf(target, sizeof(target), "#/components/schemas/%s%s", name, suffix);
	json_set_string(schema, "$ref", target);
	return schema;
}

static struct json *word_of(const char *word)
{
	if (strcmp(word, "any") == 0)
		return json_new_object();
	return word[0] >= 'A' && word[0] <= 'Z' ? reference(word, "") : of_type(word);
}

static struct json *or_null(struct json *schema)
{
	struct json *either = json_new_array(), *types;
	const char *type = NULL;

	if (!json_member_string(schema, "type", &type)) {
		json_append(either, schema);
		json_append(either, of_type("null"));
		return with("anyOf", either);
	}
	types = json_new_array();
	json_append_string(types, type);
	json_append_string(types, "null");
	json_set(schema, "type", types);
	json_free(either);
	return schema;
}

// "page Device" is the component DevicePage, "list Device" is DeviceList.
static const struct {
	const char *before, *suffix, *more;
} lists[] = {{"page ", "Page", "|next: string?"}, {"list ", "List", ""}};

static bool is_list(const char *type, size_t *which)
{
	for (*which = 0; *which < sizeof(lists) / sizeof(lists[0]); ++*which) {
		if (strncmp(type, lists[*which].before, strlen(lists[*which].before)) == 0)
			return true;
	}
	return false;
}

struct json *openapi_type(const char *type)
{
	char word[TYPE_MAX_BYTES];
	size_t length = strcspn(type, "[{?"), which;

	if (is_list(type, &which))
		return reference(type + strlen(lists[which].before), lists[which].suffix);
	(void)snprintf(word, sizeof(word), "%.*s", (int)length, type);
	struct json *schema = word_of(word);

	for (const char *at = type + length; *at; at += *at == '?' ? 1 : 2) {
		struct json *outer;

		if (*at == '?') {
			schema = or_null(schema);
			continue;
		}
		outer = of_type(*at == '[' ? "array" : "object");
		json_set(outer, *at == '[' ? "items" : "additionalProperties", schema);
		schema = outer;
	}
	return schema;
}

// ---- schemas ----

// Takes "name: type|" off the front. False at the end.
static bool next_member(const char **at, char name[NAME_MAX_BYTES], char type[TYPE_MAX_BYTES])
{
	size_t whole = strcspn(*at, "|"), named = strcspn(*at, ":");

	if (whole == 0)
		return false;
	(void)snprintf(name, NAME_MAX_BYTES, "%.*s", (int)named, *at);
	(void)snprintf(type, TYPE_MAX_BYTES, "%.*s", (int)(whole - named - 2), *at + named + 2);
	*at += whole + ((*at)[whole] == '|');
	return true;
}

static struct json *object_of(const char *members)
{
	struct json *schema = of_type("object"), *properties = json_new_object(), *required = json_new_array();
	char name[NAME_MAX_BYTES], type[TYPE_MAX_BYTES];

	while (next_member(&members, name, type)) {
		size_t length = strlen(name);

		if (name[length - 1] == '?')
			name[length - 1] = '\0';
		else
			json_append_string(required, name);
		json_set(properties, name, openapi_type(type));
	}
	json_set(schema, "properties", properties);
	json_set(schema, "required", required);
	return schema;
}

static struct json *schema_of(const struct openapi_schema *one)
{
	struct json *all;

	if (!one->base)
		return object_of(one->members);
	all = json_new_array();
	json_append(all, reference(one->base, ""));
	json_append(all, object_of(one->members));
	return with("allOf", all);
}

void openapi_add_list(struct json *schemas, const char *type)
{
	char name[NAME_MAX_BYTES], members[NAME_MAX_BYTES * 2];
	size_t which;

	if (!is_list(type, &which))
		return;
	const char *item = type + strlen(lists[which].before);

	(void)snprintf(name, sizeof(name), "%s%s", item, lists[which].suffix);
	(void)snprintf(members, sizeof(members), "items: %s[]%s", item, lists[which].more);
	if (!json_member(schemas, name))
		json_set(schemas, name, object_of(members));
}

void openapi_add_schemas(struct json *schemas)
{
	for (size_t i = 0; i < openapi_schemas_count; i++)
		json_set(schemas, openapi_schemas[i].name, schema_of(&openapi_schemas[i]));
}
