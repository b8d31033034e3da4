// What a rule looks for, in words and with the units that people use: "battery below 20 % for 10 min". The page, the
// CLI, the API and the messages say it with these. Pure.
#pragma once

#include "common/alert_kind.h"
#include "common/buf.h"

// A metric that is known: what people call it, and its unit ("" without).
struct alert_metric {
	const char *name, *label, *unit;
};
const struct alert_metric *alert_metric_find(const char *name); // NULL: a custom one, which is called by its name

// params: whole, as alert_kind_check makes them; what is missing is left out.
void alert_words(const struct alert_kind *kind, const struct json *params, struct buf *out);
// "90 s" becomes "1 min 30 s", "s" being the unit; "B" is scaled; a day is "1 day".
void alert_words_value(double value, const char *unit, struct buf *out);
