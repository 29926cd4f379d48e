/*
 * A recorder in this process with all its threads, in a directory of its own; a dataplane that is a
 * fork ring and a socket; and a control that listens for receipts.
 */
#pragma once

#include "dataplane/api/fork.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "recorder/main/recorder.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIXTURE_PATH_MAX 128

struct recorder_fixture {
	char directory[64];
	char spool[FIXTURE_PATH_MAX], store[FIXTURE_PATH_MAX], fork_socket[FIXTURE_PATH_MAX],
		receipt_socket[FIXTURE_PATH_MAX], http_socket[FIXTURE_PATH_MAX];
	struct config config;
	struct recorder recorder;
	bool running;
	/* the dataplane */
	int fork_listen, fork_connection;
	struct td_fork_ring *ring;
	int ring_fd;
	struct td_fork_writer writer;
	uint64_t generation;
	/* control */
	int receipt_listen, receipt_connection;
	char receipts[65536];
	size_t receipts_used;
};

static inline int unix_listen(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(path);
	strcpy(address.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 8) < 0)
		return -1;
	return fd;
}

static inline int recorder_fixture_setup(void **state)
{
	struct recorder_fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/tandem-recorder-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->spool, sizeof(f->spool), "%s/spool", f->directory);
	snprintf(f->store, sizeof(f->store), "%s/store", f->directory);
	snprintf(f->fork_socket, sizeof(f->fork_socket), "%s/fork.sock", f->directory);
	snprintf(f->receipt_socket, sizeof(f->receipt_socket), "%s/receipt.sock", f->directory);
	snprintf(f->http_socket, sizeof(f->http_socket), "%s/recorder.sock", f->directory);
	f->config.dataplane.fork_socket = f->fork_socket;
	f->config.recorder.spool = f->spool;
	f->config.recorder.store.directory = f->store;
	f->config.recorder.http_socket = f->http_socket;
	f->config.recorder.receipt_socket = f->receipt_socket;
	f->config.recorder.segment_mb = 1;
	f->config.recorder.commit_ms = 10;
	f->config.recorder.silence_timeout_s = 120;
	f->fork_listen = -1;
	f->fork_connection = -1;
	f->ring_fd = -1;
	f->receipt_listen = -1;
	f->receipt_connection = -1;
	log_init("test", LOG_LEVEL_ERROR);
	*state = f;
	return 0;
}

/* ---- the dataplane ---- */

static inline void dataplane_start(struct recorder_fixture *f, uint64_t bytes)
{
	f->generation = clock_real_ns();
	assert_int_equal(td_fork_ring_create(&f->ring, &f->ring_fd, bytes, 0, f->generation), 0);
	atomic_store(&f->ring->heartbeat_ns, clock_real_ns());
	td_fork_writer_init(&f->writer, f->ring);
	f->fork_listen = unix_listen(f->fork_socket, SOCK_SEQPACKET);
	assert_true(f->fork_listen >= 0);
}

static inline void dataplane_accept(struct recorder_fixture *f)
{
	struct td_fork_hello hello = {TD_FORK_MAGIC, TD_FORK_VERSION, 1, f->generation};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec bytes = {&hello, sizeof(hello)};
	struct msghdr message = {&(struct sockaddr_un){0}, 0, &bytes, 1, control,
				 sizeof(control),          0};
	struct cmsghdr *part;
	int fd = accept4(f->fork_listen, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (f->fork_connection >= 0)
		close(f->fork_connection);
	f->fork_connection = fd;
	message.msg_name = NULL;
	part = CMSG_FIRSTHDR(&message);
	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(part), &f->ring_fd, sizeof(int));
	assert_int_equal(sendmsg(fd, &message, 0), sizeof(hello));
}

static inline void dataplane_stop(struct recorder_fixture *f)
{
	for (int *fd = (int[]){f->fork_connection, f->fork_listen, f->ring_fd, -2}; *fd != -2;
	     fd++) {
		if (*fd >= 0)
			close(*fd);
	}
	td_fork_ring_unmap(f->ring);
	f->ring = NULL;
	f->fork_connection = -1;
	f->fork_listen = -1;
	f->ring_fd = -1;
}

static inline void fork_put(struct recorder_fixture *f, const struct td_fork_record *like,
			    const void *payload, uint32_t n)
{
	struct td_fork_record *record = td_fork_reserve(&f->writer, n);
	uint32_t length;

	assert_non_null(record);
	length = record->length;
	*record = *like;
	record->length = length;
	record->payload_len = n;
	memcpy(record + 1, payload, n);
	td_fork_flush(&f->writer);
}

static inline void fork_text(struct recorder_fixture *f, uint16_t type, uint64_t recording,
			     uint32_t stream, uint16_t leg, uint64_t time_ns, const char *text)
{
	struct td_fork_record like = {.type = type,
				      .recording = recording,
				      .stream = stream,
				      .leg = leg,
				      .arrival_ns = time_ns};

	fork_put(f, &like, text, (uint32_t)strlen(text));
}

static inline void call_start(struct recorder_fixture *f, uint64_t recording, const char *id,
			      uint64_t t0)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"recording_id\":\"%s\",\"call_id\":\"call-%s\",\"metadata\":\"m\","
		 "\"started_ns\":%llu}",
		 id, id, (unsigned long long)t0);
	fork_text(f, TD_FORK_START, recording, 0, 0, t0, text);
	for (uint16_t leg = 0; leg < 2; leg++) {
		snprintf(text, sizeof(text),
			 "{\"leg\":%u,\"media\":0,\"tag\":\"t%u\",\"label\":\"l%u\",\"type\":"
			 "\"audio\",\"codecs\":[{\"pt\":0,\"name\":\"PCMU\",\"rate\":8000,"
			 "\"channels\":1}],\"ptime_ms\":20}",
			 leg, leg, leg);
		fork_text(f, TD_FORK_STREAM, recording, leg, leg, t0, text);
	}
}

