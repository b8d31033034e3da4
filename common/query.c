#include "common/query.h"

#include "common/device_sql.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX_BYTES 65536
#define NAME_MAX_BYTES 32
#define VALUES_MAX 32 // of one term

enum op { OP_IS, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL };
static const char *const op_text[] = {":", "<", "<=", ">", ">="};
static const char *const op_sql[] = {"=", "<", "<=", ">", ">="};

enum field_type {
	FIELD_CHOICE,  // one of words; sql is compared with it
	FIELD_TEXT,    // the whole text, or with * for any
	FIELD_TAG,
	FIELD_NUMBER,
	FIELD_AGE,     // a duration; sql is a time: "seen>1d" is longer ago than a day
	FIELD_OS,
	FIELD_FILTER,
	FIELD_GROUP,
};

struct field {
	const char *name;
	enum field_type type;
	const char *sql, *roster; // the value, of a device d with its device_state s, and of a device_roster r
	const char *words;	  // FIELD_CHOICE: separated by blanks
};

static const struct field fields[] = {
	{"status", FIELD_CHOICE, DEVICE_STATUS_SQL, DEVICE_ROSTER_STATUS_SQL, "online stale offline never revoked"},
	{"device", FIELD_TEXT, "d.device", "r.device", NULL},
	{"name", FIELD_TEXT, "lower(d.display_name)", "nullif(r.name, r.device)", NULL},
	{"tag", FIELD_TAG, "d.tags", "r.tags", NULL},
	{"group", FIELD_GROUP, "d.device", "r.device", NULL},
	{"filter", FIELD_FILTER, NULL, NULL, NULL},
	{"os", FIELD_OS, NULL, "r.os", NULL},
	{"model", FIELD_TEXT,
	 "(select lower(coalesce(i.body ->> 'product', i.body ->> 'model')) from inventory i where i.device = d.device"
	 " and i.kind = 'hardware')",
	 "lower(r.model)", NULL},
	{"agent", FIELD_TEXT, "lower(s.agent_version)", "r.agent", NULL},
	{"network", FIELD_TEXT, "lower(s.network_type)", "r.network", NULL},
	{"charging", FIELD_CHOICE, "case when s.charging then 'yes' else 'no' end",
	 "case when r.charging then 'yes' else 'no' end", "yes no"},
	{"battery", FIELD_NUMBER, "s.battery_pct", "r.battery", NULL},
	{"cpu", FIELD_NUMBER, "s.cpu_pct", "r.cpu", NULL},
	{"load", FIELD_NUMBER, "s.load1", "r.load", NULL},
	{"memory", FIELD_NUMBER, "(1 - s.mem_available::float8 / nullif(s.mem_total, 0)) * 100", "r.memory", NULL},
	{"disk", FIELD_NUMBER, "(1 - s.disk_free::float8 / nullif(s.disk_total, 0)) * 100", "r.disk", NULL},
	{"temperature", FIELD_NUMBER, "s.temperature_c", "r.temperature", NULL},
	{"rssi", FIELD_NUMBER, "s.rssi_dbm", "r.rssi", NULL},
	{"cell", FIELD_NUMBER, "coalesce(s.cell, d.cell)", "r.cell", NULL},
	{"uptime", FIELD_AGE, "now() - s.uptime_s * interval '1 second'", "now() - r.uptime * interval '1 second'",
	 NULL},
	{"seen", FIELD_AGE, DEVICE_SEEN_SQL, "least(r.seen, now())", NULL},
	{"enrolled", FIELD_AGE, "d.enrolled_at", "r.enrolled_at", NULL},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

struct term {
	bool not;
	const struct field *field; // NULL: a word to find
	enum op op;
	char values[VALUES_MAX][QUERY_VALUE_MAX + 1];
	size_t count;
};

struct compiler {
	const struct query_options *options;
	struct query *query;
	int depth;
};

static bool compile_text(struct compiler *compiler, const char *text, struct error *error);

bool query_is_name(const char *text)
{
	size_t length = strlen(text);

	return length >= 1 && length <= 63 && isalnum((unsigned char)text[0]) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

// ---- reading ----

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool list_fields(const char *name, size_t length, struct error *error)
{
	auto_buf struct buf names;

	buf_init(&names, 400);
	for (size_t i = 0; i < FIELDS; i++)
		(void)buf_addf(&names, "%s%s", i > 0 ? ", " : "", fields[i].name);
	return error_set(error, ERROR_INVALID, "there is no field \"%.*s\"; there are %s", (int)length, name,
			 buf_str(&names));
}

static const struct field *find_field(const char *name, size_t length)
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (strlen(fields[i].name) == length && strncmp(fields[i].name, name, length) == 0)
			return &fields[i];
	}
	return NULL;
}

