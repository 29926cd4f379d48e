/* The journal, the live set and the checkpoint: what a restart knows. */
#include "control/tiers/journal.h"

#include "control/tiers/live_set.h"
#include "dataplane/base/clock.h"
#include "recorder/log/segment_log.h"
#include "tests/unit/tiers/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void bindings_and_unfinished_calls_come_back(void **state)
{
	struct journal_binding binding = sample_binding("1001", "sip:1001@192.0.2.7");
	struct cdr first = sample_cdr("call-1", "1001"), second = sample_cdr("call-2", "1002");
	char directory[SCRATCH_MAX];
	struct bench bench;

	(void)state;
	scratch_make(directory);
	bench_open(&bench, directory);
	assert_int_equal(bench.restored_bindings + bench.restored_calls, 0);
	assert_int_equal(journal_binding_add(bench.journal, &binding), 0);
	binding.contact = "sip:1001@192.0.2.8";
	assert_int_equal(journal_binding_add(bench.journal, &binding), 0);
	binding.contact = "sip:1001@192.0.2.9";
	binding.expires_ns = 1; /* long ago */
	assert_int_equal(journal_binding_add(bench.journal, &binding), 0);
	assert_int_equal(journal_binding_del(bench.journal, "1001", "sip:1001@192.0.2.7"), 0);
	assert_int_equal(journal_call(bench.journal, JOURNAL_CALL_STARTED, &first), 0);
	assert_int_equal(journal_call(bench.journal, JOURNAL_CALL_STARTED, &second), 0);
	assert_int_equal(journal_call(bench.journal, JOURNAL_CALL_RINGING, &second), 0);
	assert_int_equal(journal_cdr(bench.journal, &first), 0);
	bench_close(&bench);

	/* twice: once from the checkpoint, once more because restoring changes nothing */
	for (int i = 0; i < 2; i++) {
		bench_open(&bench, directory);
		assert_int_equal(bench.restored_bindings, 1);
		assert_string_equal(bench.last_binding, "1001 sip:1001@192.0.2.8");
		assert_int_equal(bench.restored_calls, 1);
		assert_string_equal(bench.last_call, "call-2");
		assert_int_equal(bench.last_state, JOURNAL_CALL_RINGING);
		bench_close(&bench);
	}
	scratch_remove(directory);
}

static bool is_written(void *arg)
{
	struct segment_log *log = journal_log(arg);

	return segment_log_written(log) == segment_log_appended(log);
}

