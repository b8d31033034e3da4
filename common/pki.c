#include "common/pki.h"

#include "common/file.h"
#include "common/key.h"
#include "common/limits.h"
#include "common/openssl_cleanup.h"
#include "common/topic.h"

#include <ctype.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	COMMON_NAME_MAX = 64, // RFC 5280 appendix A.1, ub-common-name
	SERIAL_BYTES = 16,
	BACKDATE_S = 300, // a device whose clock is a little behind can use its certificate at once; at most
	BACKDATE_SHARE = 12, // this part of the lifetime, which counts for renewal
	RSA_BITS_MIN = 2048,
	RSA_BITS_MAX = 8192, // beyond, checking a signature is work that a stranger could order
	HOSTS_MAX = 32,
	S_PER_DAY = 86400,
};

struct pki_ca {
	X509 *certificate;
	EVP_PKEY *key;
};

DEFINE_OPENSSL_CLEANUP(X509_REQ, req, X509_REQ_free)
DEFINE_OPENSSL_CLEANUP(X509_NAME, name, X509_NAME_free)
DEFINE_OPENSSL_CLEANUP(GENERAL_NAMES, names, GENERAL_NAMES_free)
DEFINE_OPENSSL_CLEANUP(X509_CRL, crl, X509_CRL_free)
DEFINE_OPENSSL_CLEANUP(X509_REVOKED, revoked, X509_REVOKED_free)
DEFINE_OPENSSL_CLEANUP(ASN1_INTEGER, integer, ASN1_INTEGER_free)
DEFINE_OPENSSL_CLEANUP(ASN1_TIME, time, ASN1_TIME_free)
#define auto_pkey cleanup(pkey_cleanup)
#define auto_bio cleanup(bio_cleanup)
#define auto_x509 cleanup(x509_cleanup)
#define auto_req cleanup(req_cleanup)
#define auto_name cleanup(name_cleanup)
#define auto_names cleanup(names_cleanup)
#define auto_crl cleanup(crl_cleanup)
#define auto_revoked cleanup(revoked_cleanup)
#define auto_integer cleanup(integer_cleanup)
#define auto_time cleanup(time_cleanup)

static bool invalid(struct error *error, const char *what)
{
	ERR_clear_error();
	return error_set(error, ERROR_INVALID, "%s", what);
}

// ---- PEM ----

static X509 *certificate_parse(const char *pem)
{
	BIO *bio auto_bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, key_no_passphrase, NULL) : NULL;
	ERR_clear_error();
	return certificate;
}

static X509_REQ *request_parse(const char *pem, struct error *error)
{
	X509_REQ *request = NULL;
	if (strlen(pem) <= PEM_MAX_BYTES) {
		BIO *bio auto_bio = BIO_new_mem_buf(pem, -1);
		request = bio ? PEM_read_bio_X509_REQ(bio, NULL, key_no_passphrase, NULL) : NULL;
	}
	if (!request)
		(void)invalid(error, "not a certificate request in PEM form");
	return request;
}

static char *take_text(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	return len > 0 ? strndup(data, (size_t)len) : NULL;
}

static char *certificate_to_pem(X509 *certificate, struct error *error)
{
	BIO *bio auto_bio = BIO_new(BIO_s_mem());
	char *pem = bio && PEM_write_bio_X509(bio, certificate) == 1 ? take_text(bio) : NULL;
	if (!pem)
		(void)crypto_fail(error, "cannot write a certificate");
	return pem;
}

// ---- Keys and requests ----

static EVP_PKEY *key_generate(const char *path, struct error *error)
{
	EVP_PKEY *key auto_pkey = EVP_EC_gen("P-256");
	if (!key) {
		(void)crypto_fail(error, "cannot make a key");
		return NULL;
	}
	return key_store(key, path, error) ? steal(key) : NULL;
}

bool pki_key_create(const char *path, struct error *error)
{
	EVP_PKEY *key auto_pkey = key_generate(path, error);
	return key != NULL;
}

char *pki_key_new(struct error *error)
{
	EVP_PKEY *key auto_pkey = EVP_EC_gen("P-256");
	if (!key) {
		(void)crypto_fail(error, "cannot make a key");
		return NULL;
	}
	return key_text(key, error);
}

