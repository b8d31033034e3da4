#include "dashboard/inventory.h"

#include "dashboard/api.h"

#include <stdio.h>

// $1 device, $2 kind, $3 part of a name, $4 limit, $5 id of the last one seen. A device has at most 2,000.
static const char CHANGES_SQL[] =
	"select json_build_object('id', c.id, 'at', c.at, 'kind', c.kind, 'name', c.name, 'change', c.change,"
	" 'before', c.before, 'after', c.after), c.id from inventory_change c where c.device = $1"
	" and ($2::text is null or c.kind = $2) and ($3::text is null or position(lower($3) in lower(c.name)) > 0)"
	" and ($5::bigint is null or c.id < $5) order by c.id desc limit $4::integer + 1";

void inventory_changes(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after");
	auto_pg_result struct pg_result *rows = NULL;
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_numbered_page(request, after, &limit, limit_text))
		return;

	const char *const params[] = {http_param(request, "id"), api_text(request, "kind"), api_text(request, "q"),
				      limit_text, after};

	if (api_query_again(user, request, &rows, CHANGES_SQL, sizeof(params) / sizeof(params[0]), params))
		api_reply_page(request, rows, limit);
}
