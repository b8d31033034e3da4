// The commander's configuration: one table from which the parser, --help and the sample configuration come.
#pragma once

#include "common/config.h"

struct options {
	char *broker_host;
	long broker_port;
	char *broker_ca_file; // NULL: plain TCP
	char *broker_cert_file;
	char *broker_key_file;
	long broker_silent_s;
	char *client_id;
	char *conninfo;
	long cell; // 0: all
	char *signing_key_file;
	long resend_s;
	bool share_requests;
	char *fcm_credentials_file; // NULL: nobody is woken
	char *fcm_endpoint, *fcm_ca_file;
	long fcm_timeout_s, fcm_device_per_hour, fcm_project_per_minute, fcm_breaker_failures, fcm_breaker_open_s;
	long wake_after_s, wake_retry_s, wake_retry_max_s;
	long approve_above; // 0: off
	long sweep_s;
	char *smtp_url; // NULL: nobody gets e-mail
	char *smtp_user, *smtp_password_file, *smtp_from, *smtp_ca_file;
	bool smtp_starttls;
	long smtp_timeout_s, smtp_retry_s, smtp_breaker_open_s;
	char *public_url; // NULL: messages have no links
	char *webhook_key_file; // NULL: no webhooks
	char *webhook_reach, *webhook_ca_file;
	long webhook_timeout_s, webhook_retry_s, webhook_breaker_open_s;
	long alert_look_s, alert_holdoff_s, alert_flap_s;
	char *http_address;
	long http_port;
	char *log_level;
};

extern const struct config_table options_table;
