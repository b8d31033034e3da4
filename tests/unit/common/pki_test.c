#include "common/pki.h"

#include "tests/unit/scratch.h"

#include <time.h>

static struct pki_ca *ca_new(void **state, const char *name, int days)
{
	char cert_name[64], key_name[64];
	(void)snprintf(cert_name, sizeof(cert_name), "%s.crt", name);
	(void)snprintf(key_name, sizeof(key_name), "%s.key", name);
	char *cert auto_free = scratch_path(state, cert_name);
	char *key auto_free = scratch_path(state, key_name);
	struct error error = {0};
	if (!pki_ca_create(cert, key, "Muster test CA", days, &error))
		fail_msg("%s", error.what);
	struct pki_ca *ca = pki_ca_load(cert, key, &error);
	if (!ca)
		fail_msg("%s", error.what);
	return ca;
}

static char *csr_new(void **state, const char *key_name, const char *common_name)
{
	char *key auto_free = scratch_path(state, key_name);
	struct error error = {0};
	if (!file_exists(key))
		assert_true(pki_key_create(key, &error));
	char *csr = pki_csr_create(key, common_name, &error);
	if (!csr)
		fail_msg("%s", error.what);
	return csr;
}

// Output of a command of the openssl program, which judges our certificates; malloc'd.
static char *openssl(void **state, const char *format, const char *argument)
{
	struct scratch *scratch = *state;
	char command[1024];
	int used = snprintf(command, sizeof(command), "cd %s && openssl ", scratch->folder);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(command + used, sizeof(command) - (size_t)used, format, argument);
#pragma GCC diagnostic pop
	FILE *pipe = popen(command, "re");
	assert_non_null(pipe);
	static char text[32768];
	size_t len = fread(text, 1, sizeof(text) - 1, pipe);
	text[len] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return strdup(text);
}

static char *issue(struct pki_ca *ca, const char *csr, struct pki_subject subject, struct pki_certificate_info *info)
{
	struct error error = {0};
	char *pem = pki_issue(ca, csr, &subject, info, &error);
	if (!pem)
		fail_msg("%s", error.what);
	return pem;
}

static const struct pki_subject device = {PKI_DEVICE, "pump-7", "fleet.example", NULL, 86400};

static void must_contain(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in %s", part, text);
}

static void a_device_certificate_says_what_the_server_decided(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *csr auto_free = csr_new(state, "device.key", "svc.ingest"); // the request's own wish does not count
	struct pki_certificate_info info;
	char *pem auto_free = issue(ca, csr, device, &info);
	assert_string_equal(info.common_name, "pump-7");
	int64_t now = (int64_t)time(NULL);
	assert_in_range(now - info.not_before_s, 295, 310);
	assert_in_range(info.not_after_s - now, 86390, 86400);
	assert_int_equal(strlen(info.serial), 32);
	struct pki_subject brief = device;
	brief.lifetime_s = 60;
	struct pki_certificate_info brief_info;
	char *brief_pem auto_free = issue(ca, csr, brief, &brief_info);
	assert_int_equal(brief_info.not_after_s - brief_info.not_before_s, 65);

	char *path auto_free = scratch_write(state, "device.crt", pem, 0644);
	char *text auto_free = openssl(state, "x509 -noout -text -in %s", "device.crt");
	static const char *const parts[] = {
		"Subject: CN = pump-7\n",
		"Issuer: CN = Muster test CA\n",
		"CA:FALSE",
		"URI:spiffe://fleet.example/device/pump-7\n",
		"TLS Web Client Authentication\n",
		"Digital Signature\n",
		"NIST CURVE: P-256",
		"ecdsa-with-SHA256",
		"X509v3 Authority Key Identifier",
		"Version: 3",
	};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		must_contain(text, parts[i]);
	assert_null(strstr(text, "svc.ingest"));
	assert_null(strstr(text, "Server Authentication"));
	assert_null(strstr(text, "DNS:"));
	char *verified auto_free =
		openssl(state, "verify -x509_strict -purpose sslclient -CAfile ca.crt %s", "device.crt");
	assert_string_equal(verified, "device.crt: OK\n");

	struct pki_certificate_info again;
	assert_true(pki_certificate_info(pem, &again, NULL));
	assert_memory_equal(&again, &info, sizeof(info));
	char *digest auto_free = openssl(state, "x509 -outform DER -in %s | sha256sum | cut -c1-64", "device.crt");
	digest[64] = '\0';
	assert_string_equal(digest, info.sha256);
	char key_sha256[SHA256_HEX_BYTES];
	assert_true(pki_csr_key_sha256(csr, key_sha256, NULL));
	assert_string_equal(key_sha256, info.key_sha256);
}

