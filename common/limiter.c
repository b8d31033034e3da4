#include "common/limiter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->forgotten = true)
#include <uthash.h>

#define ELAPSED_MAX_MS 1000000000 // no bucket takes longer to fill that matters, and no product overflows

// In thousandths, so that a millisecond earns a whole number.
struct bucket {
	int64_t level, full;
};

struct account {
	struct bucket messages, bytes;
	int64_t filled_ms; // when the buckets were last looked at
	int64_t messages_per_s, bytes_per_s;
	bool over;                         // there is something to tell:
	int64_t over_messages, over_bytes; // since the last notice
	int64_t over_ms;                   // the first of these
	int64_t notice_ms;                 // no notice before
	struct account *next_over;
	bool forgotten; // there was no memory to enter it
	UT_hash_handle hh;
	char name[]; // there may be tens of thousands
};

struct limiter {
	struct account *accounts; // by name
	struct account *over; // those with something to tell, in any order
	int64_t sweep_every_ms;
	int64_t sweep_ms; // the next
};

// ---- the table ----
// The macros of uthash count as the code of whoever uses them.
// NOLINTBEGIN(readability-function-cognitive-complexity,readability-function-size)

static struct account *find(const struct limiter *limiter, const char *name)
{
	struct account *account;

	HASH_FIND_STR(limiter->accounts, name, account);
	return account;
}

static bool enter(struct limiter *limiter, struct account *account)
{
	HASH_ADD_STR(limiter->accounts, name, account);
	return !account->forgotten;
}

static void forget(struct limiter *limiter, struct account *account)
{
	HASH_DEL(limiter->accounts, account);
	free(account);
}

// NOLINTEND(readability-function-cognitive-complexity,readability-function-size)

bool limits_check(const struct limits *limits, struct error *error)
{
	if (limits->messages_per_s < 0 || limits->bytes_per_s < 0)
		return error_set(error, ERROR_INVALID, "a rate is below 0");
	if (limits->messages_per_s > 0 && limits->messages_burst < 1)
		return error_set(error, ERROR_INVALID, "a rate of messages needs a burst of 1 at least");
	if (limits->bytes_per_s > 0 && limits->bytes_burst < PAYLOAD_MAX_BYTES)
		return error_set(error, ERROR_INVALID,
				 "a rate of bytes needs a burst of %d at least: the largest message",
				 PAYLOAD_MAX_BYTES);
	return true;
}

struct limiter *limiter_new(int64_t sweep_ms, int64_t now_ms)
{
	struct limiter *limiter = calloc(1, sizeof(*limiter));

	if (!limiter)
		return NULL;
	limiter->sweep_every_ms = sweep_ms;
	limiter->sweep_ms = now_ms + sweep_ms;
	return limiter;
}

void limiter_free(struct limiter *limiter)
{
	while (limiter && limiter->accounts)
		forget(limiter, limiter->accounts);
	free(limiter);
}

static struct account *account_new(struct limiter *limiter, const struct limits *limits, const char *name,
				   int64_t now_ms)
{
	size_t name_bytes = strlen(name) + 1;
	struct account *account = calloc(1, sizeof(*account) + name_bytes);

	if (!account)
		return NULL;
	memcpy(account->name, name, name_bytes);
	account->messages.level = limits->messages_burst * 1000;
	account->bytes.level = limits->bytes_burst * 1000;
	account->filled_ms = now_ms;
	if (!enter(limiter, account)) {
		free(account);
		return NULL;
	}
	return account;
}

static void fill_bucket(struct bucket *bucket, int64_t per_s, int64_t burst, int64_t elapsed_ms)
{
	bucket->full = burst * 1000;
	bucket->level += elapsed_ms * per_s;
	if (bucket->level > bucket->full)
		bucket->level = bucket->full;
}

static int64_t elapsed_ms(const struct account *account, int64_t now_ms)
{
	int64_t elapsed = now_ms - account->filled_ms;

	if (elapsed < 0)
		return 0;
	return elapsed < ELAPSED_MAX_MS ? elapsed : ELAPSED_MAX_MS;
}

static void fill(struct account *account, const struct limits *limits, int64_t now_ms)
{
	int64_t elapsed = elapsed_ms(account, now_ms);

	account->messages_per_s = limits->messages_per_s;
	account->bytes_per_s = limits->bytes_per_s;
	fill_bucket(&account->messages, limits->messages_per_s, limits->messages_burst, elapsed);
	fill_bucket(&account->bytes, limits->bytes_per_s, limits->bytes_burst, elapsed);
	account->filled_ms = now_ms;
}

struct scan {
	bool quoted, escaped;
	int depth;
	size_t commas; // between the elements of the outermost array
};

static void scan_byte(struct scan *scan, char byte)
{
	if (scan->quoted) {
		if (!scan->escaped && byte == '"')
			scan->quoted = false;
		scan->escaped = !scan->escaped && byte == '\\';
		return;
	}
	switch (byte) {
	case '"':
		scan->quoted = true;
		break;
	case '[':
	case '{':
		scan->depth++;
		break;
	case ']':
	case '}':
		scan->depth--;
		break;
	case ',':
		scan->commas += scan->depth == 1;
		break;
	default:
		break;
	}
}