// The operator at *at, which moves behind it; false when there is none.
static bool read_op(const char **at, enum op *op)
{
	char c = **at;

	if (c != ':' && c != '=' && c != '<' && c != '>')
		return false;
	(*at)++;
	*op = c == '<' ? OP_LESS : c == '>' ? OP_GREATER : OP_IS;
	if (*op != OP_IS && **at == '=') {
		(*at)++;
		*op = *op == OP_LESS ? OP_LESS_EQUAL : OP_GREATER_EQUAL;
	}
	return true;
}

// "in quotes", where \" and \\ stand for themselves.
static bool read_quoted(const char **at, char *out, size_t *length, struct error *error)
{
	const char *p = *at + 1;

	for (; *p != '"'; p++) {
		if (*p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (*p == '\0')
			return error_set(error, ERROR_INVALID, "a quotation mark is opened and not closed");
		if (*length == QUERY_VALUE_MAX)
			return error_set(error, ERROR_LIMIT, "a value is longer than %d bytes", QUERY_VALUE_MAX);
		out[(*length)++] = *p;
	}
	*at = p + 1;
	return true;
}

static bool read_value(const char **at, char out[QUERY_VALUE_MAX + 1], struct error *error)
{
	size_t length = 0;

	if (**at == '"') {
		if (!read_quoted(at, out, &length, error))
			return false;
	} else {
		for (; **at != '\0' && **at != ',' && **at != '"' && !is_blank(**at); (*at)++) {
			if (length == QUERY_VALUE_MAX)
				return error_set(error, ERROR_LIMIT, "a value is longer than %d bytes",
						 QUERY_VALUE_MAX);
			out[length++] = **at;
		}
	}
	out[length] = '\0';
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
			return error_set(error, ERROR_INVALID, "a value holds a control character");
	}
	return true;
}

// value {"," value}
static bool read_values(const char **at, struct term *term, struct error *error)
{
	for (;;) {
		char *value = term->values[term->count];

		if (!read_value(at, value, error))
			return false;
		if (value[0] == '\0')
			return error_set(error, ERROR_INVALID, "behind \"%s%s\" stands a value, or several with commas",
					 term->field->name, op_text[term->op]);
		term->count++;
		if (**at != ',')
			break;
		(*at)++;
		if (term->count == VALUES_MAX)
			return error_set(error, ERROR_LIMIT, "\"%s\" has more than %d values", term->field->name,
					 VALUES_MAX);
	}
	return **at == '\0' || is_blank(**at) ||
	       error_set(error, ERROR_INVALID, "behind a value comes a blank or a comma, not '%c'", **at);
}

static bool read_term(const char **at, struct term *term, struct error *error)
{
	const char *start = NULL;

	term->not = **at == '-';
	term->count = 0;
	term->field = NULL;
	*at += term->not ? 1 : 0;
	start = *at;
	*at += strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
	size_t length = (size_t)(*at - start);

	if (length > 0 && read_op(at, &term->op)) {
		term->field = find_field(start, length < NAME_MAX_BYTES ? length : 0);
		if (!term->field)
			return list_fields(start, length < NAME_MAX_BYTES ? length : NAME_MAX_BYTES, error);
		return read_values(at, term, error);
	}
	*at = start; // a word
	if (!read_value(at, term->values[0], error))
		return false;
	term->count = 1;
	if (term->values[0][0] == '\0')
		return error_set(error, ERROR_INVALID, "here a term is missing: a word, or a field with its value");
	return **at == '\0' || is_blank(**at) ||
	       error_set(error, ERROR_INVALID, "behind the word \"%.64s\" comes a blank, not '%c'", term->values[0],
			 **at);
}

