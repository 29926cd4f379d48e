/* A token bucket for calls, and hysteresis for the delay. */
#include "control/b2bua/overload.h"

#define BURST_US     1000000
#define RETRY_MIN_S  2
#define RETRY_SPREAD 8

static uint64_t each_us(const struct overload *overload)
{
	return 1000000 / overload->calls_per_second;
}

uint32_t overload_busy_s(struct overload *overload, uint64_t now_ms, uint64_t delay_us)
{
	uint64_t limit_us = (uint64_t)overload->delay_limit_ms * 1000;
	uint64_t refused;

	if (delay_us > overload->delay_us_max)
		overload->delay_us_max = delay_us;
	overload->late = limit_us > 0 && delay_us > (overload->late ? limit_us / 2 : limit_us);
	if (overload->late)
		overload->refused_delay++;
	else if (overload->calls_per_second > 0 &&
		 overload->full_us + each_us(overload) > now_ms * 1000 + BURST_US)
		overload->refused_rate++;
	else
		return 0;
	/* not all of them come back in the same second */
	refused = overload->refused_delay + overload->refused_rate;
	return RETRY_MIN_S + (uint32_t)(refused % RETRY_SPREAD);
}

void overload_take(struct overload *overload, uint64_t now_ms)
{
	if (overload->calls_per_second == 0)
		return;
	if (overload->full_us < now_ms * 1000)
		overload->full_us = now_ms * 1000;
	overload->full_us += each_us(overload);
}
