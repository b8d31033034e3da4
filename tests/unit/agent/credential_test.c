#include "agent/credential.h"

#include "agent/fingerprint.h"
#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <unistd.h>

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/linux"

struct place {
	struct scratch *scratch;
	struct pki_ca *ca;
	char *ca_pem;
	char state_dir[96];
	struct credential_store store; // on the laptop of the fixtures
};

static struct place place;

static int set_up(void **state)
{
	struct error error = {0};
	if (scratch_setup(state) != 0)
		return -1;
	place.scratch = *state;
	(void)snprintf(place.state_dir, sizeof(place.state_dir), "%s/state", place.scratch->folder);
	char *cert auto_free = scratch_path(state, "ca.crt");
	char *key auto_free = scratch_path(state, "ca.key");
	assert_int_equal(mkdir(place.state_dir, 0700), 0);
	assert_true(pki_ca_create(cert, key, "test CA", 30, &error));
	place.ca = pki_ca_load(cert, key, &error);
	place.ca_pem = file_read(cert, PEM_MAX_BYTES, NULL, &error);
	place.store = (struct credential_store){place.state_dir, FIXTURES "/laptop"};
	return 0;
}

static int tear_down(void **state)
{
	pki_ca_free(place.ca);
	free(place.ca_pem);
	return scratch_teardown(state);
}

static char *issue(const char *key, const char *name)
{
	struct error error = {0};
	char *csr auto_free = pki_csr_of_key(key, "x", &error);
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = name, .domain = "example.org", .lifetime_s = 86400};
	char *pem = pki_issue(place.ca, csr, &subject, NULL, &error);
	if (!pem)
		fail_msg("%s", error.what);
	return pem;
}

static void make(struct credential *out)
{
	struct error error = {0};
	*out = (struct credential){.key = pki_key_new(&error)};
	char *certificate auto_free = issue(out->key, "kiosk-7");
	if (!credential_set_certificate(out, certificate, place.ca_pem, "kiosk-7", &error))
		fail_msg("%s", error.what);
}

static void save(const char *name, struct credential *credential)
{
	struct error error = {0};
	if (!credential_save(&place.store, name, credential, &error))
		fail_msg("%s", error.what);
}

