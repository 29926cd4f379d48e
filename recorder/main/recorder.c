/* Wiring of the recorder's parts, and its round. */
#include "recorder/main/recorder.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define POLL_BUSY_MS         5
#define POLL_IDLE_MS         20
#define POLL_ALONE_MS        100 /* no ring is attached */
#define TICK_MS              100
#define CHECK_MS             1000
#define SPOOL_BUFFERS        16
#define SPOOL_SEGMENTS_MIN   4
#define SPOOL_SEGMENT_MB_MAX 1024
#define UPLOAD_THREADS       2
#define FINALIZE_RETRY_MS    5000
#define LAST_PACKET_NS                                                                             \
	(20 * NS_PER_MS) /* how long the last packet of a recording without END is heard */
#define STOP_DRAIN_MS 2000
#define STOP_FLUSH_MS 10000

void recorder_error(struct recorder *recorder, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(recorder->last_error, sizeof(recorder->last_error), format, arguments);
	va_end(arguments);
	log_error("%s", recorder->last_error);
}

/* ---- ended recordings ---- */

static void recording_finalize(struct recorder *recorder, struct recording *recording)
{
	struct finalizer_job *job = recording->owner;

	if (!job)
		job = calloc(1, sizeof(*job));
	if (!job)
		return; /* stays ended; the check of each second comes again */
	recording->owner = job;
	recording->state = RECORDING_FINALIZING;
	job->recording = recording;
	job->spool_end = segment_log_appended(recorder->spool);
	finalizer_add(recorder->finalizer, job);
}

static void recording_ended(void *arg, struct recording *recording)
{
	log_info("recording %s ended: %s", recording->id, recording->reason);
	recording_finalize(arg, recording);
}

/* Ends a recording that got no END record; says so in the spool first. */
static bool recording_close(struct recorder *recorder, struct recording *recording,
			    const char *reason)
{
	struct spool_key key = {recording->generation, recording->number,
				recording->last_ns + LAST_PACKET_NS};
	int error = segment_log_appendv(
		recorder->spool, SPOOL_CLOSED, SPOOL_VERSION,
		(struct iovec[]){{&key, sizeof(key)}, {(void *)(uintptr_t)reason, strlen(reason)}},
		2, NULL);

	if (error)
		return false; /* the spool is full for now: asked again */
	recording_table_close(recorder->table, recording, key.ended_ns, reason);
	recording_ended(recorder, recording);
	return true;
}

static void job_done(void *arg, struct finalizer_job *job)
{
	struct recorder *recorder = arg;
	struct recording *recording = job->recording;
	int error = job->outcome;

	if (!error) {
		recorder->counters.unreadable += job->result.unreadable;
		log_info("recording %s built: %" PRIu64 " ms, %" PRIu64 " bytes", recording->id,
			 job->result.duration_ms, job->result.sums.bytes);
		error = deliveries_finish(recorder->deliveries, recording, &job->result);
	}
	if (error) {
		recorder->counters.failed++;
		recorder_error(recorder, "recording %s not built, tried again: %s", recording->id,
			       strerror(-error));
		job->due_ms = loop_now_ms(recorder->loop) + FINALIZE_RETRY_MS;
		recording->state = RECORDING_ENDED;
		return;
	}
	recorder->counters.finished++;
	job->built = true;
}

/* Ended recordings whose time has come (again); built ones leave when the spool safely says so. */
static void recordings_check(struct recorder *recorder, uint64_t now_ms)
{
	struct list *all = recording_table_all(recorder->table);
	struct list *node, *after;

	list_each_safe (node, after, all) {
		struct recording *recording = list_entry(node, struct recording, node);
		struct finalizer_job *job = recording->owner;
		uint64_t finished;

		if (recording->state == RECORDING_ENDED && (!job || job->due_ms <= now_ms))
			recording_finalize(recorder, recording);
		if (!job || !job->built)
			continue;
		finished = deliveries_position(recorder->deliveries, recording->generation,
					       recording->number);
		if (finished == 0 || (finished != SEGMENT_LOG_NEVER &&
				      segment_log_durable(recorder->spool) < finished))
			continue;
		free(job);
		recording_table_remove(recorder->table, recording);
	}
}

static void silent_close(struct recorder *recorder, uint64_t now_ms)
{
	uint64_t timeout_ms = recorder->config->recorder.silence_timeout_s * UINT64_C(1000);
	struct recording *recording;

	while (now_ms > timeout_ms &&
	       (recording = recording_table_silent(recorder->table, now_ms - timeout_ms))) {
		if (!recording_close(recorder, recording, "silence"))
			return;
		recorder->counters.closed_silent++;
	}
}