static X509_NAME *name_new(const char *common_name)
{
	X509_NAME *name auto_name = X509_NAME_new();
	if (!name || X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name,
						-1, -1, 0) != 1)
		return NULL;
	return steal(name);
}

static char *csr_new(EVP_PKEY *key, const char *common_name, struct error *error)
{
	X509_REQ *request auto_req = X509_REQ_new();
	X509_NAME *name auto_name = name_new(common_name);
	BIO *bio auto_bio = BIO_new(BIO_s_mem());
	if (!request || !name || !bio || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
	    X509_REQ_set_subject_name(request, name) != 1 || X509_REQ_set_pubkey(request, key) != 1 ||
	    X509_REQ_sign(request, key, EVP_sha256()) <= 0 || PEM_write_bio_X509_REQ(bio, request) != 1) {
		(void)crypto_fail(error, "cannot make a certificate request");
		return NULL;
	}
	return take_text(bio);
}

char *pki_csr_create(const char *key_path, const char *common_name, struct error *error)
{
	EVP_PKEY *key auto_pkey = key_load(key_path, error);
	return key ? csr_new(key, common_name, error) : NULL;
}

char *pki_csr_of_key(const char *key_pem, const char *common_name, struct error *error)
{
	EVP_PKEY *key auto_pkey = key_parse(key_pem, "the text", error);
	return key ? csr_new(key, common_name, error) : NULL;
}

static bool key_is_strong(EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_EC: {
		char group[32] = "";
		if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
			return false;
		return strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0;
	}
	case EVP_PKEY_RSA: {
		int bits = EVP_PKEY_get_bits(key);
		return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
	}
	default:
		return false;
	}
}

// The public key of a request that proves possession of its private half; belongs to the request.
static EVP_PKEY *request_key(X509_REQ *request, struct error *error)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(request);
	// The kind of key first: it bounds the work of checking the signature.
	if (!key || !key_is_strong(key)) {
		(void)invalid(error, "the request's key is not ECDSA P-256 or P-384, nor RSA of 2048 to 8192 bits");
		return NULL;
	}
	if (X509_REQ_verify(request, key) != 1) {
		(void)invalid(error, "the request's own signature is wrong");
		return NULL;
	}
	return key;
}

static bool hash_public_key(X509_PUBKEY *key, char out[SHA256_HEX_BYTES])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(key, &der);
	if (len <= 0)
		return false;
	crypto_sha256_hex(der, (size_t)len, out);
	OPENSSL_free(der);
	return true;
}

bool pki_csr_key_sha256(const char *csr_pem, char out[SHA256_HEX_BYTES], struct error *error)
{
	X509_REQ *request auto_req = request_parse(csr_pem, error);
	if (!request)
		return false;
	if (!hash_public_key(X509_REQ_get_X509_PUBKEY(request), out))
		return invalid(error, "the request has no usable key");
	return true;
}

// ---- What a certificate says ----

static bool read_common_name(X509_NAME *subject, char *out, size_t out_bytes)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	// A NUL inside would let "a\0b" pass for "a".
	bool good = len > 0 && (size_t)len < out_bytes && !memchr(text, '\0', (size_t)len);
	if (good)
		(void)snprintf(out, out_bytes, "%.*s", len, (const char *)text);
	OPENSSL_free(text);
	return good;
}