static void comes_back_whole(void **state)
{
	struct credential made auto_credential;
	struct credential loaded auto_credential = {0};
	struct error error = {0};
	make(&made);
	save(CREDENTIAL_CURRENT, &made);
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error));
	assert_string_equal(loaded.key, made.key);
	assert_string_equal(loaded.certificate, made.certificate);
	assert_string_equal(loaded.ca, place.ca_pem);
	assert_string_equal(loaded.info.common_name, "kiosk-7");
	assert_int_equal(loaded.parts, 15);
	assert_int_equal(made.parts, 15);

	struct credential asked auto_credential = {.key = pki_key_new(&error)};
	struct credential again auto_credential = {0};
	save(CREDENTIAL_NEXT, &asked);
	assert_true(credential_load(&place.store, CREDENTIAL_NEXT, &again, &error));
	assert_string_equal(again.key, asked.key);
	assert_null(again.certificate);
	assert_null(again.ca);
	assert_false(credential_load(&place.store, "credential.other", &again, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
}

// Whatever is in the folder: no line of the key in plain, and nothing that others can read.
static void assert_nothing_plain(const char *key)
{
	char line[65];
	memcpy(line, strchr(key, '\n') + 1, 64);
	line[64] = '\0';
	DIR *folder = opendir(place.state_dir);
	size_t files = 0;
	for (struct dirent *entry; (entry = readdir(folder));) {
		char path[400];
		struct stat status;
		struct error error;
		size_t len_bytes;
		(void)snprintf(path, sizeof(path), "%s/%s", place.state_dir, entry->d_name);
		assert_int_equal(stat(path, &status), 0);
		if (!S_ISREG(status.st_mode))
			continue;
		char *text auto_free = file_read(path, 1 << 20, &len_bytes, &error);
		assert_null(memmem(text, len_bytes, line, 64));
		assert_null(memmem(text, len_bytes, "PRIVATE KEY", 11));
		assert_int_equal(status.st_mode & 07777, 0600);
		files++;
	}
	(void)closedir(folder);
	assert_true(files > 0);
}

static void nothing_is_plain_on_the_disk(void **state)
{
	struct credential made auto_credential;
	make(&made);
	save(CREDENTIAL_CURRENT, &made);
	assert_nothing_plain(made.key);
}

static void a_copy_is_of_no_use_elsewhere(void **state)
{
	struct credential made auto_credential;
	struct credential stolen auto_credential = {0};
	struct error error = {0};
	make(&made);
	save(CREDENTIAL_CURRENT, &made);
	struct credential_store elsewhere = {place.state_dir, FIXTURES "/modem-board"};
	assert_false(credential_load(&elsewhere, CREDENTIAL_CURRENT, &stolen, &error));
	assert_int_equal(error.kind, ERROR_DENIED);
	assert_non_null(strstr(error.what, "machine id"));
	assert_null(stolen.key);

	// Another machine that has all four, too.
	char *machine auto_free = scratch_path(state, "machine");
	char command[600];
	(void)snprintf(command, sizeof(command), "cp -a %s/laptop %s && echo 0123 > %s/etc/machine-id", FIXTURES,
		       machine, machine);
	assert_int_equal(system(command), 0);
	elsewhere.root = machine;
	assert_false(credential_load(&elsewhere, CREDENTIAL_CURRENT, &stolen, &error));
	assert_non_null(strstr(error.what, "other hardware"));

	// Nor without the salt.
	char salt[128];
	(void)snprintf(salt, sizeof(salt), "%s/%s", place.state_dir, CREDENTIAL_SALT);
	assert_true(file_write(salt, "0123456789abcdef0123456789abcdef", 32, 0600, &error));
	assert_false(credential_load(&place.store, CREDENTIAL_CURRENT, &stolen, &error));
	assert_int_equal(unlink(salt), 0);
	assert_false(credential_load(&place.store, CREDENTIAL_CURRENT, &stolen, &error));
	assert_non_null(strstr(error.what, "salt"));
}

// What can be read of the machine must be what counted at the sealing; what comes later does not count.
static void only_what_counted_then_counts(void **state)
{
	struct credential made auto_credential;
	struct credential loaded auto_credential = {0};
	struct error error = {0};
	make(&made);
	made.parts = FINGERPRINT_MACHINE | FINGERPRINT_BOARD; // as if the rest had not been readable
	save(CREDENTIAL_CURRENT, &made);
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error));
	assert_int_equal(loaded.parts, FINGERPRINT_MACHINE | FINGERPRINT_BOARD);

	struct credential bare auto_credential = {.key = pki_key_new(&error)};
	struct credential again auto_credential = {0};
	struct credential_store nothing = {place.state_dir, FIXTURES "/bare"};
	assert_true(credential_save(&nothing, CREDENTIAL_NEXT, &bare, &error));
	assert_int_equal(bare.parts, 0);
	assert_true(credential_load(&place.store, CREDENTIAL_NEXT, &again, &error));
	made.parts = 15;
	assert_false(credential_save(&nothing, CREDENTIAL_CURRENT, &made, &error));
}

static void every_changed_byte_is_noticed(void **state)
{
	struct credential made auto_credential;
	struct credential loaded auto_credential = {0};
	struct error error = {0};
	char path[128];
	size_t len_bytes;
	make(&made);
	save(CREDENTIAL_CURRENT, &made);
	(void)snprintf(path, sizeof(path), "%s/%s", place.state_dir, CREDENTIAL_CURRENT);
	char *file auto_free = file_read(path, 1 << 20, &len_bytes, &error);
	for (size_t i = 0; i < len_bytes; i += i < 40 ? 1 : 97) {
		file[i] ^= 1;
		assert_true(file_write(path, file, len_bytes, 0600, &error));
		if (credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error))
			fail_msg("byte %zu may be changed", i);
		file[i] ^= 1;
	}
	for (size_t bytes = 0; bytes < len_bytes; bytes += 61) {
		assert_true(file_write(path, file, bytes, 0600, &error));
		assert_false(credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error));
	}
	assert_true(file_write(path, file, len_bytes, 0600, &error));
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error));
}

