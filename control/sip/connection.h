/*
 * One connection of a stream transport, in layers that each know only the next:
 *
 *   messages   framing ops   stream.c: Content-Length; websocket.c: frames
 *   rx, tx     connection.c  buffers, patience, backpressure, end
 *   bytes      bytes ops     connection.c: the socket; tls.c: records over the socket
 *
 *   CONNECTING -> SHAKING (TLS) -> OPEN -> CLOSING (what is queued still goes) -> dead, freed at
 *   the end of the round
 */
#pragma once

#include "control/sip/internal.h"

#include <sys/types.h>

#define CONNECTION_RX_MAX (2 * 65536)
#define CONNECTION_TX_MAX (1024 * 1024)

struct connection;
struct websocket;
struct ssl_st;

/* How bytes pass the socket. All but read and write may be NULL. */
struct connection_bytes_ops {
	/* 1 = made, 0 = goes on when the socket is ready (connection->wants), -errno. */
	int (*shake)(struct connection *c);
	/* Bytes, 0 at the end of the stream, -EAGAIN, -errno. */
	ssize_t (*read)(struct connection *c, char *bytes, uint32_t n);
	/* Bytes taken, -EAGAIN, -errno. */
	ssize_t (*write)(struct connection *c, const char *bytes, uint32_t n);
	/* Bytes that are read already and would wake nobody. */
	bool (*is_pending)(const struct connection *c);
	/* Before the socket is closed. */
	void (*close)(struct connection *c);
};

/* How messages lie in the bytes. */
struct connection_framing_ops {
	/* Hands over what is whole in c->rx and takes it out. Callbacks may kill the connection. */
	void (*take)(struct connection *c);
	/* Queues one message with connection_queue(). -ENOBUFS, -ENOMEM. */
	int (*put)(struct connection *c, const char *message, uint32_t n);
	/* The peer owes the rest of something. */
	bool (*is_owed)(const struct connection *c);
	void (*close)(struct connection *c); /* frees its own; may be NULL */
};

extern const struct connection_bytes_ops connection_bytes_plain;
extern const struct connection_bytes_ops connection_bytes_tls;     /* tls.c */
extern const struct connection_framing_ops connection_framing_sip; /* connection.c */
extern const struct connection_framing_ops connection_framing_ws;  /* websocket.c */

struct connection {
	struct loop_fd watch;
	struct list by_id;
	struct list by_remote;
	struct list dead_node;
	struct sip_stack *stack;
	struct list *dead_list; /* the transport's; emptied at the end of the round */
	const struct connection_bytes_ops *bytes;
	const struct connection_framing_ops *framing;
	struct sip_flow flow; /* local port: the listening one, which peers may call */
	struct timer timer;
	uint64_t active_ms;  /* last byte in or out */
	uint64_t waiting_ms; /* since when it holds back; 0 = it does not */
	uint32_t events;     /* watched */
	uint32_t wants;      /* EPOLLOUT: reading (of TLS) waits for it */
	bool opened;         /* by us */
	bool connecting;
	bool shaking;
	bool closing;
	bool broken; /* found while sending; closed from the timer */
	bool dead;
	char *rx;
	uint32_t rx_n;
	uint32_t rx_size;
	uint32_t rx_scanned;
	char *tx;
	uint32_t tx_at;
	uint32_t tx_n;
	uint32_t tx_size;
	struct ssl_st *tls;
	struct websocket *websocket;
};

/* What a transport makes connections of. */
struct connection_kind {
	const struct connection_bytes_ops *bytes;
	const struct connection_framing_ops *framing;
};

/* Owns fd from here on, also on failure (NULL). The caller links by_id and by_remote. */
struct connection *connection_create(struct sip_stack *stack, struct list *dead_list,
				     const struct connection_kind *kind,
				     const struct sip_flow *flow, int fd, bool opened);
/* Out of every table at once, freed when nobody on the stack can hold it. */
void connection_kill(struct connection *c);
void connection_free(struct connection *c);
/* Sends a message: at once what goes, the rest queued. A broken connection is left to the timer:
 * this may be inside sip_request_send(), where no callback is allowed. */
int connection_send(struct connection *c, const char *message, uint32_t n);

/* ---- for framings ---- */

/* Appends bytes to what goes out; -ENOBUFS beyond CONNECTION_TX_MAX, -ENOMEM. */
int connection_queue(struct connection *c, const char *bytes, uint32_t n);
static inline uint32_t connection_queue_room(const struct connection *c)
{
	return CONNECTION_TX_MAX - (c->tx_n - c->tx_at);
}
/* Sends what is queued, as connection_send does. */
int connection_push(struct connection *c);
/* Nothing more is read; ends when what is queued is gone. */
void connection_finish(struct connection *c);
