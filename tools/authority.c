#include "tools/authority.h"

#include "common/buf.h"
#include "common/file.h"
#include "common/limits.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CA_DAYS 3650
#define HASH_NAMES_MAX 16 // of one hash, which has 32 bits: there is hardly ever a second

static const char sql_record[] = "insert into authority as a (sha256, kind, state, pem, not_after) values ($1, $2, $3, "
				 "$4, to_timestamp($5::bigint))"
				 " on conflict (sha256) do update set state = excluded.state, changed_at = now() where "
				 "a.state <> excluded.state";
static const char sql_withdrawn[] = "update authority set state = 'withdrawn', changed_at = now()"
				    " where kind = $1 and state <> 'withdrawn' and not (sha256 = any ($2::text[]))";

static const char *const kinds[] = {[AUTHORITY_DEVICE] = "device", [AUTHORITY_SERVICE] = "service"};
static const char *const states[] = {
	[AUTHORITY_NEXT] = "next", [AUTHORITY_CURRENT] = "current", [AUTHORITY_OLD] = "old"};
static const char *const key_suffixes[] = {
	[AUTHORITY_NEXT] = "-next", [AUTHORITY_CURRENT] = "", [AUTHORITY_OLD] = "-old"};

const char *authority_kind_name(enum authority_kind kind)
{
	return kinds[kind];
}

const char *authority_state_name(enum authority_state state)
{
	return states[state];
}

bool authority_kind_parse(const char *text, enum authority_kind *out)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(text, kinds[i]) == 0) {
			*out = (enum authority_kind)i;
			return true;
		}
	}
	return false;
}

static struct stack_path bundle_path(const struct stack *stack, enum authority_kind kind)
{
	return stack_path(stack, "ca/%s.crt", kinds[kind]);
}

static struct stack_path key_path(const struct stack *stack, enum authority_kind kind, enum authority_state state)
{
	return stack_path(stack, "ca/%s%s.key", kinds[kind], key_suffixes[state]);
}

static bool delete_file(const char *path, struct error *error)
{
	return unlink(path) == 0 || errno == ENOENT || error_errno(error, errno, "cannot delete %s", path);
}

// ---- reading ----

void authority_list_done(struct authority_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].pem);
	*list = (struct authority_list){0};
}

const struct authority *authority_find(const struct authority_list *list, enum authority_state state)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].state == state)
			return &list->items[i];
	}
	return NULL;
}

// Hashes of the public halves of current and next key; "" where there is none.
struct keys {
	char current[SHA256_HEX_BYTES], next[SHA256_HEX_BYTES];
};

static bool read_key(const struct stack *stack, enum authority_kind kind, enum authority_state state,
		     char out[SHA256_HEX_BYTES], struct error *error)
{
	struct stack_path path = key_path(stack, kind, state);
	out[0] = '\0';
	return !file_exists(path.text) || pki_key_sha256(path.text, out, error);
}

static enum authority_state state_of(const struct pki_certificate_info *info, const struct keys *keys)
{
	if (strcmp(info->key_sha256, keys->current) == 0)
		return AUTHORITY_CURRENT;
	return strcmp(info->key_sha256, keys->next) == 0 ? AUTHORITY_NEXT : AUTHORITY_OLD;
}

static bool fill(const char *text, const struct keys *keys, struct authority_list *list, struct error *error)
{
	struct pki_bundle bundle auto_pki_bundle = {0};
	if (!pki_bundle_parse(text, &bundle, error))
		return false;
	crypto_sha256_hex(text, strlen(text), list->trust);
	for (size_t i = 0; i < bundle.count; i++) {
		struct authority *item = &list->items[list->count];
		if (!pki_certificate_info(bundle.pems[i], &item->info, error))
			return false;
		item->state = state_of(&item->info, keys);
		item->pem = steal(bundle.pems[i]);
		list->count++;
	}
	return authority_find(list, AUTHORITY_CURRENT) ||
	       error_set(error, ERROR_INVALID, "none of them belongs to the key that issues");
}

bool authority_list_load(const struct stack *stack, enum authority_kind kind, struct authority_list *out,
			 struct error *error)
{
	struct stack_path path = bundle_path(stack, kind);
	struct authority_list list auto_authority_list = {0};
	struct keys keys;
	auto_free char *text = file_read(path.text, PEM_MAX_BYTES, NULL, error);
	if (!text || !read_key(stack, kind, AUTHORITY_CURRENT, keys.current, error) ||
	    !read_key(stack, kind, AUTHORITY_NEXT, keys.next, error))
		return false;
	if (!fill(text, &keys, &list, error))
		return error_prefix(error, "%s", path.text);
	*out = list;
	list.count = 0; // out has them now
	return true;
}

