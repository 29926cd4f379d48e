/* The stack's side of who watches it. */
#include "control/sip/watch.h"

#include "control/sip/internal.h"

#include "dataplane/base/clock.h"

#define DELAY_VALID_MS 1000

void sip_stack_set_watch(struct sip_stack *stack, const struct sip_watch *watch)
{
	stack->watch = watch ? *watch : (struct sip_watch){0};
}

void stack_note_arrival(struct sip_stack *stack, uint64_t arrived_ns)
{
	uint64_t now_ns = clock_real_ns();

	/* the clock may have been set meanwhile */
	stack->delay_us = now_ns > arrived_ns ? (now_ns - arrived_ns) / 1000 : 0;
	stack->delay_ms = sip_stack_now_ms(stack);
}

uint64_t sip_stack_delay_us(const struct sip_stack *stack)
{
	return sip_stack_now_ms(stack) - stack->delay_ms <= DELAY_VALID_MS ? stack->delay_us : 0;
}
