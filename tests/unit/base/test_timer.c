/* The timer wheel against a plain model: each timer runs in just the tick it was started for. */
#include "dataplane/base/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIMERS 2000

struct probe {
	struct timer timer;
	uint64_t at_ms;
	uint64_t ran_ms;
	unsigned int runs;
	struct timer_wheel *wheel;
	struct probe *victim; /* stopped by this one */
};

static void probe_expired(struct timer *timer, uint64_t now_ms)
{
	struct probe *probe = list_entry(timer, struct probe, timer);

	probe->ran_ms = now_ms;
	probe->runs++;
	if (probe->victim)
		timer_stop(probe->wheel, &probe->victim->timer);
}

static void every_timer_runs_once_in_its_tick(void **state)
{
	struct timer_wheel *wheel = malloc(sizeof(*wheel));
	struct probe *probes = calloc(TIMERS, sizeof(*probes));
	/* Spans of all four levels, and a start that is not on a round number. */
	static const uint64_t spans[] = {10, 300, 70000, 20000000};
	uint64_t now_ms = 123456789;

	(void)state;
	srand(7);
	timer_wheel_init(wheel, now_ms);
	for (int i = 0; i < TIMERS; i++) {
		timer_init(&probes[i].timer, probe_expired);
		probes[i].at_ms = now_ms + 1 + (uint64_t)rand() % spans[i % 4];
		timer_start(wheel, &probes[i].timer, probes[i].at_ms);
	}
	while (wheel->running > 0) {
		now_ms += 1 + (uint64_t)rand() % 5000;
		timer_wheel_advance(wheel, now_ms);
		for (int i = 0; i < TIMERS; i++)
			assert_int_equal(probes[i].runs, probes[i].at_ms <= now_ms);
	}
	for (int i = 0; i < TIMERS; i++)
		assert_int_equal(probes[i].ran_ms, probes[i].at_ms);
	free(probes);
	free(wheel);
}

static void a_stopped_timer_does_not_run(void **state)
{
	struct timer_wheel *wheel = malloc(sizeof(*wheel));
	struct probe first = {.wheel = wheel}, second = {.wheel = wheel};

	(void)state;
	first.victim = &second;
	timer_wheel_init(wheel, 0);
	timer_init(&first.timer, probe_expired);
	timer_init(&second.timer, probe_expired);
	timer_start(wheel, &first.timer, 5);
	timer_start(wheel, &second.timer, 5);
	assert_int_equal(timer_wheel_advance(wheel, 100), 1);
	assert_int_equal(second.runs, 0);
	assert_false(timer_is_running(&second.timer));
	assert_int_equal(wheel->running, 0);
	free(wheel);
}

static void a_time_that_has_passed_runs_with_the_next_advance(void **state)
{
	struct timer_wheel *wheel = malloc(sizeof(*wheel));
	struct probe probe = {0};

	(void)state;
	timer_wheel_init(wheel, 1000);
	timer_init(&probe.timer, probe_expired);
	timer_start(wheel, &probe.timer, 3);
	assert_int_equal(timer_wheel_advance(wheel, 1001), 1);
	assert_int_equal(probe.runs, 1);
	free(wheel);
}

static void the_wait_never_passes_a_timer(void **state)
{
	struct timer_wheel *wheel = malloc(sizeof(*wheel));
	struct probe probe = {0};

	(void)state;
	srand(11);
	for (int round = 0; round < 200; round++) {
		uint64_t now_ms = (uint64_t)rand();
		uint64_t at_ms = now_ms + 1 + (uint64_t)rand() % 100000;

		timer_wheel_init(wheel, now_ms);
		timer_init(&probe.timer, probe_expired);
		probe.runs = 0;
		timer_start(wheel, &probe.timer, at_ms);
		while (probe.runs == 0) {
			now_ms += timer_wheel_wait_ms(wheel, now_ms, 1000);
			assert_true(now_ms <= at_ms);
			timer_wheel_advance(wheel, now_ms);
		}
		assert_int_equal(probe.ran_ms, at_ms);
	}
	assert_int_equal(timer_wheel_wait_ms(wheel, wheel->now_ms, 777), 777);
	free(wheel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_timer_runs_once_in_its_tick),
		cmocka_unit_test(a_stopped_timer_does_not_run),
		cmocka_unit_test(a_time_that_has_passed_runs_with_the_next_advance),
		cmocka_unit_test(the_wait_never_passes_a_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
