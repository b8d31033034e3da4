// Lists of devices: pages in any order, and how many there are.
#pragma once

#include "common/buf.h"
#include "common/error.h"
#include "common/http.h"

struct counts; // answers of the last seconds; struct dashboard has them
struct counts *counts_new(void) must_check;
void counts_free(struct counts *counts);
void counts_forget(struct counts *counts); // something was changed here

http_handler device_list_get;	// GET /api/v1/devices
http_handler device_list_count; // GET /api/v1/devices/count

// The SQL of a JSON object with the members named in names, separated by commas; false names the one there is not.
bool device_list_fields(const char *names, struct buf *out, struct error *error) must_check;
// Takes a cursor of the list apart, "<device>" or "<device>.<key>", in place; *key is NULL without one. False: none of
// ours.
bool device_list_cursor(char *cursor, bool keyed, const char **key) must_check;
