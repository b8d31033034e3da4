#include "dashboard/interest.h"

#include "common/topic.h"
#include "dashboard/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 80
#define DEFAULT_TOPICS "devices,commands"

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool find_kind(const char *name, size_t name_bytes, enum feed_kind *out)
{
	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
		if (strlen(feed_sources[kind].name) == name_bytes &&
		    strncmp(feed_sources[kind].name, name, name_bytes) == 0) {
			*out = kind;
			return true;
		}
	}
	return false;
}

static bool refuse_topic(const char *topic, struct error *error)
{
	char known[256] = "";
	size_t used = 0;

	for (enum feed_kind kind = 0; kind < FEED_KINDS && used < sizeof(known); kind++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", kind == 0 ? "" : ", ",
					 feed_sources[kind].name);
	return error_set(error, ERROR_INVALID, "\"%.32s\" is no topic; there are: %s.", topic, known);
}

bool interest_add_topic(struct interest *interest, const char *topic, int roles, struct error *error)
{
	size_t len_bytes = strlen(topic);
	bool all = len_bytes > 0 && topic[len_bytes - 1] == '*';
	enum feed_kind kind = 0;

	if (!find_kind(topic, len_bytes - all, &kind))
		return refuse_topic(topic, error);
	if (!(feed_sources[kind].roles & roles))
		return error_set(error, ERROR_DENIED, "Your role may not read %s.", feed_sources[kind].name);
	if (feed_sources[kind].bound == FEED_UNBOUND || feed_sources[kind].bound == FEED_OWN ||
	    (all && feed_sources[kind].bound == FEED_BY_DEVICE))
		interest->all |= 1U << kind;
	else
		interest->named |= 1U << kind;
	return true;
}

bool interest_add_device(struct interest *interest, const char *device, struct error *error)
{
	if (!topic_is_device_id(device))
		return error_set(error, ERROR_INVALID, "\"%.64s\" is no device id.", device);
	if (!interest->devices)
		interest->devices = calloc(INTEREST_DEVICES_MAX, sizeof(*interest->devices));
	if (!interest->devices)
		return error_set(error, ERROR_FAILED, "Out of memory: try again later.");
	if (interest->device_count == INTEREST_DEVICES_MAX)
		return error_set(error, ERROR_LIMIT, "Name at most %d devices.", INTEREST_DEVICES_MAX);
	(void)snprintf(interest->devices[interest->device_count++], sizeof(*interest->devices), "%s", device);
	return true;
}

// The next word of a list with commas; false at its end. One that is too long is cut, and then known to nobody.
static bool next_word(const char **list, char word[WORD_MAX])
{
	if (!*list || !**list)
		return false;
	size_t len_bytes = strcspn(*list, ",");

	(void)snprintf(word, WORD_MAX, "%.*s", (int)(len_bytes < WORD_MAX ? len_bytes : WORD_MAX - 1), *list);
	*list += len_bytes + ((*list)[len_bytes] == ',');
	return true;
}

bool interest_add_lists(struct interest *interest, const char *topics, const char *devices, int roles,
			struct error *error)
{
	char word[WORD_MAX];

	while (next_word(&topics, word)) {
		if (!interest_add_topic(interest, word, roles, error))
			return false;
	}
	while (next_word(&devices, word)) {
		if (!interest_add_device(interest, word, error))
			return false;
	}
	return true;
}

bool interest_finish(struct interest *interest, struct error *error)
{
	size_t kept = 0;

	if (!interest->all && !interest->named &&
	    !interest_add_lists(interest, DEFAULT_TOPICS, NULL, feed_sources[FEED_DEVICES].roles, error))
		return false;
	if (interest->device_count == 0) { // nothing bounds what can do without
		for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
			if (!(interest->named & (1U << kind)))
				continue;
			if (feed_sources[kind].bound == FEED_NAMED_ONLY)
				return error_set(error, ERROR_INVALID, "Name the devices whose %s you want.",
						 feed_sources[kind].name);
			interest->all |= 1U << kind;
		}
		interest->named = 0;
		return true;
	}
	qsort(interest->devices, interest->device_count, sizeof(*interest->devices), compare);
	for (size_t i = 0; i < interest->device_count; i++) {
		if (i == 0 || strcmp(interest->devices[i], interest->devices[kept - 1]) != 0)
			memmove(interest->devices[kept++], interest->devices[i], sizeof(*interest->devices));
	}
	interest->device_count = kept;

	void *fitting = realloc(interest->devices, kept * sizeof(*interest->devices));

	if (fitting)
		interest->devices = fitting;
	interest->named &= ~interest->all;
	return true;
}

void interest_done(struct interest *interest)
{
	free(interest->devices);
	*interest = (struct interest){0};
}

bool interest_is_own(const struct interest *interest)
{
	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
		if (feed_sources[kind].bound == FEED_OWN && (interest->all & (1U << kind)))
			return true;
	}
	return false;
}

bool interest_has_device(const struct interest *interest, const char *device)
{
	return interest->device_count > 0 &&
	       bsearch(device, interest->devices, interest->device_count, sizeof(*interest->devices), compare);
}

bool interest_equal(const struct interest *a, const struct interest *b)
{
	return a->all == b->all && a->named == b->named && a->device_count == b->device_count &&
	       (a->device_count == 0 ||
		memcmp(a->devices, b->devices, a->device_count * sizeof(*a->devices)) == 0);
}
