/*
 * Transports: how bytes of one kind (UDP, TCP, TLS, WS, WSS) get in and out. The stack sees only
 * this table; a unit test's fake is one more row.
 */
#pragma once

#include "control/sip/message.h"

struct sip_stack;
struct sip_transport; /* the kind's own state: sockets, connections */

struct sip_transport_ops {
	enum sip_transport_kind kind;
	const char *name;      /* "UDP": Via's word */
	const char *parameter; /* "udp": the URI's transport parameter */
	bool reliable;         /* no retransmissions (RFC 3261 17) */
	bool secure;
	uint16_t default_port;
	int (*create)(struct sip_stack *stack, struct sip_transport **transport);
	void (*destroy)(struct sip_transport *transport);
	/* Opens a listening socket; at->port 0 lets the kernel choose, *bound tells what it was.
	 * -errno. */
	int (*listen)(struct sip_transport *transport, const struct endpoint *at,
		      struct endpoint *bound);
	/* Sends one message. flow->local is filled already (sip_flow_resolve). Streams: the
	 * connection flow->connection if it lives, else one that exists to flow->remote, else a new
	 * one; its id is written back. -EHOSTUNREACH, -ENOBUFS (backpressure), -ECONNREFUSED,
	 * -EMSGSIZE ... A failure that shows later is reported with sip_transport_failed(). */
	int (*send)(struct sip_transport *transport, struct sip_flow *flow, const char *bytes,
		    uint32_t n);
	/* Sends what is batched. */
	void (*flush)(struct sip_transport *transport);
};

extern const struct sip_transport_ops sip_transport_udp;
extern const struct sip_transport_ops sip_transport_tcp;
extern const struct sip_transport_ops sip_transport_tls;
extern const struct sip_transport_ops sip_transport_ws;
extern const struct sip_transport_ops sip_transport_wss;

/* Looks a kind up by Via's or the URI's word ("UDP", "tls"); -EINVAL if unknown. */
int sip_transport_kind_of(struct sip_text word, enum sip_transport_kind *kind);
const char *sip_transport_name(enum sip_transport_kind kind);      /* "UDP" */
const char *sip_transport_parameter(enum sip_transport_kind kind); /* "udp" */
bool sip_transport_is_reliable(enum sip_transport_kind kind);
/* The far end cannot be connected to: only its own connection leads there (RFC 7118 5). */
bool sip_transport_is_websocket(enum sip_transport_kind kind);
uint16_t sip_transport_default_port(enum sip_transport_kind kind);

/* What a transport calls: one whole message (stream framing done) came in over flow. */
void sip_transport_received(struct sip_stack *stack, const struct sip_flow *flow, const char *bytes,
			    uint32_t n);
/* A connection is gone, or a remote refused: transactions that wait on it learn of it. */
void sip_transport_failed(struct sip_stack *stack, const struct sip_flow *flow, int error);

/* The local address that the kernel would use towards remote (a connected UDP socket's name; cached
 * for 10 s). This is what Via, Contact and the media address of that party come from. -errno of
 * connect(), e.g. -ENETUNREACH. */
int sip_transport_local_address(struct sip_stack *stack, const struct address *remote,
				struct address *local);

/* Completes a flow that has transport and remote: local address and listening port. -EHOSTUNREACH
 * and the like, -EPROTONOSUPPORT if nothing listens for that transport and family. A local address
 * that is set already stays. */
int sip_flow_resolve(struct sip_stack *stack, struct sip_flow *flow);
/* Flow to the host of a URI: transport parameter (default UDP; sips TLS), maddr, port. The local
 * end is not filled. -EHOSTUNREACH if the host is a name (location by DNS is not here), -EINVAL. */
int sip_flow_from_uri(const struct sip_uri *uri, struct sip_flow *flow);
