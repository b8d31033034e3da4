#include "commander/signature.h"

#include "commander/commander.h"

#include <string.h>

enum column { SERIALS, PEMS, SIGNED, SIG }; // SIGNATURE_COLUMNS

bool signature_find(const struct pg_result *rows, size_t row, size_t column, struct verifier_check *check)
{
	if (!pg_text(rows, row, column + SERIALS))
		return false;
	*check = (struct verifier_check){
		.certificates = pg_text(rows, row, column + PEMS),
		.text = pg_text(rows, row, column + SIGNED),
		.sig = pg_text(rows, row, column + SIG),
	};
	return true;
}

void signature_judge(struct commander *commander, const struct verifier_check *check, const char *serials,
		     struct buf *out)
{
	metric_add(metrics_counter(commander->metrics, "muster_result_signatures_total",
				   check->good ? "verdict=\"verified\"" : "verdict=\"refused\"",
				   "Signed results that were checked"),
		   1);
	if (!check->good) {
		(void)buf_add_str(out, ",\"verdict\":\"refused\"");
		return;
	}
	for (size_t i = 0; i < check->index; i++)
		serials += strcspn(serials, " ") + 1;
	(void)buf_addf(out, ",\"verdict\":\"verified\",\"serial\":\"%.*s\"", (int)strcspn(serials, " "), serials);
}