/* The child writes, hands the round to the kernel, and is gone without a word. */
static void a_killed_process_loses_nothing_that_the_kernel_has(void **state)
{
	char directory[SCRATCH_MAX];
	struct bench bench;
	int status;
	pid_t child;

	(void)state;
	scratch_make(directory);
	child = fork();
	if (child == 0) {
		struct cdr cdr = sample_cdr("call-1", "1001");
		struct journal_binding binding = sample_binding("1001", "sip:1001@192.0.2.7");

		bench_open(&bench, directory);
		journal_binding_add(bench.journal, &binding);
		journal_call(bench.journal, JOURNAL_CALL_ANSWERED, &cdr);
		_exit(bench_until(&bench, is_written, bench.journal) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	bench_open(&bench, directory);
	assert_int_equal(bench.restored_bindings, 1);
	assert_int_equal(bench.restored_calls, 1);
	assert_int_equal(bench.last_state, JOURNAL_CALL_ANSWERED);
	bench_close(&bench);
	scratch_remove(directory);
}

struct waiter {
	struct journal_wait wait;
	int calls;
	int error;
};

static void waiter_durable(struct journal_wait *wait, int error)
{
	struct waiter *waiter = list_entry(wait, struct waiter, wait);

	waiter->calls++;
	waiter->error = error;
}

static bool was_called(void *arg)
{
	return ((struct waiter *)arg)->calls > 0;
}

static void a_wait_is_called_once_when_its_record_is_durable(void **state)
{
	struct waiter waiter = {.wait.durable = waiter_durable};
	struct waiter cancelled = {.wait.durable = waiter_durable};
	struct waiter closed = {.wait.durable = waiter_durable};
	struct journal_status status;
	char directory[SCRATCH_MAX];
	struct bench bench;

	(void)state;
	scratch_make(directory);
	bench_open(&bench, directory);
	assert_int_equal(journal_receipt(bench.journal, "r1", "{}", &waiter.wait), 0);
	assert_int_equal(journal_receipt(bench.journal, "r2", "{}", &cancelled.wait), 0);
	journal_wait_cancel(&cancelled.wait);
	assert_int_equal(waiter.calls, 0);
	assert_true(bench_until(&bench, was_called, &waiter));
	assert_int_equal(waiter.calls, 1);
	assert_int_equal(waiter.error, 0);
	journal_status(bench.journal, &status);
	assert_true(status.durable >= waiter.wait.position);
	assert_int_equal(status.appended, 2);
	assert_int_equal(status.error, 0);
	/* one that is open when the journal closes is answered all the same */
	assert_int_equal(journal_receipt(bench.journal, "r3", "{}", &closed.wait), 0);
	bench_close(&bench);
	assert_int_equal(closed.calls, 1);
	assert_int_equal(closed.error, 0); /* closing makes it durable */
	assert_int_equal(cancelled.calls, 0);
	scratch_remove(directory);
}

static void a_record_that_cannot_be_taken_is_counted(void **state)
{
	struct cdr cdr = sample_cdr("", "1001");
	struct journal_status status;
	char directory[SCRATCH_MAX];
	struct bench bench;

	(void)state;
	scratch_make(directory);
	bench_open(&bench, directory);
	assert_int_equal(journal_cdr(bench.journal, &cdr), -EINVAL);
	journal_status(bench.journal, &status);
	assert_int_equal(status.refused, 1);
	assert_int_equal(status.appended, 0);
	assert_int_equal(journal_restore(bench.journal, 0, NULL, NULL), -EALREADY);
	bench_close(&bench);
	scratch_remove(directory);
}

static void a_journal_without_a_place_is_an_error(void **state)
{
	struct journal_options options = {.directory = "/proc/nowhere/journal"};
	struct journal *journal = NULL;
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	assert_true(journal_open(&journal, loop, &options) < 0);
	assert_null(journal);
	loop_destroy(loop);
}

static bool is_trimmed(void *arg)
{
	struct journal_status status;

	journal_status(arg, &status);
	return segment_log_segment(status.oldest) > 2;
}

/* More than STATE_CHECKPOINT_BYTES. */
static void append_calls(struct bench *bench)
{
	for (int i = 0; i < 60000; i++) {
		struct cdr cdr = sample_cdr("call-1", "1001");

		while (journal_call(bench->journal, JOURNAL_CALL_STARTED, &cdr) == -EAGAIN)
			loop_once(bench->loop, 1);
		journal_cdr(bench->journal, &cdr);
		if (i % 100 == 0)
			loop_once(bench->loop, 0);
	}
}

static bool is_checkpointed(void *arg)
{
	struct journal_status status;

	journal_status(arg, &status);
	return status.state.lag_records == 0;
}

/* The end of the log as a cursor of this name: what its follower would do. */
static void pass_cursor(struct journal *journal, const char *name)
{
	struct segment_log_cursor *cursor;

	assert_int_equal(segment_log_cursor_open(&cursor, journal_log(journal), name), 0);
	assert_int_equal(segment_log_cursor_set(cursor, segment_log_written(journal_log(journal))),
			 0);
	segment_log_cursor_close(cursor);
}

static void old_segments_go_when_all_have_passed_and_bindings_stay(void **state)
{
	struct journal_binding binding = sample_binding("1001", "sip:1001@192.0.2.7");
	struct journal_status status;
	char directory[SCRATCH_MAX];
	struct bench bench;

	(void)state;
	scratch_make(directory);
	bench_open(&bench, directory);
	assert_int_equal(journal_binding_add(bench.journal, &binding), 0);
	append_calls(&bench);
	assert_true(bench_until(&bench, is_checkpointed, bench.journal));
	journal_status(bench.journal, &status);
	assert_int_equal(segment_log_segment(status.oldest), 1); /* no row is written yet */
	pass_cursor(bench.journal, JOURNAL_CURSOR_RECORDS);
	segment_log_trim(journal_log(bench.journal), SEGMENT_LOG_NEVER);
	assert_true(bench_until(&bench, is_trimmed, bench.journal));
	bench_close(&bench);
	bench_open(&bench, directory);
	assert_int_equal(bench.restored_bindings, 1);
	assert_int_equal(bench.restored_calls, 0);
	bench_close(&bench);
	scratch_remove(directory);
}

/* ---- the live set ---- */

static int apply_binding(struct live_set *set, const char *aor, uint64_t expires_ns, bool add)
{
	struct journal_record record = {.type = add ? JOURNAL_BINDING_ADD : JOURNAL_BINDING_DEL};
	struct journal_record decoded;
	uint8_t body[1024];
	int n;

	record.binding = sample_binding(aor, "sip:x@y");
	record.binding.expires_ns = expires_ns;
	n = journal_record_encode(&record, body, sizeof(body));
	assert_true(n > 0);
	assert_int_equal(journal_record_decode(&decoded, (uint16_t)record.type, 1, body, (size_t)n),
			 0);
	return live_set_apply(set, &decoded, body, (size_t)n);
}

static void the_live_set_is_bounded(void **state)
{
	struct live_set *set;
	char aor[16];

	(void)state;
	assert_int_equal(live_set_create(&set, 1000), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(aor, sizeof(aor), "%d", i);
		assert_int_equal(apply_binding(set, aor, 100 + (uint64_t)i, true), 0);
	}
	assert_int_equal(apply_binding(set, "one more", 1, true), -ENOSPC);
	assert_int_equal(apply_binding(set, "500", 600, true), 0); /* is in already */
	assert_int_equal(live_set_count(set), 1000);
	assert_int_equal(live_set_expire(set, 200), 100);
	assert_int_equal(apply_binding(set, "one more", 1, true), 0);
	assert_int_equal(apply_binding(set, "no such", 0, false), 0);
	assert_int_equal(live_set_count(set), 901);
	live_set_destroy(set);
}

static void a_checkpoint_is_believed_only_when_it_is_whole(void **state)
{
	char directory[SCRATCH_MAX], path[128], copy[4096];
	struct live_set *set, *loaded;
	uint64_t position;
	size_t n;
	FILE *file;

	(void)state;
	scratch_make(directory);
	snprintf(path, sizeof(path), "%s/state.checkpoint", directory);
	assert_int_equal(live_set_create(&set, 10), 0);
	assert_int_equal(live_set_create(&loaded, 10), 0);
	assert_int_equal(live_set_load(loaded, directory, &position), -ENOENT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(apply_binding(set, (const char *[]){"a", "b", "c"}[i], 0, true),
				 0);
	assert_int_equal(live_set_save(set, directory, 4711), 0);
	assert_int_equal(live_set_load(loaded, directory, &position), 0);
	assert_int_equal(position, 4711);
	assert_int_equal(live_set_count(loaded), 3);
	live_set_clear(loaded);

	file = fopen(path, "rb");
	n = fread(copy, 1, sizeof(copy), file);
	fclose(file);
	assert_in_range(n, 100, sizeof(copy) - 1);
	for (size_t prefix = 0; prefix < n; prefix++) {
		file = fopen(path, "wb");
		fwrite(copy, 1, prefix, file);
		fclose(file);
		assert_int_equal(live_set_load(loaded, directory, &position), -EBADMSG);
		assert_int_equal(position, 0);
		assert_int_equal(live_set_count(loaded), 0);
	}
	for (size_t i = 0; i < n; i += 7) {
		copy[i] ^= 0x20;
		file = fopen(path, "wb");
		fwrite(copy, 1, n, file);
		fclose(file);
		assert_int_equal(live_set_load(loaded, directory, &position), -EBADMSG);
		copy[i] ^= 0x20;
	}
	live_set_destroy(set);
	live_set_destroy(loaded);
	scratch_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bindings_and_unfinished_calls_come_back),
		cmocka_unit_test(a_killed_process_loses_nothing_that_the_kernel_has),
		cmocka_unit_test(a_wait_is_called_once_when_its_record_is_durable),
		cmocka_unit_test(a_record_that_cannot_be_taken_is_counted),
		cmocka_unit_test(a_journal_without_a_place_is_an_error),
		cmocka_unit_test(old_segments_go_when_all_have_passed_and_bindings_stay),
		cmocka_unit_test(the_live_set_is_bounded),
		cmocka_unit_test(a_checkpoint_is_believed_only_when_it_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
