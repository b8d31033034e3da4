#include "dashboard/tags.h"

#include "common/clock.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTED_MAX "1000"
#define BATCH_MAX 2000 // devices changed by one request
#define BATCH "2000"
#define FRESH_MS 15000
#define SCOPES 32 // whose counts are kept: people who see the same devices share them
#define SCOPE_MAX_BYTES 512

// What decides which devices whoever asks can see.
static const char SCOPE_SQL[] = "select concat_ws('|', current_setting('muster.tenant', true),"
				" current_setting('muster.groups', true))";
static const char COUNT_SQL[] =
	"select json_build_object('at', now(), 'items',"
	" coalesce(json_agg(json_build_object('tag', tag, 'devices', devices)"
	" order by devices desc, tag), '[]')) from (select tag, count(*) as devices from device, unnest(tags) tag"
	" group by tag order by 2 desc, 1 limit " LISTED_MAX ") t";
// $1 tag, $2 what to put in its place, null for nothing. Ends with a number: how many were changed.
static const char REPLACE_SQL[] =
	"with picked as (select device from device where tags @> array[$1] order by device limit " BATCH " for update),"
	" changed as (update device d set tags = array(select distinct t from unnest(array_remove(d.tags, $1)"
	" || case when $2::text is null then '{}' else array[$2::text] end) t order by t)"
	" from picked where d.device = picked.device returning 1) select count(*) from changed";

struct counts {
	char scope[SCOPE_MAX_BYTES];
	char *answer; // NULL: none
	int64_t at_ms;
};

struct tags {
	struct counts kept[SCOPES];
	size_t next;
};

struct tags *tags_new(void)
{
	return calloc(1, sizeof(struct tags));
}

static void forget(struct tags *tags)
{
	for (size_t i = 0; i < SCOPES; i++) {
		free(tags->kept[i].answer);
		tags->kept[i].answer = NULL;
	}
}

void tags_free(struct tags *tags)
{
	if (tags)
		forget(tags);
	free(tags);
}

static struct counts *find(struct tags *tags, const char *scope)
{
	for (size_t i = 0; i < SCOPES; i++) {
		if (tags->kept[i].answer && strcmp(tags->kept[i].scope, scope) == 0)
			return &tags->kept[i];
	}
	return NULL;
}

// Takes the place of the oldest.
static void keep(struct tags *tags, const char *scope, const char *answer)
{
	struct counts *counts = find(tags, scope);

	if (strlen(scope) >= SCOPE_MAX_BYTES)
		return;
	if (!counts) {
		counts = &tags->kept[tags->next];
		tags->next = (tags->next + 1) % SCOPES;
	}
	free(counts->answer);
	(void)snprintf(counts->scope, sizeof(counts->scope), "%s", scope);
	counts->answer = strdup(answer);
	counts->at_ms = clock_mono_ms();
}

void tags_list(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_pg_result struct pg_result *scope = NULL, *found = NULL;

	if (!api_query_again(dashboard, request, &scope, SCOPE_SQL, 0, NULL))
		return;
	const struct counts *counts = find(dashboard->tags, pg_text(scope, 0, 0));

	if (counts && clock_mono_ms() - counts->at_ms < FRESH_MS) {
		api_reply_text(request, 200, counts->answer);
	} else if (api_query(dashboard, request, &found, COUNT_SQL, 0, NULL)) {
		keep(dashboard->tags, pg_text(scope, 0, 0), pg_text(found, 0, 0));
		api_reply_text(request, 200, pg_text(found, 0, 0));
	}
}

static bool replace(struct dashboard *dashboard, struct http_request *request, const char *tag, const char *to,
		    int64_t *changed, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_json struct json *detail = json_new_object();

	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error) ||
	    !PG_QUERY(dashboard->pg, &rows, error, REPLACE_SQL, tag, to))
		return false;
	*changed = pg_int(rows, 0, 0);
	json_set_int(detail, "devices", *changed);
	if (to)
		json_set_string(detail, "to", to);
	return api_audit(dashboard, request, auth_of(request)->user, to ? "tag.rename" : "tag.remove", tag,
			 json_text(detail), error) &&
	       pg_commit(dashboard->pg, error);
}

static void change(struct dashboard *dashboard, struct http_request *request, const char *tag, const char *to)
{
	struct error error = {0};
	int64_t changed = 0;
	char answer[64];

	if (!replace(dashboard, request, tag, to, &changed, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return;
	}
	forget(dashboard->tags);
	(void)snprintf(answer, sizeof(answer), "{\"changed\":%lld,\"more\":%s}", (long long)changed,
		       changed == BATCH_MAX ? "true" : "false");
	api_reply_text(request, 200, answer);
}

static bool read_tag(struct http_request *request, const struct json *body, const char *name, const char **out)
{
	char detail[96];

	if (json_member_string(body, name, out) && (*out)[0] && strlen(*out) <= API_TAG_BYTES_MAX)
		return true;
	(void)snprintf(detail, sizeof(detail), "\"%s\" is needed: a tag, up to %d bytes.", name, API_TAG_BYTES_MAX);
	http_reply_problem(request, 422, detail);
	return false;
}

void tags_rename(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	const char *tag = "", *to = "";

	if (!body || !read_tag(request, body, "tag", &tag) || !read_tag(request, body, "to", &to))
		return;
	if (strcmp(tag, to) == 0)
		http_reply_problem(request, 422, "\"to\" must be another tag.");
	else
		change(user, request, tag, to);
}

void tags_remove(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	const char *tag = "";

	if (body && read_tag(request, body, "tag", &tag))
		change(user, request, tag, NULL);
}
