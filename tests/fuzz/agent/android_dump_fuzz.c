// What other programs print: whatever it is, the parsers stay within it, and what they give may leave as JSON.
#include "agent/android_dump.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct android_battery battery;
	struct android_network network;
	struct error error = {0};
	int64_t dbm;
	char *text auto_free = malloc(len_bytes + 1);
	if (!text)
		abort();
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';

	if (android_battery_parse(text, &battery) && !(battery.level_pct >= 0 && battery.level_pct <= 100))
		abort();
	if (android_network_parse(text, &network) && (!network.type || !*network.type))
		abort();
	if (android_signal_parse(text, &dbm) && (dbm < -200 || dbm > 50))
		abort();
	struct json *content auto_json = json_new_object();
	android_hardware(text, content);
	android_packages(text, len_bytes % 2 == 1, content);
	const char *sent = json_text(content);
	struct json *again auto_json = json_parse(sent, strlen(sent), &error);
	if (!again)
		abort();
	return 0;
}
