#include "tools/api.h"

#include "common/file.h"
#include "common/http_client.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define TOKEN_MAX_BYTES 256

struct api {
	struct http_client *client;
};

struct api *api_new(const struct stack *stack, struct error *error)
{
	char url[64];
	auto_free char *token = file_read_secret(stack_path(stack, "api-token").text, TOKEN_MAX_BYTES, error);
	struct api *api cleanup(api_free_cleanup) = calloc(1, sizeof(*api));
	if (!token || !api)
		return NULL;
	(void)snprintf(url, sizeof(url), "https://localhost:%d", stack->ports[STACK_DASHBOARD]);
	api->client = http_client_new(url, stack_path(stack, "ca/service.crt").text, token, error);
	return api->client ? steal(api) : NULL;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	http_client_free(api->client);
	free(api);
}

static enum error_kind kind_of(int status)
{
	static const struct {
		int status;
		enum error_kind kind;
	} kinds[] = {{400, ERROR_INVALID}, {401, ERROR_DENIED},	 {403, ERROR_DENIED}, {404, ERROR_NOT_FOUND},
		     {409, ERROR_EXISTS},  {422, ERROR_INVALID}, {429, ERROR_LIMIT},  {503, ERROR_UNREACHABLE}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].status == status)
			return kinds[i].kind;
	}
	return ERROR_FAILED;
}

struct json *api_request(struct api *api, const char *method, const char *path, const char *body, struct error *error)
{
	int status = 0;
	const char *detail = NULL;
	auto_buf struct buf answer = {0};
	buf_init(&answer, ANSWER_MAX_BYTES);
	if (!http_client_request(api->client, method, path, body, &status, &answer, error))
		return NULL;
	auto_json struct json *json = json_parse(buf_str(&answer), answer.len_bytes, error);
	if (status >= 400) {
		if (!json || !json_member_string(json, "detail", &detail))
			detail = "the dashboard gave no reason";
		error_set(error, kind_of(status), "%s (HTTP %d)", detail, status);
		return NULL;
	}
	return steal(json);
}
