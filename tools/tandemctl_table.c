/* Output for people: aligned tables, local times, durations, sizes. */
#include "tools/tandemctl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GAP       2
#define CELL_MAX  256
#define ROWS_STEP 64

struct table {
	uint32_t columns;
	bool right[TABLE_COLUMNS_MAX];
	uint32_t width[TABLE_COLUMNS_MAX]; /* characters */
	char **cells;                      /* rows x columns, headings first */
	uint32_t rows;
	uint32_t rows_max;
};

/* Length of a valid UTF-8 sequence's printable form at text: 0 = show '?' and go on by one byte. */
static size_t printable_length(const unsigned char *text)
{
	size_t len = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;

	if (text[0] < 0x20 || text[0] == 0x7f || (text[0] >= 0x80 && text[0] < 0xc2) ||
	    text[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if (text[0] == 0xc2 && text[1] < 0xa0)
		return 0; /* C1 controls move a terminal's cursor too */
	return len;
}

const char *text_safe(char *out, size_t n, const char *text)
{
	size_t used = 0;

	while (*text) {
		size_t len = printable_length((const unsigned char *)text);
		size_t step = len ? len : 1;

		if (used + step >= n)
			break;
		if (len)
			memcpy(out + used, text, len);
		else
			out[used] = '?';
		used += step;
		text += step;
	}
	out[used] = '\0';
	return out;
}

/* Characters, not bytes. */
static uint32_t text_width(const char *text)
{
	uint32_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

struct table *table_create(const char *headings)
{
	struct table *table = calloc(1, sizeof(*table));
	const char *cells[TABLE_COLUMNS_MAX];
	char *copy = strdup(headings);

	if (!table || !copy) {
		free(table);
		free(copy);
		return NULL;
	}
	for (char *rest = copy, *heading; (heading = strsep(&rest, "|")) != NULL;) {
		if (table->columns == TABLE_COLUMNS_MAX)
			break;
		table->right[table->columns] = heading[0] == '>';
		cells[table->columns++] = heading + (heading[0] == '>');
	}
	table_add(table, cells);
	free(copy);
	return table;
}

void table_add(struct table *table, const char *const *cells)
{
	if (table->rows == table->rows_max) {
		uint32_t rows_max = table->rows_max + ROWS_STEP;
		char **grown =
			realloc(table->cells, rows_max * table->columns * sizeof(table->cells[0]));

		if (!grown)
			return;
		table->cells = grown;
		table->rows_max = rows_max;
	}
	for (uint32_t i = 0; i < table->columns; i++) {
		char safe[CELL_MAX];
		uint32_t width;

		text_safe(safe, sizeof(safe), cells[i] ? cells[i] : "");
		width = text_width(safe);
		table->cells[table->rows * table->columns + i] = strdup(safe);
		if (width > table->width[i])
			table->width[i] = width;
	}
	table->rows++;
}

static void print_cell(const struct table *table, uint32_t column, const char *text, FILE *out)
{
	int padding = (int)(table->width[column] - text_width(text));
	bool last = column + 1 == table->columns;

	if (table->right[column])
		fprintf(out, "%*s%s", padding, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : padding, "");
	fprintf(out, "%*s", last ? 0 : GAP, "");
}

void table_print(struct table *table, FILE *out)
{
	for (uint32_t row = 0; row < table->rows; row++) {
		for (uint32_t i = 0; i < table->columns; i++) {
			const char *text = table->cells[row * table->columns + i];

			print_cell(table, i, text ? text : "", out);
		}
		fputc('\n', out);
	}
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

/* ---- values ---- */

const char *time_local(char *out, size_t n, const char *rfc3339)
{
	struct tm utc = {0}, local;
	const char *end;
	time_t seconds;

	if (!rfc3339 || rfc3339[0] == '\0')
		return "-";
	end = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &utc);
	if (!end)
		return rfc3339;
	seconds = timegm(&utc);
	if (!localtime_r(&seconds, &local) || strftime(out, n, "%Y-%m-%d %H:%M:%S", &local) == 0)
		return rfc3339;
	return out;
}

const char *duration_text(char *out, size_t n, int64_t ms)
{
	long long s = ms > 0 ? ms / 1000 : 0;

	if (s >= 3600)
		snprintf(out, n, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, n, "%lld:%02lld", s / 60, s % 60);
	return out;
}

const char *bytes_text(char *out, size_t n, int64_t bytes)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	snprintf(out, n, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t json_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}
