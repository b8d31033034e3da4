#include "ingest/push.h"

#include "common/push_token.h"
#include "ingest/event.h"

#include <stddef.h>

// A token that the service has retired stays so until the device has another. The last hello of a batch counts.
#define STORE_SQL                                                                                                  \
	"with said as (select distinct on (device) device, token from unnest($1::text[], $2::text[])"              \
	" with ordinality s (device, token, n) order by device, n desc),"                                          \
	" gone as (update device_push p set retired_at = now(), retired_reason = 'the device has it no longer'"    \
	" from said s where p.device = s.device and s.token = '' and p.retired_at is null)"                        \
	" insert into device_push as p (device, token) select device, token from said where token <> ''"           \
	" on conflict (device) do update set token = excluded.token, updated_at = now(), retired_at = null,"       \
	" retired_reason = '' where p.token <> excluded.token"                                                     \
	" or (p.retired_at is not null and p.retired_reason = 'the device has it no longer')"

bool push_prepare(struct pg *pg, struct error *error)
{
	return pg_prepare(pg, "push_store", STORE_SQL, error);
}

bool push_store(struct pg *pg, const struct message *messages, size_t count, struct error *error)
{
	auto_buf struct buf devices = {0};
	auto_buf struct buf tokens = {0};

	buf_init(&devices, count * (DEVICE_ID_MAX + 1) + 2);
	buf_init(&tokens, count * (PUSH_TOKEN_MAX + 3) + 2);
	for (size_t i = 0; i < count; i++) {
		const struct message *message = &messages[i];
		if (!message->hello || !message->hello->push_token || message->refusal || message->foreign)
			continue;
		// Device ids and tokens need no quoting, but an empty element does.
		(void)buf_addf(&devices, "%c%s", devices.len_bytes == 0 ? '{' : ',', message->device);
		(void)buf_addf(&tokens, "%c\"%s\"", tokens.len_bytes == 0 ? '{' : ',', message->hello->push_token);
	}
	if (devices.len_bytes == 0)
		return true;
	if (!buf_add_str(&devices, "}") || !buf_add_str(&tokens, "}"))
		return error_set(error, ERROR_LIMIT, "too many push tokens in one batch");
	const char *const params[] = {buf_str(&devices), buf_str(&tokens)};
	return pg_run(pg, NULL, error, "push_store", 2, params);
}
