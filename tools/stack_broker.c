#include "tools/stack.h"

#include "common/buf.h"
#include "common/file.h"

#include <stdio.h>
#include <string.h>

#define CONFIG_MAX_BYTES ((size_t)64 * 1024)

// broker-conf/mosquitto.conf.in and broker-conf/acl, built in.
extern const char broker_template[];
extern const char broker_acl[];

struct word {
	const char *name;
	char value[STACK_PATH_MAX];
};

static const struct word *find(const struct word *words, size_t count, const char *name, size_t name_bytes)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(words[i].name) == name_bytes && strncmp(words[i].name, name, name_bytes) == 0)
			return &words[i];
	}
	return NULL;
}

// Replaces each @NAME@; an unknown one is a mistake in the template.
static bool fill(struct buf *out, const char *text, const struct word *words, size_t count, struct error *error)
{
	for (const char *at; (at = strchr(text, '@'));) {
		size_t name_bytes = strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
		bool placeholder = name_bytes > 0 && at[1 + name_bytes] == '@';
		const struct word *word = placeholder ? find(words, count, at + 1, name_bytes) : NULL;
		buf_add(out, text, (size_t)(at - text));
		if (word)
			buf_add_str(out, word->value);
		else if (placeholder && strncmp(at + 1, "WORDS", name_bytes) != 0)
			return error_set(error, ERROR_INVALID, "mosquitto.conf.in has an unknown @%.*s@",
					 (int)name_bytes, at + 1);
		else
			buf_add(out, at, placeholder ? name_bytes + 2 : 1);
		text = at + (placeholder ? name_bytes + 2 : 1);
	}
	buf_add_str(out, text);
	if (out->overflowed)
		return error_set(error, ERROR_LIMIT, "mosquitto.conf is larger than %zu bytes", CONFIG_MAX_BYTES);
	return true;
}

static void set_port(struct word *word, const char *name, int port)
{
	word->name = name;
	(void)snprintf(word->value, sizeof(word->value), "%d", port);
}

static bool write_main(const struct stack *stack, struct error *error)
{
	struct word words[] = {{.name = "STATE"}, {.name = "GUARD"}, {.name = "LISTEN"}, {0}, {0}, {0}, {0}};
	const size_t count = sizeof(words) / sizeof(words[0]);
	auto_buf struct buf text = {0};
	(void)snprintf(words[0].value, sizeof(words[0].value), "%s", stack->root);
	int length = snprintf(words[1].value, sizeof(words[1].value), "%s/muster-guard.so", stack->bin);
	if (length < 0 || (size_t)length >= sizeof(words[1].value))
		return error_set(error, ERROR_LIMIT, "the path %s is too long", stack->bin);
	(void)snprintf(words[2].value, sizeof(words[2].value), "%s", STACK_LISTEN);
	set_port(&words[3], "DEVICE_PORT", stack->ports[STACK_DEVICES]);
	set_port(&words[4], "SERVICE_PORT", stack->ports[STACK_SERVICES]);
	set_port(&words[5], "WEBSOCKETS_PORT", stack->ports[STACK_WEBSOCKETS]);
	set_port(&words[6], "CONSOLE_PORT", stack->ports[STACK_CONSOLE]);
	buf_init(&text, CONFIG_MAX_BYTES);
	return fill(&text, broker_template, words, count, error) &&
	       file_write(stack_path(stack, "broker/mosquitto.conf").text, text.data, text.len_bytes, 0600, error);
}

bool stack_broker_configure(const struct stack *stack, struct error *error)
{
	static const char no_revocations[] = "# device <id> or serial <hex>, a line each\n";
	struct stack_path acl = stack_path(stack, "broker/acl");
	struct stack_path revoked = stack_path(stack, "broker/revoked");
	if (!write_main(stack, error) || !file_write(acl.text, broker_acl, strlen(broker_acl), 0600, error))
		return false;
	// Only the first time: the guard keeps it from then on, and lets nobody in when it is missing.
	return file_exists(revoked.text) ||
	       file_write(revoked.text, no_revocations, sizeof(no_revocations) - 1, 0600, error);
}
