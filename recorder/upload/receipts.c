/* Receipts to control, until they are acknowledged. */
#include "recorder/upload/receipts.h"
#include "dataplane/base/log.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IN_MAX  1024
#define OUT_MAX (2 * RECEIPT_LINE_MAX)

struct receipts {
	struct loop *loop;
	struct loop_fd connection;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	void (*acknowledged)(void *arg, struct receipt *receipt);
	void *arg;
	struct list waiting; /* in the order of receipts_add */
	uint64_t connect_at_ms;
	uint32_t unacknowledged; /* of those sent over this connection */
	bool told_unreachable;
	bool in_skip; /* the rest of a line that is too long */
	size_t in_used;
	size_t out_used, out_done;
	struct receipt_counters counters;
	char in[IN_MAX];
	char out[OUT_MAX];
};

static void connection_close(struct receipts *receipts)
{
	struct list *node;

	if (receipts->connection.fd < 0)
		return;
	loop_fd_del(receipts->loop, &receipts->connection);
	close(receipts->connection.fd);
	receipts->connection.fd = -1;
	receipts->connect_at_ms = loop_now_ms(receipts->loop) + RECEIPT_RECONNECT_MS;
	receipts->unacknowledged = 0;
	receipts->in_used = 0;
	receipts->in_skip = false;
	receipts->out_used = 0;
	receipts->out_done = 0;
	list_each (node, &receipts->waiting)
		list_entry(node, struct receipt, node)->sent_ms = 0;
}

static void line_take(struct receipts *receipts, const char *line, size_t n)
{
	json_t *answer = json_loadb(line, n, 0, NULL);
	const char *id = json_string_value(json_object_get(answer, "ack"));
	struct receipt *found = NULL;
	struct list *node;

	if (id) {
		list_each (node, &receipts->waiting) {
			struct receipt *receipt = list_entry(node, struct receipt, node);

			if (receipt->sent_ms && strcmp(receipt->id, id) == 0) {
				found = receipt;
				break;
			}
		}
	}
	json_decref(answer);
	if (!found) {
		receipts->counters.unknown++;
		return;
	}
	receipts_remove(receipts, found);
	receipts->counters.acknowledged++;
	receipts->acknowledged(receipts->arg, found);
}

static void bytes_take(struct receipts *receipts)
{
	size_t from = 0;
	char *end;

	while ((end = memchr(receipts->in + from, '\n', receipts->in_used - from))) {
		size_t n = (size_t)(end - receipts->in) - from;

		if (!receipts->in_skip && n > 0)
			line_take(receipts, receipts->in + from, n);
		receipts->in_skip = false;
		from += n + 1;
	}
	receipts->in_used -= from;
	memmove(receipts->in, receipts->in + from, receipts->in_used);
	if (receipts->in_used == IN_MAX) {
		receipts->in_used = 0;
		receipts->in_skip = true;
		receipts->counters.unknown++;
	}
}

/* Moves receipts that are due into the buffer, as far as there is room. */
static void out_fill(struct receipts *receipts, uint64_t now_ms)
{
	struct list *node;

	memmove(receipts->out, receipts->out + receipts->out_done,
		receipts->out_used - receipts->out_done);
	receipts->out_used -= receipts->out_done;
	receipts->out_done = 0;
	list_each (node, &receipts->waiting) {
		struct receipt *receipt = list_entry(node, struct receipt, node);

		if (receipt->sent_ms ? now_ms < receipt->sent_ms + RECEIPT_AGAIN_MS
				     : receipts->unacknowledged >= RECEIPT_WINDOW)
			continue;
		if (receipts->out_used + receipt->len + 1 > OUT_MAX)
			break;
		memcpy(receipts->out + receipts->out_used, receipt->line, receipt->len);
		receipts->out_used += receipt->len;
		receipts->out[receipts->out_used++] = '\n';
		if (!receipt->sent_ms)
			receipts->unacknowledged++;
		receipt->sent_ms = now_ms ? now_ms : 1;
		receipts->counters.sent++;
	}
}

static void out_send(struct receipts *receipts, uint64_t now_ms)
{
	out_fill(receipts, now_ms);
	while (receipts->out_done < receipts->out_used) {
		ssize_t put =
			send(receipts->connection.fd, receipts->out + receipts->out_done,
			     receipts->out_used - receipts->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (put < 0) {
			connection_close(receipts);
			return;
		}
		receipts->out_done += (size_t)put;
	}
	loop_fd_change(receipts->loop, &receipts->connection,
		       receipts->out_done < receipts->out_used ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	struct receipts *receipts = list_entry(watch, struct receipts, connection);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t got = recv(watch->fd, receipts->in + receipts->in_used,
				   IN_MAX - receipts->in_used, MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			connection_close(receipts);
			return;
		}
		if (got > 0) {
			receipts->in_used += (size_t)got;
			bytes_take(receipts);
		}
	}
	out_send(receipts, loop_now_ms(receipts->loop));
}

static void connection_open(struct receipts *receipts)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return;
	memcpy(address.sun_path, receipts->path, sizeof(address.sun_path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (!receipts->told_unreachable)
			log_warn("receipt socket %s unreachable: %s", receipts->path,
				 strerror(errno));
		receipts->told_unreachable = true;
		close(fd);
		return;
	}
	receipts->connection.fd = fd;
	if (loop_fd_add(receipts->loop, &receipts->connection, EPOLLIN) < 0) {
		receipts->connection.fd = -1;
		close(fd);
		return;
	}
	receipts->told_unreachable = false;
}

void receipts_tick(struct receipts *receipts, uint64_t now_ms)
{
	if (receipts->connection.fd < 0 && now_ms >= receipts->connect_at_ms &&
	    !list_is_empty(&receipts->waiting)) {
		receipts->connect_at_ms = now_ms + RECEIPT_RECONNECT_MS;
		connection_open(receipts);
	}
	if (receipts->connection.fd >= 0)
		out_send(receipts, now_ms);
}

void receipts_add(struct receipts *receipts, struct receipt *receipt)
{
	receipt->sent_ms = 0;
	list_append(&receipts->waiting, &receipt->node);
	receipts->counters.waiting++;
	receipts_tick(receipts, loop_now_ms(receipts->loop));
}

void receipts_remove(struct receipts *receipts, struct receipt *receipt)
{
	if (receipt->sent_ms)
		receipts->unacknowledged--;
	receipt->sent_ms = 0;
	list_remove(&receipt->node);
	receipts->counters.waiting--;
}

int receipts_create(struct receipts **out, struct loop *loop, const char *socket_path,
		    void (*acknowledged)(void *arg, struct receipt *receipt), void *arg)
{
	struct receipts *receipts;

	*out = NULL;
	if (strlen(socket_path) >= sizeof(receipts->path))
		return -ENAMETOOLONG;
	receipts = calloc(1, sizeof(*receipts));
	if (!receipts)
		return -ENOMEM;
	strcpy(receipts->path, socket_path);
	receipts->loop = loop;
	receipts->connection.fd = -1;
	receipts->connection.ready = connection_ready;
	receipts->acknowledged = acknowledged;
	receipts->arg = arg;
	list_init(&receipts->waiting);
	*out = receipts;
	return 0;
}

void receipts_destroy(struct receipts *receipts)
{
	if (!receipts)
		return;
	connection_close(receipts);
	free(receipts);
}

void receipts_counters(const struct receipts *receipts, struct receipt_counters *counters)
{
	*counters = receipts->counters;
	counters->connected = receipts->connection.fd >= 0;
}
