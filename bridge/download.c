#include "bridge/download.h"

#include "bridge/server.h"

void download_handle(struct http_request *request, void *user)
{
	struct server *server = user;
	struct error error = {.kind = ERROR_NONE};
	struct package *package = packages_find(server->packages, http_param(request, "file"), &error);

	if (!package) {
		if (error.kind != ERROR_NOT_FOUND)
			log_warn("agent.unavailable", "file", http_param(request, "file"), "error", error.what,
				 "request_id", http_request_id(request));
		http_reply_problem(request, 404,
				   "there is no such package of the agent here; make the enrolment script anew");
		return;
	}
	log_info("agent.download", "file", package->file, "version", package->version, "sha256", package->sha256,
		 "peer", http_peer(request), "request_id", http_request_id(request));
	http_reply_shared(request, 200, "application/gzip", package->data, package->len_bytes, package_release,
			  package);
}
