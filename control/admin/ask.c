/*
 * Work for the SIP thread with an answer. The asking thread may lose its patience, so the work is
 * shared and whoever lets go last frees it; a question withdrawn in time is not asked at all.
 *
 *   WAITING --loop--> RUNNING --> DONE          WAITING --asker, out of time--> WITHDRAWN
 */
#include "control/admin/server.h"

#include "dataplane/base/list.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum question_state { QUESTION_WAITING, QUESTION_RUNNING, QUESTION_DONE, QUESTION_WITHDRAWN };

struct question {
	struct loop_work work;
	void (*fn)(void *arg);
	void *arg;
	pthread_mutex_t lock; /* of state and holders */
	pthread_cond_t changed;
	enum question_state state;
	uint32_t holders;
};

/* Unlocks. */
static void question_put(struct question *question)
{
	bool last = --question->holders == 0;

	pthread_mutex_unlock(&question->lock);
	if (!last)
		return;
	pthread_cond_destroy(&question->changed);
	pthread_mutex_destroy(&question->lock);
	free(question);
}

static void question_run(struct loop_work *work)
{
	struct question *question = list_entry(work, struct question, work);

	pthread_mutex_lock(&question->lock);
	if (question->state == QUESTION_WAITING) {
		question->state = QUESTION_RUNNING;
		pthread_mutex_unlock(&question->lock);
		question->fn(question->arg);
		pthread_mutex_lock(&question->lock);
		question->state = QUESTION_DONE;
		pthread_cond_signal(&question->changed);
	}
	question_put(question);
}

static struct question *question_create(void (*fn)(void *arg), void *arg)
{
	struct question *question = calloc(1, sizeof(*question));
	pthread_condattr_t attributes;

	if (!question)
		return NULL;
	question->work.run = question_run;
	question->fn = fn;
	question->arg = arg;
	question->holders = 2;
	pthread_mutex_init(&question->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&question->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return question;
}

int loop_ask(struct loop *loop, void (*fn)(void *arg), void *arg, uint32_t wait_ms)
{
	struct question *question = question_create(fn, arg);
	struct timespec until;
	int rc = 0;

	if (!question)
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	loop_post(loop, &question->work);
	pthread_mutex_lock(&question->lock);
	while (question->state == QUESTION_WAITING) {
		if (pthread_cond_timedwait(&question->changed, &question->lock, &until) ==
			    ETIMEDOUT &&
		    question->state == QUESTION_WAITING) {
			question->state = QUESTION_WITHDRAWN;
			rc = -ETIMEDOUT;
		}
	}
	while (question->state == QUESTION_RUNNING) /* it uses arg: its end is waited for */
		pthread_cond_wait(&question->changed, &question->lock);
	question_put(question);
	return rc;
}
