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

struct authorities {
	X509 *device, *service;
};

static X509 *load(const char *path, struct error *error)
{
	size_t len_bytes = 0;
	auto_free char *pem = file_read(path, PEM_MAX_BYTES, &len_bytes, error);
	BIO *bio = pem ? BIO_new_mem_buf(pem, (int)len_bytes) : NULL;
	X509 *x509 = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	if (pem && !x509) {
		ERR_clear_error();
		(void)error_set(error, ERROR_INVALID, "%s holds no certificate in PEM form", path);
	}
	return x509;
}

struct authorities *authorities_load(const char *device_ca_file, const char *service_ca_file, struct error *error)
{
	struct authorities *authorities = calloc(1, sizeof(*authorities));

	if (!authorities) {
		(void)error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	authorities->device = load(device_ca_file, error);
	authorities->service = authorities->device ? load(service_ca_file, error) : NULL;
	if (!authorities->service) {
		authorities_free(authorities);
		return NULL;
	}
	return authorities;
}

void authorities_free(struct authorities *authorities)
{
	if (!authorities)
		return;
	X509_free(authorities->device);
	X509_free(authorities->service);
	free(authorities);
}

enum identity_issuer authorities_issuer(const struct authorities *authorities, const void *x509)
{
	X509 *certificate = (X509 *)x509;
	bool by_device = X509_check_issued(authorities->device, certificate) == X509_V_OK;
	bool by_service = X509_check_issued(authorities->service, certificate) == X509_V_OK;

	if (by_device == by_service) // neither; or two roots that cannot be told apart
		return ISSUER_UNKNOWN;
	return by_device ? ISSUER_DEVICE_CA : ISSUER_SERVICE_CA;
}
