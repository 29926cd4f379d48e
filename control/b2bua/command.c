/* Commands of other threads: handed over by the loop's door, answered through a semaphore. */
#include "control/b2bua/command.h"
#include "control/b2bua/call.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Held by the asking thread and by the loop; whoever lets go last frees it. */
struct command {
	struct loop_work work;
	struct b2bua *b2bua;
	sem_t done;
	_Atomic int holders; /* acq_rel: the last one sees what the other wrote */
	int result;          /* written before sem_post */
	char call_id[UUID_TEXT_MAX];
};

static void command_put(struct command *command)
{
	if (atomic_fetch_sub_explicit(&command->holders, 1, memory_order_acq_rel) != 1)
		return;
	sem_destroy(&command->done);
	free(command);
}

static void hangup_run(struct loop_work *work)
{
	struct command *command = list_entry(work, struct command, work);
	struct call *call = call_find_id(command->b2bua, command->call_id);

	if (call && call->phase != CALL_ENDING) {
		call_end(call, ENDED_BY_ADMIN, 480, "administrator");
		command->result = 0;
	} else {
		command->result = -ENOENT;
	}
	sem_post(&command->done);
	command_put(command);
}

int command_hangup(struct b2bua *b2bua, const char *call_id, uint32_t wait_ms)
{
	struct command *command;
	struct timespec until;
	int result = -ETIMEDOUT;

	if (strlen(call_id) >= UUID_TEXT_MAX)
		return -ENOENT;
	command = calloc(1, sizeof(*command));
	if (!command)
		return -ENOMEM;
	command->b2bua = b2bua;
	command->work.run = hangup_run;
	memcpy(command->call_id, call_id, strlen(call_id) + 1);
	sem_init(&command->done, 0, 0);
	atomic_init(&command->holders, 2);
	loop_post(b2bua->options.loop, &command->work);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (sem_timedwait(&command->done, &until)) {
		if (errno == EINTR)
			continue;
		command_put(command);
		return result;
	}
	result = command->result;
	command_put(command);
	return result;
}
