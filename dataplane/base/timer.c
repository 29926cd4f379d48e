/* The timer wheel; see timer.h for its shape. */
#include "dataplane/base/timer.h"

#define SLOT_BITS 8
#define SLOT_MASK (TIMER_SLOTS - 1)

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
	wheel->now_ms = now_ms;
	wheel->running = 0;
	for (int level = 0; level < TIMER_LEVELS; level++) {
		for (int slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
	}
}

void timer_init(struct timer *timer, void (*expired)(struct timer *timer, uint64_t now_ms))
{
	list_init(&timer->node);
	timer->expires_ms = 0;
	timer->expired = expired;
}

bool timer_is_running(const struct timer *timer)
{
	return timer->node.next != &timer->node;
}

/* Into the lowest level whose span reaches it; what lies beyond the top level waits in its last
 * slot. */
static void wheel_insert(struct timer_wheel *wheel, struct timer *timer)
{
	uint64_t at_ms = timer->expires_ms > wheel->now_ms ? timer->expires_ms : wheel->now_ms + 1;
	uint64_t ahead_ms = at_ms - wheel->now_ms;
	int level = 0;

	while (level < TIMER_LEVELS - 1 && ahead_ms >= UINT64_C(1) << (SLOT_BITS * (level + 1)))
		level++;
	if (ahead_ms >= UINT64_C(1) << (SLOT_BITS * TIMER_LEVELS))
		at_ms = wheel->now_ms + (UINT64_C(1) << (SLOT_BITS * TIMER_LEVELS)) - 1;
	list_append(&wheel->slots[level][at_ms >> (SLOT_BITS * level) & SLOT_MASK], &timer->node);
}

void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t at_ms)
{
	timer_stop(wheel, timer);
	timer->expires_ms = at_ms;
	wheel_insert(wheel, timer);
	wheel->running++;
}

void timer_stop(struct timer_wheel *wheel, struct timer *timer)
{
	if (!timer_is_running(timer))
		return;
	list_remove(&timer->node);
	wheel->running--;
}

/* Moves a slot's timers one or more levels down, now that the wheel has come to its span. */
static void wheel_cascade(struct timer_wheel *wheel, int level)
{
	struct list *slot = &wheel->slots[level][wheel->now_ms >> (SLOT_BITS * level) & SLOT_MASK];
	struct list waiting;

	list_init(&waiting);
	while (!list_is_empty(slot)) {
		struct list *node = slot->next;

		list_remove(node);
		list_append(&waiting, node);
	}
	while (!list_is_empty(&waiting)) {
		struct timer *timer = list_entry(waiting.next, struct timer, node);

		list_remove(&timer->node);
		/* What is due in this very tick goes to the slot about to run. */
		if (timer->expires_ms <= wheel->now_ms)
			list_append(&wheel->slots[0][wheel->now_ms & SLOT_MASK], &timer->node);
		else
			wheel_insert(wheel, timer);
	}
}

uint64_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
	uint64_t ran = 0;

	while (wheel->now_ms < now_ms) {
		struct list *slot;

		if (wheel->running == 0) {
			wheel->now_ms = now_ms;
			break;
		}
		wheel->now_ms++;
		for (int level = TIMER_LEVELS - 1; level > 0; level--) {
			if ((wheel->now_ms & ((UINT64_C(1) << (SLOT_BITS * level)) - 1)) == 0)
				wheel_cascade(wheel, level);
		}
		slot = &wheel->slots[0][wheel->now_ms & SLOT_MASK];
		while (!list_is_empty(slot)) {
			struct timer *timer = list_entry(slot->next, struct timer, node);

			timer_stop(wheel, timer);
			timer->expired(timer, wheel->now_ms);
			ran++;
		}
	}
	return ran;
}

uint64_t timer_wheel_wait_ms(const struct timer_wheel *wheel, uint64_t now_ms, uint64_t limit_ms)
{
	if (wheel->running == 0)
		return limit_ms;
	for (uint64_t at_ms = wheel->now_ms + 1; at_ms < now_ms + limit_ms; at_ms++) {
		/* The end of a level-0 turn may bring timers down. */
		if (!list_is_empty(&wheel->slots[0][at_ms & SLOT_MASK]) || (at_ms & SLOT_MASK) == 0)
			return at_ms > now_ms ? at_ms - now_ms : 0;
	}
	return limit_ms;
}
