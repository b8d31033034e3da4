#include "tools/api.h"

#include "common/file.h"
#include "common/http_client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define TOKEN_MAX_BYTES 256
#define PAGE 500 // the API's largest
#define LIST_PATH_MAX_BYTES 16384
#define CURSOR_MAX_BYTES 300
#define PIECE_BYTES ((size_t)4 * 1024 * 1024) // of a download
#define HTTP_RANGE_PAST_END 416

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
	} kinds[] = {{400, ERROR_INVALID}, {401, ERROR_DENIED}, {403, ERROR_DENIED},	  {404, ERROR_NOT_FOUND},
		     {409, ERROR_EXISTS},  {422, ERROR_INVALID}, {429, ERROR_UNREACHABLE}, {503, ERROR_UNREACHABLE},
		     {504, ERROR_TIMEOUT}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].status == status)
			return kinds[i].kind;
	}
	return ERROR_FAILED;
}

static void set_problem(const struct json *problem, int status, struct error *error)
{
	const char *detail = "";
	(void)json_member_string(problem, "detail", &detail);
	int length = (int)strlen(detail);
	if (length > 0 && detail[length - 1] == '.') // messages here end without
		length--;
	if (length > 0)
		error_set(error, kind_of(status), "%.*s", length, detail);
	else
		error_set(error, kind_of(status), "the dashboard gave no reason (HTTP %d)", status);
	if (error)
		error->code = status;
}

bool api_idempotency_key(struct api *api, const char *key, struct error *error)
{
	return http_client_header(api->client, "Idempotency-Key", key, error);
}

struct json *api_request(struct api *api, const char *method, const char *path, const char *body, struct error *error)
{
	int status = 0;
	auto_buf struct buf answer = {0};
	buf_init(&answer, ANSWER_MAX_BYTES);
	if (!http_client_request(api->client, method, path, body, &status, &answer, error))
		return NULL;
	auto_json struct json *json = json_parse(buf_str(&answer), answer.len_bytes, error);
	if (status >= 400) {
		set_problem(json, status, error);
		return NULL;
	}
	return steal(json);
}

bool api_fetch(struct api *api, const char *method, const char *path, const char *body, struct buf *out,
	       struct error *error)
{
	int status = 0;
	if (!http_client_request(api->client, method, path, body, &status, out, error))
		return false;
	if (status < 400)
		return true;
	auto_json struct json *problem = json_parse(buf_str(out), out->len_bytes, NULL);
	set_problem(problem, status, error);
	return false;
}

// Piece by piece, so that it takes little memory and a connection that breaks costs one of them.
bool api_download(struct api *api, const char *path, int fd, int64_t have_bytes, struct error *error)
{
	for (;;) {
		auto_buf struct buf piece = {0};
		struct error why = {0};
		buf_init(&piece, PIECE_BYTES + 1);
		http_client_range(api->client, have_bytes, have_bytes + (int64_t)PIECE_BYTES - 1);
		if (!api_fetch(api, "GET", path, NULL, &piece, &why)) {
			if (why.code == HTTP_RANGE_PAST_END)
				return true;
			if (error)
				*error = why;
			return false;
		}
		for (size_t done = 0; done < piece.len_bytes;) {
			ssize_t wrote = write(fd, piece.data + done, piece.len_bytes - done);
			if (wrote < 0 && errno == EINTR)
				continue;
			if (wrote < 0)
				return error_errno(error, errno, "cannot write the file");
			done += (size_t)wrote;
		}
		have_bytes += (int64_t)piece.len_bytes;
		if (piece.len_bytes < PIECE_BYTES)
			return true;
	}
}

void api_add_encoded(struct buf *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		if (isalnum(c) || strchr("-._~", c))
			(void)buf_add(out, &text[i], 1);
		else
			(void)buf_addf(out, "%%%02X", c);
	}
}

// ---- for the verbs ----

