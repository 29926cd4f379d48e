/* Reads times. Digits only where digits are due: no sign, no space, no locale. */
#include "control/admin/time_text.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define YEAR_MIN 1970
#define YEAR_MAX 2262 /* the last whole one in 63 bits of ns */

/* Exactly n digits at *text, which moves on. */
static bool read_digits(const char **text, int n, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		*value = *value * 10 + (uint32_t)(**text - '0');
	}
	return true;
}

static bool read_char(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar; -1 when there is no such day. */
static int64_t days_since_1970(uint32_t year, uint32_t month, uint32_t day)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int64_t days;

	if (year < YEAR_MIN || year >= YEAR_MAX || month < 1 || month > 12 || day < 1 ||
	    day > lengths[month - 1] + (uint32_t)(month == 2 && leap))
		return -1;
	days = (int64_t)(year - 1970) * 365 + (year - 1969) / 4 - (year - 1901) / 100 +
	       (year - 1601) / 400;
	for (uint32_t m = 1; m < month; m++)
		days += lengths[m - 1] + (m == 2 && leap);
	return days + day - 1;
}

/* ".678" to ns; digits beyond the ninth are dropped. */
static bool read_fraction(const char **text, uint64_t *ns)
{
	uint64_t unit = NS_PER_S / 10;
	bool any = false;

	*ns = 0;
	if (!read_char(text, '.'))
		return true;
	for (; **text >= '0' && **text <= '9'; (*text)++, unit /= 10, any = true)
		*ns += unit * (uint64_t)(**text - '0');
	return any;
}

/* "Z" or "+02:00" to seconds east of UTC. */
static bool read_zone(const char **text, int64_t *east_s)
{
	uint32_t hours, minutes;
	bool west;

	*east_s = 0;
	if (read_char(text, 'Z') || read_char(text, 'z'))
		return true;
	west = **text == '-';
	if (!read_char(text, west ? '-' : '+') || !read_digits(text, 2, &hours) ||
	    !read_char(text, ':') || !read_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*east_s = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

static int parse_date(const char *text, uint64_t *ns)
{
	uint32_t year, month, day, hour = 0, minute = 0, second = 0;
	uint64_t fraction_ns = 0;
	int64_t days, seconds, east_s = 0;

	if (!read_digits(&text, 4, &year) || !read_char(&text, '-') ||
	    !read_digits(&text, 2, &month) || !read_char(&text, '-') ||
	    !read_digits(&text, 2, &day))
		return -EINVAL;
	days = days_since_1970(year, month, day);
	if (days < 0)
		return -EINVAL;
	if (*text != '\0') {
		if (*text != 'T' && *text != 't' && *text != ' ')
			return -EINVAL;
		text++;
		if (!read_digits(&text, 2, &hour) || !read_char(&text, ':') ||
		    !read_digits(&text, 2, &minute) || !read_char(&text, ':') ||
		    !read_digits(&text, 2, &second) || hour > 23 || minute > 59 || second > 60 ||
		    !read_fraction(&text, &fraction_ns) || !read_zone(&text, &east_s) ||
		    *text != '\0')
			return -EINVAL;
	}
	seconds = days * 86400 + hour * 3600 + minute * 60 + second - east_s;
	if (seconds < 0)
		return -EINVAL;
	*ns = (uint64_t)seconds * NS_PER_S + fraction_ns;
	return 0;
}

/* Digits up to the end or to one unit letter. */
static int parse_number(const char *text, uint64_t most, uint64_t *number, char *unit)
{
	const char *at = text;

	*number = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		*number = *number * 10 + (uint64_t)(*at - '0');
		if (*number > most)
			return -EINVAL;
	}
	if (at == text || (*at != '\0' && at[1] != '\0'))
		return -EINVAL;
	*unit = *at;
	return 0;
}

static int parse_ago(const char *text, uint64_t now_ns, uint64_t *ns)
{
	static const char units[] = "smhd";
	static const uint64_t seconds[] = {1, 60, 3600, 86400};
	const char *unit;
	uint64_t number, unit_ns;
	char letter;

	if (parse_number(text, 100000000, &number, &letter) < 0 || letter == '\0')
		return -EINVAL;
	unit = strchr(units, letter);
	if (!unit)
		return -EINVAL;
	unit_ns = seconds[unit - units] * NS_PER_S;
	*ns = number < now_ns / unit_ns ? now_ns - number * unit_ns : 0;
	return 0;
}

int time_text_parse(const char *text, uint64_t now_ns, uint64_t *ns)
{
	uint64_t seconds;
	char unit;

	if (text[0] == '-')
		return parse_ago(text + 1, now_ns, ns);
	if (parse_number(text, INT64_MAX / NS_PER_S, &seconds, &unit) == 0 && unit == '\0') {
		*ns = seconds * NS_PER_S;
		return 0;
	}
	return parse_date(text, ns);
}
