/* Fork rings into the spool: connection, rings, polling. */
#include "recorder/intake/intake.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SETS_MAX      4    /* generations held at once */
#define MARKS_MAX     64   /* stretches on their way to the disk, per ring */
#define ROUND_RECORDS 8192 /* per ring and poll */
#define RESUMES_MAX   256  /* (generation, worker) pairs remembered from the spool */
#define RECONNECT_MS  500
#define HEARTBEAT_NS  UINT64_C(5000000000)

struct ring {
	struct td_fork_ring *shared;
	struct td_fork_reader reader;
	uint64_t resume;  /* records up to here are in the spool */
	uint64_t spooled; /* reader.next up to which records were appended */
	bool broken;
	struct {
		uint64_t log_position;
		uint64_t ring_position;
	} marks[MARKS_MAX]; /* FIFO */
	uint32_t marks_first, marks_count;
};

struct ring_set {
	uint64_t generation;
	struct ring rings[TD_FORK_WORKERS_MAX];
	uint32_t rings_count;
	bool gone; /* its dataplane will write no more */
};

struct intake {
	struct loop *loop;
	struct segment_log *spool;
	struct recording_table *table;
	struct intake_events events;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct loop_fd connection;
	uint64_t connect_at_ms;
	uint64_t disconnected_ms;
	struct ring_set *sets[SETS_MAX]; /* the newest last */
	uint32_t sets_count;
	struct spool_fork resumes[RESUMES_MAX];
	uint32_t resumes_count;
	struct intake_counters counters;
	bool started;
	bool told_unreachable;
};

/* ---- rings ---- */

void intake_resume(struct intake *intake, const struct spool_fork *from)
{
	for (uint32_t k = 0; k < intake->resumes_count; k++) {
		struct spool_fork *known = &intake->resumes[k];

		if (known->generation == from->generation && known->worker == from->worker) {
			if (from->ring_end > known->ring_end)
				known->ring_end = from->ring_end;
			return;
		}
	}
	if (intake->resumes_count == RESUMES_MAX) {
		memmove(intake->resumes, intake->resumes + 1,
			(RESUMES_MAX - 1) * sizeof(intake->resumes[0]));
		intake->resumes_count--;
	}
	intake->resumes[intake->resumes_count++] = *from;
}

static uint64_t resume_find(const struct intake *intake, uint64_t generation, uint32_t worker)
{
	for (uint32_t k = 0; k < intake->resumes_count; k++) {
		if (intake->resumes[k].generation == generation &&
		    intake->resumes[k].worker == worker)
			return intake->resumes[k].ring_end;
	}
	return 0;
}

static void set_destroy(struct ring_set *set)
{
	for (uint32_t k = 0; k < set->rings_count; k++)
		td_fork_ring_unmap(set->rings[k].shared);
	free(set);
}

static struct ring_set *set_find(const struct intake *intake, uint64_t generation)
{
	for (uint32_t k = 0; k < intake->sets_count; k++) {
		if (intake->sets[k]->generation == generation)
			return intake->sets[k];
	}
	return NULL;
}

static void set_remove(struct intake *intake, uint32_t index)
{
	set_destroy(intake->sets[index]);
	intake->sets_count--;
	memmove(intake->sets + index, intake->sets + index + 1,
		(intake->sets_count - index) * sizeof(intake->sets[0]));
	if (intake->events.generations_changed)
		intake->events.generations_changed(intake->events.arg);
}

static int ring_attach(struct intake *intake, struct ring *ring, uint64_t generation, int fd)
{
	uint64_t head;
	int error = td_fork_ring_attach(&ring->shared, fd);

	if (error)
		return error;
	if (ring->shared->generation != generation) {
		td_fork_ring_unmap(ring->shared);
		return -EPROTO;
	}
	td_fork_reader_init(&ring->reader, ring->shared);
	/* what was in the spool already when we were killed is still in the ring */
	ring->resume = resume_find(intake, generation, ring->shared->worker);
	head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
	if (ring->resume > head)
		ring->resume = 0; /* not of this ring after all */
	ring->spooled = ring->reader.next;
	atomic_store_explicit(&ring->shared->consumer_pid, (uint64_t)getpid(),
			      memory_order_relaxed);
	return 0;
}

