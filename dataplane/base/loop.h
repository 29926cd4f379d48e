/*
 * One thread's event loop: epoll for descriptors, a timer wheel, and one thread-safe door
 * (loop_post) through which other threads hand over work.
 */
#pragma once

#include "dataplane/base/timer.h"

#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* What is watched. Embedded in its owner; ready() gets the EPOLL* events. */
struct loop_fd {
	int fd; /* -1 when not added */
	void (*ready)(struct loop_fd *watch, uint32_t events);
};

/* Work from another thread; embedded in the caller's object, which stays alive until run() was
 * called. */
struct loop_work {
	struct loop_work *next; /* the loop's */
	void (*run)(struct loop_work *work);
};

int loop_create(struct loop **loop);
void loop_destroy(struct loop *loop);

/* -errno from epoll_ctl. The owner deletes the watch before it closes the descriptor. del is safe
 * inside any callback, also for a watch with events pending in the same round. */
int loop_fd_add(struct loop *loop, struct loop_fd *watch, uint32_t events);
int loop_fd_change(struct loop *loop, struct loop_fd *watch, uint32_t events);
void loop_fd_del(struct loop *loop, struct loop_fd *watch);

/* The loop's wheel, and its time: CLOCK_MONOTONIC ms, read once a round. */
struct timer_wheel *loop_timers(struct loop *loop);
uint64_t loop_now_ms(const struct loop *loop);

/* From any thread. Runs in the loop's thread, in the order of posting per thread. */
void loop_post(struct loop *loop, struct loop_work *work);

/* Called once at the end of each round (batched sends, group commit); NULL removes it. */
void loop_after_round(struct loop *loop, void (*hook)(void *arg), void *arg);

/* Runs until loop_stop(), which may be called from a callback, a signal handler or another thread.
 */
void loop_run(struct loop *loop);
/* One round, waiting at most wait_ms. For tests and foreign loops. */
void loop_once(struct loop *loop, uint64_t wait_ms);
void loop_stop(struct loop *loop);
