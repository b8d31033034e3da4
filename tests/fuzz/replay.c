// Runs a fuzz target over the files named on the command line: each was once a crash, or is a seed.
#include "common/file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		struct error error;
		size_t len;
		char *text auto_free = file_read(argv[i], 1 << 20, &len, &error);
		// A copy of just this size, so that a read past its end is seen.
		uint8_t *data auto_free = text ? malloc(len ? len : 1) : NULL;
		if (!data) {
			(void)fprintf(stderr, "%s\n", text ? "no memory" : error.what);
			return 1;
		}
		memcpy(data, text, len);
		(void)LLVMFuzzerTestOneInput(data, len);
	}
	(void)printf("%d inputs\n", argc - 1);
	return 0;
}