int intake_attach(struct intake *intake, uint64_t generation, const int *fds, uint32_t count)
{
	struct ring_set *set = set_find(intake, generation);
	int error = 0;

	if (!set) {
		set = count > 0 && count <= TD_FORK_WORKERS_MAX ? calloc(1, sizeof(*set)) : NULL;
		error = set ? 0 : -EPROTO;
		for (uint32_t k = 0; !error && k < count; k++) {
			error = ring_attach(intake, &set->rings[k], generation, fds[k]);
			if (!error)
				set->rings_count++;
		}
		if (error && set) {
			set_destroy(set);
			set = NULL;
		}
	}
	for (uint32_t k = 0; k < count; k++)
		close(fds[k]);
	if (error) {
		intake->counters.refused++;
		return error;
	}
	set->gone = false;
	intake->counters.generation = generation;
	for (uint32_t k = 0; k < intake->sets_count; k++) {
		/* one dataplane at a time: an older one writes no more */
		if (intake->sets[k] != set)
			intake->sets[k]->gone = true;
	}
	if (set_find(intake, generation))
		return 0;
	if (intake->sets_count == SETS_MAX)
		set_remove(intake, 0);
	set->generation = generation;
	intake->sets[intake->sets_count++] = set;
	if (intake->events.generations_changed)
		intake->events.generations_changed(intake->events.arg);
	return 0;
}

/* ---- connection ---- */

static void connection_close(struct intake *intake)
{
	if (intake->connection.fd < 0)
		return;
	loop_fd_del(intake->loop, &intake->connection);
	close(intake->connection.fd);
	intake->connection.fd = -1;
	intake->counters.connected = false;
	intake->disconnected_ms = loop_now_ms(intake->loop);
	intake->connect_at_ms = intake->disconnected_ms + RECONNECT_MS;
}

/* One message: the hello, with the descriptors. 0, 1 = not yet, -errno. */
static int hello_receive(struct intake *intake)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(TD_FORK_WORKERS_MAX * sizeof(int))];
	struct td_fork_hello hello;
	struct iovec bytes = {&hello, sizeof(hello)};
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fds[TD_FORK_WORKERS_MAX];
	uint32_t count = 0;
	ssize_t got = recvmsg(intake->connection.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -errno;
	if (got == 0)
		return -ECONNRESET;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		count = (uint32_t)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(part), count * sizeof(int));
	}
	if (got != sizeof(hello) || hello.magic != TD_FORK_MAGIC ||
	    hello.version != TD_FORK_VERSION || hello.rings != count) {
		for (uint32_t k = 0; k < count; k++)
			close(fds[k]);
		intake->counters.refused++;
		return -EPROTO;
	}
	return intake_attach(intake, hello.generation, fds, count);
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	struct intake *intake = list_entry(watch, struct intake, connection);
	int outcome = hello_receive(intake);

	(void)events;
	if (outcome == 0) {
		log_info("fork rings of generation %" PRIu64 " attached",
			 intake->counters.generation);
	} else if (outcome < 0) {
		log_warn("fork socket %s closed: %s", intake->path, strerror(-outcome));
		connection_close(intake);
	}
}

void intake_start(struct intake *intake)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	intake->started = true;
	intake->connect_at_ms = loop_now_ms(intake->loop) + RECONNECT_MS;
	if (fd < 0)
		return;
	memcpy(address.sun_path, intake->path, sizeof(address.sun_path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (!intake->told_unreachable)
			log_warn("fork socket %s unreachable: %s", intake->path, strerror(errno));
		intake->told_unreachable = true;
		close(fd);
		return;
	}
	intake->connection.fd = fd;
	if (loop_fd_add(intake->loop, &intake->connection, EPOLLIN) < 0) {
		intake->connection.fd = -1;
		close(fd);
		return;
	}
	intake->told_unreachable = false;
	intake->counters.connected = true;
	intake->counters.connects++;
}

