/* Upload threads: one queue, the earliest due first. */
#include "recorder/upload/uploader.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPLOADER_THREADS_MAX 8

struct uploader {
	struct loop *loop;
	struct store *store;
	pthread_mutex_t mutex; /* all below */
	pthread_cond_t wake;
	pthread_t threads[UPLOADER_THREADS_MAX];
	uint32_t threads_count;
	struct upload *queue;
	bool stopping;
	bool prepared;
	struct uploader_counters counters;
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static void work_run(struct loop_work *work)
{
	struct upload *upload = list_entry(work, struct upload, work);

	upload->done(upload);
}

static void queue_insert(struct uploader *uploader, struct upload *upload)
{
	struct upload **link = &uploader->queue;

	while (*link && (*link)->due_ms <= upload->due_ms)
		link = &(*link)->next;
	upload->next = *link;
	*link = upload;
	pthread_cond_signal(&uploader->wake);
}

/* Pause before attempt n + 1: doubling, half of it by chance. */
static uint64_t retry_pause_ms(uint32_t attempts)
{
	uint64_t pause_ms = UPLOAD_RETRY_MAX_MS;
	uint16_t chance;

	if (attempts < 7 && (UPLOAD_RETRY_MIN_MS << (attempts - 1)) < UPLOAD_RETRY_MAX_MS)
		pause_ms = UPLOAD_RETRY_MIN_MS << (attempts - 1);
	random_bytes(&chance, sizeof(chance));
	return pause_ms / 2 + pause_ms / 2 * chance / UINT16_MAX;
}

static int upload_attempt(struct uploader *uploader, const struct upload *upload, bool prepared,
			  char error[STORE_ERROR_MAX])
{
	struct store *store = uploader->store;
	int outcome = prepared ? 0 : store->ops->prepare(store, error);

	if (!outcome)
		outcome = store->ops->put(store, upload->key, upload->path, upload->sums, error);
	/* a file that is gone was perhaps stored before a crash: then it verifies */
	if (!outcome || (outcome == -ENOENT && access(upload->path, F_OK) < 0)) {
		int verified = store->ops->verify(store, upload->key, upload->sums, error);

		outcome = verified == 0 || outcome == 0 ? verified : outcome;
	}
	return outcome;
}

static void upload_finish(struct uploader *uploader, struct upload *upload, int outcome,
			  const char *error)
{
	/* said first: once it is queued again, or handed back, it may be gone */
	if (outcome == 0)
		log_info("object %s stored, %" PRIu64 " bytes", upload->key, upload->sums->bytes);
	else if (outcome != -ECANCELED)
		log_warn("object %s not stored, attempt %" PRIu32 ": %s", upload->key,
			 upload->attempts + 1, error);
	pthread_mutex_lock(&uploader->mutex);
	if (outcome == 0) {
		uploader->prepared = true;
		uploader->counters.uploaded++;
		uploader->counters.queued--;
		uploader->counters.bytes += upload->sums->bytes;
		uploader->counters.last_error[0] = '\0';
	} else {
		uploader->prepared = false;
		upload->attempts++;
		uploader->counters.failures++;
		strcpy(uploader->counters.last_error, error);
		upload->due_ms = now_ms() + retry_pause_ms(upload->attempts);
		queue_insert(uploader, upload);
	}
	pthread_mutex_unlock(&uploader->mutex);
	if (outcome == 0) {
		upload->work.run = work_run;
		loop_post(uploader->loop, &upload->work);
	}
}

/* The next upload that is due, with the mutex held; NULL when the threads stop. */
static struct upload *queue_take(struct uploader *uploader)
{
	while (!uploader->stopping) {
		struct upload *upload = uploader->queue;
		struct timespec until;

		if (upload && upload->due_ms <= now_ms()) {
			uploader->queue = upload->next;
			return upload;
		}
		if (!upload) {
			pthread_cond_wait(&uploader->wake, &uploader->mutex);
			continue;
		}
		until.tv_sec = (time_t)(upload->due_ms / 1000);
		until.tv_nsec = (long)(upload->due_ms % 1000 * 1000000);
		pthread_cond_timedwait(&uploader->wake, &uploader->mutex, &until);
	}
	return NULL;
}

static void *uploader_run(void *arg)
{
	struct uploader *uploader = arg;
	struct upload *upload;

	pthread_mutex_lock(&uploader->mutex);
	while ((upload = queue_take(uploader))) {
		char error[STORE_ERROR_MAX] = "";
		bool prepared = uploader->prepared;
		int outcome;

		pthread_mutex_unlock(&uploader->mutex);
		outcome = upload_attempt(uploader, upload, prepared, error);
		upload_finish(uploader, upload, outcome, error);
		pthread_mutex_lock(&uploader->mutex);
	}
	pthread_mutex_unlock(&uploader->mutex);
	return NULL;
}

int uploader_create(struct uploader **out, struct loop *loop, struct store *store, uint32_t threads)
{
	struct uploader *uploader = calloc(1, sizeof(*uploader));
	pthread_condattr_t monotonic;

	*out = NULL;
	if (!uploader)
		return -ENOMEM;
	uploader->loop = loop;
	uploader->store = store;
	pthread_mutex_init(&uploader->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&uploader->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	for (uint32_t k = 0; k < threads && k < UPLOADER_THREADS_MAX; k++) {
		int error = -pthread_create(&uploader->threads[k], NULL, uploader_run, uploader);

		if (error) {
			uploader_destroy(uploader);
			return error;
		}
		uploader->threads_count++;
	}
	*out = uploader;
	return 0;
}

void uploader_add(struct uploader *uploader, struct upload *upload)
{
	upload->attempts = 0;
	upload->due_ms = 0;
	pthread_mutex_lock(&uploader->mutex);
	uploader->counters.queued++;
	queue_insert(uploader, upload);
	pthread_mutex_unlock(&uploader->mutex);
}

void uploader_stop(struct uploader *uploader)
{
	atomic_store_explicit(&uploader->store->stopping, true, memory_order_relaxed);
	pthread_mutex_lock(&uploader->mutex);
	uploader->stopping = true;
	pthread_cond_broadcast(&uploader->wake);
	pthread_mutex_unlock(&uploader->mutex);
	for (uint32_t k = 0; k < uploader->threads_count; k++)
		pthread_join(uploader->threads[k], NULL);
	uploader->threads_count = 0;
}

void uploader_destroy(struct uploader *uploader)
{
	if (!uploader)
		return;
	uploader_stop(uploader);
	pthread_cond_destroy(&uploader->wake);
	pthread_mutex_destroy(&uploader->mutex);
	free(uploader);
}

void uploader_counters(struct uploader *uploader, struct uploader_counters *counters)
{
	pthread_mutex_lock(&uploader->mutex);
	*counters = uploader->counters;
	pthread_mutex_unlock(&uploader->mutex);
}
