// Whether results are by the device that they are said to be of (docs/protocol.md, section 19).
#pragma once

#include "commander/verifier.h"

#include "common/buf.h"
#include "common/pg.h"

struct commander;

// Columns of a query over command_result r and its command c, for a result whose signature is unchecked: serials and
// PEM of the certificates of the device that held at any time from when the command was asked for until the result
// came, the latest first; what was signed; the signature. So no clock of the device is asked, and a key that was given
// up before cannot speak. The serials are null for another result, and "" for a device that had none.
#define SIGNATURE_COLUMNS                                                                                              \
	"case r.verdict when 'unchecked' then coalesce(t.serials, '') end, t.pems, r.signed, r.body ->> 'sig'"
#define SIGNATURE_JOIN                                                                                                 \
	" left join lateral (select string_agg(k.serial, ' ' order by k.created_at desc) as serials,"                  \
	" string_agg(k.pem, '' order by k.created_at desc) as pems from certificate k where r.verdict = 'unchecked'"   \
	" and k.device = r.device and k.created_at <= r.received_at"                                                   \
	" and k.not_after >= coalesce(c.created_at, r.received_at)"                                                    \
	" and coalesce(k.revoked_at >= coalesce(c.created_at, r.received_at), true)) t on true"

// What is to be checked in a row, whose SIGNATURE_COLUMNS begin at column. False: nothing is.
bool signature_find(const struct pg_result *rows, size_t row, size_t column, struct verifier_check *check);
// Adds the verdict to the open JSON object of the row: members verdict and, when it is good, serial.
void signature_judge(struct commander *commander, const struct verifier_check *check, const char *serials,
		     struct buf *out);
