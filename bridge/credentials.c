#include "bridge/credentials.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#define uthash_fatal(text) abort() // as wherever memory runs out
#include <uthash.h>

// The condition is in the where clause twice over: of the credential and of its device.
static const char sql_find[] =
	"select b.device, extract(epoch from b.expires_at - now())::bigint from bearer b join device d using (device)"
	" where b.token_hash = decode($1, 'hex') and b.revoked_at is null and b.expires_at > now() and d.enabled"
	" and not exists (select from revocation r where r.kind = 'device' and r.name = b.device and r.revoked)";
// Whoever was put out lately: a notification does not say who, and may come late or twice.
static const char sql_revoked[] =
	"select device from device where not enabled and disabled_at > now() - interval '10 minutes'"
	" union select device from bearer where revoked_at > now() - interval '10 minutes'"
	" union (select name from revocation where kind = 'device' and revoked order by change desc limit 1000)";

struct entry {
	uint8_t hash[SHA256_BYTES];
	uint64_t key;			// its first bytes: what the table compares may take a variable time
	char device[DEVICE_ID_MAX + 1];
	int64_t check_ms;		// monotonic: not without the database from then on
	struct bucket bucket;
	UT_hash_handle hh;		// by key, in the order of insertion
	UT_hash_handle by_device;
};

struct credentials {
	struct credentials_options options;
	struct entry *entries, *devices;
	size_t revoked_jobs; // submitted and not done
	bool revoked_again;
	struct metric *known, *hits, *misses, *denied, *limited;
};

// One credential on its way to the database.
struct lookup {
	struct worker_job job;
	struct credentials *credentials;
	struct http_request *request;
	credentials_fn *admitted;
	void *user;
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX_BYTES];
	char device[DEVICE_ID_MAX + 1]; // "": it does not hold
	int64_t lifetime_s;
};

struct news {
	struct worker_job job;
	struct credentials *credentials;
	struct pg_result *rows;
};

// ---- the table ----
// The macros of uthash count as the code of whoever uses them.
// NOLINTBEGIN(readability-function-cognitive-complexity,readability-function-size)

static struct entry *find(struct credentials *credentials, const uint8_t hash[SHA256_BYTES])
{
	struct entry *entry = NULL;
	uint64_t key;

	memcpy(&key, hash, sizeof(key));
	HASH_FIND(hh, credentials->entries, &key, sizeof(key), entry);
	return entry && crypto_equal(entry->hash, hash, SHA256_BYTES) ? entry : NULL;
}

static void drop(struct credentials *credentials, struct entry *entry)
{
	HASH_DELETE(hh, credentials->entries, entry);
	HASH_DELETE(by_device, credentials->devices, entry);
	free(entry);
}

static struct entry *of_device(struct credentials *credentials, const char *device)
{
	struct entry *entry = NULL;

	HASH_FIND(by_device, credentials->devices, device, strlen(device), entry);
	return entry;
}

// In place of whatever has the same key.
static void enter(struct credentials *credentials, struct entry *entry)
{
	struct entry *same = NULL;

	HASH_FIND(hh, credentials->entries, &entry->key, sizeof(entry->key), same);
	if (same)
		drop(credentials, same);
	HASH_ADD(hh, credentials->entries, key, sizeof(entry->key), entry);
	HASH_ADD_KEYPTR(by_device, credentials->devices, entry->device, strlen(entry->device), entry);
}

// NOLINTEND(readability-function-cognitive-complexity,readability-function-size)

// A device has one entry; what it has used of its quota stays with it.
static struct entry *keep(struct credentials *credentials, const struct lookup *lookup)
{
	struct entry *old = of_device(credentials, lookup->device);
	struct entry *entry = calloc(1, sizeof(*entry));
	int64_t lifetime_ms = lookup->lifetime_s * 1000;