/* ---- polling ---- */

/* Copies one record out of shared memory into the spool. */
static int record_spool(struct intake *intake, const struct ring_set *set, struct ring *ring,
			const struct td_fork_record *shared, uint64_t now_ms)
{
	struct td_fork_record record = *shared; /* looked at once: the other side may write */
	struct spool_fork from = {
		.generation = set->generation,
		.ring_end = ring->reader.next,
		.worker = ring->shared->worker,
	};
	const uint8_t *payload = td_fork_payload(shared);
	struct recording *ended;
	uint64_t position;
	int error;

	if (record.payload_len > TD_FORK_PAYLOAD_MAX ||
	    td_fork_record_length(record.payload_len) != record.length ||
	    (uint64_t)((const uint8_t *)shared - ring->reader.area) + record.length >
		    ring->reader.mask + 1)
		return -EPROTO;
	error = segment_log_appendv(
		intake->spool, SPOOL_FORK, SPOOL_VERSION,
		(struct iovec[]){{&from, sizeof(from)},
				 {&record, sizeof(record)},
				 {(void *)(uintptr_t)payload, record.payload_len}},
		3, &position);
	if (error)
		return error;
	intake->counters.records++;
	intake->counters.bytes += record.length;
	ended = recording_table_feed(intake->table, position, now_ms, &from, &record, payload);
	if (ended && intake->events.recording_ended)
		intake->events.recording_ended(intake->events.arg, ended);
	return 0;
}

static void mark_add(struct ring *ring, uint64_t log_position)
{
	uint32_t last = (ring->marks_first + ring->marks_count) % MARKS_MAX;

	if (ring->marks_count == MARKS_MAX)
		last = (ring->marks_first + MARKS_MAX - 1) % MARKS_MAX;
	else
		ring->marks_count++;
	ring->marks[last].log_position = log_position;
	ring->marks[last].ring_position = ring->reader.next;
}

static void ring_release(struct ring *ring, uint64_t written)
{
	while (ring->marks_count > 0 && ring->marks[ring->marks_first].log_position <= written) {
		td_fork_release(&ring->reader, ring->marks[ring->marks_first].ring_position);
		ring->marks_first = (ring->marks_first + 1) % MARKS_MAX;
		ring->marks_count--;
	}
}

static uint32_t ring_poll(struct intake *intake, const struct ring_set *set, struct ring *ring,
			  uint64_t now_ms)
{
	uint32_t records = 0;
	int error = 0;

	ring_release(ring, segment_log_written(intake->spool));
	while (!ring->broken && records < ROUND_RECORDS) {
		uint64_t before = ring->reader.next;
		const struct td_fork_record *record = td_fork_next(&ring->reader, &error);

		if (!record)
			break;
		if (ring->reader.next <= ring->resume) {
			intake->counters.again++;
		} else if (record->type == TD_FORK_PAD || record->type > TD_FORK_END) {
			intake->counters.unknown++;
		} else {
			error = record_spool(intake, set, ring, record, now_ms);
		}
		if (error == -EAGAIN || error == -ENOSPC || error == -ENOMEM) {
			ring->reader.next = before;
			intake->counters.held_back++;
			error = 0;
			break;
		}
		if (error)
			break;
		records++;
	}
	if (error) {
		ring->broken = true;
		intake->counters.broken++;
		log_error("fork ring of worker %" PRIu32 " makes no sense, given up: %s",
			  ring->shared->worker, strerror(-error));
	}
	if (ring->reader.next != ring->spooled) {
		ring->spooled = ring->reader.next;
		mark_add(ring, segment_log_appended(intake->spool));
	}
	return records;
}

static bool ring_is_drained(const struct ring *ring)
{
	return ring->broken || (ring->marks_count == 0 &&
				ring->reader.next == atomic_load_explicit(&ring->shared->head,
									  memory_order_acquire));
}

