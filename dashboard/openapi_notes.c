#include "dashboard/openapi_notes.h"

#include <string.h>

#define PAGE "limit: rows of a page, 1 to 500|after: next of the page before"
#define FOUND                                                                                                          \
	"q: part of an id, a name or a tag|query: in the language of section 18 of the protocol|status: online, "      \
	"stale, offline, never or revoked|sort: device, name, status, last_seen, battery, cpu, memory, disk, uptime, " \
	"version or enrolled_at; with - the greatest first"

const struct openapi_note openapi_notes[] = {
	{"POST", "/api/v1/session", "Log in: the session comes as a cookie", NULL,
	 "name: of the account|password: with the name|link: instead of both, the token of a one-time login link",
	 "401: wrong name or password, or the link is used up|429: too many tries; Retry-After says when again",
	 "201: Session|202: Pending"},
	{"GET", "/api/v1/session", "Who is logged in, and as what", NULL, NULL, NULL, "200: Session"},
	{"DELETE", "/api/v1/session", "Log out: the session ends at once", NULL, NULL, "422: an API key has no session",
	 "204:"},
	{"GET", "/api/v1/openapi.json", "This document", NULL, NULL, NULL, "200: object"},
	{"GET", "/api/v1/overview", "The fleet at a glance: now, the last day, the last hour", NULL, NULL, NULL,
	 "200: Overview"},
	{"GET", "/api/v1/system", "Parts, queues, broker, database, proofs and authorities of Muster itself", NULL,
	 NULL, NULL, "200: System"},

	// ---- devices ----
	{"GET", "/api/v1/devices", "Devices, in pages",
	 FOUND "|fields: names with commas: only these members of each device come|" PAGE, NULL, NULL,
	 "200: page Device"},
	{"GET", "/api/v1/devices/count", "How many devices these are, by status too",
	 FOUND "|marks: 50 to 500: cursors of every device at a multiple of it, from which the list can be read", NULL,
	 NULL, "200: DeviceCount"},
	{"POST", "/api/v1/devices/bulk", "Tag, group, revoke or restore many devices", NULL,
	 "verb: tag, add-to-group, remove-from-group, revoke or restore|params: of the verb|target: as of campaigns|"
	 "expect: how many the preview has shown",
	 "409: these are not nearly as many as expected, or the key was used otherwise", "200: Bulk|202: Bulk"},
	{"POST", "/api/v1/devices/bulk/preview", "For how many devices it would be, and how long it takes", NULL,
	 "verb: as in the request itself|params: likewise|target: likewise", "409: the group has a query",
	 "200: BulkPreview"},
	{"GET", "/api/v1/bulk", "What was done to many devices, the latest first", PAGE, NULL, NULL, "200: page Bulk"},
	{"GET", "/api/v1/bulk/{id}", "How far it is", NULL, NULL, NULL, "200: Bulk"},
	{"DELETE", "/api/v1/bulk/{id}", "End it where it is; what was done stays", NULL, NULL, NULL,
	 "200: Bulk|202: Bulk"},
	{"GET", "/api/v1/devices/{id}", "All that is known of a device", NULL, NULL, NULL, "200: DeviceDetail"},
	{"PATCH", "/api/v1/devices/{id}", "Change a device's settings", NULL,
	 "display_name: up to 100 characters; null takes it away|notes: plain text of up to 4,000 characters|"
	 "command_policy: one or burst|time_zone: a name of the tz database|maintenance_window: days, from and to; "
	 "null: none",
	 NULL, "200: DeviceSettings"},
	{"GET", "/api/v1/devices/{id}/telemetry", "A metric's course, for charts",
	 "metric: a column of telemetry or a custom metric|from: ms since 1970 or RFC 3339|to: likewise; now|points: "
	 "at most",
	 NULL, NULL, "200: Series"},
	{"GET", "/api/v1/devices/{id}/inventory/changes", "How a device's inventory changed, the newest first",
	 "kind: hardware, network, services or software|q: part of a name|" PAGE, NULL, NULL,
	 "200: page InventoryChange"},
	{"POST", "/api/v1/devices/{id}/tags", "Add and remove tags", NULL, "add: tags|remove: tags", NULL,
	 "200: DeviceTags"},
	{"POST", "/api/v1/devices/{id}/revoke", "Cut a device off, and let it in no more", NULL,
	 "reason: shown to people", NULL, "200: Revocation"},
	{"POST", "/api/v1/devices/{id}/restore", "Let a revoked device in again", NULL, "reason: shown to people", NULL,
	 "200: Revocation"},
	{"POST", "/api/v1/devices/{id}/wake", "Wake a sleeping device by a push", NULL, NULL,
	 "409: no push service reaches it", "202: Wake"},
	{"POST", "/api/v1/devices/{id}/move", "Give a device to another tenant", NULL,
	 "tenant: whose it is from now on", NULL, "200: DeviceMoved"},
	{"GET", "/api/v1/revocations", "Who may not come in", "all: also who was let in again|" PAGE, NULL, NULL,
	 "200: page Revocation"},
	{"GET", "/api/v1/revocations/proofs", "What the canaries proved", NULL, NULL, NULL, "200: page Proof"},

	// ---- exports and analytics ----
	{"GET", "/api/v1/exports", "One's own exports, the newest first", PAGE, NULL, NULL, "200: page Export"},
	{"POST", "/api/v1/exports", "Make a file of what is stored, in the background", NULL,
	 "kind: devices, telemetry, commands, events or audit|format: csv, json or ndjson|query: which devices|device: "
	 "or this one|from: since when|to: until when|columns: which; all when left out",
	 "409: too many are under way or kept", "202: Export"},
	{"GET", "/api/v1/exports/kinds", "What can be exported, with the columns of each", NULL, NULL, NULL,
	 "200: page ExportKind"},
	{"GET", "/api/v1/exports/{id}", "An export and how far it is", NULL, NULL, NULL, "200: Export"},
	{"GET", "/api/v1/exports/{id}/file", "The file; takes Range and If-Range", NULL, NULL,
	 "403: the rights of its maker have changed|409: it is not done|410: it has expired",
	 "200: text/csv|200: any|200: application/x-ndjson|206: text/csv|206: any|206: application/x-ndjson"},
	{"DELETE", "/api/v1/exports/{id}", "End an export, or remove it with its file", NULL, NULL, NULL,
	 "200: Export|204:"},
	{"GET", "/api/v1/analytics/trends", "A metric over all devices: average, extremes, the 95th percentile",
	 "metric: which|scope: tag:<tag>, group:<group>, os:<os> or model:<model>|query: or those that match|by: hour "
	 "or day, of a query|points: at most|from: ms since 1970 or RFC 3339, whole hours|to: likewise; now",
	 NULL, NULL, "200: Trends"},
	{"GET", "/api/v1/analytics/compare", "A metric of up to eight devices",
	 "devices: ids with commas|metric: which, a custom one too|points: at most|from: ms since 1970 or RFC 3339, "
	 "whole hours|to: likewise; now",
	 NULL, NULL, "200: Comparison"},
	{"GET", "/api/v1/analytics/events", "How often each type of event came",
	 "scope: as for trends|points: at most|from: ms since 1970 or RFC 3339, whole hours|to: likewise; now", NULL,
	 NULL, "200: EventTypes"},
	{"GET", "/api/v1/analytics/uptime", "Share of the time in which devices were online",
	 "query: which devices|by: scope, for groups, tags and platforms|from: ms since 1970 or RFC 3339, whole hours|"
	 "to: likewise; now|" PAGE,
	 NULL, NULL, "200: page Uptime"},
	{"GET", "/api/v1/analytics/reporters", "Who reported most on a day",
	 "day: YYYY-MM-DD|by: readings or events|limit: rows, 1 to 500", NULL, NULL, "200: page Reporter"},
	{"GET", "/api/v1/analytics/scopes", "The metrics, tags, groups and platforms there are", NULL, NULL, NULL,
	 "200: Scopes"},

	// ---- alerts ----
	{"GET", "/api/v1/alerts", "Alerts, the newest first",
	 "state: active or cleared|severity: info, warning or critical|acknowledged: yes or no|device: of this "
	 "one|rule: of this one|kind: of these rules|" PAGE,
	 NULL, NULL, "200: page Alert"},
	{"GET", "/api/v1/alerts/summary", "How many alerts are active, by severity", NULL, NULL, NULL,
	 "200: AlertCounts"},
	{"GET", "/api/v1/alerts/{id}", "An alert with its history", NULL, NULL, NULL, "200: AlertDetail"},
	{"POST", "/api/v1/alerts/acknowledge", "Acknowledge several, or take that back: how many changed", NULL,
	 "ids: of up to 500 alerts|acknowledged: true or false|comment: for others", NULL, "200: Changed"},
	{"POST", "/api/v1/alerts/{id}/acknowledge", "Say that somebody sees to it, or take that back", NULL,
	 "acknowledged: true or false|comment: for others", NULL, "200: Alert"},
	{"POST", "/api/v1/alerts/{id}/assign", "Say who sees to it", NULL, "to: a person; null for nobody", NULL,
	 "200: Alert"},
	{"POST", "/api/v1/alerts/{id}/comment", "Add a comment", NULL, "text: the comment", NULL, "200: Alert"},
	{"POST", "/api/v1/alerts/{id}/clear", "Clear what does not go away by itself", NULL, "reason: why",
	 "409: it goes away by itself", "200: Alert"},
	{"GET", "/api/v1/alert-rules/kinds", "What rules can look for, with the schema of each", NULL, NULL, NULL,
	 "200: list AlertKind"},
	{"GET", "/api/v1/alert-rules", "Rules", PAGE, NULL, NULL, "200: page AlertRule"},
	{"POST", "/api/v1/alert-rules", "Make a rule", NULL,
	 "name: for people|kind: what it looks for|params: as the kind has them|query: which devices|severity: info, "
	 "warning or critical|enabled: true or false|clear_s: for how long it must be well",
	 "409: there is one of this name", "201: AlertRule"},
	{"POST", "/api/v1/alert-rules/preview", "For how many devices a rule would hold now", NULL,
	 "kind: what it looks for|params: as the kind has them|query: which devices", NULL, "200: AlertRulePreview"},
	{"GET", "/api/v1/alert-rules/{id}", "A rule", NULL, NULL, NULL, "200: AlertRule"},
	{"PATCH", "/api/v1/alert-rules/{id}", "Change a rule", NULL,
	 "name: for people|params: as the kind has them|query: which devices|severity: info, warning or "
	 "critical|enabled: true or false|clear_s: for how long it must be well",
	 NULL, "200: AlertRule"},
	{"DELETE", "/api/v1/alert-rules/{id}", "Remove a rule; its alerts are cleared", NULL, NULL, NULL,
	 "200: AlertRule"},
	{"GET", "/api/v1/silences", "Silences that count or will", PAGE, NULL, NULL, "200: page Silence"},
	{"POST", "/api/v1/silences", "Tell nobody for a while", NULL,
	 "rule: of this one alone|query: of these devices alone|from: since when|until: until when|for_s: or so "
	 "long|week: days, from and to, each week|time_zone: of week|reason: shown to people",
	 NULL, "201: Silence"},
	{"DELETE", "/api/v1/silences/{id}", "End a silence", NULL, NULL, NULL, "200: Silence"},
	{"GET", "/api/v1/channels", "Where alerts are told", PAGE, NULL, NULL, "200: page Channel"},
	{"POST", "/api/v1/channels", "Make a channel; the secret of a webhook is told once", NULL,
	 "kind: email or webhook|name: for people|addresses: of a channel of e-mail|url: of a webhook|bearer: of a "
	 "webhook, sent as Authorization: Bearer, and never shown|routes: rules and severities that go there|wait_s: "
	 "for more to come|interval_s: between two messages|repeat_s: until it is "
	 "said again|enabled: true or false",
	 NULL, "201: Channel"},
	{"PATCH", "/api/v1/channels/{id}", "Change a channel", NULL,
	 "name: for people|addresses: of a channel of e-mail|url: of a webhook|bearer: another one; null for "
	 "none|routes: rules and severities that go there|wait_s: for more to come|interval_s: between two "
	 "messages|repeat_s: until it is said again|enabled: "
	 "true or false",
	 NULL, "200: Channel"},
	{"DELETE", "/api/v1/channels/{id}", "Remove a channel", NULL, NULL, NULL, "200: Channel"},
	{"POST", "/api/v1/channels/{id}/test", "Send a test message", NULL, NULL, NULL, "202: Channel"},
	{"POST", "/api/v1/channels/{id}/secret", "A new secret of a webhook, told once", NULL,
	 "overlap_h: hours for which the one before counts, too, up to 720; 0", NULL, "200: Channel"},
	{"GET", "/api/v1/channels/{id}/deliveries", "What was sent there, the newest first", PAGE, NULL, NULL,
	 "200: page Delivery"},

	// ---- people ----
	{"POST", "/api/v1/password-reset", "Ask for a link by e-mail", NULL,
	 "name: of the account, or its e-mail address",
	 "409: there is no public_url to link to|429: three times an hour", "202: Sent"},
	{"POST", "/api/v1/password-reset/finish", "Choose a new password", NULL,
	 "token: of the link|password: 12 characters or more", "401: the link is used up or too old", "204:"},
	{"GET", "/api/v1/account", "One's own account", NULL, NULL, NULL, "200: Account"},
	{"POST", "/api/v1/account/password", "Change one's password; other sessions end", NULL,
	 "old: the password until now|new: 12 characters or more", NULL, "204:"},
	{"POST", "/api/v1/account/totp", "A secret for codes as second factor", NULL, NULL, NULL, "201: TotpSecret"},
	{"POST", "/api/v1/account/totp/confirm", "Turn the second factor on; answers with recovery codes", NULL,
	 "code: by the new secret", NULL, "201: RecoveryCodes"},
	{"POST", "/api/v1/account/totp/remove", "Turn the second factor off", NULL, "code: a code of it", NULL, "204:"},
	{"POST", "/api/v1/account/recovery-codes", "Ten new recovery codes", NULL, "code: a code of the second factor",
	 NULL, "201: RecoveryCodes"},
	{"GET", "/api/v1/sessions", "Sessions: one's own, or a person's", "user: for administrators, whose", NULL, NULL,
	 "200: page Login"},
	{"DELETE", "/api/v1/sessions", "End all one's other sessions", NULL, NULL, NULL, "204:"},
	{"DELETE", "/api/v1/sessions/{id}", "End a session and its streams", NULL, NULL, NULL, "204:"},
	{"GET", "/api/v1/api-keys", "Keys for programs", "user: for administrators, whose; * is everybody's", NULL,
	 NULL, "200: page ApiKey"},
	{"POST", "/api/v1/api-keys", "Make a key; it is told once", NULL,
	 "label: what it is for|expires_in_days: 1 to 366|role: at most one's own|scopes: what it may do; all when "
	 "left "
	 "out|group: only devices of this group",
	 NULL, "201: ApiKeyMade"},
	{"DELETE", "/api/v1/api-keys/{id}", "Revoke a key", NULL, NULL, NULL, "200: ApiKey"},
	{"GET", "/api/v1/users", "People", "q: part of a name|role: only these|" PAGE, NULL, NULL, "200: page User"},
	{"POST", "/api/v1/users", "Make an account; answers with a login link", NULL,
	 "name: of the account|role: viewer, operator, administrator or auditor|email: for a forgotten "
	 "password|tenant: "
	 "whose it is",
	 "409: the name is taken", "201: LoginLink"},
	{"GET", "/api/v1/users/{name}", "A person", NULL, NULL, NULL, "200: User"},
	{"PATCH", "/api/v1/users/{name}", "Change a person's account; sessions may end", NULL,
	 "role: as in POST|email: null for none|tenant: null for all|enabled: false keeps the person out",
	 "409: the last administrator", "200: User"},
	{"DELETE", "/api/v1/users/{name}", "Remove a person", NULL, NULL, "409: the last administrator", "204:"},
	{"POST", "/api/v1/users/{name}/login-link", "A link that logs the person in once", NULL, NULL, NULL,
	 "201: LoginLink"},
	{"DELETE", "/api/v1/users/{name}/totp", "Take a person's second factor away", NULL, NULL, NULL, "204:"},

	// ---- commands ----
	{"GET", "/api/v1/actions", "What devices can be told to do, with the schema of each", NULL, NULL, NULL,
	 "200: list Action"},
	{"GET", "/api/v1/commands", "Commands, the newest first",
	 "device: only of this one|state: one of the states, or open|action: only this one|requested_by: only of this "
	 "person|request_id: only of this request|" PAGE,
	 NULL, NULL, "200: page Command"},
	{"POST", "/api/v1/commands", "Tell a device to do something", NULL, NULL,
	 "409: the Idempotency-Key was used for another request", "202: Command"},
	{"DELETE", "/api/v1/commands", "Cancel what waits for a device, or remove what ended long ago",
	 "device: whose waiting commands are cancelled|older_than_s: instead, ended commands older than this are "
	 "removed",
	 NULL, NULL, "200: CommandsRemoved|202: CommandsCancelling"},
	{"GET", "/api/v1/commands/{id}", "A command with its history", NULL, NULL, NULL, "200: CommandDetail"},
	{"GET", "/api/v1/commands/{id}/output", "What a command has printed so far",
	 "format: text for the output alone|after: number of the last chunk known|limit: chunks", NULL, NULL,
	 "200: page OutputChunk|200: text/plain"},
	{"POST", "/api/v1/commands/{id}/cancel", "Cancel a command", NULL, NULL, "409: it has ended already",
	 "202: Command"},
	{"POST", "/admin/command", "Tell a device to do something, by a signed request", NULL, NULL,
	 "401: the signature, the key or the time is wrong|409: the nonce was used before", "202: Command"},
	{"GET", "/api/v1/admin-keys", "Keys that sign requests", NULL, NULL, NULL, "200: page AdminKey"},
	{"POST", "/api/v1/admin-keys", "Make such a key: its secret is shown once", NULL, "label: what it is for", NULL,
	 "201: AdminKeyMade"},
	{"DELETE", "/api/v1/admin-keys/{id}", "Revoke such a key", NULL, NULL, NULL, "200: AdminKey"},

	// ---- groups, filters, campaigns ----
	{"GET", "/api/v1/groups", "Groups of devices", PAGE, NULL, NULL, "200: page Group"},
	{"POST", "/api/v1/groups", "Make a group", NULL,
	 "name: of the group|description: for people|query: its members are those that match; absent: they are named",
	 "409: there is one of this name", "201: Group"},
	{"GET", "/api/v1/groups/{name}", "A group", NULL, NULL, NULL, "200: GroupDetail"},
	{"PATCH", "/api/v1/groups/{name}", "Change a group", NULL,
	 "description: for people|query: which devices are in it", NULL, "200: Group"},
	{"GET", "/api/v1/tags", "Tags, with how many devices have them", NULL, NULL, NULL, "200: Tags"},
	{"POST", "/api/v1/tags/rename", "Rename a tag on all devices that have it", NULL,
	 "from: the tag|to: its new name", NULL, "200: TagsChanged"},
	{"POST", "/api/v1/tags/remove", "Take a tag off all devices", NULL, "tag: which", NULL, "200: TagsChanged"},
	{"GET", "/api/v1/campaigns/{id}/pace", "How fast a campaign went, for charts", NULL, NULL, NULL, "200: Pace"},
	{"DELETE", "/api/v1/groups/{name}", "Remove a group; its devices stay", NULL, NULL, NULL, "200: Group"},
	{"POST", "/api/v1/groups/{name}/devices", "Put devices in a group, or take some out", NULL,
	 "add: device ids|remove: instead, device ids", "409: its members are those of a query", "200: GroupChanged"},
	{"GET", "/api/v1/filters", "Saved filters", PAGE, NULL, NULL, "200: page SavedFilter"},
	{"POST", "/api/v1/filters", "Save a filter", NULL, "name: of the filter|query: in the language of section 18",
	 NULL, "200: SavedFilter"},
	{"DELETE", "/api/v1/filters/{name}", "Remove a filter", NULL, NULL, NULL, "200: SavedFilter"},
	{"GET", "/api/v1/campaigns", "Campaigns, the newest first", "state: only those in this state|" PAGE, NULL, NULL,
	 "200: page Campaign"},
	{"POST", "/api/v1/campaigns", "Make a campaign: a command for many, little by little", NULL,
	 "name: for people|action: what to do|params: of the action|target: one of device, tag, group, filter, query, "
	 "devices, "
	 "all|rollout: canary, success_pct, error_pct, rate_per_min and factor|ttl_s: of each command|continuous: also "
	 "who "
	 "matches later|confirm: true for a destructive action",
	 NULL, "201: Campaign"},
	{"POST", "/api/v1/campaigns/preview", "Whom a target would reach, before anything is done", NULL,
	 "target: as of a campaign|action: what to do|params: of the action", NULL, "200: CampaignPreview"},
	{"GET", "/api/v1/campaigns/{id}", "A campaign with its progress", NULL, NULL, NULL, "200: Campaign"},
	{"GET", "/api/v1/campaigns/{id}/targets", "Its devices, and how far each is",
	 "state: only those in this state|" PAGE, NULL, NULL, "200: page CampaignTarget"},
	{"POST", "/api/v1/campaigns/{id}/start", "Start it", NULL, NULL, "409: it is not a draft", "200: Campaign"},
	{"POST", "/api/v1/campaigns/{id}/pause", "Pause it", NULL, NULL, "409: it does not run", "200: Campaign"},
	{"POST", "/api/v1/campaigns/{id}/resume", "Go on with it", NULL, NULL, "409: it is not paused",
	 "200: Campaign"},
	{"POST", "/api/v1/campaigns/{id}/abort", "Abort it: what is not sent is cancelled", NULL, NULL,
	 "409: it has ended", "200: Campaign"},
	{"POST", "/api/v1/campaigns/{id}/approve", "Approve it, as a second person", NULL, NULL,
	 "403: who made it may not approve it|409: it does not wait for approval", "200: Campaign"},

	// ---- enrolment ----
	{"GET", "/api/v1/events", "What devices reported besides telemetry, the newest first",
	 "device: only of this one|type: only this one|" PAGE, NULL, NULL, "200: page Event"},
	{"GET", "/api/v1/registrations", "Devices that ask to be let in, or did",
	 "state: pending, approved, rejected or issued|serial: pattern with *|device: likewise|model: likewise|os: "
	 "likewise|"
	 "peer: likewise|fingerprint: likewise|" PAGE,
	 NULL, NULL, "200: page Registration"},
	{"GET", "/api/v1/registrations/{id}", "One of them", NULL, NULL, NULL, "200: RegistrationDetail"},
	{"POST", "/api/v1/registrations/{id}/approve", "Let it in", NULL,
	 "device: its id; absent: the one it asks for|tags: it gets|cell: its broker|replace: true where the id is of "
	 "a device "
	 "whose place it takes",
	 "409: it is decided, or the id is taken", "200: RegistrationDetail"},
	{"POST", "/api/v1/registrations/{id}/reject", "Do not let it in", NULL, "reason: told to the device",
	 "409: it has its certificate already", "200: RegistrationDetail"},
	{"GET", "/api/v1/tokens", "Enrolment tokens", PAGE, NULL, NULL, "200: page Token"},
	{"POST", "/api/v1/tokens", "Make an enrolment token: it is shown once", NULL,
	 "device: for this one alone|tags: its devices get|uses: how often|expires_s: for how long|cell: their broker",
	 NULL, "201: TokenMade"},
	{"GET", "/api/v1/tokens/{id}", "A token with what became of it", NULL, NULL, NULL, "200: TokenDetail"},
	{"DELETE", "/api/v1/tokens/{id}", "Revoke a token", NULL, NULL, NULL, "200: TokenDetail"},
	{"GET", "/api/v1/enrollment/script", "The script that enrols the devices on a cable, without a token",
	 "os: bash, windows or device", NULL, NULL, "200: text/plain"},
	{"POST", "/api/v1/enrollment/script", "The same with a token in it", NULL,
	 "os: bash, windows or device|token: an enrolment token", NULL, "200: text/plain"},
	{"POST", "/api/v1/registrations/decide", "Let several in, or not", NULL,
	 "ids: of registrations|verb: approve or reject|tags: those let in get|reason: told to the others", NULL,
	 "200: list Decided"},
	{"GET", "/api/v1/preapprovals", "Serial numbers that are let in without asking", PAGE, NULL, NULL,
	 "200: page Preapproval"},
	{"POST", "/api/v1/preapprovals", "Add some", NULL, "items: serial, device, tags and cell of each", NULL,
	 "200: PreapprovalsAdded"},
	{"DELETE", "/api/v1/preapprovals/{serial}", "Remove one", NULL, NULL, NULL, "204:"},
	{"GET", "/api/v1/certificates", "Certificates of devices",
	 "q: part of a device id or serial number|state: expiring, expired or revoked|days: until they expire|" PAGE,
	 NULL, NULL, "200: page Certificate"},
	{"GET", "/api/v1/certificates/summary", "How many there are, and expire soon", "days: what counts as soon",
	 NULL, NULL, "200: CertificateCounts"},

	// ---- people ----
	{"GET", "/api/v1/tenants", "Tenants", PAGE, NULL, NULL, "200: page Tenant"},
	{"POST", "/api/v1/tenants", "Make a tenant", NULL, "name: of the tenant|description: for people",
	 "409: there is one of this name", "201: Tenant"},
	{"PATCH", "/api/v1/tenants/{name}", "Describe a tenant anew", NULL, "description: for people", NULL,
	 "200: Tenant"},
	{"GET", "/api/v1/users/{name}/rights", "In which groups somebody may do what", NULL, NULL, NULL, "200: Rights"},
	{"PUT", "/api/v1/users/{name}/rights", "Set that", NULL, "rights: all of them, each with group and role", NULL,
	 "200: Rights"},
	{"GET", "/api/v1/audit", "Who changed what, the newest first",
	 "actor: only by this person|action: only this one|target: only of this|device: only of this one|from: ms "
	 "since 1970 or "
	 "RFC 3339|to: likewise|" PAGE,
	 NULL, NULL, "200: page AuditRow"},
	{"GET", "/api/v1/audit/verify", "Whether the chain of the audit is whole, in steps",
	 "after: checked of the step before|limit: rows of a step", NULL, NULL, "200: AuditCheck"},
	{"POST", "/api/v1/console", "Credentials to read what passes the brokers, by MQTT over WebSocket", NULL,
	 "device: its messages|devices: or those of up to 50|all: or true, where one may|cell: with all, of this one "
	 "alone",
	 "403: all, where one may not|409: in cells whose console has no address", "201: Console"},
	{"POST", "/api/v1/stream/{id}", "Change what an open stream brings", NULL,
	 "topics: as in GET|devices: ids that bound them", NULL, "204:"},
	{"GET", "/api/v1/stream", "What changes, as server-sent events", "after: id of the last event known", NULL,
	 NULL, "200: text/event-stream"},
};
const size_t openapi_notes_count = sizeof(openapi_notes) / sizeof(openapi_notes[0]);

const struct openapi_note *openapi_note(const char *method, const char *pattern)
{
	for (size_t i = 0; i < openapi_notes_count; i++) {
		if (strcmp(openapi_notes[i].method, method) == 0 && strcmp(openapi_notes[i].pattern, pattern) == 0)
			return &openapi_notes[i];
	}
	return NULL;
}