static void other_profiles(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *csr auto_free = csr_new(state, "x.key", "x");
	static const char *const hosts[] = {"broker.example", "127.0.0.1", "::1", NULL};
	char *server auto_free =
		issue(ca, csr, (struct pki_subject){PKI_SERVER, "broker.example", NULL, hosts, 86400}, NULL);
	char *path auto_free = scratch_write(state, "server.crt", server, 0644);
	char *text auto_free = openssl(state, "x509 -noout -text -in %s", "server.crt");
	must_contain(text, "DNS:broker.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1\n");
	must_contain(text, "TLS Web Server Authentication\n");
	assert_null(strstr(text, "Client Authentication"));
	char *verified auto_free = openssl(
		state, "verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 -CAfile ca.crt %s", "server.crt");
	assert_string_equal(verified, "server.crt: OK\n");

	struct pki_certificate_info info;
	char *service auto_free =
		issue(ca, csr, (struct pki_subject){PKI_SERVICE, "svc.ingest", NULL, NULL, 86400}, &info);
	assert_string_equal(info.common_name, "svc.ingest");
	char *operator auto_free =
		issue(ca, csr, (struct pki_subject){PKI_OPERATOR, "op.alice", NULL, NULL, 86400}, &info);
	assert_string_equal(info.common_name, "op.alice");
}

static void names_must_fit_the_profile(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *csr auto_free = csr_new(state, "x.key", "x");
	static const char *const hosts[] = {"a.example", NULL};
	static const char *const bad_hosts[] = {"a example", NULL};
	static const char *const no_hosts[] = {NULL};
	const struct pki_subject cases[] = {
		{PKI_DEVICE, "svc.ingest", "fleet.example", NULL, 86400},
		{PKI_DEVICE, "op.alice", "fleet.example", NULL, 86400},
		{PKI_DEVICE, "", "fleet.example", NULL, 86400},
		{PKI_DEVICE, "a/b", "fleet.example", NULL, 86400},
		{PKI_DEVICE, "+", "fleet.example", NULL, 86400},
		{PKI_DEVICE, "pump-7", NULL, NULL, 86400},
		{PKI_DEVICE, "pump-7", "a/b", NULL, 86400},
		{PKI_DEVICE, "pump-7", "fleet.example", NULL, 0},
		{PKI_SERVICE, "pump-7", NULL, NULL, 86400},
		{PKI_SERVICE, "op.alice", NULL, NULL, 86400},
		{PKI_OPERATOR, "svc.ingest", NULL, NULL, 86400},
		{PKI_OPERATOR, "alice", NULL, NULL, 86400},
		{PKI_SERVER, "", NULL, hosts, 86400},
		{PKI_SERVER, "a.example", NULL, NULL, 86400},
		{PKI_SERVER, "a.example", NULL, no_hosts, 86400},
		{PKI_DEVICE, "pump-7", "fleet.example", NULL, -1},
	};
	struct error error;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (pki_issue(ca, csr, &cases[i], NULL, &error))
			fail_msg("case %zu was issued", i);
		assert_int_equal(error.kind, ERROR_INVALID);
	}
	const struct pki_subject host = {PKI_SERVER, "a.example", NULL, bad_hosts, 86400};
	assert_null(pki_issue(ca, csr, &host, NULL, &error));
}

static void nothing_outlives_its_authority(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 2);
	char *csr auto_free = csr_new(state, "x.key", "x");
	struct pki_subject subject = device;
	subject.lifetime_s = 3650LL * 86400;
	struct pki_certificate_info info;
	char *pem auto_free = issue(ca, csr, subject, &info);
	assert_in_range(info.not_after_s - (int64_t)time(NULL), 2 * 86400 - 10, 2 * 86400);
}

