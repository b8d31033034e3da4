#include "tools/history.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/jwk.h"
#include "common/result_text.h"
#include "common/signature.h"
#include "tools/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CERTIFICATES_MAX 64
#define WANTED_MAX 32 // moves of one command that a device's answers brought about

struct certificate {
	char *pem;
	struct pki_certificate_info info;
};

// Lines come by device, each with its certificates and then its commands in order, each of those with its results.
struct verifier {
	const struct history_trust *trust;
	struct history_report *report;
	history_seen_fn *seen;
	void *user;
	size_t line;
	bool ended;

	char device[DEVICE_ID_MAX + 1];
	struct certificate certificates[CERTIFICATES_MAX];
	size_t certificate_count;
	char chain[COMMAND_CHAIN_BYTES]; // of the last signed command; "" before the first
	int64_t counter;

	struct command command; // the present one; id "" without
	size_t command_line;
	char wanted[WANTED_MAX]
		   [16]; // states that its device is said to have reported, and that no result has shown yet
	size_t wanted_count;
};

__attribute__((format(printf, 3, 4))) static void fault(struct verifier *verifier, size_t line, const char *format, ...)
{
	struct history_report *report = verifier->report;
	va_list args;
	if (report->fault_count < HISTORY_FAULTS_MAX) {
		struct history_fault *one = &report->faults[report->fault_count];
		one->line = line;
		va_start(args, format);
		(void)vsnprintf(one->what, sizeof(one->what), format, args);
		va_end(args);
	}
	report->fault_count++;
}

// ---- whom to trust ----

static bool parse_signer(const struct json *jwk, struct history_trust *trust, struct error *error)
{
	const char *withdrawn = text_member(jwk, "withdrawn_at");
	int64_t at_ms = 0;
	if (trust->key_count == HISTORY_SIGNERS_MAX)
		return error_set(error, ERROR_LIMIT, "there are more than %d signing keys", HISTORY_SIGNERS_MAX);
	if (*withdrawn && !clock_parse_rfc3339(withdrawn, strlen(withdrawn), &at_ms))
		return error_set(error, ERROR_INVALID, "withdrawn_at is no time");
	trust->withdrawn_s[trust->key_count] = at_ms / 1000;
	return jwk_parse(jwk, &trust->keys[trust->key_count++], error);
}

bool history_trust_parse(const char *keys, size_t keys_bytes, const char *authorities, struct history_trust *out,
			 struct error *error)
{
	auto_json struct json *set = json_parse(keys, keys_bytes, error);
	const struct json *list = json_member(set, "keys");
	*out = (struct history_trust){.key_count = 0};
	if (!set)
		return false;
	if (json_type(list) != JSON_ARRAY)
		return error_set(error, ERROR_INVALID, "there is no JWK Set, an object with \"keys\"");
	for (size_t i = 0; i < json_array_length(list); i++) {
		if (!parse_signer(json_array_at(list, i), out, error))
			return false;
	}
	return pki_bundle_parse(authorities, &out->authorities, error);
}

void history_trust_done(struct history_trust *trust)
{
	pki_bundle_done(&trust->authorities);
}

static const struct jws_key *signer_of(const struct verifier *verifier, const char *jws, int64_t *withdrawn_s)
{
	const struct history_trust *trust = verifier->trust;
	for (size_t i = 0; i < trust->key_count; i++) {
		char *payload auto_free = NULL;
		size_t bytes = 0;
		if (jws_verify(jws, strlen(jws), COMMAND_TYP, &trust->keys[i], 1, &payload, &bytes, NULL) ||
		    jws_verify(jws, strlen(jws), HISTORY_TYP, &trust->keys[i], 1, &payload, &bytes, NULL)) {
			*withdrawn_s = trust->withdrawn_s[i];
			return &trust->keys[i];
		}
	}
	return NULL;
}

// ---- certificates ----

static void forget_device(struct verifier *verifier)
{
	for (size_t i = 0; i < verifier->certificate_count; i++)
		free(verifier->certificates[i].pem);
	verifier->certificate_count = 0;
	verifier->chain[0] = '\0';
	verifier->counter = 0;
}

static void close_command(struct verifier *verifier)
{
	for (size_t i = 0; i < verifier->wanted_count; i++)
		fault(verifier, verifier->command_line, "the device's answer \"%s\" to command %s is missing",
		      verifier->wanted[i], verifier->command.id);
	verifier->wanted_count = 0;
	command_done(&verifier->command);
	verifier->command = (struct command){.counter = 0};
}

