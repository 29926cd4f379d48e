/* The receipts listener's connections, on the SIP thread's loop. */
#include "control/tiers/receipts.h"

#include "control/tiers/receipt.h"
#include "control/tiers/unix_listen.h"
#include "dataplane/base/list.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES JOURNAL_RECEIPT_MAX
#define ANSWER_MAX     128
#define OUT_MAX        (RECEIPTS_PENDING_MAX * ANSWER_MAX)

struct connection;

/* A receipt that is not durable yet. */
struct pending {
	struct journal_wait wait;
	struct connection *connection;
	bool used;
	char id[RECEIPT_ID_MAX + 1];
};

struct connection {
	struct list node;
	struct loop_fd watch;
	struct receipts *receipts;
	uint32_t events; /* as registered */
	uint32_t pending_count;
	struct pending pending[RECEIPTS_PENDING_MAX];
	uint32_t out_used;
	uint32_t in_used;
	char out[OUT_MAX];
	char in[LINE_MAX_BYTES + 1];
};

struct receipts {
	struct loop *loop;
	struct journal *journal;
	struct loop_fd watch;
	struct list connections;
	char *path;
	struct log_limit log;
	/* written by the loop's thread, read by any, relaxed */
	_Atomic uint64_t received;
	_Atomic uint64_t acked;
	_Atomic uint64_t bad;
	_Atomic uint64_t refused;
	_Atomic uint64_t open;
	_Atomic uint64_t turned_away;
};

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void connection_close(struct connection *connection)
{
	for (uint32_t i = 0; i < RECEIPTS_PENDING_MAX; i++)
		if (connection->pending[i].used)
			journal_wait_cancel(&connection->pending[i].wait);
	atomic_fetch_sub_explicit(&connection->receipts->open, 1, memory_order_relaxed);
	loop_fd_del(connection->receipts->loop, &connection->watch);
	close(connection->watch.fd);
	list_remove(&connection->node);
	free(connection);
}

/* ---- answers ---- */

/* Room for one answer is kept for each receipt under way and for the line at hand. */
static bool has_room(const struct connection *connection)
{
	uint32_t owed = connection->pending_count + 1;

	return connection->pending_count < RECEIPTS_PENDING_MAX &&
	       connection->out_used + owed * ANSWER_MAX <= OUT_MAX;
}

static int watch_for(struct connection *connection)
{
	uint32_t events = (has_room(connection) ? (uint32_t)EPOLLIN : 0) |
			  (connection->out_used > 0 ? (uint32_t)EPOLLOUT : 0);

	if (events == connection->events)
		return 0;
	connection->events = events;
	return loop_fd_change(connection->receipts->loop, &connection->watch, events);
}