static void serial_numbers_differ(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *csr auto_free = csr_new(state, "x.key", "x");
	struct pki_certificate_info one, two;
	char *first auto_free = issue(ca, csr, device, &one);
	char *second auto_free = issue(ca, csr, device, &two);
	assert_string_not_equal(one.serial, two.serial);
	assert_string_equal(one.key_sha256, two.key_sha256);
	char *other auto_free = csr_new(state, "other.key", "x");
	char sha256[SHA256_HEX_BYTES];
	assert_true(pki_csr_key_sha256(other, sha256, NULL));
	assert_string_not_equal(sha256, one.key_sha256);
}

static void must_refuse(struct pki_ca *ca, const char *csr, const char *why)
{
	struct error error = {0};
	char *pem auto_free = pki_issue(ca, csr, &device, NULL, &error);
	if (pem)
		fail_msg("issued: %s", csr);
	assert_int_equal(error.kind, ERROR_INVALID);
	must_contain(error.what, why);
}

static void bad_requests_are_refused(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	must_refuse(ca, "", "not a certificate request");
	must_refuse(ca, "nonsense", "not a certificate request");
	char *csr auto_free = csr_new(state, "x.key", "x");
	char *huge auto_free = malloc(1 << 20);
	assert_non_null(huge);
	memset(huge, '\n', (1 << 20) - 1);
	huge[(1 << 20) - 1] = '\0';
	memcpy(huge + (1 << 20) - 1 - strlen(csr), csr, strlen(csr));
	must_refuse(ca, huge, "not a certificate request");

	static const char *const weak[] = {"rsa:1024", "ed25519", "ec -pkeyopt ec_paramgen_curve:secp256k1",
					   "ec -pkeyopt ec_paramgen_curve:secp224r1"};
	for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
		char *request auto_free =
			openssl(state, "req -new -nodes -newkey %s -keyout weak.key -subj /CN=x 2>&1", weak[i]);
		must_refuse(ca, request, "key is not");
	}
	static const char *const strong[] = {"rsa:2048", "ec -pkeyopt ec_paramgen_curve:secp384r1"};
	for (size_t i = 0; i < sizeof(strong) / sizeof(strong[0]); i++) {
		char *request auto_free = openssl(
			state, "req -new -nodes -newkey %s -keyout strong.key -subj /CN=x 2>/dev/null", strong[i]);
		char *pem auto_free = issue(ca, request, device, NULL);
	}
}

// The last byte of the DER is in the signature.
static void a_wrong_self_signature_is_refused(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *csr auto_free = csr_new(state, "x.key", "x");
	char *path auto_free = scratch_write(state, "x.csr", csr, 0644);
	char *der_path auto_free = scratch_path(state, "x.der");
	char *none auto_free = openssl(state, "req -in x.csr -outform DER -out %s", "x.der");
	size_t len;
	char *der auto_free = file_read(der_path, 10000, &len, NULL);
	der[len - 1] = (char)(der[len - 1] ^ 1);
	assert_true(file_write(der_path, der, len, 0644, NULL));
	char *bad auto_free = openssl(state, "req -inform DER -in %s", "x.der");
	must_refuse(ca, bad, "signature is wrong");
}

static void wishes_in_the_request_are_ignored(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *request auto_free = openssl(
		state,
		"req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout w.key -subj /CN=svc.ingest/O=Evil "
		"-addext basicConstraints=critical,CA:TRUE -addext subjectAltName=%s "
		"-addext extendedKeyUsage=serverAuth 2>/dev/null",
		"DNS:evil.example,URI:spiffe://fleet.example/device/other");
	char *pem auto_free = issue(ca, request, device, NULL);
	char *path auto_free = scratch_write(state, "w.crt", pem, 0644);
	char *text auto_free = openssl(state, "x509 -noout -text -in %s", "w.crt");
	must_contain(text, "Subject: CN = pump-7\n");
	must_contain(text, "CA:FALSE");
	static const char *const absent[] = {"CA:TRUE", "evil", "Evil", "device/other", "Server Authentication"};
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_null(strstr(text, absent[i]));
}

