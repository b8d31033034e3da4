// What running commands print.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct output {
	const char *command; // as sent; may be unknown here
	int32_t n;           // of the chunk, from 0
	const char *data;
	bool last, cut;
};
