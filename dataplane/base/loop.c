/*
 * The event loop. Posted work is a lock-free stack (many posters, one taker) with an eventfd as its
 * bell: a poster rings only when the stack was empty.
 */
#include "dataplane/base/loop.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_PER_ROUND 256
#define WAIT_LIMIT_MS    1000

struct loop {
	int epoll_fd;
	struct loop_fd bell;
	uint64_t now_ms;
	struct timer_wheel timers;
	/* events of the round at hand, so that loop_fd_del can blank them */
	struct epoll_event events[EVENTS_PER_ROUND];
	int events_at;
	int events_count;
	void (*hook)(void *arg);
	void *hook_arg;
	/* crossed by other threads */
	_Atomic(struct loop_work *) posted;
	_Atomic bool stopping;
};

static void bell_ring(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t written = write(loop->bell.fd, &one, sizeof(one));

	(void)written; /* EAGAIN: it rings already */
}

/* The loop embeds its bell, so the watch leads to the loop. */
static void bell_ready(struct loop_fd *watch, uint32_t events)
{
	struct loop *loop = list_entry(watch, struct loop, bell);
	struct loop_work *reversed = NULL;
	struct loop_work *work;
	uint64_t count;
	ssize_t got = read(watch->fd, &count, sizeof(count));

	(void)got;
	(void)events;
	/* acquire; pairs with the release in loop_post */
	work = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
	while (work) {
		struct loop_work *next = work->next;

		work->next = reversed;
		reversed = work;
		work = next;
	}
	while (reversed) {
		struct loop_work *next = reversed->next;

		reversed->run(reversed);
		reversed = next;
	}
}

int loop_create(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return -ENOMEM;
	loop->bell.fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		rc = -errno;
		goto failed;
	}
	loop->now_ms = clock_mono_ns() / NS_PER_MS;
	timer_wheel_init(&loop->timers, loop->now_ms);
	loop->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->bell.fd < 0) {
		rc = -errno;
		goto failed;
	}
	loop->bell.ready = bell_ready;
	rc = loop_fd_add(loop, &loop->bell, EPOLLIN);
	if (rc < 0)
		goto failed;
	*out = loop;
	return 0;

failed:
	loop_destroy(loop);
	return rc;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->bell.fd >= 0)
		close(loop->bell.fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop);
}

static int loop_control(struct loop *loop, int operation, struct loop_fd *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) == 0 ? 0 : -errno;
}

int loop_fd_add(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
	return loop_control(loop, EPOLL_CTL_ADD, watch, events);
}

int loop_fd_change(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
	return loop_control(loop, EPOLL_CTL_MOD, watch, events);
}

void loop_fd_del(struct loop *loop, struct loop_fd *watch)
{
	if (watch->fd < 0)
		return;
	loop_control(loop, EPOLL_CTL_DEL, watch, 0);
	for (int i = loop->events_at; i < loop->events_count; i++) {
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
	}
}

struct timer_wheel *loop_timers(struct loop *loop)
{
	return &loop->timers;
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

void loop_post(struct loop *loop, struct loop_work *work)
{
	struct loop_work *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);

	do {
		work->next = head;
		/* release; pairs with the acquire in bell_ready */
	} while (!atomic_compare_exchange_weak_explicit(
		&loop->posted, &head, work, memory_order_release, memory_order_relaxed));
	if (!head)
		bell_ring(loop);
}

void loop_after_round(struct loop *loop, void (*hook)(void *arg), void *arg)
{
	loop->hook = hook;
	loop->hook_arg = arg;
}

void loop_once(struct loop *loop, uint64_t wait_ms)
{
	uint64_t timer_wait_ms = timer_wheel_wait_ms(&loop->timers, loop->now_ms, wait_ms);
	int count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_ROUND, (int)timer_wait_ms);

	loop->now_ms = clock_mono_ns() / NS_PER_MS;
	loop->events_count = count > 0 ? count : 0;
	for (loop->events_at = 0; loop->events_at < loop->events_count; loop->events_at++) {
		struct epoll_event *event = &loop->events[loop->events_at];
		struct loop_fd *watch = event->data.ptr;

		if (watch)
			watch->ready(watch, event->events);
	}
	loop->events_count = 0;
	timer_wheel_advance(&loop->timers, loop->now_ms);
	if (loop->hook)
		loop->hook(loop->hook_arg);
}

void loop_run(struct loop *loop)
{
	while (!atomic_load_explicit(&loop->stopping, memory_order_relaxed))
		loop_once(loop, WAIT_LIMIT_MS);
	atomic_store_explicit(&loop->stopping, false, memory_order_relaxed);
}

void loop_stop(struct loop *loop)
{
	atomic_store_explicit(&loop->stopping, true, memory_order_relaxed);
	bell_ring(loop);
}