size_t limiter_weight(const char *payload, size_t bytes)
{
	struct scan scan = {.depth = 0};
	size_t at = 0;

	while (at < bytes && strchr(" \t\r\n", payload[at]) && payload[at] != '\0')
		at++;
	if (at == bytes || payload[at] != '[')
		return 1;
	for (; at < bytes; at++)
		scan_byte(&scan, payload[at]);
	return 1 + scan.commas;
}

static void count_over(struct limiter *limiter, struct account *account, size_t messages, size_t bytes, int64_t now_ms)
{
	if (!account->over) {
		account->over = true;
		account->over_ms = now_ms;
		if (account->notice_ms < now_ms + LIMITER_NOTICE_FIRST_MS)
			account->notice_ms = now_ms + LIMITER_NOTICE_FIRST_MS;
		account->next_over = limiter->over;
		limiter->over = account;
	}
	account->over_messages += (int64_t)messages;
	account->over_bytes += (int64_t)bytes;
}

static int64_t price(size_t amount, int64_t burst)
{
	return 1000 * ((int64_t)amount < burst ? (int64_t)amount : burst);
}

// NULL when memory ran out.
static struct account *open_account(struct limiter *limiter, const struct limits *limits, const char *name,
				    int64_t now_ms)
{
	struct account *account = find(limiter, name);

	if (!account)
		account = account_new(limiter, limits, name, now_ms);
	if (account)
		fill(account, limits, now_ms);
	return account;
}

static bool is_limited(const struct limits *limits)
{
	return limits->messages_per_s > 0 || limits->bytes_per_s > 0;
}

bool limiter_take(struct limiter *limiter, const struct limits *limits, const char *name, size_t messages,
		  size_t bytes, int64_t now_ms)
{
	int64_t count = price(messages, limits->messages_burst);
	int64_t size = price(bytes, limits->bytes_burst);

	if (!is_limited(limits))
		return true;
	struct account *account = open_account(limiter, limits, name, now_ms);
	if (!account)
		return false;
	if ((limits->messages_per_s > 0 && account->messages.level < count) ||
	    (limits->bytes_per_s > 0 && account->bytes.level < size)) {
		count_over(limiter, account, messages, bytes, now_ms);
		return false;
	}
	if (limits->messages_per_s > 0)
		account->messages.level -= count;
	if (limits->bytes_per_s > 0)
		account->bytes.level -= size;
	return true;
}

// What is not in the bucket.
static size_t draw(struct bucket *bucket, int64_t per_s, size_t amount)
{
	size_t there = (size_t)(bucket->level / 1000);
	size_t drawn = amount < there ? amount : there;

	if (per_s == 0)
		return 0;
	bucket->level -= 1000 * (int64_t)drawn;
	return amount - drawn;
}

void limiter_charge(struct limiter *limiter, const struct limits *limits, const char *name, size_t messages,
		    size_t bytes, int64_t now_ms)
{
	struct account *account = is_limited(limits) ? open_account(limiter, limits, name, now_ms) : NULL;

	if (!account)
		return;
	messages = draw(&account->messages, limits->messages_per_s, messages);
	bytes = draw(&account->bytes, limits->bytes_per_s, bytes);
	if (messages > 0 || bytes > 0)
		count_over(limiter, account, messages, bytes, now_ms);
}

// Nothing would be different if it came back as somebody new.
static bool is_idle(const struct account *account, int64_t now_ms)
{
	int64_t elapsed = elapsed_ms(account, now_ms);

	return !account->over && now_ms >= account->notice_ms &&
	       account->messages.level + elapsed * account->messages_per_s >= account->messages.full &&
	       account->bytes.level + elapsed * account->bytes_per_s >= account->bytes.full;
}

static void sweep(struct limiter *limiter, int64_t now_ms)
{
	struct account *next;

	for (struct account *account = limiter->accounts; account; account = next) {
		next = account->hh.next;
		if (is_idle(account, now_ms))
			forget(limiter, account);
	}
	limiter->sweep_ms = now_ms + limiter->sweep_every_ms;
}

bool limiter_due(struct limiter *limiter, int64_t now_ms, struct limiter_notice *out)
{
	if (now_ms >= limiter->sweep_ms)
		sweep(limiter, now_ms);
	for (struct account **at = &limiter->over; *at; at = &(*at)->next_over) {
		struct account *account = *at;

		if (now_ms < account->notice_ms)
			continue;
		*at = account->next_over;
		*out = (struct limiter_notice){
			.messages = account->over_messages,
			.bytes = account->over_bytes,
			.span_ms = now_ms - account->over_ms,
		};
		(void)snprintf(out->name, sizeof(out->name), "%s", account->name);
		account->over_messages = account->over_bytes = 0;
		account->over = false;
		account->notice_ms = now_ms + LIMITER_NOTICE_EVERY_MS;
		return true;
	}
	return false;
}

size_t limiter_count(const struct limiter *limiter)
{
	return HASH_COUNT(limiter->accounts);
}