static bool read_serial(X509 *certificate, char *out, size_t out_bytes)
{
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	char *hex = serial ? BN_bn2hex(serial) : NULL;
	BN_free(serial);
	bool good = hex && strlen(hex) < out_bytes;
	if (good) {
		for (char *c = hex; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		(void)snprintf(out, out_bytes, "%s", hex);
	}
	OPENSSL_free(hex);
	return good;
}

static bool read_time(const ASN1_TIME *time, int64_t *out)
{
	struct tm parts;
	if (ASN1_TIME_to_tm(time, &parts) != 1)
		return false;
	*out = (int64_t)timegm(&parts);
	return true;
}

static bool read_info(X509 *certificate, struct pki_certificate_info *out)
{
	struct pki_certificate_info info = {0};
	unsigned char *der = NULL;
	int len = i2d_X509(certificate, &der);
	if (len <= 0)
		return false;
	crypto_sha256_hex(der, (size_t)len, info.sha256);
	OPENSSL_free(der);
	(void)read_common_name(X509_get_issuer_name(certificate), info.issuer, sizeof(info.issuer));
	if (!read_common_name(X509_get_subject_name(certificate), info.common_name, sizeof(info.common_name)) ||
	    !read_serial(certificate, info.serial, sizeof(info.serial)) ||
	    !read_time(X509_get0_notBefore(certificate), &info.not_before_s) ||
	    !read_time(X509_get0_notAfter(certificate), &info.not_after_s) ||
	    !hash_public_key(X509_get_X509_PUBKEY(certificate), info.key_sha256))
		return false;
	*out = info;
	return true;
}

bool pki_certificate_info(const char *pem, struct pki_certificate_info *out, struct error *error)
{
	X509 *certificate auto_x509 = certificate_parse(pem);
	if (!certificate)
		return invalid(error, "not a certificate in PEM form");
	if (!read_info(certificate, out))
		return invalid(error, "the certificate lacks a common name, serial number, period or key");
	return true;
}

bool pki_check_pair(const char *key_pem, const char *certificate_pem, struct error *error)
{
	EVP_PKEY *key auto_pkey = key_parse(key_pem, "the text", error);
	X509 *certificate auto_x509 = certificate_parse(certificate_pem);
	if (!key)
		return false;
	if (!certificate || X509_check_private_key(certificate, key) != 1)
		return invalid(error, "the certificate is for another key than this device's");
	return true;
}

bool pki_key_sha256(const char *key_path, char out[SHA256_HEX_BYTES], struct error *error)
{
	EVP_PKEY *key auto_pkey = key_load(key_path, error);
	if (!key)
		return false;
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	if (len <= 0)
		return crypto_fail(error, "cannot write a public key");
	crypto_sha256_hex(der, (size_t)len, out);
	OPENSSL_free(der);
	return true;
}

// ---- Bundles ----

void pki_bundle_done(struct pki_bundle *bundle)
{
	for (size_t i = 0; i < bundle->count; i++)
		free(bundle->pems[i]);
	*bundle = (struct pki_bundle){0};
}

static bool bundle_read(BIO *bio, struct pki_bundle *bundle, struct error *error)
{
	while (!BIO_eof(bio)) {
		X509 *certificate auto_x509 = PEM_read_bio_X509(bio, NULL, key_no_passphrase, NULL);
		if (!certificate) {
			bool end = bundle->count > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
			ERR_clear_error();
			return end || invalid(error, "not certificates in PEM form");
		}
		if (bundle->count == PKI_BUNDLE_MAX)
			return error_set(error, ERROR_INVALID, "more than %d certificates", PKI_BUNDLE_MAX);
		bundle->pems[bundle->count] = certificate_to_pem(certificate, error);
		if (!bundle->pems[bundle->count])
			return false;
		bundle->count++;
	}
	return bundle->count > 0 || invalid(error, "not certificates in PEM form");
}

bool pki_bundle_parse(const char *text, struct pki_bundle *out, struct error *error)
{
	struct pki_bundle bundle = {0};
	BIO *bio auto_bio = BIO_new_mem_buf(text, -1);
	if (!bio || !bundle_read(bio, &bundle, error)) {
		pki_bundle_done(&bundle);
		return bio ? false : crypto_fail(error, "cannot read certificates");
	}
	*out = bundle;
	return true;
}

bool pki_bundle_check(const char *pem, size_t *count, struct error *error)
{
	struct pki_bundle bundle auto_pki_bundle = {0};
	if (strlen(pem) > PEM_MAX_BYTES)
		return invalid(error, "a bundle of certificates may have 16 kB");
	if (!pki_bundle_parse(pem, &bundle, error))
		return false;
	for (size_t i = 0; i < bundle.count; i++) {
		X509 *certificate auto_x509 = certificate_parse(bundle.pems[i]);
		if (!certificate || X509_check_ca(certificate) != 1)
			return invalid(error, "the bundle holds a certificate that is not an authority's");
		if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
			return invalid(error, "the bundle holds an authority that has expired");
	}
	if (count)
		*count = bundle.count;
	return true;
}

bool pki_subject_hash(const char *pem, char out[PKI_HASH_BYTES], struct error *error)
{
	X509 *certificate auto_x509 = certificate_parse(pem);
	if (!certificate)
		return invalid(error, "not a certificate in PEM form");
	(void)snprintf(out, PKI_HASH_BYTES, "%08lx", X509_subject_name_hash(certificate) & 0xffffffffUL);
	return true;
}

bool pki_is_issued_by(const char *pem, const char *authority_pem)
{
	X509 *certificate auto_x509 = certificate_parse(pem);
	X509 *authority auto_x509 = certificate_parse(authority_pem);
	bool issued = certificate && authority && X509_check_issued(authority, certificate) == X509_V_OK &&
		      X509_verify(certificate, X509_get0_pubkey(authority)) == 1;
	ERR_clear_error();
	return issued;
}

// ---- Making certificates ----

static bool set_serial(X509 *certificate)
{
	uint8_t random[SERIAL_BYTES];
	crypto_random(random, sizeof(random));
	random[0] |= 0x40; // never zero, and always of the same length
	BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
	bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return set;
}

static bool set_period(X509 *certificate, int64_t not_before_s, int64_t not_after_s)
{
	return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)not_before_s) &&
	       ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)not_after_s);
}

