#include "common/key.h"

#include "common/crypto.h"
#include "common/file.h"
#include "common/limits.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static void bio_cleanup(BIO **bio)
{
	BIO_free_all(*bio);
}

#define auto_bio cleanup(bio_cleanup)

int key_no_passphrase(char *out, int size, int writing, void *user)
{
	return -1;
}

EVP_PKEY *key_load(const char *path, struct error *error)
{
	char *pem = file_read_secret(path, PEM_MAX_BYTES, error);
	if (!pem)
		return NULL;
	size_t pem_bytes = strlen(pem);
	BIO *bio auto_bio = BIO_new_mem_buf(pem, (int)pem_bytes);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, key_no_passphrase, NULL) : NULL;
	crypto_wipe(pem, pem_bytes);
	free(pem);
	ERR_clear_error();
	if (!key)
		(void)error_set(error, ERROR_INVALID, "%s is not a private key in PEM form without passphrase", path);
	return key;
}

bool key_store(EVP_PKEY *key, const char *path, struct error *error)
{
	if (file_exists(path))
		return error_set(error, ERROR_EXISTS, "%s exists already", path);
	BIO *bio auto_bio = BIO_new(BIO_s_secmem()); // wiped when it is freed
	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return crypto_fail(error, "cannot write the private key");
	char *pem;
	long len = BIO_get_mem_data(bio, &pem);
	return file_write(path, pem, (size_t)len, 0600, error);
}
