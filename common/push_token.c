#include "common/push_token.h"

#include <string.h>

bool push_token_ok(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:.~=+/");
	return len > 0 && len <= PUSH_TOKEN_MAX && text[len] == '\0';
}
