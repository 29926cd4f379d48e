/*
 * When new calls are refused so that those in progress go on: more than so many a second begin, or
 * the SIP thread falls behind. One thread; times are arguments.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct overload {
	uint32_t calls_per_second; /* a second's worth may begin at once; 0 = any number */
	uint32_t delay_limit_ms;   /* 0 = any delay */
	/* state */
	uint64_t full_us; /* when the bucket was or will be empty */
	bool late;        /* the limit was passed, and the delay is not yet below its half */
	/* counters */
	uint64_t refused_rate;
	uint64_t refused_delay;
	uint64_t delay_us_max;
};

/* May a call begin now, with messages waiting for delay_us? 0 = yes (nothing is taken from the
 * rate); otherwise the seconds after which to try again, which differ from caller to caller. */
uint32_t overload_busy_s(struct overload *overload, uint64_t now_ms, uint64_t delay_us);
/* A call has begun. */
void overload_take(struct overload *overload, uint64_t now_ms);