static void plain(const char *name, const char *text)
{
	char path[128];
	struct error error;
	(void)snprintf(path, sizeof(path), "%s/%s", place.state_dir, name);
	assert_true(file_write(path, text, strlen(text), 0600, &error));
}

// Without the newline at the end, which files of secrets lose when they are read.
static void assert_same_key(const char *taken, const char *key)
{
	assert_int_equal(strlen(taken), strlen(key) - 1);
	assert_memory_equal(taken, key, strlen(taken));
}

static void plain_files_are_taken_over_once(void **state)
{
	struct credential made auto_credential;
	struct credential loaded auto_credential = {0};
	struct error error = {0};
	make(&made);
	plain("device.key", made.key);
	plain("device.crt", made.certificate);
	plain("ca.crt", made.ca);
	assert_true(credential_exists(&place.store, CREDENTIAL_CURRENT));
	if (!credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error))
		fail_msg("%s", error.what);
	assert_same_key(loaded.key, made.key);
	assert_string_equal(loaded.certificate, made.certificate);
	assert_nothing_plain(made.key);

	// What a crash before the wiping leaves is not taken over a second time.
	plain("device.key", "an old key");
	struct credential again auto_credential = {0};
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &again, &error));
	assert_same_key(again.key, made.key);
	assert_nothing_plain(made.key);
}

static void a_key_that_got_no_certificate_is_taken_over(void **state)
{
	struct credential made auto_credential;
	struct credential loaded auto_credential = {0};
	struct error error = {0};
	make(&made);
	plain("device.key", made.key);
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error));
	assert_same_key(loaded.key, made.key);
	assert_null(loaded.certificate);
}

static void the_next_takes_its_place(void **state)
{
	struct credential first auto_credential;
	struct credential second auto_credential;
	struct credential loaded auto_credential = {0};
	struct error error = {0};
	make(&first);
	make(&second);
	save(CREDENTIAL_CURRENT, &first);
	save(CREDENTIAL_NEXT, &second);
	assert_true(credential_promote(&place.store, &error));
	assert_false(credential_exists(&place.store, CREDENTIAL_NEXT));
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &loaded, &error));
	assert_string_equal(loaded.key, second.key);
	assert_false(credential_promote(&place.store, &error));

	assert_true(credential_wipe(&place.store, CREDENTIAL_CURRENT, &error));
	assert_false(credential_exists(&place.store, CREDENTIAL_CURRENT));
	assert_true(credential_wipe(&place.store, CREDENTIAL_CURRENT, &error));
}

static void a_certificate_must_fit(void **state)
{
	struct credential made auto_credential;
	struct error error = {0};
	make(&made);
	char *other_key auto_secret = pki_key_new(&error);
	char *of_other auto_free = issue(other_key, "kiosk-7");
	char *of_name auto_free = issue(made.key, "kiosk-8");
	char *before auto_free = strdup(made.certificate);
	assert_false(credential_set_certificate(&made, of_other, place.ca_pem, "kiosk-7", &error));
	assert_non_null(strstr(error.what, "another key"));
	assert_false(credential_set_certificate(&made, of_name, place.ca_pem, "kiosk-7", &error));
	assert_non_null(strstr(error.what, "for kiosk-8, and not for kiosk-7"));
	assert_false(credential_set_certificate(&made, before, before, "kiosk-7", &error)); // no authority
	assert_false(credential_set_certificate(&made, "nonsense", place.ca_pem, "kiosk-7", &error));
	assert_string_equal(made.certificate, before);
	assert_true(credential_set_certificate(&made, of_name, place.ca_pem, NULL, &error));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(comes_back_whole),
		TEST(nothing_is_plain_on_the_disk),
		TEST(a_copy_is_of_no_use_elsewhere),
		TEST(only_what_counted_then_counts),
		TEST(every_changed_byte_is_noticed),
		TEST(plain_files_are_taken_over_once),
		TEST(a_key_that_got_no_certificate_is_taken_over),
		TEST(the_next_takes_its_place),
		TEST(a_certificate_must_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