static void authorities_need_their_own_private_key(void **state)
{
	struct pki_ca *one cleanup(pki_ca_free_cleanup) = ca_new(state, "one", 30);
	struct pki_ca *two cleanup(pki_ca_free_cleanup) = ca_new(state, "two", 30);
	char *cert auto_free = scratch_path(state, "one.crt");
	char *key auto_free = scratch_path(state, "one.key");
	char *other_key auto_free = scratch_path(state, "two.key");
	struct error error;
	assert_null(pki_ca_load(cert, other_key, &error));
	assert_int_equal(error.kind, ERROR_INVALID);

	struct stat status;
	assert_int_equal(stat(key, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(chmod(key, 0640), 0);
	assert_null(pki_ca_load(cert, key, &error));
	assert_int_equal(error.kind, ERROR_DENIED);
	assert_int_equal(chmod(key, 0600), 0);

	assert_false(pki_ca_create(cert, key, "x", 30, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
	char *new_cert auto_free = scratch_path(state, "new.crt");
	assert_false(pki_ca_create(new_cert, key, "x", 30, &error)); // never over a key that is there
	assert_int_equal(error.kind, ERROR_EXISTS);
	assert_false(pki_key_create(key, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);

	// A leaf is no authority.
	char *csr auto_free = csr_new(state, "leaf.key", "x");
	char *pem auto_free = issue(one, csr, device, NULL);
	char *leaf auto_free = scratch_write(state, "leaf.crt", pem, 0644);
	char *leaf_key auto_free = scratch_path(state, "leaf.key");
	assert_null(pki_ca_load(leaf, leaf_key, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void keys_in_memory(void **state)
{
	struct pki_ca *ca = ca_new(state, "ca", 30);
	struct error error = {0};
	char *key auto_secret = pki_key_new(&error);
	char *csr auto_free = key ? pki_csr_of_key(key, "whatever", &error) : NULL;
	char of_csr[SHA256_HEX_BYTES];
	struct pki_certificate_info info;
	if (!csr)
		fail_msg("%s", error.what);
	assert_true(pki_csr_key_sha256(csr, of_csr, &error));
	char *pem auto_free = issue(ca, csr, device, &info);
	assert_string_equal(info.key_sha256, of_csr);
	assert_true(pki_check_pair(key, pem, &error));
	char *other auto_secret = pki_key_new(&error);
	assert_false(pki_check_pair(other, pem, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_null(pki_csr_of_key("nonsense", "x", &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_false(pki_check_pair(pem, pem, &error));
	pki_ca_free(ca);
}

static void bundles_are_checked(void **state)
{
	struct pki_ca *ca = ca_new(state, "one", 30);
	pki_ca_free(ca_new(state, "two", 30));
	struct error error = {0};
	char *one_path auto_free = scratch_path(state, "one.crt");
	char *two_path auto_free = scratch_path(state, "two.crt");
	char *one auto_free = file_read(one_path, 16384, NULL, &error);
	char *two auto_free = file_read(two_path, 16384, NULL, &error);
	char *csr auto_free = csr_new(state, "leaf.key", "x");
	char *leaf auto_free = issue(ca, csr, device, NULL);
	char bundle[32768];
	size_t count = 0;
	(void)snprintf(bundle, sizeof(bundle), "# the old one\n%s\n%s", one, two);
	assert_true(pki_bundle_check(bundle, &count, &error));
	assert_int_equal(count, 2);
	(void)snprintf(bundle, sizeof(bundle), "%s%s", one, leaf);
	assert_false(pki_bundle_check(bundle, &count, &error)); // a leaf is no authority
	(void)snprintf(bundle, sizeof(bundle), "%s%.200s", one, two);
	assert_false(pki_bundle_check(bundle, &count, &error)); // cut short
	assert_false(pki_bundle_check("", &count, &error));
	assert_false(pki_bundle_check("nonsense", &count, &error));
	char *gone auto_free = openssl(
		state,
		"req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout n.key -subj %s -addext "
		"basicConstraints=critical,CA:TRUE 2>/dev/null | openssl x509 -req -signkey n.key -days -1 "
		"-copy_extensions copy 2>/dev/null",
		"/CN=gone");
	assert_false(pki_bundle_check(gone, &count, &error));
	assert_non_null(strstr(error.what, "expired"));
	pki_ca_free(ca);
}

static void what_is_no_certificate(void **state)
{
	struct pki_certificate_info info;
	struct error error;
	assert_false(pki_certificate_info("", &info, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	// No CN, and two of them.
	char *none auto_free = openssl(
		state,
		"req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout n.key -subj %s 2>/dev/null",
		"/O=x");
	assert_false(pki_certificate_info(none, &info, &error));
	char *two auto_free = openssl(
		state,
		"req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout n.key -subj %s 2>/dev/null",
		"/CN=a/CN=b");
	assert_false(pki_certificate_info(two, &info, &error));
	pki_ca_free(NULL);
}

// The text of several files of the scratch folder, one behind the other, in a file of its own.
static char *concatenate(void **state, const char *to, const char *const *names, size_t count)
{
	struct buf auto_buf text;
	buf_init(&text, 100000);
	for (size_t i = 0; i < count; i++) {
		char *path auto_free = scratch_path(state, names[i]);
		char *part auto_free = file_read(path, 100000, NULL, NULL);
		assert_non_null(part);
		buf_add_str(&text, part);
	}
	return scratch_write(state, to, buf_str(&text), 0644);
}

static void the_key_chooses_the_authority_in_a_bundle(void **state)
{
	struct pki_ca *one cleanup(pki_ca_free_cleanup) = ca_new(state, "one", 30);
	struct pki_ca *two cleanup(pki_ca_free_cleanup) = ca_new(state, "two", 30);
	struct pki_ca *foreign cleanup(pki_ca_free_cleanup) = ca_new(state, "foreign", 30);
	char *bundle auto_free = concatenate(state, "both.crt", (const char *const[]){"one.crt", "two.crt"}, 2);
	struct pki_certificate_info first, second, loaded;
	assert_true(pki_ca_info(one, &first, NULL) && pki_ca_info(two, &second, NULL));
	assert_string_not_equal(first.sha256, second.sha256);
	assert_string_equal(first.issuer, "Muster test CA");

	char *one_key auto_free = scratch_path(state, "one.key");
	char *two_key auto_free = scratch_path(state, "two.key");
	char *foreign_key auto_free = scratch_path(state, "foreign.key");
	struct pki_ca *a cleanup(pki_ca_free_cleanup) = pki_ca_load(bundle, one_key, NULL);
	struct pki_ca *b cleanup(pki_ca_free_cleanup) = pki_ca_load(bundle, two_key, NULL);
	assert_true(a && pki_ca_info(a, &loaded, NULL));
	assert_string_equal(loaded.sha256, first.sha256);
	assert_true(b && pki_ca_info(b, &loaded, NULL));
	assert_string_equal(loaded.sha256, second.sha256);
	struct error error;
	assert_null(pki_ca_load(bundle, foreign_key, &error));
	assert_int_equal(error.kind, ERROR_INVALID);

	char sha256[SHA256_HEX_BYTES];
	assert_true(pki_key_sha256(two_key, sha256, NULL));
	assert_string_equal(sha256, second.key_sha256);
}

static void a_bundle_falls_apart_into_its_certificates(void **state)
{
	struct pki_ca *one cleanup(pki_ca_free_cleanup) = ca_new(state, "one", 30);
	struct pki_ca *two cleanup(pki_ca_free_cleanup) = ca_new(state, "two", 30);
	char *path auto_free = concatenate(state, "both.crt", (const char *const[]){"one.crt", "two.crt"}, 2);
	char *text auto_free = file_read(path, 100000, NULL, NULL);
	struct pki_bundle auto_pki_bundle bundle = {0};
	assert_true(pki_bundle_parse(text, &bundle, NULL));
	assert_int_equal(bundle.count, 2);
	struct pki_certificate_info info, expected;
	assert_true(pki_certificate_info(bundle.pems[1], &info, NULL) && pki_ca_info(two, &expected, NULL));
	assert_string_equal(info.sha256, expected.sha256);

	char *csr auto_free = csr_new(state, "x.key", "x");
	char *leaf auto_free = issue(two, csr, device, NULL);
	assert_true(pki_is_issued_by(leaf, bundle.pems[1]));
	assert_false(pki_is_issued_by(leaf, bundle.pems[0])); // of the same name, with another key
	assert_false(pki_is_issued_by(leaf, leaf));
	assert_false(pki_is_issued_by("", bundle.pems[0]));

	char hash[PKI_HASH_BYTES];
	char *openssl_hash auto_free = openssl(state, "x509 -noout -subject_hash -in %s", "one.crt");
	assert_true(pki_subject_hash(bundle.pems[0], hash, NULL));
	assert_memory_equal(hash, openssl_hash, 8);
	assert_false(pki_subject_hash("nonsense", hash, NULL));
}

static void what_is_no_bundle(void **state)
{
	struct pki_ca *one cleanup(pki_ca_free_cleanup) = ca_new(state, "one", 30);
	char *path auto_free = scratch_path(state, "one.crt");
	char *pem auto_free = file_read(path, 100000, NULL, NULL);
	struct pki_bundle bundle = {0};
	struct error error;
	struct buf auto_buf text;
	buf_init(&text, 100000);
	assert_false(pki_bundle_parse("", &bundle, &error));
	assert_false(pki_bundle_parse("nonsense", &bundle, &error));
	buf_add_str(&text, pem);
	buf_add_str(&text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	assert_false(pki_bundle_parse(buf_str(&text), &bundle, &error)); // one of them is broken: none counts
	buf_clear(&text);
	for (int i = 0; i <= PKI_BUNDLE_MAX; i++)
		buf_add_str(&text, pem);
	assert_false(pki_bundle_parse(buf_str(&text), &bundle, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_int_equal(bundle.count, 0);
}

// The openssl program judges: it reads our list, and refuses what stands on it.
static void a_revocation_list_holds_for_others(void **state)
{
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = ca_new(state, "ca", 30);
	char *csr auto_free = csr_new(state, "x.key", "x");
	struct pki_certificate_info good, bad;
	char *good_pem auto_free = issue(ca, csr, device, &good);
	char *bad_pem auto_free = issue(ca, csr, device, &bad);
	char *good_path auto_free = scratch_write(state, "good.crt", good_pem, 0644);
	char *bad_path auto_free = scratch_write(state, "bad.crt", bad_pem, 0644);
	const struct pki_revoked revoked[] = {{bad.serial, (int64_t)time(NULL) - 60}};
	char *crl auto_free = pki_crl_create(ca, revoked, 1, 7, 86400, NULL);
	assert_non_null(crl);
	char *crl_path auto_free = scratch_write(state, "list.crl", crl, 0644);
	char *text auto_free = openssl(state, "crl -noout -text -CAfile ca.crt -in %s 2>&1", "list.crl");
	must_contain(text, "verify OK");
	must_contain(text, "X509v3 CRL Number: \n                7\n");
	char *verdicts auto_free = openssl(
		state, "verify -crl_check -CAfile ca.crt -CRLfile list.crl good.crt %s 2>&1 || true", "bad.crt");
	must_contain(verdicts, "good.crt: OK");
	must_contain(verdicts, "certificate revoked");

	char *empty auto_free = pki_crl_create(ca, NULL, 0, 8, 86400, NULL);
	assert_non_null(empty);
	struct error error;
	const struct pki_revoked nonsense[] = {{"no hex", 0}};
	assert_null(pki_crl_create(ca, nonsense, 1, 9, 86400, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_device_certificate_says_what_the_server_decided, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(other_profiles, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(names_must_fit_the_profile, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(nothing_outlives_its_authority, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(serial_numbers_differ, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(bad_requests_are_refused, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_wrong_self_signature_is_refused, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(wishes_in_the_request_are_ignored, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(authorities_need_their_own_private_key, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(keys_in_memory, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(bundles_are_checked, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_no_certificate, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_key_chooses_the_authority_in_a_bundle, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(a_bundle_falls_apart_into_its_certificates, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_no_bundle, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_revocation_list_holds_for_others, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