struct pki_ca *authority_open(const struct stack *stack, enum authority_kind kind, enum authority_state state,
			      struct error *error)
{
	return pki_ca_load(bundle_path(stack, kind).text, key_path(stack, kind, state).text, error);
}

// ---- the broker's folder ----

// The name in the folder of one authority; false when all names of its hash are taken by others.
static bool file_name(const char *pem, const struct buf *taken, struct stack_path *out, struct error *error)
{
	char hash[PKI_HASH_BYTES];
	if (!pki_subject_hash(pem, hash, error))
		return false;
	for (int i = 0; i < HASH_NAMES_MAX; i++) {
		(void)snprintf(out->text, sizeof(out->text), "/%s.%d\n", hash, i);
		if (!strstr(buf_str(taken), out->text))
			return true;
	}
	return error_set(error, ERROR_LIMIT, "too many authorities with the same hash");
}

// Deletes what is not among names ("/<name>\n" each).
static bool sweep(const char *folder, const struct buf *names, struct error *error)
{
	char path[2 * STACK_PATH_MAX];
	char wanted[STACK_PATH_MAX];
	DIR *dir = opendir(folder);
	if (!dir)
		return error_errno(error, errno, "cannot read %s", folder);
	bool ok = true;
	const struct dirent *entry;
	while (ok && (entry = readdir(dir))) {
		(void)snprintf(wanted, sizeof(wanted), "/%s\n", entry->d_name);
		if (entry->d_name[0] == '.' || strstr(buf_str(names), wanted))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		ok = delete_file(path, error);
	}
	(void)closedir(dir);
	return ok;
}

bool authority_publish(const struct authority_list *list, const char *folder, struct error *error)
{
	struct buf auto_buf names;
	buf_init(&names, PEM_MAX_BYTES);
	if (!file_mkdirs(folder, 0700, error))
		return false;
	for (size_t i = 0; i < list->count; i++) {
		struct stack_path name;
		char path[2 * STACK_PATH_MAX];
		if (!file_name(list->items[i].pem, &names, &name, error))
			return false;
		buf_add_str(&names, name.text);
		name.text[strcspn(name.text, "\n")] = '\0';
		(void)snprintf(path, sizeof(path), "%s%s", folder, name.text);
		if (!file_write(path, list->items[i].pem, strlen(list->items[i].pem), 0644, error))
			return false;
	}
	return sweep(folder, &names, error);
}

// Makes ca/trust/<kind> say the same as ca/<kind>.crt.
static bool publish(const struct stack *stack, enum authority_kind kind, struct error *error)
{
	struct authority_list list auto_authority_list = {0};
	return authority_list_load(stack, kind, &list, error) &&
	       authority_publish(&list, stack_path(stack, "ca/trust/%s", kinds[kind]).text, error);
}

// ---- making, switching, withdrawing ----

// Both files or neither: a key without its certificate is what a crash left.
static bool make(const struct stack *stack, enum authority_kind kind, enum authority_state state, const char *name,
		 struct error *error)
{
	struct stack_path cert = stack_path(stack, "ca/%s%s.crt", kinds[kind], key_suffixes[state]);
	struct stack_path key = key_path(stack, kind, state);
	return delete_file(cert.text, error) && delete_file(key.text, error) &&
	       pki_ca_create(cert.text, key.text, name, CA_DAYS, error);
}

bool authority_init(const struct stack *stack, enum authority_kind kind, struct error *error)
{
	char name[64];
	(void)snprintf(name, sizeof(name), "Muster %s CA", kinds[kind]);
	if (!file_exists(bundle_path(stack, kind).text) && !make(stack, kind, AUTHORITY_CURRENT, name, error))
		return false;
	return publish(stack, kind, error);
}

// All of list but the old ones (unless with_old), then pem.
static bool write_bundle(const struct stack *stack, enum authority_kind kind, const struct authority_list *list,
			 bool with_old, const char *pem, struct error *error)
{
	struct buf auto_buf text;
	buf_init(&text, PEM_MAX_BYTES);
	for (size_t i = 0; i < list->count; i++) {
		if (with_old || list->items[i].state != AUTHORITY_OLD)
			buf_add_str(&text, list->items[i].pem);
	}
	buf_add_str(&text, pem);
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "too many authorities; withdraw an old one first");
	return file_write(bundle_path(stack, kind).text, text.data, text.len_bytes, 0644, error) &&
	       publish(stack, kind, error);
}

