// muster enroll adb-script: the script by which Android devices are enrolled over adb.
#include "common/crypto.h"
#include "common/file.h"
#include "tools/api.h"
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT_PATH "/api/v1/enrollment/script"
#define SCRIPT_MAX_BYTES ((size_t)256 * 1024)
#define TOKEN_FILE_MAX_BYTES 256

// The token, out of the process's arguments; NULL when none was given. False when it can't be read.
static bool take_token(const struct cli *cli, char **out, struct error *error)
{
	const char *file = args_value(&cli->args, "token-file");
	char *given = (char *)args_value(&cli->args, "token"); // argv's
	*out = NULL;
	if (given && file)
		return error_set(error, ERROR_INVALID, "give --token or --token-file, not both");
	if (given) {
		*out = strdup(given);
		crypto_wipe(given, strlen(given));
	} else if (file) {
		*out = file_read_secret(file, TOKEN_FILE_MAX_BYTES, error);
		return *out != NULL;
	}
	return true;
}

// Opened before the command becomes the stack's owner, who may not be allowed to write there. It may hold a token.
static bool open_out(const char *path, int *out, struct error *error)
{
	*out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (*out < 0)
		return error_errno(error, errno, "cannot write %s", path);
	if (fchmod(*out, 0700) != 0)
		return error_errno(error, errno, "cannot set the mode of %s", path);
	return true;
}

static bool write_all(int fd, const char *path, const struct buf *script, struct error *error)
{
	for (size_t at = 0; at < script->len_bytes;) {
		ssize_t written = write(fd, script->data + at, script->len_bytes - at);
		if (written < 0 && errno != EINTR)
			return error_errno(error, errno, "cannot write %s", path);
		if (written > 0)
			at += (size_t)written;
	}
	return true;
}

static char *make_question(const char *os, const char *token)
{
	auto_json struct json *question = json_new_object();
	json_set_string(question, "os", os);
	if (token)
		json_set_string(question, "token", token);
	return strdup(json_text(question));
}

static int hand_out(const struct cli *cli, int fd, const struct buf *script, bool with_token)
{
	struct error error = {0};
	const char *path = args_value(&cli->args, "out");
	if (path && ftruncate(fd, 0) != 0) {
		(void)error_errno(&error, errno, "cannot write %s", path);
		return cli_fail(cli, &error, "name another file with --out");
	}
	if (!write_all(path ? fd : STDOUT_FILENO, path ? path : "standard output", script, &error))
		return cli_fail(cli, &error, "name another file with --out");
	if (!path)
		return CLI_OK;
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "file", path);
		json_set_bool(json, "with_token", with_token);
		cli_print_json(json);
		return CLI_OK;
	}
	(void)printf("%s is made; run it on a computer with adb to which the devices are attached\n", path);
	if (with_token)
		(void)printf("it holds the token: delete it when the devices are enrolled\n");
	return CLI_OK;
}

static int adb_script_run(struct cli *cli)
{
	struct error error = {0};
	const char *os = args_value(&cli->args, "os");
	const char *path = args_value(&cli->args, "out");
	char *token cleanup(crypto_secret_cleanup) = NULL;
	auto_close int fd = -1;
	int exit_code = CLI_OK;
	if (!os || (strcmp(os, "bash") != 0 && strcmp(os, "windows") != 0)) {
		error_set(&error, ERROR_INVALID, "--os is bash or windows");
		return cli_usage(cli, &error);
	}
	if (!take_token(cli, &token, &error))
		return error.kind == ERROR_INVALID ? cli_usage(cli, &error) :
						     cli_fail(cli, &error, "the file must be yours alone: chmod 600");
	if (path && !open_out(path, &fd, &error))
		return cli_fail(cli, &error, "name another file with --out");
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	char *question cleanup(crypto_secret_cleanup) = make_question(os, token);
	auto_buf struct buf script = {0};
	buf_init(&script, SCRIPT_MAX_BYTES);
	if (!api_fetch(api, "POST", SCRIPT_PATH, question, &script, &error))
		return error.code == 404 ? cli_fail(cli, &error, "do that, then muster down and muster up") :
					   api_fail(cli, &error);
	exit_code = hand_out(cli, fd, &script, token != NULL);
	crypto_wipe(script.data, script.len_bytes);
	return exit_code;
}

static const struct args_option adb_script_options[] = {
	{"os", "OS", "of the computer with adb: bash (Linux, macOS) or windows"},
	{"token", "TOKEN", "put into the script; others on this machine may see it for a moment"},
	{"token-file", "FILE", "the same from a file that nobody else can read"},
	{"out", "FILE", "where to write it (standard output)"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_enroll[] = {
	{"enroll", "adb-script", NULL, 0, 0, "a script that enrols Android devices over adb", adb_script_options,
	 adb_script_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
