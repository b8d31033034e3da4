#include "commander/mail_message.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_CHARS 75 // of quoted-printable, without the soft break (RFC 2045 section 6.7)
#define WORD_MAX_CHARS 76 // of a line with an encoded word, which itself has at most 75 (RFC 2047 section 2)
#define WORD_BEGIN "=?utf-8?q?"
#define WORD_END "?="

static const char hex[] = "0123456789ABCDEF";

// Whatever a control character could do to a header or an envelope, it does not get there.
static bool is_line(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static bool is_address(const char *text)
{
	return is_line(text) && !strpbrk(text, " <>,;\"") && strchr(text, '@') && strlen(text) <= 254;
}

static bool is_plain(const char *text)
{
	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c > 0x7e)
			return false;
	}
	return !strstr(text, "=?");
}

// ---- headers ----

static void add_date(struct buf *out, int64_t wall_ms)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm = {0};

	(void)gmtime_r(&seconds, &tm);
	(void)buf_addf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
		       months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

// How many bytes the UTF-8 character at text has; a stray byte is one of its own.
static size_t character_bytes(const char *text)
{
	size_t count = 1;

	while (((unsigned char)text[count] & 0xc0) == 0x80 && count < 4)
		count++;
	return count;
}

// Encoded words, none of which splits a character.
static void add_encoded(struct buf *out, const char *text)
{
	size_t used = 0;

	while (*text) {
		size_t count = character_bytes(text);
		size_t width = count == 1 && isalnum((unsigned char)*text) ? 1 : 3 * count;

		if (used == 0 || used + width + strlen(WORD_END) > WORD_MAX_CHARS) {
			(void)buf_add_str(out, used == 0 ? WORD_BEGIN : WORD_END "\r\n " WORD_BEGIN);
			used = strlen(WORD_BEGIN) + (used == 0 ? strlen("Subject: ") : 1);
		}
		for (size_t i = 0; i < count; i++) {
			unsigned char c = (unsigned char)text[i];

			if (width == 1)
				(void)buf_add(out, text, 1);
			else
				(void)buf_addf(out, "=%c%c", hex[c >> 4], hex[c & 15]);
		}
		used += width;
		text += count;
	}
	(void)buf_add_str(out, WORD_END);
}

// ---- the body ----

// A blank at the end of a line is lost on the way unless it is escaped.
static bool needs_escape(const char *at)
{
	unsigned char c = (unsigned char)*at;

	if (c == ' ' || c == '\t')
		return at[1] == '\n' || at[1] == '\0';
	return c < 33 || c > 126 || c == '=';
}

static void add_body(struct buf *out, const char *body)
{
	size_t used = 0;

	for (const char *at = body; *at; at++) {
		unsigned char c = (unsigned char)*at;
		size_t width = needs_escape(at) ? 3 : 1;

		if (c == '\r')
			continue;
		if (c == '\n') {
			(void)buf_add_str(out, "\r\n");
			used = 0;
			continue;
		}
		if (used + width > LINE_MAX_CHARS) {
			(void)buf_add_str(out, "=\r\n");
			used = 0;
		}
		if (width == 3)
			(void)buf_addf(out, "=%c%c", hex[c >> 4], hex[c & 15]);
		else
			(void)buf_add(out, at, 1);
		used += width;
	}
	if (used > 0)
		(void)buf_add_str(out, "\r\n");
}

bool mail_message_build(const struct mail_message *message, struct buf *out, struct error *error)
{
	if (!is_address(message->from) || !is_address(message->to))
		return error_set(error, ERROR_INVALID, "the mail has an address that is none");
	if (!is_line(message->subject) || message->subject[0] == '\0')
		return error_set(error, ERROR_INVALID, "the mail's subject is not one line");
	add_date(out, message->now_ms);
	(void)buf_addf(out, "From: Muster <%s>\r\nTo: <%s>\r\nSubject: ", message->from, message->to);
	if (is_plain(message->subject))
		(void)buf_add_str(out, message->subject);
	else
		add_encoded(out, message->subject);
	(void)buf_addf(out, "\r\nMessage-ID: <%s.%" PRId64 "%s>\r\n", message->id, message->created_ms,
		       strchr(message->from, '@'));
	(void)buf_add_str(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
			       "Content-Type: text/plain; charset=utf-8\r\n"
			       "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	add_body(out, message->body);
	return !out->overflowed || error_set(error, ERROR_LIMIT, "the mail is larger than %zu bytes", out->max_bytes);
}
