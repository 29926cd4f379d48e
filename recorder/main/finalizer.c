/* The thread that builds files of ended recordings, one after the other. */
#include "recorder/main/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITTEN_WAIT_MS 100

struct finalizer {
	struct loop *loop;
	const struct segment_log *spool;
	char *files;
	void (*done)(void *arg, struct finalizer_job *job);
	void *arg;
	pthread_t thread;
	bool running;
	pthread_mutex_t mutex; /* all below */
	pthread_cond_t wake;
	struct finalizer_job *first, *last;
	uint64_t queued;
	bool stopping;
};

static int directory_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return error;
}

static bool finalizer_is_stopping(struct finalizer *finalizer)
{
	bool stopping;

	pthread_mutex_lock(&finalizer->mutex);
	stopping = finalizer->stopping;
	pthread_mutex_unlock(&finalizer->mutex);
	return stopping;
}

/* Under a name of its own until it is whole. */
static int file_build(struct finalizer *finalizer, struct finalizer_job *job)
{
	char *partial, *path;
	int error;

	/* readers see what the kernel has; the last records may be on their way there */
	while (!segment_log_wait(finalizer->spool, job->spool_end - 1, WRITTEN_WAIT_MS)) {
		if (finalizer_is_stopping(finalizer))
			return -ECANCELED;
	}
	if (asprintf(&path, "%s/%s.wav", finalizer->files, job->recording->id) < 0)
		return -ENOMEM;
	if (asprintf(&partial, "%s.part", path) < 0) {
		free(path);
		return -ENOMEM;
	}
	error = finalize_run(job->recording, finalizer->spool, partial, &job->result);
	if (!error && rename(partial, path) < 0)
		error = -errno;
	if (!error)
		error = directory_sync(finalizer->files);
	if (error) {
		unlink(partial);
		json_decref(job->result.streams);
		job->result.streams = NULL;
	}
	free(partial);
	free(path);
	return error;
}

static void work_run(struct loop_work *work)
{
	struct finalizer_job *job = list_entry(work, struct finalizer_job, work);

	job->finalizer->done(job->finalizer->arg, job);
}

static void *finalizer_run(void *arg)
{
	struct finalizer *finalizer = arg;

	pthread_mutex_lock(&finalizer->mutex);
	while (!finalizer->stopping) {
		struct finalizer_job *job = finalizer->first;

		if (!job) {
			pthread_cond_wait(&finalizer->wake, &finalizer->mutex);
			continue;
		}
		finalizer->first = job->next;
		if (!finalizer->first)
			finalizer->last = NULL;
		pthread_mutex_unlock(&finalizer->mutex);
		job->outcome = file_build(finalizer, job);
		job->work.run = work_run;
		loop_post(finalizer->loop, &job->work);
		pthread_mutex_lock(&finalizer->mutex);
		finalizer->queued--;
	}
	pthread_mutex_unlock(&finalizer->mutex);
	return NULL;
}

int finalizer_create(struct finalizer **out, struct loop *loop, const struct segment_log *spool,
		     const char *files, void (*done)(void *arg, struct finalizer_job *job),
		     void *arg)
{
	struct finalizer *finalizer = calloc(1, sizeof(*finalizer));
	int error;

	*out = NULL;
	if (!finalizer)
		return -ENOMEM;
	finalizer->loop = loop;
	finalizer->spool = spool;
	finalizer->done = done;
	finalizer->arg = arg;
	pthread_mutex_init(&finalizer->mutex, NULL);
	pthread_cond_init(&finalizer->wake, NULL);
	finalizer->files = strdup(files);
	error = finalizer->files
			? -pthread_create(&finalizer->thread, NULL, finalizer_run, finalizer)
			: -ENOMEM;
	finalizer->running = !error;
	if (error) {
		finalizer_destroy(finalizer);
		return error;
	}
	*out = finalizer;
	return 0;
}

void finalizer_add(struct finalizer *finalizer, struct finalizer_job *job)
{
	job->next = NULL;
	job->finalizer = finalizer;
	pthread_mutex_lock(&finalizer->mutex);
	if (finalizer->last)
		finalizer->last->next = job;
	else
		finalizer->first = job;
	finalizer->last = job;
	finalizer->queued++;
	pthread_cond_signal(&finalizer->wake);
	pthread_mutex_unlock(&finalizer->mutex);
}

uint64_t finalizer_queued(struct finalizer *finalizer)
{
	uint64_t queued;

	pthread_mutex_lock(&finalizer->mutex);
	queued = finalizer->queued;
	pthread_mutex_unlock(&finalizer->mutex);
	return queued;
}

void finalizer_destroy(struct finalizer *finalizer)
{
	if (!finalizer)
		return;
	pthread_mutex_lock(&finalizer->mutex);
	finalizer->stopping = true;
	pthread_cond_signal(&finalizer->wake);
	pthread_mutex_unlock(&finalizer->mutex);
	if (finalizer->running)
		pthread_join(finalizer->thread, NULL);
	pthread_cond_destroy(&finalizer->wake);
	pthread_mutex_destroy(&finalizer->mutex);
	free(finalizer->files);
	free(finalizer);
}
