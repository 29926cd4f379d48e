/*
 * Timer wheel: 4 levels of 256 slots, one slot of the lowest level = 1 tick (1 ms). Start, stop and
 * expiry are O(1); a timer moves down at most 3 times in its life.
 *
 *   level 0: 256 x 1 ms     level 1: 256 x 256 ms     level 2: 256 x 65.5 s     level 3: 256 x 4.66
 * h
 *
 * One thread owns a wheel. Times are CLOCK_MONOTONIC milliseconds given by the caller.
 */
#pragma once

#include "dataplane/base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define TIMER_LEVELS 4
#define TIMER_SLOTS  256

struct timer {
	struct list node; /* self-linked when not running */
	uint64_t expires_ms;
	void (*expired)(struct timer *timer, uint64_t now_ms);
};

struct timer_wheel {
	uint64_t now_ms; /* all timers up to and with this tick have expired */
	uint64_t running;
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);
/* Not started, owned by the caller, who stops it before freeing it. */
void timer_init(struct timer *timer, void (*expired)(struct timer *timer, uint64_t now_ms));
bool timer_is_running(const struct timer *timer);
/* (Re)starts it to expire at the absolute time at_ms; a time that has passed expires with the next
 * advance. */
void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t at_ms);
void timer_stop(struct timer_wheel *wheel, struct timer *timer);
/* Runs what has expired up to now_ms; a callback may start and stop any timer. Returns how many
 * ran. */
uint64_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);
/* Milliseconds from now_ms until there may be something to run (a lower bound, at most limit_ms).
 */
uint64_t timer_wheel_wait_ms(const struct timer_wheel *wheel, uint64_t now_ms, uint64_t limit_ms);
