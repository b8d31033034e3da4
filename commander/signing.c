#include "commander/signing.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/signers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER_FILE_MAX_BYTES 64
#define SIGNERS_FILE_MAX_BYTES 1048576 // hundreds of rotations
#define RESERVE_MS 60000	       // a write a minute while commands are signed
#define LOOK_EVERY_MS 10000
#define TOLD_MAX 200

static const char key_sql[] =
	"insert into signing_key (kid, public_key) values ($1, decode($2, 'hex')) on conflict do nothing";
static const char announce_sql[] = "insert into signer_set (version, jws) values ($1, $2) on conflict do nothing";
static const char newest_sql[] = "select version, jws from signer_set order by version desc limit 1";
static const char retire_sql[] =
	"update signing_key set retired_at = case when kid = any ($1::text[]) then null else now() end"
	" where (retired_at is null) <> (kid = any ($1::text[]))";
// Devices whose hello said an older version get all that they have missed, in order: each is signed by a key of the one
// before. Again after a minute, since a message may be lost.
static const char tell_sql[] =
	"with due as (select s.device, s.signers from device_state s left join signer_told t on t.device = s.device"
	" where s.signers < $1::bigint and s.presence = 'online' and " CELL_HAS(
		"s.device",
		"2") " and (t.version is distinct from $1::bigint or t.told_at < now() - interval '1 minute')"
		     " order by s.device limit $3::integer),"
		     " told as (insert into signer_told (device, version) select device, $1::bigint from due"
		     " on conflict (device) do update set version = excluded.version, told_at = now())"
		     " select d.device, n.jws from due d"
		     " join signer_set n on n.version > d.signers order by d.device, n.version";

// ---- the key and its counter ----

static bool load_key(struct signing *signing, const char *key_file, struct error *error)
{
	struct file_stamp stamp;
	struct jws_signer *signer = file_stamp(key_file, &stamp, error) ? jws_signer_load(key_file, error) : NULL;

	if (!signer)
		return false;
	jws_signer_free(signing->signer);
	signing->signer = signer;
	signing->key_stamp = stamp;
	return true;
}

// 0 without a file.
static bool read_counter(const struct signing *signing, int64_t *counter, struct error *error)
{
	auto_free char *text = NULL;
	char *end = NULL;
	int64_t value = 0;

	if (file_exists(signing->counter_file)) {
		text = file_read(signing->counter_file, COUNTER_FILE_MAX_BYTES, NULL, error);
		if (!text)
			return false;
		value = strtoll(text, &end, 10);
		if (end == text || (*end != '\n' && *end != '\0') || value < 0)
			return error_set(error, ERROR_INVALID,
					 "%s holds no number: write the highest n that was ever given into it, or the "
					 "time in ms",
					 signing->counter_file);
	}
	*counter = value;
	return true;
}

bool signing_init(struct signing *signing, const char *key_file, struct error *error)
{
	*signing = (struct signing){.version = 0};
	if (asprintf(&signing->counter_file, "%s.counter", key_file) < 0 ||
	    asprintf(&signing->signers_file, "%s.signers", key_file) < 0)
		return error_set(error, ERROR_FAILED, "out of memory");
	return load_key(signing, key_file, error) && read_counter(signing, &signing->counter, error);
}

void signing_done(struct signing *signing)
{
	jws_signer_free(signing->signer);
	free(signing->counter_file);
	free(signing->signers_file);
	*signing = (struct signing){.version = 0};
}

// Another commander with the same file may have gone ahead: that stays.
static bool reserve(struct signing *signing, int64_t n, struct error *error)
{
	char text[32];
	int64_t ahead = 0;
	int64_t reserved = n + RESERVE_MS;

	if (!read_counter(signing, &ahead, error))
		return false;
	int len = snprintf(text, sizeof(text), "%" PRId64 "\n", ahead > reserved ? ahead : reserved);
	if (!file_write(signing->counter_file, text, (size_t)len, 0600, error))
		return error_prefix(error, "no command can be numbered");
	signing->reserved = reserved;
	return true;
}

bool signing_counter(struct signing *signing, int64_t last, int64_t *n, struct error *error)
{
	int64_t next = clock_wall_ms();

	if (next <= last)
		next = last + 1;
	if (next <= signing->counter)
		next = signing->counter + 1;
	if (next > signing->reserved && !reserve(signing, next, error))
		return false;
	*n = next;
	return true;
}

// ---- the announcements ----

void signing_connected(struct commander *commander)
{
	commander->signing.taken = false;
	commander_due(commander, DUE_SIGNERS);
}