	if (!entry)
		return NULL;
	memcpy(entry->hash, lookup->hash, sizeof(entry->hash));
	memcpy(&entry->key, lookup->hash, sizeof(entry->key));
	memcpy(entry->device, lookup->device, sizeof(entry->device));
	entry->check_ms = clock_mono_ms() + (lifetime_ms < CREDENTIAL_CHECK_MS ? lifetime_ms : CREDENTIAL_CHECK_MS);
	if (old) {
		entry->bucket = old->bucket;
		drop(credentials, old);
	}
	if (HASH_CNT(hh, credentials->entries) >= CREDENTIALS_MAX)
		drop(credentials, credentials->entries); // the oldest
	enter(credentials, entry);
	metric_set(credentials->known, (double)HASH_CNT(hh, credentials->entries));
	return entry;
}

// ---- answers ----

static void limited(struct credentials *credentials, struct http_request *request, int64_t retry_after_s,
		    const char *detail)
{
	char seconds[24];

	metric_add(credentials->limited, 1);
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)retry_after_s);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 429, detail);
}

// One answer for whatever is wrong with it.
static void denied(struct credentials *credentials, struct http_request *request)
{
	int64_t retry_after_s;

	metric_add(credentials->denied, 1);
	(void)quota_take(credentials->options.strangers, http_peer(request), clock_mono_ms(), &retry_after_s);
	http_reply_header(request, "WWW-Authenticate", "Bearer");
	http_reply_problem(request, 401,
			   "no credential that holds: register this device with a new token, POST /v1/register");
}

static void unavailable(struct http_request *request)
{
	http_reply_header(request, "Retry-After", "2");
	http_reply_problem(request, 503, "the database is away; nothing was taken in, try again later");
}

static void admit(struct credentials *credentials, struct entry *entry, struct http_request *request,
		  credentials_fn *admitted, void *user)
{
	int64_t retry_after_s;

	if (bucket_take(&entry->bucket, credentials->options.devices, clock_mono_ms(), &retry_after_s))
		admitted(request, entry->device, user);
	else
		limited(credentials, request, retry_after_s, "too many requests of this device; wait and try again");
}

// ---- looking up ----

static bool lookup_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct lookup *lookup = (struct lookup *)job;
	auto_pg_result struct pg_result *rows = NULL;

	if (!PG_QUERY(pg, &rows, error, sql_find, lookup->hex))
		return false;
	if (pg_rows(rows) == 1) {
		(void)snprintf(lookup->device, sizeof(lookup->device), "%s", pg_text(rows, 0, 0));
		lookup->lifetime_s = pg_int(rows, 0, 1);
	}
	return true;
}

static void lookup_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct lookup *lookup = (struct lookup *)job;
	struct credentials *credentials = lookup->credentials;
	struct entry *entry = ok && lookup->device[0] ? keep(credentials, lookup) : NULL;

	if (entry)
		admit(credentials, entry, lookup->request, lookup->admitted, lookup->user);
	else if (ok && !lookup->device[0])
		denied(credentials, lookup->request);
	else
		unavailable(lookup->request);
	free(lookup);
}

static void look_up(struct credentials *credentials, struct http_request *request, const uint8_t hash[SHA256_BYTES],
		    credentials_fn *admitted, void *user)
{
	int64_t retry_after_s;
	struct lookup *lookup = NULL;

	metric_add(credentials->misses, 1);
	if (!quota_has(credentials->options.strangers, http_peer(request), clock_mono_ms(), &retry_after_s)) {
		limited(credentials, request, retry_after_s,
			"too many requests without a credential that holds from this address; wait and try again");
		return;
	}
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup) {
		unavailable(request);
		return;
	}
	*lookup = (struct lookup){.job = {.run = lookup_run, .done = lookup_done},
				  .credentials = credentials,
				  .request = request,
				  .admitted = admitted,
				  .user = user};
	memcpy(lookup->hash, hash, sizeof(lookup->hash));
	crypto_hex(hash, SHA256_BYTES, lookup->hex);
	if (!worker_submit(credentials->options.worker, &lookup->job)) {
		free(lookup);
		unavailable(request);
	}
}