/* Recordings of a dataplane that will send no more. */
static void generations_changed(void *arg)
{
	struct recorder *recorder = arg;
	struct list *all = recording_table_all(recorder->table);
	struct list *node, *after;

	list_each_safe (node, after, all) {
		struct recording *recording = list_entry(node, struct recording, node);

		if (recording->state == RECORDING_LIVE &&
		    !intake_holds(recorder->intake, recording->generation) &&
		    recording_close(recorder, recording, "dataplane gone"))
			recorder->counters.closed_gone++;
	}
}

static void spool_trim(struct recorder *recorder)
{
	uint64_t least = segment_log_written(recorder->spool);
	uint64_t deliveries = deliveries_least(recorder->deliveries);
	struct list *node;

	if (deliveries < least)
		least = deliveries;
	list_each (node, recording_table_all(recorder->table)) {
		const struct recording *recording = list_entry(node, struct recording, node);

		if (recording->first_position < least)
			least = recording->first_position;
	}
	segment_log_trim(recorder->spool, least);
}

/* ---- the round ---- */

static void spool_ready(struct loop_fd *watch, uint32_t events)
{
	struct recorder *recorder = list_entry(watch, struct recorder, spool_watch);

	(void)events;
	segment_log_tick(recorder->spool, loop_now_ms(recorder->loop));
}

/* How long the loop may sleep: often when there is something in the rings, rarely when not. */
static uint64_t wait_ms(const struct recorder *recorder, uint32_t records)
{
	struct intake_counters intake;
	uint64_t deadline_ms = segment_log_deadline_ms(recorder->spool);
	uint64_t now_ms = loop_now_ms(recorder->loop);
	uint64_t wait = POLL_BUSY_MS;

	if (records == 0) {
		intake_counters(recorder->intake, &intake);
		wait = intake.rings > 0 ? POLL_IDLE_MS : POLL_ALONE_MS;
	}
	if (deadline_ms <= now_ms)
		return 0;
	return deadline_ms - now_ms < wait ? deadline_ms - now_ms : wait;
}

static uint32_t recorder_poll(struct recorder *recorder)
{
	uint64_t now_ms = loop_now_ms(recorder->loop);
	uint32_t records = intake_poll(recorder->intake, now_ms, clock_real_ns());

	if (now_ms >= recorder->tick_at_ms) {
		recorder->tick_at_ms = now_ms + TICK_MS;
		deliveries_tick(recorder->deliveries, now_ms);
	}
	if (now_ms >= recorder->check_at_ms) {
		recorder->check_at_ms = now_ms + CHECK_MS;
		recordings_check(recorder, now_ms);
		silent_close(recorder, now_ms);
		if (intake_has_attached(recorder->intake))
			generations_changed(recorder);
		spool_trim(recorder);
	}
	/* what was taken goes to the kernel now; the next polls give its ring space back */
	segment_log_submit(recorder->spool, now_ms, 0);
	return records;
}

void recorder_round(struct recorder *recorder)
{
	uint32_t records = recorder_poll(recorder);

	loop_once(recorder->loop, wait_ms(recorder, records));
}

/* ---- start and stop ---- */

/* Files that were being built when the last process ended. */
static void partials_delete(const char *files)
{
	DIR *directory = opendir(files);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		size_t n = strlen(entry->d_name);

		if (n > 5 && strcmp(entry->d_name + n - 5, ".part") == 0)
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	closedir(directory);
}

static uint64_t directory_bytes(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	uint64_t bytes = 0;

	if (!directory)
		return 0;
	while ((entry = readdir(directory))) {
		struct stat status;

		if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode))
			bytes += (uint64_t)status.st_blocks * 512;
	}
	closedir(directory);
	return bytes;
}

/* Nine tenths of what is free or already the spool's. */
static uint64_t spool_bytes_max(const char *path, uint64_t segment_bytes)
{
	uint64_t least = SPOOL_SEGMENTS_MIN * segment_bytes;
	struct statvfs space;
	uint64_t bytes;

	if (statvfs(path, &space) < 0)
		return least;
	bytes = ((uint64_t)space.f_bavail * space.f_frsize + directory_bytes(path)) / 10 * 9;
	return bytes < least ? least : bytes;
}