// value is one of our own constants, never text from a request.
static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&context);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool added = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return added;
}

// Everything but the alternative names and the signature.
static X509 *certificate_new(X509_NAME *subject, X509_NAME *issuer, EVP_PKEY *key, int64_t not_before_s,
			     int64_t not_after_s)
{
	X509 *certificate auto_x509 = X509_new();
	if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 || !set_serial(certificate) ||
	    !set_period(certificate, not_before_s, not_after_s) || X509_set_subject_name(certificate, subject) != 1 ||
	    X509_set_issuer_name(certificate, issuer) != 1 || X509_set_pubkey(certificate, key) != 1)
		return NULL;
	return steal(certificate);
}

static X509 *root_new(EVP_PKEY *key, const char *common_name, int days)
{
	int64_t now = (int64_t)time(NULL);
	X509_NAME *name auto_name = name_new(common_name);
	X509 *root auto_x509 =
		name ? certificate_new(name, name, key, now - BACKDATE_S, now + (int64_t)days * S_PER_DAY) : NULL;
	if (!root || !add_extension(root, root, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(root, root, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(root, root, NID_subject_key_identifier, "hash") || X509_sign(root, key, EVP_sha256()) <= 0)
		return NULL;
	return steal(root);
}

bool pki_ca_create(const char *cert_path, const char *key_path, const char *common_name, int days, struct error *error)
{
	if (days < 1)
		return invalid(error, "a certificate authority must live for a day at least");
	if (file_exists(cert_path))
		return error_set(error, ERROR_EXISTS, "%s exists already", cert_path);
	EVP_PKEY *key auto_pkey = key_generate(key_path, error);
	if (!key)
		return false;
	X509 *root auto_x509 = root_new(key, common_name, days);
	if (!root)
		return crypto_fail(error, "cannot make the authority's certificate");
	char *pem auto_free = certificate_to_pem(root, error);
	return pem && file_write(cert_path, pem, strlen(pem), 0644, error);
}

// The certificate that the key belongs to.
static X509 *find_authority(const struct pki_bundle *bundle, EVP_PKEY *key, const char *cert_path, const char *key_path,
			    struct error *error)
{
	bool authority = false;
	for (size_t i = 0; i < bundle->count; i++) {
		X509 *certificate auto_x509 = certificate_parse(bundle->pems[i]);
		if (!certificate || X509_check_ca(certificate) != 1)
			continue;
		authority = true;
		bool fits = X509_check_private_key(certificate, key) == 1;
		ERR_clear_error();
		if (fits)
			return steal(certificate);
	}
	if (authority)
		(void)error_set(error, ERROR_INVALID, "%s is not the key of %s", key_path, cert_path);
	else
		(void)error_set(error, ERROR_INVALID, "%s is not the certificate of an authority", cert_path);
	return NULL;
}

struct pki_ca *pki_ca_load(const char *cert_path, const char *key_path, struct error *error)
{
	struct pki_bundle bundle auto_pki_bundle = {0};
	char *text auto_free = file_read(cert_path, PEM_MAX_BYTES, NULL, error);
	if (!text)
		return NULL;
	if (!pki_bundle_parse(text, &bundle, error)) {
		(void)error_prefix(error, "%s", cert_path);
		return NULL;
	}
	EVP_PKEY *key auto_pkey = key_load(key_path, error);
	X509 *certificate auto_x509 = key ? find_authority(&bundle, key, cert_path, key_path, error) : NULL;
	if (!certificate)
		return NULL;
	struct pki_ca *ca = calloc(1, sizeof(*ca));
	if (!ca) {
		(void)error_set(error, ERROR_FAILED, "no memory for a certificate authority");
		return NULL;
	}
	ca->certificate = steal(certificate);
	ca->key = steal(key);
	return ca;
}

bool pki_ca_info(const struct pki_ca *ca, struct pki_certificate_info *out, struct error *error)
{
	return read_info(ca->certificate, out) || crypto_fail(error, "cannot read the authority's certificate");
}

void pki_ca_free(struct pki_ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
	free(ca);
}

// ---- Alternative names ----

static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	if (!name || !value) {
		GENERAL_NAME_free(name);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, value);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool push_text(GENERAL_NAMES *names, int type, const char *text)
{
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();
	if (value && ASN1_STRING_set(value, text, -1) != 1) {
		ASN1_IA5STRING_free(value);
		value = NULL;
	}
	return push_name(names, type, value);
}

static bool is_host_name(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
	return len > 0 && len < 254 && text[len] == '\0';
}

static bool push_host(GENERAL_NAMES *names, const char *host)
{
	ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
	if (address)
		return push_name(names, GEN_IPADD, address);
	ERR_clear_error();
	return is_host_name(host) && push_text(names, GEN_DNS, host);
}

static bool push_names(GENERAL_NAMES *names, const struct pki_subject *subject)
{
	if (subject->profile == PKI_DEVICE) {
		char uri[512];
		int len = snprintf(uri, sizeof(uri), "spiffe://%s/device/%s", subject->domain, subject->name);
		return len > 0 && (size_t)len < sizeof(uri) && push_text(names, GEN_URI, uri);
	}
	for (size_t i = 0; subject->profile == PKI_SERVER && subject->hosts[i]; i++)
		if (i == HOSTS_MAX || !push_host(names, subject->hosts[i]))
			return false;
	return true;
}

static bool add_alternative_names(X509 *certificate, const struct pki_subject *subject)
{
	GENERAL_NAMES *names auto_names = sk_GENERAL_NAME_new_null();
	if (!names || !push_names(names, subject))
		return false;
	if (sk_GENERAL_NAME_num(names) == 0) // services and operators are known by their CN
		return true;
	return X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
}

// ---- Issuing ----

static bool check_subject(const struct pki_subject *subject, struct error *error)
{
	bool good = false;
	switch (subject->profile) {
	case PKI_DEVICE:
		good = topic_is_device_id(subject->name) && subject->domain && is_host_name(subject->domain);
		break;
	case PKI_SERVICE:
		good = topic_is_service(subject->name);
		break;
	case PKI_OPERATOR:
		good = topic_is_operator(subject->name);
		break;
	case PKI_SERVER:
		good = subject->name[0] && subject->hosts && subject->hosts[0];
		break;
	}
	if (!good || strlen(subject->name) > COMMON_NAME_MAX)
		return invalid(error, "the name does not fit the kind of certificate");
	if (subject->lifetime_s < 1)
		return invalid(error, "the lifetime is not positive");
	return true;
}

static X509 *build(const struct pki_ca *ca, EVP_PKEY *key, const struct pki_subject *subject)
{
	// No certificate outlives its authority.
	int64_t now = (int64_t)time(NULL);
	int64_t share_s = subject->lifetime_s / BACKDATE_SHARE;
	int64_t not_before = now - (share_s < BACKDATE_S ? share_s : BACKDATE_S);
	int64_t not_after = now + subject->lifetime_s;
	int64_t ca_not_after;
	if (!read_time(X509_get0_notAfter(ca->certificate), &ca_not_after))
		return NULL;
	if (not_after > ca_not_after)
		not_after = ca_not_after;

	bool server = subject->profile == PKI_SERVER;
	X509_NAME *name auto_name = name_new(subject->name);
	X509 *certificate auto_x509 =
		name ? certificate_new(name, X509_get_subject_name(ca->certificate), key, not_before, not_after)
		     : NULL;
	if (!certificate || !add_extension(certificate, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(certificate, ca->certificate, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(certificate, ca->certificate, NID_ext_key_usage, server ? "serverAuth" : "clientAuth") ||
	    !add_extension(certificate, ca->certificate, NID_subject_key_identifier, "hash") ||
	    !add_extension(certificate, ca->certificate, NID_authority_key_identifier, "keyid:always") ||
	    !add_alternative_names(certificate, subject) || X509_sign(certificate, ca->key, EVP_sha256()) <= 0)
		return NULL;
	return steal(certificate);
}

char *pki_issue(struct pki_ca *ca, const char *csr_pem, const struct pki_subject *subject,
		struct pki_certificate_info *info, struct error *error)
{
	if (!check_subject(subject, error))
		return NULL;
	X509_REQ *request auto_req = request_parse(csr_pem, error);
	EVP_PKEY *key = request ? request_key(request, error) : NULL;
	if (!key)
		return NULL;

	X509 *certificate auto_x509 = build(ca, key, subject);
	if (!certificate) {
		(void)crypto_fail(error, "cannot issue a certificate");
		return NULL;
	}
	char *pem auto_free = certificate_to_pem(certificate, error);
	if (!pem)
		return NULL;
	if (info && !read_info(certificate, info)) {
		(void)crypto_fail(error, "cannot read the certificate just issued");
		return NULL;
	}
	return steal(pem);
}

// ---- Revocation lists ----

static bool crl_add(X509_CRL *crl, const struct pki_revoked *entry)
{
	X509_REVOKED *revoked auto_revoked = X509_REVOKED_new();
	ASN1_TIME *at auto_time = ASN1_TIME_set(NULL, (time_t)entry->at_s);
	BIGNUM *number = NULL;
	bool read = BN_hex2bn(&number, entry->serial) == (int)strlen(entry->serial);
	ASN1_INTEGER *serial auto_integer = read ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
	BN_free(number);
	if (!revoked || !at || !serial || X509_REVOKED_set_serialNumber(revoked, serial) != 1 ||
	    X509_REVOKED_set_revocationDate(revoked, at) != 1 || X509_CRL_add0_revoked(crl, revoked) != 1)
		return false;
	(void)steal(revoked);
	return true;
}

static bool crl_set_number(X509_CRL *crl, int64_t number)
{
	ASN1_INTEGER *value auto_integer = ASN1_INTEGER_new();
	return value && ASN1_INTEGER_set_int64(value, number) == 1 &&
	       X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, X509V3_ADD_DEFAULT) == 1;
}

static bool crl_add_issuer_key(X509_CRL *crl, X509 *issuer)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
	X509V3_set_ctx_nodb(&context);
	X509_EXTENSION *extension =
		X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
	bool added = extension && X509_CRL_add_ext(crl, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return added;
}

static bool crl_finish(X509_CRL *crl, const struct pki_ca *ca, int64_t number, int64_t lifetime_s)
{
	int64_t now_s = (int64_t)time(NULL);
	ASN1_TIME *last auto_time = ASN1_TIME_set(NULL, (time_t)now_s);
	ASN1_TIME *next auto_time = ASN1_TIME_set(NULL, (time_t)(now_s + lifetime_s));
	return last && next && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	       X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->certificate)) == 1 &&
	       X509_CRL_set1_lastUpdate(crl, last) == 1 && X509_CRL_set1_nextUpdate(crl, next) == 1 &&
	       crl_add_issuer_key(crl, ca->certificate) && crl_set_number(crl, number) && X509_CRL_sort(crl) == 1 &&
	       X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0;
}

char *pki_crl_create(const struct pki_ca *ca, const struct pki_revoked *revoked, size_t count, int64_t number,
		     int64_t lifetime_s, struct error *error)
{
	X509_CRL *crl auto_crl = X509_CRL_new();
	BIO *bio auto_bio = BIO_new(BIO_s_mem());
	for (size_t i = 0; crl && i < count; i++) {
		if (!crl_add(crl, &revoked[i])) {
			(void)crypto_fail(error, "cannot put a serial number on the revocation list");
			return NULL;
		}
	}
	if (!crl || !bio || !crl_finish(crl, ca, number, lifetime_s) || PEM_write_bio_X509_CRL(bio, crl) != 1) {
		(void)crypto_fail(error, "cannot make a revocation list");
		return NULL;
	}
	return take_text(bio);
}
