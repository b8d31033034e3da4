// Tags of devices, as such: which there are, on how many, renamed and removed everywhere.
#pragma once

#include "common/http.h"

#include <stdint.h>

struct dashboard;
struct tags; // the counts, as they were a moment ago

struct tags *tags_new(void);
void tags_free(struct tags *tags);

http_handler tags_list;	  // GET /api/v1/tags
http_handler tags_rename; // POST /api/v1/tags/rename {"tag","to"}
http_handler tags_remove; // POST /api/v1/tags/remove {"tag"}
