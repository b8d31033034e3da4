#include "common/key.h"

#include "common/crypto.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/openssl_cleanup.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define auto_bio cleanup(bio_cleanup)

int key_no_passphrase(char *out, int size, int writing, void *user)
{
	return -1;
}

EVP_PKEY *key_parse(const char *pem, const char *what, struct error *error)
{
	BIO *bio auto_bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, key_no_passphrase, NULL) : NULL;
	ERR_clear_error();
	if (!key)
		(void)error_set(error, ERROR_INVALID, "%s is not a private key in PEM form without passphrase", what);
	return key;
}

EVP_PKEY *key_load(const char *path, struct error *error)
{
	char *pem auto_secret = file_read_secret(path, PEM_MAX_BYTES, error);
	return pem ? key_parse(pem, path, error) : NULL;
}

void key_free(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
}

char *key_text(EVP_PKEY *key, struct error *error)
{
	BIO *bio auto_bio = BIO_new(BIO_s_secmem()); // wiped when it is freed
	char *pem = NULL;
	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		char *data;
		long len = BIO_get_mem_data(bio, &data);
		pem = len > 0 ? strndup(data, (size_t)len) : NULL;
	}
	if (!pem)
		(void)crypto_fail(error, "cannot write the private key");
	return pem;
}

bool key_store(EVP_PKEY *key, const char *path, struct error *error)
{
	if (file_exists(path))
		return error_set(error, ERROR_EXISTS, "%s exists already", path);
	char *pem auto_secret = key_text(key, error);
	return pem && file_write(path, pem, strlen(pem), 0600, error);
}