static int spool_open(struct recorder *recorder)
{
	const struct config_recorder *config = &recorder->config->recorder;
	struct segment_log_options options = {
		.directory = config->spool,
		.segment_bytes =
			(config->segment_mb < SPOOL_SEGMENT_MB_MAX ? config->segment_mb
								   : SPOOL_SEGMENT_MB_MAX) *
			1024 * 1024,
		.buffers = SPOOL_BUFFERS,
		.commit_ms = config->commit_ms,
	};
	int error;

	if (mkdir(config->spool, 0750) < 0 && errno != EEXIST) {
		error = -errno;
		recorder_error(recorder, "spool %s: %s", config->spool, strerror(-error));
		return error;
	}
	if (asprintf(&recorder->files, "%s/files", config->spool) < 0) {
		recorder->files = NULL;
		return -ENOMEM;
	}
	if (mkdir(recorder->files, 0750) < 0 && errno != EEXIST) {
		error = -errno;
		recorder_error(recorder, "files %s: %s", recorder->files, strerror(-error));
		return error;
	}
	partials_delete(recorder->files);
	options.bytes_max = spool_bytes_max(config->spool, options.segment_bytes);
	error = segment_log_open(&recorder->spool, &options);
	if (error) {
		recorder_error(
			recorder, "spool %s not opened: %s%s", config->spool, strerror(-error),
			error == -EPERM || error == -ENOSYS ? " (is io_uring allowed here?)" : "");
		return error;
	}
	recorder->spool_watch.fd = segment_log_event_fd(recorder->spool);
	recorder->spool_watch.ready = spool_ready;
	return loop_fd_add(recorder->loop, &recorder->spool_watch, EPOLLIN);
}

static int parts_create(struct recorder *recorder)
{
	const struct config_recorder *config = &recorder->config->recorder;
	const struct intake_events events = {
		.arg = recorder,
		.recording_ended = recording_ended,
		.generations_changed = generations_changed,
	};
	int error = recording_table_create(&recorder->table);

	if (!error)
		error = intake_create(&recorder->intake, recorder->loop, recorder->spool,
				      recorder->table, recorder->config->dataplane.fork_socket,
				      &events);
	if (!error)
		error = store_create(&recorder->store, &config->store, recorder->files);
	if (!error)
		error = uploader_create(&recorder->uploader, recorder->loop, recorder->store,
					UPLOAD_THREADS);
	if (!error)
		error = deliveries_create(&recorder->deliveries, recorder->spool,
					  recorder->uploader, recorder->loop,
					  config->receipt_socket, recorder->files);
	if (!error)
		error = finalizer_create(&recorder->finalizer, recorder->loop, recorder->spool,
					 recorder->files, job_done, recorder);
	if (error)
		recorder_error(recorder, "recorder not started: %s", strerror(-error));
	return error;
}

static int http_start(struct recorder *recorder)
{
	const char *path = recorder->config->recorder.http_socket;
	int fd = http_listen(path);
	int error = fd < 0 ? fd : http_create(&recorder->http, recorder, fd);

	if (error)
		recorder_error(recorder, "socket %s: %s", path, strerror(-error));
	return error;
}

int recorder_start(struct recorder *recorder, const struct config *config)
{
	int error;

	*recorder = (struct recorder){.config = config, .started_ns = clock_mono_ns()};
	recorder->spool_watch.fd = -1;
	error = loop_create(&recorder->loop);
	if (!error)
		error = spool_open(recorder);
	if (!error)
		error = parts_create(recorder);
	if (!error) {
		error = recorder_scan(recorder);
		if (error)
			recorder_error(recorder, "spool not read: %s", strerror(-error));
	}
	if (!error)
		error = http_start(recorder);
	if (error)
		return error;
	deliveries_start(recorder->deliveries);
	recordings_check(recorder, loop_now_ms(recorder->loop));
	intake_start(recorder->intake);
	return 0;
}

void recorder_stop(struct recorder *recorder)
{
	uint64_t until_ms = clock_mono_ns() / NS_PER_MS + STOP_DRAIN_MS;
	bool started = recorder->http != NULL; /* the last part that is made */

	http_destroy(recorder->http);
	/* what is in the rings now; a dataplane that goes on fills them for the next start */
	while (started && clock_mono_ns() / NS_PER_MS < until_ms) {
		bool read = recorder_poll(recorder) > 0;

		if (!read && intake_is_drained(recorder->intake))
			break;
		loop_once(recorder->loop, 1);
	}
	finalizer_destroy(recorder->finalizer);
	if (recorder->uploader)
		uploader_stop(recorder->uploader);
	/* what the threads handed over last */
	for (int k = 0; started && k < 3; k++) {
		loop_once(recorder->loop, 0);
		deliveries_tick(recorder->deliveries, loop_now_ms(recorder->loop));
	}
	if (recorder->spool) {
		int error = segment_log_flush(recorder->spool, STOP_FLUSH_MS);

		if (error)
			recorder_error(recorder, "spool not flushed: %s", strerror(-error));
	}
	intake_destroy(recorder->intake);
	deliveries_destroy(recorder->deliveries);
	uploader_destroy(recorder->uploader);
	store_destroy(recorder->store);
	if (recorder->table) {
		struct list *node;

		list_each (node, recording_table_all(recorder->table))
			free(list_entry(node, struct recording, node)->owner);
		recording_table_destroy(recorder->table);
	}
	if (recorder->spool_watch.fd >= 0)
		loop_fd_del(recorder->loop, &recorder->spool_watch);
	segment_log_close(recorder->spool);
	loop_destroy(recorder->loop);
	free(recorder->files);
}