/* -errno: the connection is broken. */
static int flush_answers(struct connection *connection)
{
	while (connection->out_used > 0) {
		ssize_t sent = send(connection->watch.fd, connection->out, connection->out_used,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (sent < 0)
			return -errno;
		connection->out_used -= (uint32_t)sent;
		memmove(connection->out, connection->out + sent, connection->out_used);
	}
	return 0;
}

static void __attribute__((format(printf, 2, 3)))
answer(struct connection *connection, const char *format, ...)
{
	char line[ANSWER_MAX];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (n <= 0 || n >= ANSWER_MAX || connection->out_used + (uint32_t)n > OUT_MAX)
		return;
	memcpy(connection->out + connection->out_used, line, (size_t)n);
	connection->out_used += (uint32_t)n;
}

static void process_lines(struct connection *connection);

/* The journal has it: tell the recorder, and go on with lines that waited for room. */
static void receipt_durable(struct journal_wait *wait, int error)
{
	struct pending *pending = list_entry(wait, struct pending, wait);
	struct connection *connection = pending->connection;

	pending->used = false;
	connection->pending_count--;
	if (error == 0) {
		answer(connection, "{\"ack\":\"%s\"}\n", pending->id);
		count(&connection->receipts->acked);
	}
	process_lines(connection);
}

/* ---- lines ---- */

static struct pending *take_pending(struct connection *connection)
{
	for (uint32_t i = 0; i < RECEIPTS_PENDING_MAX; i++)
		if (!connection->pending[i].used)
			return &connection->pending[i];
	return NULL;
}

static void journal_line(struct connection *connection, const struct recording *recording)
{
	struct receipts *receipts = connection->receipts;
	struct pending *pending = take_pending(connection);

	if (!pending)
		return;
	count(&receipts->received);
	snprintf(pending->id, sizeof(pending->id), "%s", recording->id);
	pending->connection = connection;
	pending->wait.durable = receipt_durable;
	if (journal_receipt(receipts->journal, recording->id, recording->receipt, &pending->wait) <
	    0) {
		count(&receipts->refused);
		return;
	}
	pending->used = true;
	connection->pending_count++;
}

static void process_line(struct connection *connection, const char *line, size_t n)
{
	struct receipts *receipts = connection->receipts;
	struct receipt *receipt;
	const char *reason = "";
	uint32_t suppressed;
	int rc;

	if (n > 0 && line[n - 1] == '\r')
		n--;
	rc = receipt_parse(&receipt, line, n, &reason);
	if (rc == 0) {
		journal_line(connection, receipt_recording(receipt));
		receipt_free(receipt);
		return;
	}
	if (rc == -ENOMEM)
		return; /* no ack: it comes again */
	count(&receipts->bad);
	if (log_allowed(&receipts->log, 1, &suppressed))
		log_warn("receipt refused: %s (%u more)", reason, suppressed);
	answer(connection, "{\"error\":\"%s\"}\n", reason);
}

static int take_lines(struct connection *connection)
{
	uint32_t at = 0;

	while (has_room(connection)) {
		char *line = connection->in + at;
		char *end = memchr(line, '\n', connection->in_used - at);

		if (!end)
			break;
		process_line(connection, line, (size_t)(end - line));
		at += (uint32_t)(end - line) + 1;
	}
	connection->in_used -= at;
	memmove(connection->in, connection->in + at, connection->in_used);
	if (connection->in_used <= LINE_MAX_BYTES ||
	    memchr(connection->in, '\n', connection->in_used))
		return 0;
	count(&connection->receipts->bad);
	log_warn("receipt refused: line is longer than %d bytes", LINE_MAX_BYTES);
	return -EMSGSIZE;
}

/* Lines, answers, what to watch for; may close the connection. */
static void process_lines(struct connection *connection)
{
	int rc = take_lines(connection);

	if (rc == 0)
		rc = flush_answers(connection);
	if (rc == 0)
		rc = watch_for(connection);
	if (rc < 0)
		connection_close(connection);
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	struct connection *connection = list_entry(watch, struct connection, watch);
	size_t space = sizeof(connection->in) - connection->in_used;
	ssize_t got;

	if (events & EPOLLIN && space > 0) {
		got = recv(watch->fd, connection->in + connection->in_used, space, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			connection_close(connection);
			return;
		}
		if (got > 0)
			connection->in_used += (uint32_t)got;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		connection_close(connection);
		return;
	}
	process_lines(connection);
}

/* ---- the listener ---- */

static void accept_one(struct receipts *receipts, int fd)
{
	struct connection *connection;

	if (atomic_load_explicit(&receipts->open, memory_order_relaxed) >=
	    RECEIPTS_CONNECTIONS_MAX) {
		count(&receipts->turned_away);
		close(fd);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (!connection) {
		close(fd);
		return;
	}
	connection->receipts = receipts;
	connection->watch.fd = fd;
	connection->watch.ready = connection_ready;
	connection->events = EPOLLIN;
	if (loop_fd_add(receipts->loop, &connection->watch, EPOLLIN) < 0) {
		close(fd);
		free(connection);
		return;
	}
	list_append(&receipts->connections, &connection->node);
	count(&receipts->open);
}

static void listener_ready(struct loop_fd *watch, uint32_t events)
{
	struct receipts *receipts = list_entry(watch, struct receipts, watch);
	int fd;

	(void)events;
	while ((fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		accept_one(receipts, fd);
}

int receipts_open(struct receipts **out, struct loop *loop, struct journal *journal,
		  const char *path)
{
	struct receipts *receipts = calloc(1, sizeof(*receipts));
	int rc;

	if (!receipts)
		return -ENOMEM;
	receipts->loop = loop;
	receipts->journal = journal;
	list_init(&receipts->connections);
	receipts->path = strdup(path);
	receipts->watch.ready = listener_ready;
	receipts->watch.fd = receipts->path ? unix_listen(path, 0660) : -ENOMEM;
	rc = receipts->watch.fd;
	if (rc >= 0)
		rc = loop_fd_add(loop, &receipts->watch, EPOLLIN);
	if (rc < 0) {
		log_error("receipts on %s: %s", path, strerror(-rc));
		receipts_close(receipts);
		return rc;
	}
	*out = receipts;
	return 0;
}

void receipts_close(struct receipts *receipts)
{
	struct list *node, *after;

	if (!receipts)
		return;
	list_each_safe (node, after, &receipts->connections)
		connection_close(list_entry(node, struct connection, node));
	if (receipts->watch.fd >= 0) {
		loop_fd_del(receipts->loop, &receipts->watch);
		close(receipts->watch.fd);
		unlink(receipts->path);
	}
	free(receipts->path);
	free(receipts);
}

void receipts_status(const struct receipts *receipts, struct receipts_status *status)
{
	status->received = atomic_load_explicit(&receipts->received, memory_order_relaxed);
	status->acked = atomic_load_explicit(&receipts->acked, memory_order_relaxed);
	status->bad = atomic_load_explicit(&receipts->bad, memory_order_relaxed);
	status->refused = atomic_load_explicit(&receipts->refused, memory_order_relaxed);
	status->connections = atomic_load_explicit(&receipts->open, memory_order_relaxed);
	status->turned_away = atomic_load_explicit(&receipts->turned_away, memory_order_relaxed);
}