bool authority_add(const struct stack *stack, enum authority_kind kind, struct error *error)
{
	struct authority_list list auto_authority_list = {0};
	char name[96];
	char day[16];
	char random[5];
	uint8_t bytes[2];
	time_t now = time(NULL);
	struct tm parts;
	if (!authority_list_load(stack, kind, &list, error))
		return false;
	if (authority_find(&list, AUTHORITY_NEXT))
		return error_set(error, ERROR_EXISTS, "the next %s CA is made already", kinds[kind]);
	if (authority_find(&list, AUTHORITY_OLD))
		return error_set(error, ERROR_EXISTS,
				 "the last rotation is not finished: an old %s CA is still trusted", kinds[kind]);
	// A name of its own: see the header.
	crypto_random(bytes, sizeof(bytes));
	crypto_hex(bytes, sizeof(bytes), random);
	(void)gmtime_r(&now, &parts);
	(void)strftime(day, sizeof(day), "%Y%m%d", &parts);
	(void)snprintf(name, sizeof(name), "Muster %s CA %s-%s", kinds[kind], day, random);
	struct stack_path cert = stack_path(stack, "ca/%s-next.crt", kinds[kind]);
	if (!make(stack, kind, AUTHORITY_NEXT, name, error))
		return false;
	auto_free char *pem = file_read(cert.text, PEM_MAX_BYTES, NULL, error);
	return pem && write_bundle(stack, kind, &list, true, pem, error) && delete_file(cert.text, error);
}

bool authority_switch(const struct stack *stack, enum authority_kind kind, struct error *error)
{
	struct stack_path current = key_path(stack, kind, AUTHORITY_CURRENT);
	struct stack_path next = key_path(stack, kind, AUTHORITY_NEXT);
	struct stack_path old = key_path(stack, kind, AUTHORITY_OLD);
	struct authority_list list auto_authority_list = {0};
	if (!authority_list_load(stack, kind, &list, error))
		return false;
	if (!authority_find(&list, AUTHORITY_NEXT))
		return error_set(error, ERROR_NOT_FOUND, "there is no next %s CA", kinds[kind]);
	// The broker has to know it, also when making it was cut short behind the bundle. While there is a next one
	// there is none old; a key of that name is from a switch that was cut short here.
	if (!publish(stack, kind, error) || !delete_file(old.text, error))
		return false;
	if (link(current.text, old.text) != 0)
		return error_errno(error, errno, "cannot keep %s", old.text);
	if (rename(next.text, current.text) != 0)
		return error_errno(error, errno, "cannot rename %s", next.text);
	return true;
}

bool authority_withdraw(const struct stack *stack, enum authority_kind kind, struct error *error)
{
	struct authority_list list auto_authority_list = {0};
	if (!authority_list_load(stack, kind, &list, error))
		return false;
	if (!authority_find(&list, AUTHORITY_OLD))
		return error_set(error, ERROR_NOT_FOUND, "there is no old %s CA", kinds[kind]);
	return write_bundle(stack, kind, &list, false, "", error) &&
	       delete_file(key_path(stack, kind, AUTHORITY_OLD).text, error);
}

// ---- the database ----

static bool record(const struct stack *stack, enum authority_kind kind, struct pg *pg, struct error *error)
{
	struct authority_list list auto_authority_list = {0};
	struct buf auto_buf all;
	buf_init(&all, PKI_BUNDLE_MAX * SHA256_HEX_BYTES + 3);
	buf_add_str(&all, "{");
	if (!authority_list_load(stack, kind, &list, error))
		return false;
	for (size_t i = 0; i < list.count; i++) {
		const struct authority *item = &list.items[i];
		char not_after[24];
		(void)snprintf(not_after, sizeof(not_after), "%lld", (long long)item->info.not_after_s);
		if (!PG_QUERY(pg, NULL, error, sql_record, item->info.sha256, kinds[kind], states[item->state],
			      item->pem, not_after))
			return false;
		(void)buf_addf(&all, "%s%s", i > 0 ? "," : "", item->info.sha256);
	}
	buf_add_str(&all, "}");
	return PG_QUERY(pg, NULL, error, sql_withdrawn, kinds[kind], buf_str(&all));
}

bool authority_record(const struct stack *stack, struct pg *pg, struct error *error)
{
	return record(stack, AUTHORITY_DEVICE, pg, error) && record(stack, AUTHORITY_SERVICE, pg, error);
}
