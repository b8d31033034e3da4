#include "dashboard/routes.h"

#include "dashboard/account.h"
#include "dashboard/actions.h"
#include "dashboard/admin.h"
#include "dashboard/api_keys.h"
#include "dashboard/analytics.h"
#include "dashboard/alert_channels.h"
#include "dashboard/alert_rules.h"
#include "dashboard/alert_silences.h"
#include "dashboard/alerts.h"
#include "dashboard/assets.h"
#include "dashboard/audit.h"
#include "dashboard/auth.h"
#include "dashboard/bulk.h"
#include "dashboard/campaigns.h"
#include "dashboard/certificates.h"
#include "dashboard/commands.h"
#include "dashboard/console.h"
#include "dashboard/device_list.h"
#include "dashboard/devices.h"
#include "dashboard/enrollment.h"
#include "dashboard/events.h"
#include "dashboard/exports.h"
#include "dashboard/filters.h"
#include "dashboard/groups.h"
#include "dashboard/health.h"
#include "dashboard/inventory.h"
#include "dashboard/outputs.h"
#include "dashboard/openapi.h"
#include "dashboard/overview.h"
#include "dashboard/preapprovals.h"
#include "dashboard/registrations.h"
#include "dashboard/reset.h"
#include "dashboard/revocations.h"
#include "dashboard/rights.h"
#include "dashboard/session.h"
#include "dashboard/sessions.h"
#include "dashboard/settings.h"
#include "dashboard/stream.h"
#include "dashboard/tags.h"
#include "dashboard/system.h"
#include "dashboard/telemetry.h"
#include "dashboard/tenants.h"
#include "dashboard/tokens.h"
#include "dashboard/users.h"
#include "dashboard/wakes.h"

