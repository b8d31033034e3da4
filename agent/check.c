#include "agent/check.h"

#include "agent/credential.h"
#include "agent/fingerprint.h"
#include "agent/identity.h"
#include "agent/lock.h"
#include "agent/names.h"
#include "agent/outbox.h"
#include "common/clock.h"
#include "common/tls.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PROBE_TIMEOUT_MS 5000
#define S_PER_DAY 86400

__attribute__((format(printf, 5, 6))) static void add(struct check_report *report, const char *name,
						      enum check_state state, enum check_exit exit_code,
						      const char *format, ...)
{
	struct check_finding *finding = &report->findings[report->count++];
	va_list args;
	*finding = (struct check_finding){.name = name, .state = state};
	va_start(args, format);
	(void)vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	if (report->exit_code == CHECK_EXIT_OK || (report->exit_code == CHECK_EXIT_PARTLY && state == CHECK_WRONG))
		report->exit_code = exit_code;
}

static void check_certificate(struct check_report *report, const struct credential *credential)
{
	const struct pki_certificate_info *info = &credential->info;
	int64_t now_s = clock_wall_ms() / 1000;
	int64_t left_s = info->not_after_s - now_s;
	char from[CLOCK_RFC3339_BYTES];
	char until[CLOCK_RFC3339_BYTES];
	clock_format_rfc3339(info->not_before_s * 1000, from);
	clock_format_rfc3339(info->not_after_s * 1000, until);
	if (left_s <= 0)
		add(report, "certificate", CHECK_WRONG, CHECK_EXIT_FAILED,
		    "%s expired at %s: stop the agent and run muster-agent enroll --again with a token for this device "
		    "(from "
		    "its page, or muster token create --device %s)",
		    info->serial, until, report->device);
	else if (info->not_before_s > now_s)
		add(report, "certificate", CHECK_WRONG, CHECK_EXIT_FAILED,
		    "%s is valid from %s only, and this device's clock says less: set the clock", info->serial, from);
	else if (left_s < (int64_t)CHECK_EXPIRES_SOON_DAYS * S_PER_DAY &&
		 left_s < (info->not_after_s - info->not_before_s) / 4)
		add(report, "certificate", CHECK_NOTE, CHECK_EXIT_PARTLY,
		    "%s is valid until %s, for %" PRId64 " days, and was not renewed yet: see the agent's log",
		    info->serial, until, left_s / S_PER_DAY);
	else
		add(report, "certificate", CHECK_OK, CHECK_EXIT_OK, "%s, valid until %s, for %" PRId64 " days",
		    info->serial, until, left_s / S_PER_DAY);
}

static void check_fingerprint(struct check_report *report, const struct identity *identity,
			      const struct credential *credential)
{
	char now[SHA256_HEX_BYTES];
	struct error copy = {0};
	bool hidden = false;
	if (!*identity->fingerprint)
		add(report, "fingerprint", CHECK_NOTE, CHECK_EXIT_OK,
		    "this machine had nothing to tell it by when it was enrolled");
	else if (identity_fingerprint(identity, credential->parts, now, &hidden) &&
		 strcmp(now, identity->fingerprint) == 0)
		add(report, "fingerprint", CHECK_OK, CHECK_EXIT_OK, "the hardware is the one that was enrolled%s",
		    hidden ? " (as far as this user may read it)" : "");
	else if (identity_is_copy(identity, &copy))
		add(report, "fingerprint", CHECK_WRONG, CHECK_EXIT_NOT_ALLOWED, "%s", copy.what);
	else
		add(report, "fingerprint", CHECK_WRONG, CHECK_EXIT_NOT_ALLOWED,
		    "this machine has nothing to tell it by any more, and had when it was enrolled");
}

static void check_outbox(struct check_report *report, const struct identity *identity)
{
	struct error error = {0};
	struct outbox_state outbox;
	if (outbox_peek(identity->outbox_file, &outbox, &error)) {
		bool stored = outbox.reading_seq > 0 && outbox.reading_seq <= outbox.gone_seq;
		add(report, "outbox", CHECK_OK, CHECK_EXIT_OK, "%" PRId64 " messages wait to be stored", outbox.rows);
		add(report, "stored", stored ? CHECK_OK : CHECK_NOTE, CHECK_EXIT_OK,
		    "messages up to %" PRId64 "; the first reading since the agent started is %" PRId64,
		    outbox.gone_seq, outbox.reading_seq);
	} else if (error.kind == ERROR_NOT_FOUND) {
		add(report, "outbox", CHECK_NOTE, CHECK_EXIT_OK, "there is none yet: the agent has not run");
	} else {
		add(report, "outbox", CHECK_WRONG, CHECK_EXIT_FAILED, "%s", error.what);
	}
}