// ---- writing ----

static bool put(struct compiler *compiler, const char *sql)
{
	(void)buf_add_str(&compiler->query->sql, sql); // whether it fitted is asked at the end
	return true;
}

static const char *sql_of(const struct compiler *compiler, const struct term *term)
{
	return compiler->options->roster ? term->field->roster : term->field->sql;
}

// Adds " $n" for a copy of value.
static bool add_param(struct compiler *compiler, const char *value, const char *cast, struct error *error)
{
	struct query *query = compiler->query;

	if (query->count == QUERY_PARAMS_MAX)
		return error_set(error, ERROR_LIMIT, "the query has more than %d values", QUERY_PARAMS_MAX);
	query->params[query->count] = strdup(value);
	if (!query->params[query->count])
		return error_set(error, ERROR_FAILED, "no memory for a query");
	(void)buf_addf(&query->sql, "$%zu::%s", query->first_param + query->count, cast);
	query->count++;
	return true;
}

static bool needs_is(const struct term *term, struct error *error)
{
	return term->op == OP_IS || error_set(error, ERROR_INVALID, "\"%s\" is compared with : only, not with %s",
					      term->field->name, op_text[term->op]);
}

static bool in_words(const char *words, const char *value)
{
	size_t length = strlen(value);

	for (const char *at = words; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");

		if (word == length && strncmp(at, value, word) == 0)
			return true;
		at += word;
	}
	return false;
}

static bool add_choice(struct compiler *compiler, const struct term *term, const char *value, struct error *error)
{
	struct buf *sql = &compiler->query->sql;

	if (!in_words(term->field->words, value))
		return error_set(error, ERROR_INVALID, "\"%s\" is one of %s, not \"%.64s\"", term->field->name,
				 term->field->words, value);
	if (strcmp(value, "revoked") == 0)
		return put(compiler, compiler->options->roster ? "not r.enabled" : "not d.enabled");
	(void)buf_addf(sql, "(%s) = ", sql_of(compiler, term));
	return add_param(compiler, value, "text", error);
}

// "*" stands for any text; LIKE's own signs do not.
static bool add_text(struct compiler *compiler, const struct term *term, const char *value, struct error *error)
{
	char pattern[2 * QUERY_VALUE_MAX + 1];
	size_t length = 0;

	for (const char *p = value; *p; p++) {
		if (*p == '%' || *p == '_' || *p == '\\')
			pattern[length++] = '\\';
		pattern[length++] = (char)(*p == '*' ? '%' : *p);
	}
	pattern[length] = '\0';
	(void)buf_addf(&compiler->query->sql, "coalesce(%s, '') %s lower(", sql_of(compiler, term),
		       strchr(value, '*') ? "like" : "=");
	return add_param(compiler, strchr(value, '*') ? pattern : value, "text", error) &&
	       put(compiler, ")");
}

static bool add_tag(struct compiler *compiler, const struct term *term, const char *value, struct error *error)
{
	if (compiler->options->roster)
		return add_param(compiler, value, "text", error) && put(compiler, DEVICE_ROSTER_TAG_SQL);
	(void)buf_addf(&compiler->query->sql, "%s @> array[", sql_of(compiler, term)); // which has an index
	return add_param(compiler, value, "text", error) && put(compiler, "]");
}

// Plain decimal notation: what strtod takes beyond it (hexadecimal, inf, nan) has no place here.
static bool add_number(struct compiler *compiler, const struct term *term, const char *value, struct error *error)
{
	char *end = NULL;
	const char *digits = value + (*value == '-' ? 1 : 0);

	errno = 0;
	double number = strtod(value, &end);
	if (*digits < '0' || *digits > '9' || strspn(digits, "0123456789.") != strlen(digits) || *end != '\0' ||
	    errno != 0 || !isfinite(number))
		return error_set(error, ERROR_INVALID,
				 "\"%s\" is compared with a number such as 20 or -70.5, not \"%.64s\"",
				 term->field->name, value);
	(void)buf_addf(&compiler->query->sql, "(%s) %s ", sql_of(compiler, term), op_sql[term->op]);
	return add_param(compiler, value, "float8", error);
}