void signing_tick(struct commander *commander)
{
	struct signing *signing = &commander->signing;
	struct file_stamp stamp;
	struct error error = {0};

	if (file_stamp(commander->options->signing_key_file, &stamp, &error) &&
	    !file_stamp_equal(&stamp, &signing->key_stamp) &&
	    load_key(signing, commander->options->signing_key_file, &error)) {
		log_info("signing_key.loaded", "kid", jws_signer_key(signing->signer)->kid);
		signing_connected(commander);
	}
	// The one that is in memory goes on signing.
	if (error.kind == ERROR_NONE)
		log_fault_over(&signing->fault, "signing_key.load");
	else
		log_fault(&signing->fault, "signing_key.load", &error);
	if (file_exists(signing->signers_file) && file_stamp(signing->signers_file, &stamp, NULL) &&
	    !(signing->announced && file_stamp_equal(&stamp, &signing->signers_stamp)))
		signing_connected(commander);
	if (clock_mono_ms() - signing->looked_ms >= LOOK_EVERY_MS)
		commander_due(commander, DUE_SIGNERS);
}

static bool register_key(struct commander *commander, const struct jws_key *key, struct error *error)
{
	char hex[2 * JWS_KEY_BYTES + 1];
	const char *params[] = {key->kid, hex};

	crypto_hex(key->public_key, JWS_KEY_BYTES, hex);
	return pg_query(commander->pg, NULL, error, key_sql, 2, params) ||
	       error_prefix(error, "registering the signing key");
}

static bool take_line(struct commander *commander, const char *jws, struct error *error)
{
	struct signers signers;
	char version[24];
	const char *params[] = {version, jws};

	if (!signers_read(jws, strlen(jws), &signers, error))
		return error_prefix(error, "%s", commander->signing.signers_file);
	(void)snprintf(version, sizeof(version), "%" PRId64, signers.version);
	for (size_t i = 0; i < signers.count; i++) {
		if (!register_key(commander, &signers.keys[i], error))
			return false;
	}
	return pg_query(commander->pg, NULL, error, announce_sql, 2, params);
}

// The files are what counts: a database that was restored gets back what it has forgotten.
static bool take_files(struct commander *commander, struct error *error)
{
	struct signing *signing = &commander->signing;
	auto_free char *text = NULL;
	char *rest = NULL;

	if (!register_key(commander, jws_signer_key(signing->signer), error))
		return false;
	if (!file_exists(signing->signers_file))
		return true;
	if (!file_stamp(signing->signers_file, &signing->signers_stamp, error))
		return false;
	text = file_read(signing->signers_file, SIGNERS_FILE_MAX_BYTES, NULL, error);
	if (!text)
		return false;
	signing->announced = true;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!take_line(commander, line, error))
			return false;
	}
	return true;
}

// Who enrols from now on is told the keys of the newest announcement, whichever commander made it.
static bool look_up_newest(struct commander *commander, struct error *error)
{
	struct signing *signing = &commander->signing;
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf kids = {0};
	struct signers signers;
	const char *params[1];

	if (!pg_query(commander->pg, &rows, error, newest_sql, 0, NULL))
		return false;
	if (pg_rows(rows) == 0)
		return true;
	if (!signers_read(pg_text(rows, 0, 1), strlen(pg_text(rows, 0, 1)), &signers, error))
		return error_prefix(error, "the newest row of signer_set");
	signing->version = signers.version;
	buf_init(&kids, SIGNERS_MAX * (JWS_KID_MAX + 1) + 2);
	for (size_t i = 0; i < signers.count; i++)
		(void)buf_addf(&kids, "%c%s", i == 0 ? '{' : ',', signers.keys[i].kid);
	(void)buf_add_str(&kids, "}");
	params[0] = buf_str(&kids);
	if (!signers_find(&signers, jws_signer_key(signing->signer)->kid))
		log_warn("signing_key.not_announced", "kid", jws_signer_key(signing->signer)->kid, "reason",
			 "devices refuse what it signs: muster signing-key list shows whom they obey");
	return pg_query(commander->pg, NULL, error, retire_sql, 1, params);
}

static bool tell_devices(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	char version[24];
	char most[16];
	const char *params[] = {version, commander->cell, most};
	size_t devices = 0;

	commander->signing.looked_ms = clock_mono_ms();
	(void)snprintf(version, sizeof(version), "%" PRId64, commander->signing.version);
	(void)snprintf(most, sizeof(most), "%d", TOLD_MAX);
	if (!pg_query(commander->pg, &rows, error, tell_sql, 3, params))
		return error_prefix(error, "announcing signers");
	for (size_t row = 0; row < pg_rows(rows); row++) {
		if (!moves_publish(commander, pg_text(rows, row, 0), pg_text(rows, row, 1), NULL, error))
			return false;
		devices += row == 0 || strcmp(pg_text(rows, row, 0), pg_text(rows, row - 1, 0)) != 0;
	}
	if (devices < TOLD_MAX)
		commander->due &= ~(unsigned)DUE_SIGNERS;
	return true;
}

bool signing_run(struct commander *commander, struct error *error)
{
	struct signing *signing = &commander->signing;

	if (!signing->taken && (!take_files(commander, error) || !look_up_newest(commander, error)))
		return false;
	signing->taken = true;
	if (signing->version == 0 || !mqtt_connected(commander->mqtt)) {
		commander->due &= ~(unsigned)DUE_SIGNERS;
		return true;
	}
	return tell_devices(commander, error);
}
