#include "agent/fetch.h"

#include "common/http_client.h"
#include "common/json.h"
#include "common/limits.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static int fail(const char *what)
{
	printf("%s\n", what);
	return 1;
}

static bool ask(const struct json *request, struct buf *response, int *status, struct error *error)
{
	struct tls_credential credential = {0};
	const char *url = "";
	const char *csr = "";
	const char *fingerprint;
	if (!json_member_string(request, "url", &url) || !json_member_string(request, "csr", &csr) ||
	    !json_member_string(request, "key", &credential.key) ||
	    !json_member_string(request, "certificate", &credential.certificate) ||
	    !json_member_string(request, "ca", &credential.ca))
		return error_set(error, ERROR_INVALID, "a member is missing");
	struct http_client *client cleanup(http_client_free_cleanup) = http_client_new(url, NULL, NULL, error);
	if (!client || !http_client_set_credential(client, &credential, error))
		return false;
	struct json *body auto_json = json_new_object();
	json_set_string(body, "csr", csr);
	if (json_member_string(request, "fingerprint", &fingerprint))
		json_set_string(body, "fingerprint", fingerprint);
	return http_client_request(client, "POST", "/v1/renew", json_text(body), status, response, error);
}

int fetch_main(void)
{
	static char text[HTTP_BODY_MAX_BYTES];
	const struct rlimit no_core = {0}; // it would hold the key
	struct error error = {0};
	struct buf response auto_buf = {0};
	int status = 0;
	(void)setrlimit(RLIMIT_CORE, &no_core);
	buf_init(&response, HTTP_BODY_MAX_BYTES);
	size_t len_bytes = fread(text, 1, sizeof(text), stdin);
	struct json *request auto_json = json_parse(text, len_bytes, &error);
	crypto_wipe(text, sizeof(text));
	if (!request || !ask(request, &response, &status, &error))
		return fail(error.what);
	printf("%s\n", buf_str(&response));
	return status == 200 ? 0 : 1;
}
