#include "broker-conf/certificate.h"

#include "common/file.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

// Certificates without a valid chain suffice: by the time the guard sees one, TLS has checked the signature.
static X509 *make(const char *issuer, const char *name, int name_bytes, int name_type, long serial)
{
	X509 *x509 = X509_new();

	assert_non_null(x509);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), serial), 1);
	if (issuer)
		assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_issuer_name(x509), "CN", MBSTRING_ASC,
							    (const unsigned char *)issuer, -1, -1, 0),
				 1);
	if (name)
		assert_int_equal(X509_NAME_add_entry_by_NID(X509_get_subject_name(x509), NID_commonName, name_type,
							    (const unsigned char *)name, name_bytes, -1, 0),
				 1);
	return x509;
}

static void reads_name_and_serial(void **state)
{
	X509 *x509 = make("ca", "kiosk-7", 7, MBSTRING_UTF8, 0xab01);
	struct certificate certificate;
	struct error error = {0};

	assert_true(certificate_read(x509, &certificate, &error));
	assert_string_equal(certificate.name, "kiosk-7");
	assert_int_equal(certificate.name_bytes, 7);
	assert_string_equal(certificate.serial, "ab01");
	X509_free(x509);
}

static void shows_a_nul_in_the_name(void **state)
{
	X509 *x509 = make("ca", "kiosk-7\0x", 9, V_ASN1_UTF8STRING, 1);
	struct certificate certificate;
	struct error error = {0};

	assert_true(certificate_read(x509, &certificate, &error));
	assert_int_equal(certificate.name_bytes, 9);
	assert_int_equal(identity_kind_of(certificate.name, certificate.name_bytes), IDENTITY_NONE);
	X509_free(x509);
}

static void refuses_none_two_and_overlong_names(void **state)
{
	char text[CERTIFICATE_NAME_MAX + 1];
	X509 *none = make("ca", NULL, 0, MBSTRING_UTF8, 1);
	X509 *two = make("ca", "kiosk-7", 7, MBSTRING_UTF8, 1);
	X509 *overlong = NULL;
	struct certificate certificate;
	struct error error = {0};

	memset(text, 'a', sizeof(text));
	overlong = make("ca", text, sizeof(text), V_ASN1_UTF8STRING, 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(two), "CN", MBSTRING_ASC,
						    (const unsigned char *)"kiosk-8", -1, -1, 0),
			 1);
	assert_false(certificate_read(none, &certificate, &error));
	assert_int_equal(error.kind, ERROR_DENIED);
	assert_false(certificate_read(two, &certificate, &error));
	assert_false(certificate_read(overlong, &certificate, &error));
	X509_free(none);
	X509_free(two);
	X509_free(overlong);
}

static void refuses_broken_utf8_through_the_grammar(void **state)
{
	X509 *x509 = make("ca", "k\xff\xfe", 3, V_ASN1_UTF8STRING, 1);
	struct certificate certificate;
	struct error error = {0};

	assert_true(!certificate_read(x509, &certificate, &error) ||
		    identity_kind_of(certificate.name, certificate.name_bytes) == IDENTITY_NONE);
	X509_free(x509);
}

// With a throwaway key: the issuer is found by name, so that whose key it is does not matter here.
static void complete(X509 *x509)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	assert_non_null(key);
	assert_int_equal(X509_set_version(x509, X509_VERSION_3), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
	assert_int_equal(X509_set_pubkey(x509, key), 1);
	assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
}

static void write_root(const char *path, const char *name)
{
	X509 *x509 = make(name, name, (int)strlen(name), MBSTRING_UTF8, 1);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	complete(x509);
	assert_int_equal(PEM_write_X509(file, x509), 1);
	assert_int_equal(fclose(file), 0);
	X509_free(x509);
}

static enum identity_issuer issuer_of(const struct authorities *authorities, const char *issuer)
{
	X509 *x509 = make(issuer, "kiosk-7", 7, MBSTRING_UTF8, 1);
	enum identity_issuer found;

	complete(x509);
	found = authorities_issuer(authorities, x509);
	X509_free(x509);
	return found;
}