static bool parse_duration(const char *text, int64_t *out)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	char *end = NULL;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno != 0 || number > 1000000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (*end == units[i].unit && end[1] == '\0') {
			*out = number * units[i].seconds;
			return *out <= 3155760000; // a hundred years
		}
	}
	*out = number;
	return *end == '\0';
}

// Longer ago is earlier: the comparison turns round.
static bool add_age(struct compiler *compiler, const struct term *term, const char *value, struct error *error)
{
	int64_t seconds = 0;
	char text[24];
	static const char *const turned[] = {NULL, ">", ">=", "<", "<="};

	if (term->op == OP_IS)
		return error_set(error, ERROR_INVALID, "\"%s\" is compared with < or >, as in %s>1d", term->field->name,
				 term->field->name);
	if (!parse_duration(value, &seconds))
		return error_set(error, ERROR_INVALID,
				 "\"%s\" is compared with a time such as 90s, 15m, 12h, 7d or 2w, not"
				 " \"%.64s\"",
				 term->field->name, value);
	(void)snprintf(text, sizeof(text), "%" PRId64, seconds);
	(void)buf_addf(&compiler->query->sql, "(%s) %s now() - interval '1 second' * ", sql_of(compiler, term),
		       turned[term->op]);
	return add_param(compiler, text, "float8", error);
}

static bool add_os(struct compiler *compiler, const char *value, struct error *error)
{
	const char *end = compiler->options->roster ? "" : ")";

	(void)put(compiler, compiler->options->roster ?
				    "r.os " :
				    "exists (select from inventory i where i.device = d.device and i.kind = 'hardware'"
				    " and i.body ->> 'os' ");
	if (strcmp(value, "linux") == 0) // any distribution
		return put(compiler, "<> 'android'") && put(compiler, end);
	return put(compiler, "= ") && add_param(compiler, value, "text", error) && put(compiler, end);
}

// A name, or one behind that of its tenant, as in acme/kiosks.
static bool is_known_by(const char *name)
{
	const char *slash = strchr(name, '/');

	return query_is_name(slash ? slash + 1 : name) &&
	       (!slash || (slash > name && slash - name <= 63 &&
			   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == (size_t)(slash - name)));
}

static bool resolve(struct compiler *compiler, enum query_kind kind, const char *name, char **out, struct error *error)
{
	const char *noun = kind == QUERY_FILTER ? "filter" : "group";

	if (!is_known_by(name))
		return error_set(error, ERROR_INVALID, "\"%.64s\" is no name of a %s", name, noun);
	if (!compiler->options->resolve)
		return error_set(error, ERROR_INVALID, "%s: cannot be used here", noun);
	return compiler->options->resolve(compiler->options->user, kind, name, out, error);
}

static bool add_members(struct compiler *compiler, const struct term *term, const char *name, struct error *error)
{
	const char *slash = strchr(name, '/');
	char tenant[64];

	(void)buf_addf(&compiler->query->sql,
		       "exists (select from device_group_member m where m.device = %s and m.tenant = ",
		       sql_of(compiler, term));
	if (slash) {
		(void)snprintf(tenant, sizeof(tenant), "%.*s", (int)(slash - name), name);
		if (!add_param(compiler, tenant, "text", error))
			return false;
	} else {
		(void)put(compiler, "current_tenant()");
	}
	(void)put(compiler, " and m.group_name = ");
	return add_param(compiler, slash ? slash + 1 : name, "text", error) && put(compiler, ")");
}

static bool add_named(struct compiler *compiler, enum query_kind kind, const struct term *term, const char *name,
		      struct error *error)
{
	auto_free char *text = NULL;
	bool ok = true;

	if (!resolve(compiler, kind, name, &text, error))
		return false;
	if (!text)
		return add_members(compiler, term, name, error);
	if (compiler->depth == QUERY_DEPTH_MAX)
		return error_set(error, ERROR_LIMIT, "\"%s\" names others that name others, more than %d deep or in a"
				 " circle", name, QUERY_DEPTH_MAX);
	compiler->depth++;
	ok = compile_text(compiler, text, error) || error_prefix(error, "%s", name);
	compiler->depth--;
	return ok;
}