const struct http_route routes[] = {
	{"POST", "/api/v1/session", session_create, ACCESS_PUBLIC},
	{"GET", "/api/v1/session", session_get, ACCESS_READ},
	{"DELETE", "/api/v1/session", session_delete, ACCESS_READ},
	{"POST", "/api/v1/password-reset", reset_ask, ACCESS_PUBLIC},
	{"POST", "/api/v1/password-reset/finish", reset_finish, ACCESS_PUBLIC},
	{"GET", "/api/v1/account", account_get, ACCESS_READ},
	{"POST", "/api/v1/account/password", account_password, ACCESS_READ},
	{"POST", "/api/v1/account/totp", account_totp_begin, ACCESS_READ},
	{"POST", "/api/v1/account/totp/confirm", account_totp_confirm, ACCESS_READ},
	{"POST", "/api/v1/account/totp/remove", account_totp_remove, ACCESS_READ},
	{"POST", "/api/v1/account/recovery-codes", account_recovery_codes, ACCESS_READ},
	{"GET", "/api/v1/sessions", sessions_list, ACCESS_READ},
	{"DELETE", "/api/v1/sessions", sessions_end_others, ACCESS_READ},
	{"DELETE", "/api/v1/sessions/{id}", sessions_end, ACCESS_READ},
	{"GET", "/api/v1/api-keys", api_keys_list, ACCESS_READ},
	{"POST", "/api/v1/api-keys", api_keys_create, ACCESS_READ},
	{"DELETE", "/api/v1/api-keys/{id}", api_keys_revoke, ACCESS_READ},
	{"GET", "/api/v1/users", users_list, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/users", users_create, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/users/{name}", users_get, ROLE_ADMINISTRATOR},
	{"PATCH", "/api/v1/users/{name}", users_change, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/users/{name}", users_delete, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/users/{name}/login-link", users_login_link, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/users/{name}/totp", users_totp_reset, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/openapi.json", openapi_get, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/overview", overview_get, ACCESS_READ},
	{"GET", "/api/v1/system", system_get, ACCESS_AUDIT | ACCESS_ALL},
	{"GET", "/api/v1/devices", device_list_get, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/devices/count", device_list_count, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/devices/bulk", bulk_create, ACCESS_ACT},
	{"POST", "/api/v1/devices/bulk/preview", bulk_preview, ACCESS_ACT | ROUTE_CHANGES_NOTHING},
	{"GET", "/api/v1/bulk", bulk_list, ACCESS_READ},
	{"GET", "/api/v1/bulk/{id}", bulk_get, ACCESS_READ},
	{"DELETE", "/api/v1/bulk/{id}", bulk_cancel, ACCESS_ACT},
	{"GET", "/api/v1/devices/{id}", devices_get, ACCESS_READ | ROUTE_KEPT},
	{"PATCH", "/api/v1/devices/{id}", settings_change, ACCESS_ACT},
	{"GET", "/api/v1/devices/{id}/telemetry", telemetry_get, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/devices/{id}/inventory/changes", inventory_changes, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/devices/{id}/tags", devices_tag, ACCESS_ACT},
	{"POST", "/api/v1/devices/{id}/revoke", revocations_revoke, ACCESS_ACT},
	{"POST", "/api/v1/devices/{id}/restore", revocations_restore, ROLE_ADMINISTRATOR | ACCESS_GROUP},
	{"POST", "/api/v1/devices/{id}/wake", wakes_create, ACCESS_ACT},
	{"POST", "/api/v1/devices/{id}/move", tenants_move, ROLE_ADMINISTRATOR | ACCESS_ALL},
	{"GET", "/api/v1/tenants", tenants_list, ROLE_ADMINISTRATOR | ACCESS_ALL | ROUTE_KEPT},
	{"POST", "/api/v1/tenants", tenants_create, ROLE_ADMINISTRATOR | ACCESS_ALL},
	{"PATCH", "/api/v1/tenants/{name}", tenants_change, ROLE_ADMINISTRATOR | ACCESS_ALL},
	{"GET", "/api/v1/users/{name}/rights", rights_get, ROLE_ADMINISTRATOR},
	{"PUT", "/api/v1/users/{name}/rights", rights_put, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/revocations", revocations_list, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/revocations/proofs", revocations_proofs, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/actions", actions_list, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/commands", commands_list, ACCESS_READ},
	{"POST", "/api/v1/commands", commands_create, ACCESS_ACT},
	{"DELETE", "/api/v1/commands", commands_remove, ACCESS_ACT},
	{"GET", "/api/v1/commands/{id}", commands_get, ACCESS_READ},
	{"GET", "/api/v1/commands/{id}/output", outputs_get, ACCESS_READ},
	{"POST", "/api/v1/commands/{id}/cancel", commands_cancel, ACCESS_ACT},
	{"POST", "/admin/command", admin_command, ACCESS_SIGNED},
	{"GET", "/api/v1/admin-keys", admin_keys_list, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/admin-keys", admin_keys_create, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/admin-keys/{id}", admin_keys_revoke, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/groups", groups_list, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/groups", groups_create, ACCESS_ACT | ACCESS_TENANT},
	{"GET", "/api/v1/groups/{name}", groups_get, ACCESS_READ | ROUTE_KEPT},
	{"PATCH", "/api/v1/groups/{name}", groups_edit, ACCESS_ACT | ACCESS_TENANT},
	{"DELETE", "/api/v1/groups/{name}", groups_delete, ACCESS_ACT | ACCESS_TENANT},
	{"POST", "/api/v1/groups/{name}/devices", groups_change, ACCESS_ACT | ACCESS_TENANT},
	{"GET", "/api/v1/tags", tags_list, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/tags/rename", tags_rename, ACCESS_ACT},
	{"POST", "/api/v1/tags/remove", tags_remove, ACCESS_ACT},
	{"GET", "/api/v1/filters", filters_list, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/filters", filters_save, ACCESS_ACT | ACCESS_TENANT},
	{"DELETE", "/api/v1/filters/{name}", filters_delete, ACCESS_ACT | ACCESS_TENANT},
	{"GET", "/api/v1/campaigns", campaigns_list, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/campaigns", campaigns_create, ACCESS_ACT},
	{"POST", "/api/v1/campaigns/preview", campaigns_preview, ACCESS_ACT | ROUTE_CHANGES_NOTHING},
	{"GET", "/api/v1/campaigns/{id}", campaigns_get, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/campaigns/{id}/targets", campaigns_targets, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/campaigns/{id}/pace", campaigns_pace, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/campaigns/{id}/start", campaigns_start, ACCESS_ACT},
	{"POST", "/api/v1/campaigns/{id}/pause", campaigns_pause, ACCESS_ACT},
	{"POST", "/api/v1/campaigns/{id}/resume", campaigns_resume, ACCESS_ACT},
	{"POST", "/api/v1/campaigns/{id}/abort", campaigns_abort, ACCESS_ACT},
	{"POST", "/api/v1/campaigns/{id}/approve", campaigns_approve, ACCESS_ACT},
	{"GET", "/api/v1/events", events_list, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/exports", exports_list, ACCESS_READ},
	{"POST", "/api/v1/exports", exports_create, ACCESS_READ},
	{"GET", "/api/v1/exports/kinds", exports_kinds, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/exports/{id}", exports_get, ACCESS_READ},
	{"GET", "/api/v1/exports/{id}/file", exports_file, ACCESS_READ},
	{"DELETE", "/api/v1/exports/{id}", exports_remove, ACCESS_READ},
	{"GET", "/api/v1/analytics/trends", analytics_trends, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/analytics/compare", analytics_compare, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/analytics/events", analytics_events, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/analytics/uptime", analytics_uptime, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/analytics/reporters", analytics_reporters, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/analytics/scopes", analytics_scopes, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/alerts", alerts_list, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/alerts/summary", alerts_summary, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/alerts/{id}", alerts_get, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/alerts/acknowledge", alerts_acknowledge_many, ACCESS_ACT},
	{"POST", "/api/v1/alerts/{id}/acknowledge", alerts_acknowledge, ACCESS_ACT},
	{"POST", "/api/v1/alerts/{id}/assign", alerts_assign, ACCESS_ACT},
	{"POST", "/api/v1/alerts/{id}/comment", alerts_comment, ACCESS_ACT},
	{"POST", "/api/v1/alerts/{id}/clear", alerts_clear, ACCESS_ACT},
	{"GET", "/api/v1/alert-rules/kinds", alert_rules_kinds, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/alert-rules", alert_rules_list, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/alert-rules", alert_rules_create, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/alert-rules/preview", alert_rules_preview, ROLE_ADMINISTRATOR | ROUTE_CHANGES_NOTHING},
	{"GET", "/api/v1/alert-rules/{id}", alert_rules_get, ACCESS_READ | ROUTE_KEPT},
	{"PATCH", "/api/v1/alert-rules/{id}", alert_rules_change, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/alert-rules/{id}", alert_rules_delete, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/silences", alert_silences_list, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/silences", alert_silences_create, ACCESS_ACT | ACCESS_TENANT},
	{"DELETE", "/api/v1/silences/{id}", alert_silences_end, ACCESS_ACT | ACCESS_TENANT},
	{"GET", "/api/v1/channels", alert_channels_list, ROLE_ADMINISTRATOR | ROLE_AUDITOR},
	{"POST", "/api/v1/channels", alert_channels_create, ROLE_ADMINISTRATOR},
	{"PATCH", "/api/v1/channels/{id}", alert_channels_change, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/channels/{id}", alert_channels_delete, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/channels/{id}/test", alert_channels_test, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/channels/{id}/secret", alert_channels_secret, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/channels/{id}/deliveries", alert_channels_deliveries, ROLE_ADMINISTRATOR | ROLE_AUDITOR},
	{"GET", "/api/v1/registrations", registrations_list, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/registrations/{id}", registrations_get, ACCESS_READ | ROUTE_KEPT},
	{"POST", "/api/v1/registrations/{id}/approve", registrations_approve, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/registrations/{id}/reject", registrations_reject, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/registrations/decide", registrations_decide, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/preapprovals", preapprovals_list, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/preapprovals", preapprovals_create, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/preapprovals/{serial}", preapprovals_delete, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/certificates", certificates_list, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/certificates/summary", certificates_summary, ACCESS_READ | ROUTE_KEPT},
	{"GET", "/api/v1/tokens", tokens_list, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/tokens", tokens_create, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/tokens/{id}", tokens_get, ROLE_ADMINISTRATOR},
	{"DELETE", "/api/v1/tokens/{id}", tokens_revoke, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/enrollment/script", enrollment_script_get, ROLE_ADMINISTRATOR},
	{"POST", "/api/v1/enrollment/script", enrollment_script_post, ROLE_ADMINISTRATOR},
	{"GET", "/api/v1/audit", audit_list, ACCESS_AUDIT},
	{"GET", "/api/v1/audit/verify", audit_verify, ACCESS_AUDIT},
	{"POST", "/api/v1/console", console_create, ACCESS_READ},
	{"GET", "/api/v1/stream", stream_open, ACCESS_READ},
	{"POST", "/api/v1/stream/{id}", stream_change, ACCESS_READ | ROUTE_CHANGES_NOTHING},
	{"GET", "/health", health_live, ACCESS_PUBLIC},
	{"GET", "/ready", health_ready, ACCESS_PUBLIC},
	{"GET", "/metrics", health_metrics, ACCESS_LOOPBACK},
	{"GET", "/assets/{name}", assets_file, ACCESS_PUBLIC},
	// The page's own addresses; it holds no data itself.
	{"GET", "/", assets_page, ACCESS_PUBLIC},
	{"GET", "/login", assets_page, ACCESS_PUBLIC},
	{"GET", "/reset", assets_page, ACCESS_PUBLIC},
	{"GET", "/devices", assets_page, ACCESS_PUBLIC},
	{"GET", "/devices/{id}", assets_page, ACCESS_PUBLIC},
	{"GET", "/commands", assets_page, ACCESS_PUBLIC},
	{"GET", "/commands/{id}", assets_page, ACCESS_PUBLIC},
	{"GET", "/campaigns", assets_page, ACCESS_PUBLIC},
	{"GET", "/campaigns/{id}", assets_page, ACCESS_PUBLIC},
	{"GET", "/groups", assets_page, ACCESS_PUBLIC},
	{"GET", "/groups/{id}", assets_page, ACCESS_PUBLIC},
	{"GET", "/enrolment", assets_page, ACCESS_PUBLIC},
	{"GET", "/certificates", assets_page, ACCESS_PUBLIC},
	{"GET", "/alerts", assets_page, ACCESS_PUBLIC},
	{"GET", "/alerts/{id}", assets_page, ACCESS_PUBLIC},
	{"GET", "/events", assets_page, ACCESS_PUBLIC},
	{"GET", "/analytics", assets_page, ACCESS_PUBLIC},
	{"GET", "/exports", assets_page, ACCESS_PUBLIC},
	{"GET", "/console", assets_page, ACCESS_PUBLIC},
	{"GET", "/audit", assets_page, ACCESS_PUBLIC},
	{"GET", "/system", assets_page, ACCESS_PUBLIC},
	{"GET", "/users", assets_page, ACCESS_PUBLIC},
	{"GET", "/account", assets_page, ACCESS_PUBLIC},
	{"GET", "/api/docs", assets_page, ACCESS_PUBLIC},
};
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);
