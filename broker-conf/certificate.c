#include "broker-conf/certificate.h"

#include "common/file.h"
#include "common/limits.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string.h>

#define ROOTS_MAX 16 // in one file; two or three while one takes another's place

static bool read_name(X509 *x509, struct certificate *out, struct error *error)
{
	X509_NAME *subject = X509_get_subject_name(x509);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int len_bytes;

	if (at < 0)
		return error_set(error, ERROR_DENIED, "the certificate has no CN");
	if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return error_set(error, ERROR_DENIED, "the certificate has more than one CN");
	len_bytes = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len_bytes < 0 || len_bytes > CERTIFICATE_NAME_MAX) {
		OPENSSL_free(utf8);
		ERR_clear_error();
		return error_set(error, ERROR_DENIED, "the certificate's CN is not UTF-8 or too long");
	}
	memcpy(out->name, utf8, (size_t)len_bytes);
	out->name[len_bytes] = '\0';
	out->name_bytes = (size_t)len_bytes;
	OPENSSL_free(utf8);
	return true;
}

static bool read_serial(X509 *x509, struct certificate *out, struct error *error)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;
	bool ok = hex && revocations_serial(hex, out->serial);

	OPENSSL_free(hex);
	BN_free(number);
	if (!ok) {
		ERR_clear_error();
		return error_set(error, ERROR_DENIED, "the certificate's serial number is negative or too long");
	}
	return true;
}

bool certificate_read(const void *x509, struct certificate *out, struct error *error)
{
	X509 *certificate = (X509 *)x509; // OpenSSL's getters are not const-correct

	return read_name(certificate, out, error) && read_serial(certificate, out, error);
}

void certificate_free(void *x509)
{
	X509_free(x509);
}

// The roots in one file, and the file's state when they were read.
struct roots {
	char *path;
	X509 *list[ROOTS_MAX];
	size_t count;
	struct file_stamp stamp;
	bool read;
};

struct authorities {
	struct roots device, service;
};

static void forget(struct roots *roots)
{
	for (size_t i = 0; i < roots->count; i++)
		X509_free(roots->list[i]);
	roots->count = 0;
	roots->read = false;
}

static bool read_roots(struct roots *roots, struct error *error)
{
	size_t len_bytes = 0;
	auto_free char *pem = file_read(roots->path, PEM_MAX_BYTES, &len_bytes, error);
	BIO *bio = pem ? BIO_new_mem_buf(pem, (int)len_bytes) : NULL;
	X509 *x509 = NULL;

	if (!pem)
		return false;
	while (bio && (x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (roots->count == ROOTS_MAX) {
			X509_free(x509);
			BIO_free(bio);
			return error_set(error, ERROR_LIMIT, "%s holds more than %d certificates", roots->path,
					 ROOTS_MAX);
		}
		roots->list[roots->count++] = x509;
	}
	BIO_free(bio);
	// Whatever ended the reading, it must have been the end of the text.
	bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (roots->count == 0 || !ended)
		return error_set(error, ERROR_INVALID, "%s holds no certificate in PEM form, or a broken one",
				 roots->path);
	return true;
}

static bool refresh(struct roots *roots, struct error *error)
{
	struct file_stamp stamp;

	if (!file_stamp(roots->path, &stamp, error)) {
		forget(roots);
		return false;
	}
	if (roots->read && file_stamp_equal(&roots->stamp, &stamp))
		return true;
	forget(roots);
	if (!read_roots(roots, error)) {
		forget(roots);
		return false;
	}
	roots->stamp = stamp;
	roots->read = true;
	return true;
}

bool authorities_refresh(struct authorities *authorities, struct error *error)
{
	return refresh(&authorities->device, error) && refresh(&authorities->service, error);
}

struct authorities *authorities_load(const char *device_ca_file, const char *service_ca_file, struct error *error)
{
	struct authorities *authorities = calloc(1, sizeof(*authorities));

	if (authorities) {
		authorities->device.path = strdup(device_ca_file);
		authorities->service.path = strdup(service_ca_file);
	}
	if (!authorities || !authorities->device.path || !authorities->service.path) {
		(void)error_set(error, ERROR_FAILED, "out of memory");
		authorities_free(authorities);
		return NULL;
	}
	if (!authorities_refresh(authorities, error)) {
		authorities_free(authorities);
		return NULL;
	}
	return authorities;
}

void authorities_free(struct authorities *authorities)
{
	if (!authorities)
		return;
	forget(&authorities->device);
	forget(&authorities->service);
	free(authorities->device.path);
	free(authorities->service.path);
	free(authorities);
}

static bool issued(const struct roots *roots, X509 *certificate)
{
	for (size_t i = 0; roots->read && i < roots->count; i++) {
		if (X509_check_issued(roots->list[i], certificate) == X509_V_OK)
			return true;
	}
	return false;
}

enum identity_issuer authorities_issuer(const struct authorities *authorities, const void *x509)
{
	X509 *certificate = (X509 *)x509;
	bool by_device = issued(&authorities->device, certificate);
	bool by_service = issued(&authorities->service, certificate);

	if (by_device == by_service) // neither; or roots that cannot be told apart
		return ISSUER_UNKNOWN;
	return by_device ? ISSUER_DEVICE_CA : ISSUER_SERVICE_CA;
}