static bool add_value(struct compiler *compiler, const struct term *term, const char *value, struct error *error)
{
	if (term->field->type != FIELD_NUMBER && term->field->type != FIELD_AGE && !needs_is(term, error))
		return false;
	switch (term->field->type) {
	case FIELD_CHOICE:
		return add_choice(compiler, term, value, error);
	case FIELD_TEXT:
		return add_text(compiler, term, value, error);
	case FIELD_TAG:
		return add_tag(compiler, term, value, error);
	case FIELD_NUMBER:
		return add_number(compiler, term, value, error);
	case FIELD_AGE:
		return add_age(compiler, term, value, error);
	case FIELD_OS:
		return add_os(compiler, value, error);
	case FIELD_FILTER:
		return add_named(compiler, QUERY_FILTER, term, value, error);
	case FIELD_GROUP:
		return add_named(compiler, QUERY_GROUP, term, value, error);
	}
	return false;
}

static bool add_word(struct compiler *compiler, const char *word, struct error *error)
{
	if (compiler->options->roster)
		return put(compiler, DEVICE_ROSTER_FOUND_SQL) && add_param(compiler, word, "text", error) &&
		       put(compiler, DEVICE_ROSTER_FOUND_END_SQL);
	return put(compiler, "position(lower(") && add_param(compiler, word, "text", error) &&
	       put(compiler, ") in d.device || ' ' || lower(coalesce(d.display_name, '') || ' ' ||"
			     " array_to_string(d.tags, ' '))) > 0");
}

// Null is "no": a device that has not told its battery has none below 20, and none that is not below 20 either way.
static bool add_term(struct compiler *compiler, const struct term *term, struct error *error)
{
	struct buf *sql = &compiler->query->sql;

	if (++compiler->query->terms > QUERY_TERMS_MAX)
		return error_set(error, ERROR_LIMIT, "the query has more than %d terms", QUERY_TERMS_MAX);
	(void)buf_addf(sql, "%scoalesce(", term->not ? "not " : "");
	for (size_t i = 0; i < term->count; i++) {
		(void)buf_add_str(sql, i > 0 ? " or (" : "(");
		if (!(term->field ? add_value(compiler, term, term->values[i], error)
				  : add_word(compiler, term->values[i], error)))
			return false;
		(void)buf_add_str(sql, ")");
	}
	(void)buf_add_str(sql, ", false)");
	return true;
}

static bool compile_text(struct compiler *compiler, const char *text, struct error *error)
{
	struct buf *sql = &compiler->query->sql;
	auto_free struct term *term = calloc(1, sizeof(*term));
	const char *at = text;
	size_t count = 0;

	if (!term)
		return error_set(error, ERROR_FAILED, "no memory for a query");
	if (strlen(text) > QUERY_TEXT_MAX)
		return error_set(error, ERROR_LIMIT, "a query is at most %d bytes long", QUERY_TEXT_MAX);
	(void)buf_add_str(sql, "(");
	for (;;) {
		while (is_blank(*at))
			at++;
		if (*at == '\0')
			break;
		size_t column = (size_t)(at - text) + 1;

		(void)buf_add_str(sql, count++ > 0 ? " and " : "");
		if (!read_term(&at, term, error) || !add_term(compiler, term, error))
			return error_prefix(error, "query, column %zu", column);
	}
	(void)buf_add_str(sql, count > 0 ? ")" : "true)");
	return !sql->overflowed || error_set(error, ERROR_LIMIT, "the query is too long");
}

bool query_compile(const char *text, const struct query_options *options, struct query *out, struct error *error)
{
	struct query query = {.first_param = options->first_param > 0 ? options->first_param : 1};
	struct compiler compiler = {.options = options, .query = &query};

	buf_init(&query.sql, SQL_MAX_BYTES);
	if (!compile_text(&compiler, text, error)) {
		query_done(&query);
		return false;
	}
	*out = query;
	return true;
}

void query_done(struct query *query)
{
	for (size_t i = 0; i < query->count; i++)
		free(query->params[i]);
	query->count = 0;
	buf_done(&query->sql);
}
