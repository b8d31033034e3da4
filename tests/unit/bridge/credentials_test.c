#include "bridge/credentials.h"

#include "common/crypto.h"
#include "common/limits.h"
#include "tests/unit/bridge/asking.h"

static struct credentials *credentials;
static struct quota *strangers;
static int forgotten;
static char admitted_device[DEVICE_ID_MAX + 1];

static void on_forgotten(const char *device, void *user)
{
	forgotten++;
}

static void on_admitted(struct http_request *request, const char *device, void *user)
{
	(void)snprintf(admitted_device, sizeof(admitted_device), "%s", device);
	http_reply(request, 200, "text/plain", "in", 2);
}

static void check(struct http_request *request, void *user)
{
	credentials_check(credentials, request, on_admitted, NULL);
}

static void open_credentials(long per_min)
{
	struct error error = {0};
	strangers = quota_new(64, (struct quota_rate){per_min, per_min});
	const struct credentials_options options = {.worker = worker,
						    .strangers = strangers,
						    .devices = {.per_min = 60, .burst = 3},
						    .metrics = metrics,
						    .forgotten = on_forgotten};
	credentials = credentials_new(&options, &error);
	assert_non_null(credentials);
	handler = check;
	forgotten = 0;
	UNTIL(worker_fresh(worker));
}

static void close_credentials(void)
{
	settle();
	credentials_free(credentials);
	quota_free(strangers);
}

// A device with a credential that ends in so many seconds.
static void make_device(const char *device, const char *credential, int seconds)
{
	char sha256[SHA256_HEX_BYTES];
	char text[512];
	crypto_sha256_hex(credential, strlen(credential), sha256);
	(void)snprintf(text, sizeof(text),
		       "insert into device (device) values ('%s') on conflict do nothing;"
		       "insert into bearer (token_hash, device, expires_at) values (decode('%s', 'hex'), '%s', now() + "
		       "make_interval(secs => %d))",
		       device, sha256, device, seconds);
	sql(text);
}

static int ask(const char *header)
{
	struct client client = client_ask("GET", "", header, "");
	return client_status(&client);
}

static int ask_with(const char *credential)
{
	char header[256];
	(void)snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", credential);
	return ask(header);
}

#define GOOD "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OVER "ccccccccccccccccccccccccccccccccccccccccccc"
#define OUT "ddddddddddddddddddddddddddddddddddddddddddd"

static void whoever_holds_one_is_let_in(void **state)
{
	open_credentials(1000);
	make_device("c-good", GOOD, 1000);
	make_device("c-over", OVER, -1);
	assert_int_equal(ask_with(GOOD), 200);
	assert_string_equal(admitted_device, "c-good");
	assert_int_equal(ask("authorization: bearer " GOOD "\r\n"), 200);
	assert_int_equal(ask_with(OVER), 401);
	assert_int_equal(ask_with(OTHER), 401);
	assert_int_equal(ask_with(GOOD "a"), 401);
	assert_int_equal(ask_with("a"), 401);
	assert_int_equal(ask("Authorization: Basic " GOOD "\r\n"), 401);
	assert_int_equal(ask(""), 401);
	close_credentials();
}

static void a_device_has_its_quota(void **state)
{
	open_credentials(1000);
	make_device("c-quick", OTHER, 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_with(OTHER), 200);
	struct client client = client_ask("GET", "", "Authorization: Bearer " OTHER "\r\n", "");
	assert_int_equal(client_status(&client), 429);
	assert_non_null(strstr(client.text, "Retry-After: 1\r\n"));
	close_credentials();
}

static void guessing_is_charged_and_knowing_is_not(void **state)
{
	open_credentials(5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask_with(OUT), 401);
	assert_int_equal(ask_with(OUT), 429);
	assert_int_equal(ask(""), 429);
	close_credentials();
}

static void a_revoked_one_is_forgotten(void **state)
{
	open_credentials(1000);
	make_device("c-out", OUT, 1000);
	assert_int_equal(ask_with(OUT), 200);
	sql("update bearer set revoked_at = now() where device = 'c-out'");
	assert_int_equal(ask_with(OUT), 200); // nobody has told yet: it is in memory
	credentials_revoked(credentials);
	UNTIL(forgotten > 0);
	assert_int_equal(ask_with(OUT), 401);
	sql("update bearer set revoked_at = null where device = 'c-out'");
	assert_int_equal(ask_with(OUT), 200);
	sql("insert into revocation (kind, name, requested_by) values ('device', 'c-out', 'test')");
	int before = forgotten;
	credentials_revoked(credentials);
	UNTIL(forgotten > before);
	assert_int_equal(ask_with(OUT), 401);
	close_credentials();
}

// The last: the server does not come back.
static void without_the_database_nobody_is_let_in(void **state)
{
	open_credentials(1000);
	assert_int_equal(ask_with(GOOD), 200);
	postgres_stop(&postgres);
	UNTIL(!worker_fresh(worker));
	struct client client = client_ask("GET", "", "Authorization: Bearer " GOOD "\r\n", "");
	assert_int_equal(client_status(&client), 503);
	assert_non_null(strstr(client.text, "Retry-After: "));
	close_credentials();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_holds_one_is_let_in),
		cmocka_unit_test(a_device_has_its_quota),
		cmocka_unit_test(guessing_is_charged_and_knowing_is_not),
		cmocka_unit_test(a_revoked_one_is_forgotten),
		cmocka_unit_test(without_the_database_nobody_is_let_in),
	};
	return cmocka_run_group_tests(tests, asking_setup, asking_teardown);
}
