#include "agent/push.h"

#include "agent/lock.h"
#include "agent/wake_socket.h"
#include "common/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void path_in(char out[PATH_MAX], const char *state_dir, const char *name)
{
	(void)snprintf(out, PATH_MAX, "%s/%s", state_dir, name);
}

char *push_token_load(const char *state_dir)
{
	char path[PATH_MAX];
	path_in(path, state_dir, "push-token");
	char *text auto_free = file_read(path, PUSH_TOKEN_MAX + 1, NULL, NULL);
	if (!text)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return *text == '\0' || push_token_ok(text) ? steal(text) : NULL;
}

bool push_token_store(const char *state_dir, const char *token, struct error *error)
{
	char path[PATH_MAX];
	path_in(path, state_dir, "push-token");
	return file_write(path, token, strlen(token), 0600, error);
}

static bool ask(const struct agent_options *options, const char *line, struct error *error)
{
	char path[PATH_MAX];
	path_in(path, options->state_dir, "wake.sock");
	return wake_socket_ask(options->wake_socket ? options->wake_socket : path, line, error);
}

bool push_wake(const struct agent_options *options, struct error *error)
{
	return ask(options, "wake", error);
}

bool push_token_set(const struct agent_options *options, const char *token, struct error *error)
{
	char line[WAKE_LINE_MAX + 1];
	if (*token && !push_token_ok(token))
		return error_set(error, ERROR_INVALID,
				 "that is no push token: up to %d letters, digits and - _ : . ~ = + /", PUSH_TOKEN_MAX);
	(void)snprintf(line, sizeof(line), "push-token %s", token);
	if (lock_held(options->state_dir))
		return ask(options, line, error);
	return push_token_store(options->state_dir, token, error);
}
