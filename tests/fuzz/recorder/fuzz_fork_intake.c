/*
 * A fork ring with any content: taken into a spool, fed to the table of recordings, built into a
 * file. First byte: bit 0 set = what follows are the ring's raw bytes; clear = records, each of a
 * byte of type, leg, stream, payload type, two of length, four of timestamp, and its payload.
 */
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/loop.h"
#include "recorder/intake/intake.h"
#include "recorder/recording/finalize.h"

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

#define RING_BYTES (64 * 1024)
#define T0         UINT64_C(1767225600000000000)

static char directory[64];
static struct loop *loop;

static void check(bool right)
{
	if (!right)
		abort();
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static void directory_remove(void)
{
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	loop_destroy(loop);
}

static void ring_fill(struct td_fork_ring *ring, const uint8_t *input, size_t n)
{
	struct td_fork_writer writer;
	uint32_t count = 0;

	td_fork_writer_init(&writer, ring);
	if (n > 0 && input[0] & 1) {
		n = n - 1 > RING_BYTES ? RING_BYTES : n - 1;
		memcpy(writer.area, input + 1, n);
		atomic_store(&ring->head, n & ~(size_t)(TD_FORK_ALIGN - 1));
		return;
	}
	for (input++, n--; n >= 10; count++) {
		uint32_t len = (uint32_t)(input[4] | input[5] << 8);
		struct td_fork_record *record;
		uint32_t length;

		if (len > n - 10)
			len = (uint32_t)(n - 10);
		record = td_fork_reserve(&writer, len);
		if (!record)
			break;
		length = record->length;
		*record = (struct td_fork_record){
			.length = length,
			.payload_len = len,
			.type = input[0] % 8,
			.leg = input[1],
			.stream = input[2] % 70,
			.pt = input[3],
			.recording = input[0] >> 6,
			.arrival_ns = T0 + count * UINT64_C(20000000),
			.ssrc = input[1] >> 4,
			.seq = (uint16_t)(input[6] << 8 | input[7]),
		};
		memcpy(&record->ts, input + 6, sizeof(record->ts));
		memcpy(record + 1, input + 10, len);
		input += 10 + len;
		n -= 10 + len;
	}
	td_fork_flush(&writer);
}

static void recordings_build(struct recording_table *table, struct segment_log *spool)
{
	struct list *node;
	char path[128];

	snprintf(path, sizeof(path), "%s/out.wav", directory);
	list_each (node, recording_table_all(table)) {
		struct recording *recording = list_entry(node, struct recording, node);
		struct finalize_result result;

		check(recording_id_is_valid(recording->id));
		if (recording->state == RECORDING_LIVE)
			recording_table_close(table, recording, recording->last_ns, "fuzz");
		/* hours of silence say nothing new */
		if (recording->ended_ns > recording->started_ns + 10 * NS_PER_S)
			recording->ended_ns = recording->started_ns + 10 * NS_PER_S;
		check(finalize_run(recording, spool, path, &result) == 0);
		check(result.packets.received == result.packets.written + result.packets.overrun +
							 result.packets.duplicate +
							 result.packets.undecoded);
		json_decref(result.streams);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	static const struct intake_events events;
	struct segment_log_options options = {.directory = directory,
					      .segment_bytes = SEGMENT_LOG_SEGMENT_MIN,
					      .buffer_bytes = 256 * 1024,
					      .buffers = 2};
	struct recording_table *table;
	struct td_fork_ring *ring;
	struct segment_log *spool;
	struct intake *intake;
	int fd;

	if (directory[0] == '\0') {
		log_init("fuzz", LOG_LEVEL_ERROR - 1);
		strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/tandem-fuzz-XXXXXX"
								: "/tmp/tandem-fuzz-XXXXXX");
		check(mkdtemp(directory) != NULL);
		check(loop_create(&loop) == 0);
		atexit(directory_remove);
	}
	if (n < 1)
		return 0;
	check(segment_log_open(&spool, &options) == 0);
	check(recording_table_create(&table) == 0);
	check(intake_create(&intake, loop, spool, table, "/nowhere", &events) == 0);
	check(td_fork_ring_create(&ring, &fd, RING_BYTES, 0, 1) == 0);
	ring_fill(ring, input, n);
	check(intake_attach(intake, 1, &fd, 1) == 0);
	for (int k = 0; k < 100 && intake_poll(intake, 1, 1) > 0; k++)
		check(segment_log_submit(spool, 1, 1000000) == 0);
	recordings_build(table, spool);
	intake_destroy(intake);
	td_fork_ring_unmap(ring);
	recording_table_destroy(table);
	segment_log_trim(spool, SEGMENT_LOG_NEVER);
	segment_log_close(spool);
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	check(mkdir(directory, 0700) == 0);
	return 0;
}