static bool set_is_drained(const struct ring_set *set)
{
	for (uint32_t k = 0; k < set->rings_count; k++) {
		if (!ring_is_drained(&set->rings[k]))
			return false;
	}
	return true;
}

/* No connection and no sign of life for a while. */
static bool set_is_silent(const struct intake *intake, const struct ring_set *set, uint64_t now_ms,
			  uint64_t real_ns)
{
	if (intake->connection.fd >= 0 || now_ms < intake->disconnected_ms + INTAKE_GONE_MS)
		return false;
	for (uint32_t k = 0; k < set->rings_count; k++) {
		uint64_t beat_ns = atomic_load_explicit(&set->rings[k].shared->heartbeat_ns,
							memory_order_relaxed);

		if (real_ns < beat_ns + HEARTBEAT_NS)
			return false;
	}
	return true;
}

uint32_t intake_poll(struct intake *intake, uint64_t now_ms, uint64_t real_ns)
{
	uint32_t records = 0;

	if (intake->started && intake->connection.fd < 0 && now_ms >= intake->connect_at_ms)
		intake_start(intake);
	for (uint32_t s = 0; s < intake->sets_count; s++) {
		struct ring_set *set = intake->sets[s];

		for (uint32_t k = 0; k < set->rings_count; k++)
			records += ring_poll(intake, set, &set->rings[k], now_ms);
	}
	for (uint32_t s = intake->sets_count; s-- > 0;) {
		struct ring_set *set = intake->sets[s];

		if (!set->gone && set_is_silent(intake, set, now_ms, real_ns))
			set->gone = true;
		if (set->gone && set_is_drained(set)) {
			log_info("fork rings of generation %" PRIu64 " drained and left",
				 set->generation);
			set_remove(intake, s);
		}
	}
	return records;
}

bool intake_holds(const struct intake *intake, uint64_t generation)
{
	return set_find(intake, generation) != NULL;
}

bool intake_has_attached(const struct intake *intake)
{
	return intake->counters.generation != 0;
}

bool intake_is_drained(const struct intake *intake)
{
	for (uint32_t s = 0; s < intake->sets_count; s++) {
		if (!set_is_drained(intake->sets[s]))
			return false;
	}
	return true;
}

void intake_counters(const struct intake *intake, struct intake_counters *counters)
{
	*counters = intake->counters;
	counters->rings = 0;
	for (uint32_t s = 0; s < intake->sets_count; s++) {
		const struct ring_set *set = intake->sets[s];

		for (uint32_t k = 0; k < set->rings_count; k++) {
			const struct td_fork_ring *shared = set->rings[k].shared;

			counters->rings++;
			counters->ring_bytes +=
				atomic_load_explicit(&shared->head, memory_order_relaxed) -
				atomic_load_explicit(&shared->tail, memory_order_relaxed);
			counters->overruns +=
				atomic_load_explicit(&shared->overruns, memory_order_relaxed);
		}
	}
}

/* ---- life ---- */

int intake_create(struct intake **out, struct loop *loop, struct segment_log *spool,
		  struct recording_table *table, const char *socket_path,
		  const struct intake_events *events)
{
	struct intake *intake = calloc(1, sizeof(*intake));

	*out = intake;
	if (!intake)
		return -ENOMEM;
	if (strlen(socket_path) >= sizeof(intake->path)) {
		free(intake);
		*out = NULL;
		return -ENAMETOOLONG;
	}
	strcpy(intake->path, socket_path);
	intake->loop = loop;
	intake->spool = spool;
	intake->table = table;
	intake->events = *events;
	intake->connection.fd = -1;
	intake->connection.ready = connection_ready;
	return 0;
}

void intake_destroy(struct intake *intake)
{
	if (!intake)
		return;
	if (intake->connection.fd >= 0) {
		loop_fd_del(intake->loop, &intake->connection);
		close(intake->connection.fd);
	}
	for (uint32_t s = 0; s < intake->sets_count; s++)
		set_destroy(intake->sets[s]);
	free(intake);
}