static void tells_the_two_roots_apart(void **state)
{
	char folder[] = "/tmp/certificate-XXXXXX";
	char device[64];
	char service[64];
	struct authorities *authorities = NULL;
	struct error error = {0};

	assert_non_null(mkdtemp(folder));
	(void)snprintf(device, sizeof(device), "%s/device.crt", folder);
	(void)snprintf(service, sizeof(service), "%s/service.crt", folder);
	write_root(device, "device root");
	assert_null(authorities_load(device, service, &error)); // no such file
	write_root(service, "service root");
	authorities = authorities_load(device, service, &error);
	assert_non_null(authorities);
	assert_int_equal(issuer_of(authorities, "device root"), ISSUER_DEVICE_CA);
	assert_int_equal(issuer_of(authorities, "service root"), ISSUER_SERVICE_CA);
	assert_int_equal(issuer_of(authorities, "third root"), ISSUER_UNKNOWN);
	authorities_free(authorities);
	authorities = authorities_load(device, device, &error);
	assert_int_equal(issuer_of(authorities, "device root"), ISSUER_UNKNOWN); // one root for both: no way to tell
	authorities_free(authorities);
	(void)unlink(device);
	(void)unlink(service);
	(void)rmdir(folder);
}

static void append_root(const char *path, const char *name)
{
	X509 *x509 = make(name, name, (int)strlen(name), MBSTRING_UTF8, 1);
	FILE *file = fopen(path, "a");

	assert_non_null(file);
	complete(x509);
	assert_int_equal(PEM_write_X509(file, x509), 1);
	assert_int_equal(fclose(file), 0);
	X509_free(x509);
}

static void follows_a_rotation_without_a_restart(void **state)
{
	char folder[] = "/tmp/certificate-XXXXXX";
	char device[64];
	char service[64];
	struct authorities *authorities = NULL;
	struct error error = {0};
	FILE *file = NULL;

	assert_non_null(mkdtemp(folder));
	(void)snprintf(device, sizeof(device), "%s/device.crt", folder);
	(void)snprintf(service, sizeof(service), "%s/service.crt", folder);
	write_root(device, "device root");
	write_root(service, "service root");
	authorities = authorities_load(device, service, &error);
	assert_int_equal(issuer_of(authorities, "device root 2"), ISSUER_UNKNOWN);
	append_root(device, "device root 2");
	assert_true(authorities_refresh(authorities, &error));
	assert_int_equal(issuer_of(authorities, "device root"), ISSUER_DEVICE_CA);
	assert_int_equal(issuer_of(authorities, "device root 2"), ISSUER_DEVICE_CA);

	assert_int_equal(unlink(device), 0);
	write_root(device, "device root 2"); // the old one is withdrawn
	assert_true(authorities_refresh(authorities, &error));
	assert_int_equal(issuer_of(authorities, "device root"), ISSUER_UNKNOWN);
	assert_int_equal(issuer_of(authorities, "device root 2"), ISSUER_DEVICE_CA);

	// A file that is broken, even behind a good certificate, or missing: nobody.
	file = fopen(device, "a");
	assert_non_null(file);
	assert_true(fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_false(authorities_refresh(authorities, &error));
	assert_int_equal(issuer_of(authorities, "device root 2"), ISSUER_UNKNOWN);
	assert_int_equal(unlink(device), 0);
	assert_false(authorities_refresh(authorities, &error));
	assert_int_equal(issuer_of(authorities, "device root 2"), ISSUER_UNKNOWN);
	write_root(device, "device root 2");
	assert_true(authorities_refresh(authorities, &error));
	assert_int_equal(issuer_of(authorities, "device root 2"), ISSUER_DEVICE_CA);
	authorities_free(authorities);
	(void)unlink(device);
	(void)unlink(service);
	(void)rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_name_and_serial),
		cmocka_unit_test(shows_a_nul_in_the_name),
		cmocka_unit_test(refuses_none_two_and_overlong_names),
		cmocka_unit_test(refuses_broken_utf8_through_the_grammar),
		cmocka_unit_test(tells_the_two_roots_apart),
		cmocka_unit_test(follows_a_rotation_without_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
