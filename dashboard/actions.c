#include "dashboard/actions.h"

#include "common/action.h"

void actions_list(struct http_request *request, void *user)
{
	struct json *answer = json_new_object();
	struct json *items = json_new_array();

	action_list(items);
	json_set(answer, "items", items);
	http_reply_json(request, 200, answer);
}
