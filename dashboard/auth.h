// Who asks, and whether they may. Each route's tag is the set of roles that may use it; auth_before checks it
// before any handler runs, finds the session (cookie) or the API key (Authorization: Bearer), puts the requests'
// connection into the scope of its person (nobody's for routes without login), and refuses changes that another site
// made the browser send.
#pragma once

#include "common/crypto.h"
#include "common/http.h"
#include "dashboard/dashboard.h"
#include "dashboard/scope.h"

#include <stdbool.h>
#include <stdint.h>

enum role { // bits of a route's tag
	ROLE_VIEWER = 1,
	ROLE_OPERATOR = 2,
	ROLE_ADMINISTRATOR = 4,
	ROLE_AUDITOR = 8,
};
enum {
	ACCESS_PUBLIC = 0,
	ACCESS_READ = ROLE_VIEWER | ROLE_OPERATOR | ROLE_ADMINISTRATOR | ROLE_AUDITOR,
	ACCESS_ACT = ROLE_OPERATOR | ROLE_ADMINISTRATOR,
	ACCESS_AUDIT = ROLE_ADMINISTRATOR | ROLE_AUDITOR,
	ACCESS_LOOPBACK = 256, // no login, but only from this machine
	ACCESS_SIGNED = 512,   // no login: the handler checks the signature
	// A role that holds in groups only reaches what concerns devices. It is refused where ...
	ACCESS_TENANT = 1024,  // ... the tenant as a whole is concerned; so are administrators' routes, unless
	ACCESS_GROUP = 2048,   // administrators of a group may too
	ACCESS_ALL = 4096,     // only people of all tenants: who run the installation
	// Added to one of the above where the method says that something is changed, but nothing is, as with a preview:
	// the others leave a row in the audit.
	ROUTE_CHANGES_NOTHING = 8192,
	// Its answers bear an ETag, and the person's browser may keep them: what pages ask for again and again, about
	// devices and what is done with them; never accounts, keys, what commands gave back, or the audit.
	ROUTE_KEPT = 16384,
};

#define AUTH_COOKIE "__Host-muster" // the prefix makes browsers insist on Secure, Path=/ and no Domain
#define AUTH_USER_MAX 64
#define AUTH_SCOPES_MAX 128

struct auth { // http_context of every request that is not public
	char user[AUTH_USER_MAX];
	enum role role;
	char token_hash[SHA256_HEX_BYTES];
	int64_t expires_us; // since 1970
	bool by_cookie;
	struct scope scope;
	bool second_factor; // the account has one
	bool grouped;	    // an API key for the devices of one group
	enum role most;	    // of an API key with a role of its own: no role of its user counts for more; 0: none
	char scopes[AUTH_SCOPES_MAX]; // of an API key, "read,commands"; "": all
};

bool auth_before(struct http_request *request, void *dashboard);
const struct auth *auth_of(const struct http_request *request);

// What of the API a request belongs to, as API keys name it: "read" for all that changes nothing.
const char *auth_scope_of(const char *method, const char *pattern, int tag);
// Whether scopes ("read,commands"; "": all) hold scope.
bool auth_scopes_hold(const char *scopes, const char *scope);

bool auth_role_parse(const char *name, enum role *out) must_check;
const char *auth_role_name(enum role role);

// Whether a request that changes something was sent by our own page. Browsers say so in Sec-Fetch-Site, older ones
// in Origin, which must then be https://<Host>. With neither it was no browser's page: certain says whether that is
// enough (false for a request that bears the cookie).
bool auth_same_origin(const char *sec_fetch_site, const char *origin, const char *host, bool certain);
// Answers 403 itself when not.
bool auth_check_origin(struct http_request *request, bool certain);
bool auth_is_loopback(const char *peer);
