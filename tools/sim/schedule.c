#include "tools/sim/schedule.h"

#include <stdlib.h>

bool schedule_init(struct schedule *schedule, size_t capacity)
{
	*schedule = (struct schedule){.capacity = capacity};
	// Place 0 stays empty, so that parents and children are a shift away.
	schedule->items = calloc(capacity + 1, sizeof(void *));
	return schedule->items != NULL;
}

void schedule_done(struct schedule *schedule)
{
	free(schedule->items);
	*schedule = (struct schedule){.items = NULL};
}

static void put(struct schedule *schedule, size_t place, struct schedule_item *item)
{
	schedule->items[place] = item;
	item->place = place;
}

static void rise(struct schedule *schedule, struct schedule_item *item)
{
	size_t place = item->place;

	while (place > 1 && schedule->items[place / 2]->due_ms > item->due_ms) {
		put(schedule, place, schedule->items[place / 2]);
		place /= 2;
	}
	put(schedule, place, item);
}

static void sink(struct schedule *schedule, struct schedule_item *item)
{
	size_t place = item->place;

	while (2 * place <= schedule->count) {
		size_t child = 2 * place;

		if (child < schedule->count && schedule->items[child + 1]->due_ms < schedule->items[child]->due_ms)
			child++;
		if (schedule->items[child]->due_ms >= item->due_ms)
			break;
		put(schedule, place, schedule->items[child]);
		place = child;
	}
	put(schedule, place, item);
}

static void take_out(struct schedule *schedule, struct schedule_item *item)
{
	struct schedule_item *last = schedule->items[schedule->count--];

	if (last != item) {
		put(schedule, item->place, last);
		rise(schedule, last);
		sink(schedule, last);
	}
	item->place = 0;
}

void schedule_set(struct schedule *schedule, struct schedule_item *item, int64_t due_ms)
{
	item->due_ms = due_ms;
	if (due_ms == SCHEDULE_NEVER) {
		if (item->place)
			take_out(schedule, item);
		return;
	}
	if (!item->place)
		put(schedule, ++schedule->count, item);
	rise(schedule, item);
	sink(schedule, item);
}

struct schedule_item *schedule_first(const struct schedule *schedule)
{
	return schedule->count ? schedule->items[1] : NULL;
}