/* Packet k of a leg: 20 ms of one µ-law value. */
static inline void call_packet(struct recorder_fixture *f, uint64_t recording, uint16_t leg,
			       uint64_t t0, uint32_t k, uint8_t value)
{
	struct td_fork_record like = {
		.type = TD_FORK_PACKET,
		.leg = leg,
		.recording = recording,
		.stream = leg,
		.arrival_ns = t0 + k * 20 * NS_PER_MS,
		.ssrc = 0x1000u + leg,
		.ts = 777 + k * 160,
		.seq = (uint16_t)(65530 + k),
		.packet = k + 1,
	};
	uint8_t payload[160];

	memset(payload, value, sizeof(payload));
	fork_put(f, &like, payload, sizeof(payload));
}

static inline void call_end(struct recorder_fixture *f, uint64_t recording, uint64_t t1,
			    uint64_t packets)
{
	struct td_fork_totals totals = {packets, 0, packets * 160};

	for (uint16_t leg = 0; leg < 2; leg++) {
		struct td_fork_record like = {.type = TD_FORK_STREAM_END,
					      .recording = recording,
					      .stream = leg,
					      .leg = leg,
					      .arrival_ns = t1};

		fork_put(f, &like, &totals, sizeof(totals));
	}
	fork_text(f, TD_FORK_END, recording, 0, 0, t1, "{\"reason\":\"delete\"}");
}

/* ---- control ---- */

static inline void control_start(struct recorder_fixture *f)
{
	f->receipt_listen = unix_listen(f->receipt_socket, SOCK_STREAM);
	assert_true(f->receipt_listen >= 0);
}

/* Takes what came and acknowledges whole lines when asked to. */
static inline void control_round(struct recorder_fixture *f, bool acknowledge)
{
	ssize_t got;
	char *end;

	if (f->receipt_listen >= 0 && f->receipt_connection < 0)
		f->receipt_connection = accept4(f->receipt_listen, NULL, NULL, SOCK_NONBLOCK);
	if (f->receipt_connection < 0)
		return;
	got = recv(f->receipt_connection, f->receipts + f->receipts_used,
		   sizeof(f->receipts) - 1 - f->receipts_used, MSG_DONTWAIT);
	if (got == 0) {
		close(f->receipt_connection);
		f->receipt_connection = -1;
	}
	if (got <= 0)
		return;
	f->receipts_used += (size_t)got;
	f->receipts[f->receipts_used] = '\0';
	while (acknowledge && (end = strchr(f->receipts, '\n'))) {
		json_t *receipt = json_loadb(f->receipts, (size_t)(end - f->receipts), 0, NULL);
		char answer[128];
		int n = snprintf(answer, sizeof(answer), "{\"ack\":\"%s\"}\n",
				 json_string_value(json_object_get(receipt, "recording_id")));

		json_decref(receipt);
		assert_int_equal(send(f->receipt_connection, answer, (size_t)n, 0), n);
		memmove(f->receipts, end + 1, strlen(end + 1) + 1);
		f->receipts_used = strlen(f->receipts);
	}
}

/* The first whole line received, not acknowledged; the caller's. */
static inline json_t *control_receipt(struct recorder_fixture *f)
{
	char *end = strchr(f->receipts, '\n');

	return end ? json_loadb(f->receipts, (size_t)(end - f->receipts), 0, NULL) : NULL;
}

static inline void control_stop(struct recorder_fixture *f)
{
	if (f->receipt_connection >= 0)
		close(f->receipt_connection);
	if (f->receipt_listen >= 0)
		close(f->receipt_listen);
	f->receipt_connection = -1;
	f->receipt_listen = -1;
	f->receipts_used = 0;
	f->receipts[0] = '\0';
	unlink(f->receipt_socket);
}

/* ---- the recorder ---- */

static inline void recorder_up(struct recorder_fixture *f)
{
	assert_int_equal(recorder_start(&f->recorder, &f->config), 0);
	f->running = true;
}

static inline void recorder_down(struct recorder_fixture *f)
{
	recorder_stop(&f->recorder);
	f->running = false;
}

static inline uint64_t status_number(struct recorder_fixture *f, const char *part, const char *name)
{
	json_t *status = recorder_status(&f->recorder);
	uint64_t value =
		(uint64_t)json_integer_value(json_object_get(json_object_get(status, part), name));

	json_decref(status);
	return value;
}

/* Rounds of all until `part.name` of the status is `value`; at most 10 s. */
static inline void rounds_until(struct recorder_fixture *f, bool acknowledge, const char *part,
				const char *name, uint64_t value)
{
	uint64_t until_ns = clock_mono_ns() + 10 * NS_PER_S;

	while (status_number(f, part, name) != value) {
		if (clock_mono_ns() > until_ns)
			fail_msg("%s.%s is %llu, not %llu", part, name,
				 (unsigned long long)status_number(f, part, name),
				 (unsigned long long)value);
		if (f->fork_listen >= 0) {
			atomic_store(&f->ring->heartbeat_ns, clock_real_ns());
			dataplane_accept(f);
		}
		recorder_round(&f->recorder);
		control_round(f, acknowledge);
	}
}

static inline int tree_remove_one(const char *path, const struct stat *status, int kind,
				  struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static inline int recorder_fixture_teardown(void **state)
{
	struct recorder_fixture *f = *state;

	if (f->running)
		recorder_down(f);
	dataplane_stop(f);
	control_stop(f);
	nftw(f->directory, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}
