// What people do with their own account, on the page: the password and the second factor.
#pragma once

#include "common/http.h"

http_handler account_get;	     // GET /api/v1/account
http_handler account_password;	     // POST /api/v1/account/password
http_handler account_totp_begin;     // POST /api/v1/account/totp
http_handler account_totp_confirm;   // POST /api/v1/account/totp/confirm
http_handler account_totp_remove;    // POST /api/v1/account/totp/remove
http_handler account_recovery_codes; // POST /api/v1/account/recovery-codes
