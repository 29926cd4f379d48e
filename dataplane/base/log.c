/* JSON log lines on stderr, one write a line so that threads and processes don't mix theirs. */
#include "dataplane/base/log.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES    4096
#define MESSAGE_MAX_BYTES 1800

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* The one process-wide setting of a log: written once before threads start. */
static const char *log_program = "tandem";
static _Atomic int log_threshold = LOG_LEVEL_INFO;

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	atomic_store_explicit(&log_threshold, (int)level, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *level)
{
	for (unsigned int i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* JSON string content (RFC 8259 7); bytes above 0x7f pass as they are. */
static size_t escape(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && used + 7 < size; p++) {
		if (*p == '"' || *p == '\\') {
			out[used++] = '\\';
			out[used++] = (char)*p;
		} else if (*p < 0x20 || *p == 0x7f) {
			used += (size_t)snprintf(out + used, size - used, "\\u%04x", *p);
		} else {
			out[used++] = (char)*p;
		}
	}
	return used;
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[MESSAGE_MAX_BYTES];
	char line[LINE_MAX_BYTES];
	char time_text[CLOCK_TEXT_MAX];
	va_list arguments;
	ssize_t written;
	size_t used;

	if ((int)level > atomic_load_explicit(&log_threshold, memory_order_relaxed))
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	used = (size_t)snprintf(line, sizeof(line),
				"{\"ts\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"msg\":\"",
				clock_text(clock_real_ns(), time_text), level_names[level],
				log_program);
	used += escape(line + used, sizeof(line) - used - 4, message);
	memcpy(line + used, "\"}\n", 3);
	written = write(STDERR_FILENO, line, used + 3);
	(void)written; /* nowhere to report a failing log */
}

bool log_allowed(struct log_limit *limit, uint32_t per_second, uint32_t *suppressed)
{
	uint64_t now_s = clock_mono_ns() / NS_PER_S;

	if (limit->window_s != now_s) {
		limit->window_s = now_s;
		limit->count = 0;
	}
	if (limit->count >= per_second) {
		limit->suppressed++;
		return false;
	}
	limit->count++;
	*suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}
