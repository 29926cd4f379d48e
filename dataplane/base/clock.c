/* Clocks, UUIDs and random tokens. */
#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

void random_bytes(void *out, size_t n)
{
	uint8_t *bytes = out;

	while (n > 0) {
		ssize_t got = getrandom(bytes, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		bytes += got;
		n -= (size_t)got;
	}
}

void random_token(char *out, size_t n)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t pool[64];
	size_t used = sizeof(pool);

	for (size_t i = 0; i < n;) {
		if (used == sizeof(pool)) {
			random_bytes(pool, sizeof(pool));
			used = 0;
		}
		/* 248 = 4 * 62: no letter is likelier than another. */
		if (pool[used] < 248)
			out[i++] = letters[pool[used] % 62];
		used++;
	}
	out[n] = 0;
}

void uuid7_make(uint64_t real_ns, char out[UUID_TEXT_MAX])
{
	uint64_t ms = real_ns / NS_PER_MS;
	/* RFC 9562 6.2 method 3: the 12 bits after the milliseconds hold their fraction. */
	uint16_t fraction = (uint16_t)((real_ns % NS_PER_MS) * 4096 / NS_PER_MS);
	uint8_t r[8];

	random_bytes(r, sizeof(r));
	snprintf(out, UUID_TEXT_MAX, "%08x-%04x-7%03x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 (unsigned int)(ms >> 16 & UINT32_MAX), (unsigned int)(ms & 0xffff),
		 fraction & 0xfffu, (r[0] & 0x3f) | 0x80, r[1], r[2], r[3], r[4], r[5], r[6], r[7]);
}

const char *clock_text(uint64_t real_ns, char out[CLOCK_TEXT_MAX])
{
	time_t seconds = (time_t)(real_ns / NS_PER_S);
	struct tm tm;
	size_t used;

	gmtime_r(&seconds, &tm);
	used = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + used, CLOCK_TEXT_MAX - used, ".%03uZ",
		 (unsigned int)(real_ns / NS_PER_MS % 1000));
	return out;
}
