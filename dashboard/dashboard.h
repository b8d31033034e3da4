// What the handlers share: one struct, made by main.c and passed to each as its user pointer.
#pragma once

#include "common/crypto.h"
#include "common/http.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "common/webhook.h"
#include "dashboard/assets.h"
#include "dashboard/lockout.h"
#include "dashboard/throttle.h"

#include <stdbool.h>
#include <stdint.h>

struct dashboard_config {
	char *listen_address;
	long listen_port;
	char **listen_proxies; // NULL: none
	char *tls_cert_file, *tls_key_file;
	char *database_conninfo;
	char *admin_key_file; // NULL: no signed requests, and no second factors
	char *webhook_key_file; // NULL: no webhooks
	char *public_url;       // NULL: no links by e-mail
	long session_hours;
	bool require_totp; // of administrators
	long limit_general_per_min, limit_admin_per_min, limit_unknown_connections; // 0: none
	// For enrolment over adb: what computers and devices are told.
	char *enrollment_bridge_url, *enrollment_ca_file, *enrollment_agents_dir;
	char **enrollment_broker_addresses;
	long enrollment_interval_s;
	char *console_url, **console_cells, *console_key_file;
	long console_lifetime_s;
	char *exports_dir; // NULL: no exports
	long exports_hours, exports_max_rows, exports_max_mb, exports_folder_mb, exports_per_person;
	char *log_level;
};

struct bulk;
struct console_places;
struct counts;
struct export_work;
struct jws_signer;
struct packages;
struct pieces;
struct resets;
struct roster;
struct streams;
struct system;
struct tags;

struct dashboard {
	struct dashboard_config config;
	struct loop *loop;
	struct pg *pg; // the requests' connection; the streams have their own
	bool entered;  // it is, or may be, in the scope of somebody
	struct metrics *metrics;
	struct assets *assets;
	struct lockout *lockout;
	struct throttle *throttle;
	const struct http_request *audited; // the request that api_audit was called for last
	bool admin; // signed requests are taken, second factors can be sealed
	uint8_t admin_master[CRYPTO_KEY_BYTES];
	struct webhook_key webhook_key;
	struct packages *packages; // of the agent
	struct jws_signer *console_signer; // NULL: no live console
	struct console_places *console_places;
	char *nobody_hash; // of something random: verified where there is no such account, so that it takes as long
	struct pieces *overview;
	struct system *system;
	struct resets *resets;
	struct tags *tags;
	struct export_work *exports; // NULL: off
	struct streams *streams;
	size_t streams_max;
	struct roster *roster;
	struct bulk *bulk;
	struct counts *counts; // of devices, for some seconds
	struct log_fault database_fault, tls_fault;
};
