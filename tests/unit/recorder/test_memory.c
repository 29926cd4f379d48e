/* Whatever is created when the n-th allocation fails: an error, nothing left behind (the sanitizer
 * build looks for leaks), and it works the next time. */
#include "recorder/format/wav.h"
#include "tests/unit/recorder/recorder_fixture.h"

static uint32_t allocations_left = UINT32_MAX; /* the one after these fails */

static bool allocation_fails(void)
{
	if (allocations_left == UINT32_MAX)
		return false;
	if (allocations_left == 0) {
		allocations_left = UINT32_MAX; /* just this one */
		return true;
	}
	allocations_left--;
	return false;
}

/* The linker has the product's calls come here (--wrap). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *old, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

void *__wrap_malloc(size_t n)
{
	return allocation_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return allocation_fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *old, size_t n)
{
	return allocation_fails() ? NULL : __real_realloc(old, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return allocation_fails() ? NULL : __real_aligned_alloc(align, n);
}

char *__wrap_strdup(const char *text)
{
	return allocation_fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
	return allocation_fails() ? NULL : __real_strndup(text, n);
}

static int spool_open(struct recorder_fixture *f, struct segment_log **log)
{
	struct segment_log_options options = {.directory = f->spool,
					      .segment_bytes = SEGMENT_LOG_SEGMENT_MIN};

	return segment_log_open(log, &options);
}

static int make_spool(struct recorder_fixture *f)
{
	struct segment_log *log;
	int error = spool_open(f, &log);

	segment_log_close(log);
	return error;
}

static int make_reader(struct recorder_fixture *f)
{
	struct segment_log_reader *reader;
	int error = segment_log_reader_open(&reader, NULL, f->directory, 0);

	segment_log_reader_close(reader);
	return error;
}

static int make_directory_store(struct recorder_fixture *f)
{
	struct store *store;
	int error = store_directory_create(&store, f->store);

	store_destroy(store);
	return error;
}

static int make_s3_store(struct recorder_fixture *f)
{
	struct config_store config = {.kind = CONFIG_STORE_S3,
				      .endpoint = f->store,
				      .bucket = f->store,
				      .access_key = f->store,
				      .secret_key = f->store};
	struct store *store;
	int error = store_create(&store, &config, f->directory);

	store_destroy(store);
	return error;
}

static int make_wav(struct recorder_fixture *f)
{
	struct wav_writer *wav;
	struct digest_sums sums;
	char path[128];
	int error;

	snprintf(path, sizeof(path), "%s/x.wav", f->directory);
	error = wav_create(&wav, path, 8000, 2, 10);
	if (!error)
		error = wav_finish(wav, &sums);
	wav_destroy(wav);
	return error;
}

static int make_receipts(struct recorder_fixture *f)
{
	struct receipts *receipts;
	struct loop *loop;
	int error = loop_create(&loop);

	if (error)
		return error;
	error = receipts_create(&receipts, loop, f->receipt_socket, NULL, NULL);
	receipts_destroy(receipts);
	loop_destroy(loop);
	return error;
}

/* With a recording in the spool that has ended, so that it is built, too. */
static int make_recorder(struct recorder_fixture *f)
{
	int error = recorder_start(&f->recorder, &f->config);

	recorder_stop(&f->recorder);
	return error;
}

static void every_allocation_may_fail(void **state)
{
	static int (*const makers[])(struct recorder_fixture *) = {
		make_spool, make_reader,   make_directory_store, make_s3_store,
		make_wav,   make_receipts, make_recorder,
	};
	struct recorder_fixture *f = *state;

	log_init("test", LOG_LEVEL_ERROR - 1);
	for (size_t k = 0; k < sizeof(makers) / sizeof(makers[0]); k++) {
		uint32_t failed = 0;

		for (uint32_t n = 0; n < 200; n++) {
			int error;

			allocations_left = n;
			error = makers[k](f);
			if (allocations_left != UINT32_MAX) {
				allocations_left = UINT32_MAX;
				assert_int_equal(error, 0);
				break; /* there were fewer */
			}
			failed += error != 0;
		}
		assert_true(failed > 0);
		assert_int_equal(makers[k](f), 0);
	}
}

static void building_a_file_may_fail_anywhere(void **state)
{
	struct recorder_fixture *f = *state;
	struct recording_table *table;
	struct spool_fork from = {.generation = 1};
	struct recording *ended = NULL;
	struct segment_log *log;
	char path[128];

	snprintf(path, sizeof(path), "%s/x.wav", f->directory);
	assert_int_equal(spool_open(f, &log), 0);
	assert_int_equal(recording_table_create(&table), 0);
	for (uint32_t k = 0; k < 52; k++) {
		uint8_t payload[160] = {0};
		struct td_fork_record record = {
			.type = k == 0    ? TD_FORK_START
				: k == 51 ? TD_FORK_END
					  : TD_FORK_PACKET,
			.payload_len = k == 0 || k == 51 ? 2 : sizeof(payload),
			.seq = (uint16_t)k,
			.ts = k * 160,
			.pt = k % 2 ? 0 : 9,
			.arrival_ns = 1000000000 + k * UINT64_C(20000000),
		};
		uint64_t position;

		if (k == 0 || k == 51)
			memcpy(payload, "{}", 2);
		assert_int_equal(
			segment_log_appendv(log, SPOOL_FORK, 1,
					    (struct iovec[]){{&from, sizeof(from)},
							     {&record, sizeof(record)},
							     {payload, record.payload_len}},
					    3, &position),
			0);
		ended = recording_table_feed(table, position, 0, &from, &record, payload);
	}
	assert_non_null(ended);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	for (uint32_t n = 0; n < 200; n++) {
		struct finalize_result result;
		int error;

		allocations_left = n;
		error = finalize_run(ended, log, path, &result);
		if (error)
			assert_int_equal(error, -ENOMEM);
		else
			assert_int_equal(result.packets.received,
					 result.packets.written + result.packets.undecoded);
		json_decref(result.streams);
		if (allocations_left != UINT32_MAX) {
			assert_true(n > 5);
			break;
		}
	}
	allocations_left = UINT32_MAX;
	recording_table_destroy(table);
	segment_log_close(log);
}

int main(void)
{
#define RECORDER_TEST(name)                                                                        \
	cmocka_unit_test_setup_teardown(name, recorder_fixture_setup, recorder_fixture_teardown)
	const struct CMUnitTest tests[] = {
		RECORDER_TEST(every_allocation_may_fail),
		RECORDER_TEST(building_a_file_may_fail_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