// Lines are in the order of devices, so that one that stands elsewhere shows.
static void turn_to(struct verifier *verifier, const char *device)
{
	int order = strcmp(device, verifier->device);
	if (order == 0)
		return;
	close_command(verifier);
	if (order < 0)
		fault(verifier, verifier->line, "it is of %.63s, and does not stand where it was exported", device);
	forget_device(verifier);
	(void)snprintf(verifier->device, sizeof(verifier->device), "%s", device);
	verifier->report->devices++;
}

static void take_certificate(struct verifier *verifier, const struct json *line)
{
	const char *pem = text_member(line, "pem");
	const struct pki_bundle *authorities = &verifier->trust->authorities;
	bool issued = false;
	turn_to(verifier, text_member(line, "device"));
	if (verifier->certificate_count == CERTIFICATES_MAX) {
		fault(verifier, verifier->line, "more than %d certificates of one device", CERTIFICATES_MAX);
		return;
	}
	struct certificate *certificate = &verifier->certificates[verifier->certificate_count];
	if (!pki_certificate_info(pem, &certificate->info, NULL)) {
		fault(verifier, verifier->line, "the certificate cannot be read");
		return;
	}
	for (size_t i = 0; i < authorities->count && !issued; i++)
		issued = pki_is_issued_by(pem, authorities->pems[i]);
	if (!issued)
		fault(verifier, verifier->line, "certificate %s is by no authority that is trusted",
		      certificate->info.serial);
	else if (strcmp(certificate->info.common_name, verifier->device) != 0)
		fault(verifier, verifier->line, "certificate %s is of %.63s, not of %s", certificate->info.serial,
		      certificate->info.common_name, verifier->device);
	else if ((certificate->pem = strdup(pem)))
		verifier->certificate_count++;
}

// ---- commands ----

static void want_answers(struct verifier *verifier, const struct json *events)
{
	for (size_t i = 0; i < json_array_length(events); i++) {
		const struct json *event = json_array_at(events, i);
		if (strcmp(text_member(event, "cause"), "result") != 0 || verifier->wanted_count == WANTED_MAX)
			continue;
		(void)snprintf(verifier->wanted[verifier->wanted_count++], sizeof(verifier->wanted[0]), "%s",
			       text_member(event, "state"));
	}
}

static bool same_params(const struct json *line, const struct command *command)
{
	const struct json *params = json_member(line, "params");
	auto_json struct json *said = params ? json_copy(params) : json_new_object();
	auto_json struct json *was_signed = json_copy(command->params);
	return strcmp(json_text(said), json_text(was_signed)) == 0;
}

// A requester's name that was too long for a claim was cut.
static bool same_requester(const char *said, const char *by)
{
	size_t len = strlen(by);
	return strcmp(said, by) == 0 || (strlen(said) >= PRINCIPAL_MAX && len > 0 && strncmp(said, by, len) == 0);
}

static void compare_claims(struct verifier *verifier, const struct json *line)
{
	const struct command *command = &verifier->command;
	int64_t n = 0;
	(void)json_member_int(line, "n", &n);
	if (strcmp(text_member(line, "id"), command->id) != 0)
		fault(verifier, verifier->line, "it is said to be command %.36s, and %s was signed",
		      text_member(line, "id"), command->id);
	if (n != command->counter)
		fault(verifier, verifier->line, "n is said to be %" PRId64 ", and %" PRId64 " was signed", n,
		      command->counter);
	if (strcmp(text_member(line, "action"), command->action) != 0)
		fault(verifier, verifier->line, "the action is said to be %.63s, and %s was signed",
		      text_member(line, "action"), command->action);
	if (!same_params(line, command))
		fault(verifier, verifier->line, "the parameters are not those that were signed");
	if (!same_requester(text_member(line, "requested_by"), command->by))
		fault(verifier, verifier->line, "it is said that %.71s asked for it, and %s was signed",
		      text_member(line, "requested_by"), command->by);
}

static void follow_chain(struct verifier *verifier, const char *jws)
{
	const struct command *command = &verifier->command;
	if (verifier->counter == 0 && *command->prev)
		verifier->report->partial++;
	else if (strcmp(command->prev, verifier->chain) != 0)
		fault(verifier, verifier->line, "what was signed for %s before command %s is missing", verifier->device,
		      command->id);
	if (command->counter <= verifier->counter)
		fault(verifier, verifier->line, "n does not rise: %" PRId64 " after %" PRId64, command->counter,
		      verifier->counter);
	verifier->counter = command->counter;
	command_chain(jws, strlen(jws), verifier->chain);
}

