// Who is due next: a binary heap of deadlines. An item is embedded in what it wakes and is in one heap at most.
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_NEVER INT64_MAX

struct schedule_item {
	int64_t due_ms;
	size_t place; // in the heap, counted from 1; 0: in none
};

struct schedule {
	struct schedule_item **items;
	size_t count, capacity;
};

bool schedule_init(struct schedule *schedule, size_t capacity) must_check;
void schedule_done(struct schedule *schedule);
// Puts the item in, or moves it; SCHEDULE_NEVER takes it out. There must be room: capacity is the number of items.
void schedule_set(struct schedule *schedule, struct schedule_item *item, int64_t due_ms);
// The earliest; NULL when there is none. Stays in.
struct schedule_item *schedule_first(const struct schedule *schedule);
