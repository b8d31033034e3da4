#include "common/clock.h"

#include "common/crypto.h"

#include <stdio.h>
#include <time.h>

enum { MS_PER_S = 1000, S_PER_DAY = 86400 };

// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what four digits of a year can say.
static const int64_t rfc3339_min_ms = -62167219200000;
static const int64_t rfc3339_max_ms = 253402300799999;

static int64_t read_clock_ms(clockid_t clock)
{
	struct timespec now = {0};
	(void)clock_gettime(clock, &now); // fails for an unknown clock only
	return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
	return read_clock_ms(CLOCK_REALTIME);
}

int64_t clock_mono_ms(void)
{
	return read_clock_ms(CLOCK_MONOTONIC);
}

int64_t clock_boot_ms(void)
{
	return read_clock_ms(CLOCK_BOOTTIME);
}

// Days from 1970-01-01 in the proleptic Gregorian calendar. The year is taken to begin in March, so that the leap
// day is its last; 400 years have 146,097 days.
static int64_t days_from_date(int year, int month, int day)
{
	int64_t y = year - (month <= 2 ? 1 : 0);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day_of_era = shifted - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted_month = (5 * day_of_year + 2) / 153;
	*day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
	*month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
	*year = (int)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES])
{
	if (wall_ms < rfc3339_min_ms)
		wall_ms = rfc3339_min_ms;
	if (wall_ms > rfc3339_max_ms)
		wall_ms = rfc3339_max_ms;

	const int64_t ms_per_day = (int64_t)S_PER_DAY * MS_PER_S;
	int64_t days = wall_ms / ms_per_day;
	int64_t ms = wall_ms % ms_per_day;
	if (ms < 0) {
		ms += ms_per_day;
		days--;
	}
	int year, month, day;
	date_from_days(days, &year, &month, &day);
	unsigned s = (unsigned)(ms / MS_PER_S);
	// The remainders change nothing; they show the compiler that the text fits.
	(void)snprintf(out, CLOCK_RFC3339_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000,
		       (unsigned)month % 100, (unsigned)day % 100, s / 3600 % 100, s / 60 % 60, s % 60,
		       (unsigned)(ms % MS_PER_S));
}

struct reader {
	const char *at, *end;
};

static bool read_char(struct reader *in, char wanted)
{
	if (in->at == in->end || *in->at != wanted)
		return false;
	in->at++;
	return true;
}

// Exactly this many digits, with a value in min..max.
static bool read_number(struct reader *in, int digits, int min, int max, int *out)
{
	int value = 0;
	for (int i = 0; i < digits; i++) {
		if (in->at == in->end || *in->at < '0' || *in->at > '9')
			return false;
		value = value * 10 + (*in->at++ - '0');
	}
	*out = value;
	return value >= min && value <= max;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month == 2 && leap ? 29 : days[month - 1];
}

// Digits beyond the third are read and dropped.
static bool read_fraction(struct reader *in, int *ms)
{
	*ms = 0;
	if (!read_char(in, '.'))
		return true;
	int digits = 0;
	for (int scale = 100; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++, digits++, scale /= 10)
		*ms += (*in->at - '0') * scale;
	return digits >= 1 && digits <= 9;
}

static bool read_offset(struct reader *in, int *offset_s)
{
	*offset_s = 0;
	if (read_char(in, 'Z') || read_char(in, 'z'))
		return true;
	int sign = read_char(in, '+') ? 1 : -1;
	if (sign < 0 && !read_char(in, '-'))
		return false;
	int hours, minutes;
	if (!read_number(in, 2, 0, 23, &hours) || !read_char(in, ':') || !read_number(in, 2, 0, 59, &minutes))
		return false;
	*offset_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool read_date(struct reader *in, int64_t *days)
{
	int year, month, day;
	if (!read_number(in, 4, 0, 9999, &year) || !read_char(in, '-') || !read_number(in, 2, 1, 12, &month) ||
	    !read_char(in, '-') || !read_number(in, 2, 1, days_in_month(year, month), &day))
		return false;
	*days = days_from_date(year, month, day);
	return true;
}

// A leap second (RFC 3339 section 5.7) can be written; whether it is one is judged once the offset is known.
static bool read_time(struct reader *in, int *s_of_day, bool *leap)
{
	int hour, minute, second;
	if (!read_number(in, 2, 0, 23, &hour) || !read_char(in, ':') || !read_number(in, 2, 0, 59, &minute) ||
	    !read_char(in, ':') || !read_number(in, 2, 0, 60, &second))
		return false;
	*leap = second == 60;
	*s_of_day = hour * 3600 + minute * 60 + second;
	return true;
}

bool clock_parse_rfc3339(const char *text, size_t len_bytes, int64_t *wall_ms)
{
	struct reader in = {text, text + len_bytes};
	int64_t days;
	int s_of_day, ms, offset_s;
	bool leap;
	if (!read_date(&in, &days) || (!read_char(&in, 'T') && !read_char(&in, 't')) ||
	    !read_time(&in, &s_of_day, &leap) || !read_fraction(&in, &ms) || !read_offset(&in, &offset_s) ||
	    in.at != in.end)
		return false;

	int64_t utc_s = days * S_PER_DAY + s_of_day - offset_s;
	// Unix time has no leap seconds: 23:59:60 UTC is counted as the second after it. Elsewhere :60 is an error.
	if (leap && utc_s % S_PER_DAY != 0)
		return false;
	*wall_ms = utc_s * MS_PER_S + ms;
	return true;
}

int64_t clock_backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms)
{
	int64_t ceiling = base_ms;
	for (unsigned i = 0; i < attempt && ceiling < max_ms; i++)
		ceiling = ceiling > max_ms / 2 ? max_ms : ceiling * 2;
	if (ceiling > max_ms)
		ceiling = max_ms;
	if (ceiling <= 0)
		return 0;

	uint64_t random;
	crypto_random(&random, sizeof(random));
	return (int64_t)(random % ((uint64_t)ceiling + 1)); // the bias is under 2^-20 for any ceiling in use
}