struct api *api_open(struct cli *cli, int *exit_code)
{
	struct error error = {0};
	char next[STACK_PATH_MAX + 128];
	if (!cli_open(cli, &error)) {
		*exit_code = cli_fail(cli, &error, NULL);
		return NULL;
	}
	struct api *api = api_new(&cli->stack, &error);
	if (!api) {
		if (error.kind == ERROR_NOT_FOUND) // the file that lets us in, not what was asked for
			error.kind = ERROR_DENIED;
		(void)snprintf(next, sizeof(next),
			       "%s/api-token must be yours with mode 0600; if it is lost or damaged, delete it: muster "
			       "down and muster up make a new one",
			       cli->stack.root);
		*exit_code = cli_fail(cli, &error, next);
	}
	return api;
}

bool api_list(struct api *api, const char *path, const char *filter, struct json *items, struct error *error)
{
	auto_buf struct buf page_path = {0};
	char after[CURSOR_MAX_BYTES] = "";
	buf_init(&page_path, LIST_PATH_MAX_BYTES);
	do {
		const char *next = NULL;
		buf_clear(&page_path);
		buf_addf(&page_path, "%s?limit=%d%s%s%s", path, PAGE, filter, after[0] ? "&after=" : "", after);
		if (page_path.overflowed)
			return error_set(error, ERROR_LIMIT, "the filter is longer than %d bytes", LIST_PATH_MAX_BYTES);
		auto_json struct json *page = api_request(api, "GET", buf_str(&page_path), NULL, error);
		if (!page)
			return false;
		const struct json *list = json_member(page, "items");
		for (size_t n = 0; n < json_array_length(list); n++)
			json_append(items, json_copy(json_array_at(list, n)));
		after[0] = '\0';
		if (json_member_string(page, "next", &next))
			(void)snprintf(after, sizeof(after), "%s", next);
	} while (after[0]);
	return true;
}

int api_fail(const struct cli *cli, const struct error *error)
{
	const char *root = cli->stack.root;
	char next[STACK_PATH_MAX + 160];
	struct error own = *error;
	switch (error->code) {
	case 400:
	case 422:
		return cli_usage(cli, error);
	case 401:
		error_set(&own, ERROR_DENIED, "the dashboard does not accept the token in %s/api-token", root);
		(void)snprintf(next, sizeof(next), "muster down and muster up make a new one");
		break;
	case 403:
		(void)snprintf(next, sizeof(next),
			       "delete %s/api-token: muster down and muster up make one of the administrator's", root);
		break;
	case 404:
	case 409:
		(void)snprintf(next, sizeof(next), "muster device list and muster device show say how things stand");
		break;
	case 429:
		(void)snprintf(next, sizeof(next), "wait a minute, then do it again");
		break;
	case 503:
		(void)snprintf(next, sizeof(next), "if it lasts, see %s/log/postgres.log and dashboard.log there",
			       root);
		break;
	default:
		(void)snprintf(next, sizeof(next),
			       "muster status shows whether the dashboard runs; its log is %s/log/dashboard.log", root);
	}
	return cli_fail(cli, &own, next);
}

int api_no_device(const struct cli *cli, const char *device)
{
	struct error error = {0};
	error_set(&error, ERROR_NOT_FOUND, "there is no device \"%s\"", device);
	return cli_fail(cli, &error, "muster device list shows them all");
}

int api_ask(struct cli *cli, const char *method, const char *path, struct json *body, const char *hint,
	    void (*tell)(const struct json *answer))
{
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *answer = api_request(api, method, path, body ? json_text(body) : NULL, &error);
	if (!answer && (error.code == 404 || error.code == 409))
		return cli_fail(cli, &error, hint);
	if (!answer)
		return api_fail(cli, &error);
	if (cli->json)
		cli_print_json(answer);
	else
		tell(answer);
	return CLI_OK;
}

struct json *api_items(struct api *api, const char *path, const char *filter, struct error *error)
{
	auto_json struct json *answer = json_new_object();
	struct json *items = json_new_array();
	json_set(answer, "items", items);
	return api_list(api, path, filter, items, error) ? steal(answer) : NULL;
}

int api_show(struct cli *cli, const char *path, const char *filter, void (*tell)(const struct json *items),
	     const char *none)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *answer = api_items(api, path, filter, &error);
	if (!answer)
		return api_fail(cli, &error);
	const struct json *items = json_member(answer, "items");
	if (cli->json)
		cli_print_json(answer);
	else if (json_array_length(items) == 0)
		(void)printf("%s\n", none);
	else
		tell(items);
	return CLI_OK;
}
