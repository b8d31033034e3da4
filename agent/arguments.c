#include "agent/arguments.h"

#include <string.h>

static bool matches(const struct argument *argument, const char *text)
{
	size_t bytes = strlen(argument->name);
	return strncmp(text, argument->name, bytes) == 0 &&
	       (text[bytes] == '\0' || (argument->value && text[bytes] == '='));
}

static void take(const struct argument *argument, int argc, char **argv, int *at)
{
	const char *equals = strchr(argv[*at], '=');
	if (argument->given)
		*argument->given = true;
	if (!argument->value)
		return;
	if (equals)
		*argument->value = equals + 1;
	else
		*argument->value = *at + 1 < argc ? argv[++*at] : "";
}

int arguments_take(const struct argument *arguments, size_t count, int argc, char **argv)
{
	int kept = 1;
	for (int i = 1; i < argc; i++) {
		size_t which = 0;
		while (which < count && !matches(&arguments[which], argv[i]))
			which++;
		if (which < count)
			take(&arguments[which], argc, argv, &i);
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}
