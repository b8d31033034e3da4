// Waking devices: what is known of it, and doing it by hand.
#pragma once

#include "common/http.h"

// Of the device d.device: an object, whatever is known of waking it. Never its push token.
#define WAKES_OF_DEVICE_SQL                                                                                            \
	"(select jsonb_build_object('push', (select jsonb_build_object('platform', p.platform, 'updated_at', "         \
	"p.updated_at,"                                                                                                \
	"  'retired_at', p.retired_at, 'retired_reason', p.retired_reason) from device_push p where p.device = "       \
	"d.device),"                                                                                                   \
	" 'delay_ms', w.delay_ms, 'delay_count', coalesce(w.delay_count, 0), 'unanswered', coalesce(w.unanswered, 0)," \
	" 'due_at', w.due_at, 'last', (select " WAKES_DISPATCH_SQL " from fcm_dispatch f where f.device = d.device"    \
	"  order by f.started_at desc limit 1)) from (select d.device) one left join device_wake w on w.device = "     \
	"one.device)"
#define WAKES_DISPATCH_SQL                                                                                             \
	"jsonb_build_object('id', f.id, 'command', f.command, 'request_id', f.request_id, 'started_at', f.started_at," \
	" 'ended_at', f.ended_at, 'latency_ms', f.latency_ms, 'http_status', f.http_status, 'fcm_status', "            \
	"f.fcm_status,"                                                                                                \
	" 'reason', f.reason)"
// Of the command c.id: an array, oldest first.
#define WAKES_OF_COMMAND_SQL \
	"coalesce((select jsonb_agg(" WAKES_DISPATCH_SQL " order by f.started_at) from fcm_dispatch f" \
	" where f.command = c.id), '[]')"

void wakes_create(struct http_request *request, void *user);
