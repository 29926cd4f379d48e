/* The event loop: descriptors, work posted by other threads, removal of a watch inside a callback.
 */
#include "dataplane/base/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define POSTS   10000
#define POSTERS 4

struct post {
	struct loop_work work;
	int poster;
	int number;
	struct collector *collector;
};

struct collector {
	struct loop *loop;
	int next[POSTERS];
	int total;
	struct post *posts;
	int poster;
};

static void post_run(struct loop_work *work)
{
	struct post *post = list_entry(work, struct post, work);
	struct collector *collector = post->collector;

	assert_int_equal(post->number, collector->next[post->poster]++);
	if (++collector->total == POSTS * POSTERS)
		loop_stop(collector->loop);
}

static void *post_many(void *arg)
{
	struct post *posts = arg;

	for (int i = 0; i < POSTS; i++)
		loop_post(posts[i].collector->loop, &posts[i].work);
	return NULL;
}

static void posted_work_runs_once_in_each_posters_order(void **state)
{
	struct collector collector = {0};
	struct post *posts = calloc(POSTS * POSTERS, sizeof(*posts));
	pthread_t threads[POSTERS];

	(void)state;
	assert_int_equal(loop_create(&collector.loop), 0);
	for (int t = 0; t < POSTERS; t++) {
		for (int i = 0; i < POSTS; i++)
			posts[t * POSTS + i] = (struct post){.work.run = post_run,
							     .poster = t,
							     .number = i,
							     .collector = &collector};
		pthread_create(&threads[t], NULL, post_many, &posts[t * POSTS]);
	}
	loop_run(collector.loop);
	for (int t = 0; t < POSTERS; t++)
		pthread_join(threads[t], NULL);
	assert_int_equal(collector.total, POSTS * POSTERS);
	loop_destroy(collector.loop);
	free(posts);
}

struct pair {
	struct loop_fd watch;
	struct loop *loop;
	struct pair *other;
	int runs;
};

/* Whoever comes first removes the other, which is ready in the same round. */
static void pair_ready(struct loop_fd *watch, uint32_t events)
{
	struct pair *pair = list_entry(watch, struct pair, watch);

	(void)events;
	pair->runs++;
	loop_fd_del(pair->loop, &pair->other->watch);
}

static void a_watch_removed_in_the_same_round_is_not_called(void **state)
{
	struct pair a = {0}, b = {0};
	struct loop *loop;
	int pipes[2][2];

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	for (int i = 0; i < 2; i++) {
		struct pair *pair = i ? &b : &a;

		assert_int_equal(pipe(pipes[i]), 0);
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
		*pair = (struct pair){.watch = {.fd = pipes[i][0], .ready = pair_ready},
				      .loop = loop,
				      .other = i ? &a : &b};
		assert_int_equal(loop_fd_add(loop, &pair->watch, EPOLLIN), 0);
	}
	loop_once(loop, 100);
	assert_int_equal(a.runs + b.runs, 1);
	loop_destroy(loop);
	for (int i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
}

static void count_round(void *arg)
{
	(*(int *)arg)++;
}

static void the_hook_runs_at_the_end_of_each_round(void **state)
{
	struct loop *loop;
	int rounds = 0;

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	loop_after_round(loop, count_round, &rounds);
	loop_once(loop, 0);
	loop_once(loop, 0);
	assert_int_equal(rounds, 2);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posted_work_runs_once_in_each_posters_order),
		cmocka_unit_test(a_watch_removed_in_the_same_round_is_not_called),
		cmocka_unit_test(the_hook_runs_at_the_end_of_each_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