static void check_broker(struct check_report *report, const struct agent_options *options,
			 const struct identity *identity, const struct credential *credential)
{
	const char *host = options->broker_host ? options->broker_host : identity->broker_host;
	int port = options->broker_port ? (int)options->broker_port : identity->broker_port;
	const struct tls_credential pem = credential_for_tls(credential);
	struct error error = {0};
	bool named = names_init(identity->root, host, options->broker_addresses, &error);
	struct tls *tls cleanup(tls_free_cleanup) = named ? tls_new(host, &pem, &error) : NULL;
	enum check_exit exit_code = CHECK_EXIT_UNREACHABLE;
	if (tls && tls_probe(tls, host, port, PROBE_TIMEOUT_MS, &error)) {
		add(report, "broker", CHECK_OK, CHECK_EXIT_OK, "%s port %d takes the certificate", host, port);
		return;
	}
	const char *cure = "check the network and the firewall, and that the broker runs";
	if (error.kind == ERROR_DENIED) {
		exit_code = CHECK_EXIT_NOT_ALLOWED;
		cure = "if the clock is right, enrol this device again";
	} else if (error.kind == ERROR_TIMEOUT) {
		exit_code = CHECK_EXIT_TIMED_OUT;
	}
	add(report, "broker", CHECK_WRONG, exit_code, "%s: %s", error.what, cure);
}

static void check_agent(struct check_report *report, const struct identity *identity)
{
	bool runs = lock_held(identity->state_dir);
	add(report, "agent", runs ? CHECK_OK : CHECK_NOTE, CHECK_EXIT_OK, "%s",
	    runs ? "it runs" : "it does not run: start it with muster-agent run");
}

void check(const struct agent_options *options, struct check_report *out)
{
	struct error error = {0};
	struct identity identity auto_identity = {0};
	struct credential credential auto_credential = {0};
	*out = (struct check_report){.count = 0};
	identity_init(&identity, options->state_dir, options->root);
	if (!identity_exists(&identity)) {
		add(out, "identity", CHECK_WRONG, CHECK_EXIT_NOT_ENROLLED,
		    "this device is not enrolled: run muster-agent enroll with a token, or muster-agent register");
		return;
	}
	if (!identity_load(&identity, &error)) {
		add(out, "identity", CHECK_WRONG, CHECK_EXIT_FAILED, "%s", error.what);
		return;
	}
	(void)snprintf(out->device, sizeof(out->device), "%s", identity.device);
	add(out, "identity", CHECK_OK, CHECK_EXIT_OK, "enrolled as %s", identity.device);

	struct credential_store store = identity_store(&identity);
	if (!credential_load(&store, CREDENTIAL_CURRENT, &credential, &error))
		add(out, "certificate", CHECK_WRONG,
		    error.kind == ERROR_DENIED ? CHECK_EXIT_NOT_ALLOWED : CHECK_EXIT_FAILED, "%s", error.what);
	else if (!credential.certificate)
		add(out, "certificate", CHECK_WRONG, CHECK_EXIT_FAILED,
		    "there is a key, and no certificate: enrol this device again");
	if (credential.certificate)
		check_certificate(out, &credential);
	check_fingerprint(out, &identity, &credential);
	check_outbox(out, &identity);
	if (credential.certificate)
		check_broker(out, options, &identity, &credential);
	check_agent(out, &identity);
}

void check_print(const struct check_report *report, bool json)
{
	static const char *const states[] = {"ok", "note", "wrong"};
	if (!json) {
		for (size_t i = 0; i < report->count; i++)
			printf("%-12s %-6s %s\n", report->findings[i].name, states[report->findings[i].state],
			       report->findings[i].text);
		return;
	}
	struct json *object auto_json = json_new_object();
	json_set_string(object, "device", *report->device ? report->device : NULL);
	for (size_t i = 0; i < report->count; i++) {
		struct json *finding = json_new_object();
		json_set_string(finding, "state", states[report->findings[i].state]);
		json_set_string(finding, "text", report->findings[i].text);
		json_set(object, report->findings[i].name, finding);
	}
	json_set_int(object, "exit_code", report->exit_code);
	printf("%s\n", json_text(object));
}
