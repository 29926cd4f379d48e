/* Points in time as people and programs write them. */
#pragma once

#include <stdint.h>

/*
 * Reads one of
 *   2026-01-02T03:04:05.678Z, 2026-01-02T03:04:05+02:00   RFC 3339; ' ' for 'T' is fine
 *   2026-01-02                                            midnight UTC
 *   1767322800                                            seconds since 1970
 *   -90s, -15m, -2h, -7d                                  that long before now_ns
 * to ns since 1970. -EINVAL.
 */
int time_text_parse(const char *text, uint64_t now_ns, uint64_t *ns);