// Just what the device checked, but for what depends on the time.
static bool check_command(struct verifier *verifier, const char *jws)
{
	const struct command_context context = {
		.device = verifier->device, .keys = verifier->trust->keys, .key_count = verifier->trust->key_count};
	struct error why = {0};
	int64_t withdrawn_s = 0;
	enum command_verdict verdict = command_check(jws, strlen(jws), &context, &verifier->command, &why);
	if (verdict != COMMAND_OK) {
		fault(verifier, verifier->line, "%s", why.what);
		return verdict != COMMAND_BAD_FORM;
	}
	if (signer_of(verifier, jws, &withdrawn_s) && withdrawn_s > 0 && verifier->command.issued_s > withdrawn_s)
		fault(verifier, verifier->line, "command %s was signed after its key was withdrawn",
		      verifier->command.id);
	return true;
}

// Signed for a command that was then signed anew with another n: no answer belongs to it.
static void take_signed(struct verifier *verifier, const struct json *line)
{
	const char *jws = text_member(line, "jws");
	turn_to(verifier, text_member(line, "device"));
	close_command(verifier);
	verifier->command_line = verifier->line;
	if (!check_command(verifier, jws))
		return;
	if (strcmp(text_member(line, "command"), verifier->command.id) != 0)
		fault(verifier, verifier->line, "it is said to be of command %.36s, and %s was signed",
		      text_member(line, "command"), verifier->command.id);
	follow_chain(verifier, jws);
	close_command(verifier);
}

static void take_command(struct verifier *verifier, const struct json *line)
{
	const char *jws = text_member(line, "jws");
	turn_to(verifier, text_member(line, "device"));
	close_command(verifier);
	verifier->command_line = verifier->line;
	verifier->report->commands++;
	if (!*jws) {
		verifier->report->unsent++;
		(void)snprintf(verifier->command.id, sizeof(verifier->command.id), "%s", text_member(line, "id"));
		return;
	}
	if (!check_command(verifier, jws)) {
		(void)snprintf(verifier->command.id, sizeof(verifier->command.id), "%s", text_member(line, "id"));
		return;
	}
	compare_claims(verifier, line);
	follow_chain(verifier, jws);
	want_answers(verifier, json_member(line, "events"));
	if (verifier->seen)
		verifier->seen(verifier->user, &verifier->command, text_member(line, "state"));
}

// ---- results ----

static void strike_off(struct verifier *verifier, const char *state)
{
	for (size_t i = 0; i < verifier->wanted_count; i++) {
		if (strcmp(verifier->wanted[i], state) != 0)
			continue;
		memmove(verifier->wanted[i], verifier->wanted[i + 1],
			(verifier->wanted_count - i - 1) * sizeof(verifier->wanted[0]));
		verifier->wanted_count--;
		return;
	}
}

static bool by_its_device(const struct verifier *verifier, const char *text, const char *sig)
{
	struct signature_checker *checker cleanup(signature_checker_free_cleanup) = signature_checker_new(NULL);
	for (size_t i = 0; i < verifier->certificate_count; i++) {
		const struct certificate *certificate = &verifier->certificates[i];
		if (checker && certificate->info.not_after_s >= verifier->command.issued_s &&
		    signature_check(checker, certificate->pem, text, strlen(text), sig, NULL, NULL))
			return true;
	}
	return false;
}

static void check_signed(struct verifier *verifier, const struct json *line, const char *text)
{
	auto_json struct json *said = json_parse(text, strlen(text), NULL);
	if (!said || strcmp(text_member(said, "typ"), RESULT_TYP) != 0 ||
	    strcmp(text_member(said, "device"), verifier->device) != 0 ||
	    strcmp(text_member(said, "command"), verifier->command.id) != 0 ||
	    strcmp(text_member(said, "state"), text_member(line, "state")) != 0)
		fault(verifier, verifier->line, "what was signed is another answer than this one");
	else if (!by_its_device(verifier, text, text_member(line, "sig")))
		fault(verifier, verifier->line, "the answer is not signed by %s", verifier->device);
	else
		verifier->report->verified++;
}

static void take_result(struct verifier *verifier, const struct json *line)
{
	const char *text = text_member(line, "signed");
	if (strcmp(text_member(line, "device"), verifier->device) != 0 ||
	    strcmp(text_member(line, "command"), verifier->command.id) != 0) {
		fault(verifier, verifier->line, "it answers command %.36s, which does not stand before it",
		      text_member(line, "command"));
		return;
	}
	if (strcmp(text_member(line, "verdict"), "refused") == 0) { // kept as evidence, and not believed then either
		verifier->report->refused++;
		return;
	}
	strike_off(verifier, text_member(line, "state"));
	if (*text)
		check_signed(verifier, line, text);
	else if (strcmp(text_member(line, "verdict"), "unsigned") != 0)
		fault(verifier, verifier->line, "the answer's signature is missing");
	else
		verifier->report->unsigned_results++;
}

