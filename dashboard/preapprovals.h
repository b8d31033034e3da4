// Serial numbers whose devices are let in without asking.
#pragma once

#include "common/http.h"

http_handler preapprovals_list;   // GET /api/v1/preapprovals
http_handler preapprovals_create; // POST /api/v1/preapprovals: CSV, see common/preapproval.h
http_handler preapprovals_delete; // DELETE /api/v1/preapprovals/{serial}
