// Who is shut out, and how soon that took effect on each broker.
#pragma once

#include "common/http.h"

http_handler revocations_list;    // GET /api/v1/revocations
http_handler revocations_proofs;  // GET /api/v1/revocations/proofs: the canary's last finding in each cell
http_handler revocations_revoke;  // POST /api/v1/devices/{id}/revoke
http_handler revocations_restore; // POST /api/v1/devices/{id}/restore

// The latest revocation or restore of a device d as JSON, null when there was none; effects by cell.
#define REVOCATIONS_OF_DEVICE_SQL \
	"(select " REVOCATIONS_JSON_SQL " from revocation r where r.kind = 'device' and r.name = d.device)"
#define REVOCATIONS_JSON_SQL \
	"json_build_object('kind', r.kind, 'name', r.name, 'revoked', r.revoked, 'reason', r.reason," \
	" 'requested_by', r.requested_by, 'requested_at', r.requested_at, 'change', r.change," \
	" 'effects', coalesce((select json_agg(json_build_object('cell', e.cell, 'applied_at', e.applied_at," \
	" 'seconds', e.seconds) order by e.cell) from revocation_effect e where e.change = r.change), '[]'))"