// ---- the end ----

static void take_end(struct verifier *verifier, const struct json *line, const char *before, size_t before_bytes)
{
	const char *jws = text_member(line, "jws");
	char sha256[SHA256_HEX_BYTES];
	char *payload auto_free = NULL;
	size_t bytes = 0;
	int64_t lines = 0;
	int64_t issued_s = 0;
	int64_t withdrawn_s = 0;
	struct error why = {0};
	close_command(verifier);
	verifier->ended = true;
	if (!signer_of(verifier, jws, &withdrawn_s) ||
	    !jws_verify(jws, strlen(jws), HISTORY_TYP, verifier->trust->keys, verifier->trust->key_count, &payload,
			&bytes, &why)) {
		fault(verifier, verifier->line, "the seal is not by a trusted key: %s",
		      why.kind ? why.what : "signature is wrong");
		return;
	}
	auto_json struct json *claims = json_parse(payload, bytes, NULL);
	crypto_sha256_hex(before, before_bytes, sha256);
	if (!claims || !json_member_int(claims, "lines", &lines) || !json_member_int(claims, "iat", &issued_s) ||
	    (size_t)lines != verifier->line - 1 || strcmp(text_member(claims, "sha256"), sha256) != 0)
		fault(verifier, verifier->line, "the lines before it are not those that were sealed");
	if (withdrawn_s > 0 && issued_s > withdrawn_s)
		fault(verifier, verifier->line, "the seal is by a key that was withdrawn before");
}

char *history_end(const struct jws_signer *signer, const char *text, size_t len_bytes, size_t lines,
		  struct error *error)
{
	auto_json struct json *claims = json_new_object();
	auto_json struct json *line = json_new_object();
	char sha256[SHA256_HEX_BYTES];
	crypto_sha256_hex(text, len_bytes, sha256);
	json_set_int(claims, "iat", clock_wall_ms() / 1000);
	json_set_int(claims, "lines", (int64_t)lines);
	json_set_string(claims, "sha256", sha256);
	const char *payload = json_text(claims);
	char *jws auto_free = jws_sign(signer, HISTORY_TYP, payload, strlen(payload), error);
	if (!jws)
		return NULL;
	json_set_string(line, "line", "end");
	json_set_string(line, "jws", jws);
	return strdup(json_text(line));
}

// ---- all of it ----

static void take_line(struct verifier *verifier, const char *text, const char *start)
{
	struct error why = {0};
	auto_json struct json *line = json_parse(text, strlen(text), &why);
	const char *kind = line ? text_member(line, "line") : "";
	verifier->line++;
	if (verifier->ended)
		fault(verifier, verifier->line, "it stands after the seal");
	else if (!line)
		fault(verifier, verifier->line, "%s", why.what);
	else if (verifier->line == 1 && strcmp(kind, "history") != 0)
		fault(verifier, verifier->line, "this is no exported history");
	else if (strcmp(kind, "certificate") == 0)
		take_certificate(verifier, line);
	else if (strcmp(kind, "command") == 0)
		take_command(verifier, line);
	else if (strcmp(kind, "signed") == 0)
		take_signed(verifier, line);
	else if (strcmp(kind, "result") == 0)
		take_result(verifier, line);
	else if (strcmp(kind, "end") == 0)
		take_end(verifier, line, start, (size_t)(text - start));
	else if (verifier->line > 1)
		fault(verifier, verifier->line, "there is no kind of line \"%.32s\"", kind);
}

void history_verify(char *text, size_t len_bytes, const struct history_trust *trust, history_seen_fn *seen, void *user,
		    struct history_report *report)
{
	struct verifier verifier = {.trust = trust, .report = report, .seen = seen, .user = user};
	char *end = text + len_bytes;
	memset(report, 0, sizeof(*report));
	for (char *line = text; line < end;) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		char *next = newline ? newline + 1 : end;
		if (!newline)
			fault(&verifier, verifier.line + 1, "the last line is torn");
		else
			*newline = '\0';
		if (newline)
			take_line(&verifier, line, text);
		if (newline)
			*newline = '\n'; // the seal is over the text as it is
		line = next;
	}
	close_command(&verifier);
	forget_device(&verifier);
	if (!verifier.ended)
		fault(&verifier, 0, "the seal is missing: lines may be missing at the end");
}
