/*
 * Log lines: one JSON object a line on stderr, {"ts","level","program","msg"}. The message starts
 * with a noun and carries ids: log_info("call %s answered", id). Secrets never go in here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Call once before threads start. program must outlive the process (a literal). */
void log_init(const char *program, enum log_level level);
/* "error", "warn", "info", "debug"; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* For lines that a stranger can trigger: true at most `per_second` times a second; the next true
 * one reports how many were held back in *suppressed. One per call site, used by one thread. */
struct log_limit {
	uint64_t window_s;
	uint32_t count;
	uint32_t suppressed;
};
bool log_allowed(struct log_limit *limit, uint32_t per_second, uint32_t *suppressed);
