/* Time and identity. Pure code takes time as an argument; only main loops read it here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_real_ns(void); /* CLOCK_REALTIME, ns since 1970 */

#define UUID_TEXT_MAX 37
/* UUID version 7 (RFC 9562 5.7): sorts by creation. real_ns gives its time. Writes 36 characters
 * and NUL. */
void uuid7_make(uint64_t real_ns, char out[UUID_TEXT_MAX]);

/* n bytes from the kernel's generator; never fails (aborts if the kernel cannot). */
void random_bytes(void *out, size_t n);
/* n characters of [A-Za-z0-9] and NUL into out (n + 1 bytes). */
void random_token(char *out, size_t n);

#define CLOCK_TEXT_MAX 32
/* RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z */
const char *clock_text(uint64_t real_ns, char out[CLOCK_TEXT_MAX]);