// "Bearer <43 characters>" (RFC 6750 section 2.1).
static bool read_credential(const struct http_request *request, uint8_t hash[SHA256_BYTES])
{
	static const char scheme[] = "Bearer ";
	const char *text = http_header(request, "Authorization");

	if (!text || strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
		return false;
	text += sizeof(scheme) - 1;
	if (strlen(text) != TOKEN_TEXT_BYTES - 1)
		return false;
	crypto_sha256(text, TOKEN_TEXT_BYTES - 1, hash);
	return true;
}

void credentials_check(struct credentials *credentials, struct http_request *request, credentials_fn *admitted,
		       void *user)
{
	uint8_t hash[SHA256_BYTES];
	int64_t retry_after_s;

	if (!read_credential(request, hash)) {
		if (quota_has(credentials->options.strangers, http_peer(request), clock_mono_ms(), &retry_after_s))
			denied(credentials, request);
		else
			limited(credentials, request, retry_after_s,
				"too many requests without a credential that holds from this address; wait and try "
				"again");
		return;
	}
	if (!worker_fresh(credentials->options.worker)) {
		unavailable(request);
		return;
	}
	struct entry *entry = find(credentials, hash);
	if (entry && clock_mono_ms() < entry->check_ms) {
		metric_add(credentials->hits, 1);
		admit(credentials, entry, request, admitted, user);
		return;
	}
	look_up(credentials, request, hash, admitted, user);
}

// ---- revocation ----

static bool news_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct news *news = (struct news *)job;

	return pg_query(pg, &news->rows, error, sql_revoked, 0, NULL);
}

static void news_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct news *news = (struct news *)job;
	struct credentials *credentials = news->credentials;

	for (size_t i = 0; ok && i < pg_rows(news->rows); i++) {
		const char *device = pg_text(news->rows, i, 0);
		struct entry *entry = of_device(credentials, device);

		if (entry)
			drop(credentials, entry);
		credentials->options.forgotten(device, credentials->options.user);
	}
	metric_set(credentials->known, (double)HASH_CNT(hh, credentials->entries));
	pg_result_free(news->rows);
	free(news);
	credentials->revoked_jobs--;
	if (credentials->revoked_again) {
		credentials->revoked_again = false;
		credentials_revoked(credentials);
	}
	// A job that failed took the connection with it: the next one notifies anew.
}

void credentials_revoked(struct credentials *credentials)
{
	struct news *news = NULL;

	if (credentials->revoked_jobs > 0) {
		credentials->revoked_again = true;
		return;
	}
	news = calloc(1, sizeof(*news));
	if (news) {
		*news = (struct news){.job = {.run = news_run, .done = news_done}, .credentials = credentials};
		if (worker_submit(credentials->options.worker, &news->job)) {
			credentials->revoked_jobs++;
			return;
		}
	}
	free(news);
	// No room to ask: whoever is known is looked up again.
	struct entry *entry = NULL;
	struct entry *next = NULL;
	HASH_ITER (hh, credentials->entries, entry, next)
		entry->check_ms = 0;
}

// ---- making ----

struct credentials *credentials_new(const struct credentials_options *options, struct error *error)
{
	struct credentials *credentials = calloc(1, sizeof(*credentials));
	struct metrics *metrics = options->metrics;

	if (!credentials) {
		error_errno(error, ENOMEM, "cannot make the table of credentials");
		return NULL;
	}
	credentials->options = *options;
	credentials->known = metrics_gauge(metrics, "muster_credentials_known", NULL, "Bearer credentials in memory");
	credentials->hits =
		metrics_counter(metrics, "muster_credential_checks_total", "result=\"known\"", "Credentials checked");
	credentials->misses = metrics_counter(metrics, "muster_credential_checks_total", "result=\"looked-up\"", NULL);
	credentials->denied = metrics_counter(metrics, "muster_credential_checks_total", "result=\"denied\"", NULL);
	credentials->limited = metrics_counter(metrics, "muster_credential_checks_total", "result=\"limited\"", NULL);
	return credentials;
}

void credentials_free(struct credentials *credentials)
{
	if (!credentials)
		return;
	struct entry *entry = NULL;
	struct entry *next = NULL;
	HASH_ITER (hh, credentials->entries, entry, next)
		drop(credentials, entry);
	free(credentials);
}
