// Exports: asked for here, made by export_work.c, fetched here. Each is its asker's own.
#pragma once

#include "common/http.h"

http_handler exports_list;   // GET /api/v1/exports
http_handler exports_create; // POST /api/v1/exports
http_handler exports_kinds;  // GET /api/v1/exports/kinds
http_handler exports_get;    // GET /api/v1/exports/{id}
http_handler exports_file;   // GET /api/v1/exports/{id}/file
http_handler exports_remove; // DELETE /api/v1/exports/{id}

extern const char exports_changed_sql[]; // for the live streams (feed.h)
