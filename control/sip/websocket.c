/*
 * SIP over WebSocket (RFC 7118) as the framing layer of a connection: after the opening handshake
 * one message of SIP is one message of the WebSocket. wslay knows the frames; it reads from rx and
 * writes to what is queued.
 *
 *   HTTP request -> 101 -> frames -> close, answered, end
 */
#include "control/sip/connection.h"
#include "control/sip/ws_handshake.h"

#include <wslay/wslay.h>

#include <errno.h>
#include <stdlib.h>

#define FRAME_HEAD_MAX 16

struct websocket {
	wslay_event_context_ptr frames;
	bool in_message; /* its first frame began */
};

/* ---- wslay's callbacks ---- */

static ssize_t frames_recv(wslay_event_context_ptr frames, uint8_t *bytes, size_t n, int flags,
			   void *arg)
{
	struct connection *c = arg;

	(void)flags;
	if (c->dead || c->closing || c->rx_n == 0) {
		wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (n > c->rx_n)
		n = c->rx_n;
	memcpy(bytes, c->rx, n);
	memmove(c->rx, c->rx + n, c->rx_n - n);
	c->rx_n -= (uint32_t)n;
	return (ssize_t)n;
}

static ssize_t frames_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t n,
			   int flags, void *arg)
{
	struct connection *c = arg;

	(void)flags;
	if (c->dead || connection_queue(c, (const char *)bytes, (uint32_t)n) < 0) {
		wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)n;
}

static void frame_begins(wslay_event_context_ptr frames,
			 const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
	struct connection *c = arg;

	(void)frames;
	if (!wslay_is_ctrl_frame(frame->opcode))
		c->websocket->in_message = true;
}

/* Control frames are answered by wslay; they count as life, not as the rest of a message. */
static void message_came(wslay_event_context_ptr frames,
			 const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
	struct connection *c = arg;

	(void)frames;
	if (c->dead || c->closing)
		return;
	if (message->opcode == WSLAY_PING)
		count(c->stack, SIP_COUNTER_keepalives);
	if (wslay_is_ctrl_frame(message->opcode)) {
		if (!c->websocket->in_message)
			c->waiting_ms = 0;
		return;
	}
	c->websocket->in_message = false;
	c->waiting_ms = 0;
	if (message->msg_length == 4 && memcmp(message->msg, "\r\n\r\n", 4) == 0) {
		count(c->stack, SIP_COUNTER_keepalives);
		connection_send(c, "\r\n", 2);
		return;
	}
	sip_transport_received(c->stack, &c->flow, (const char *)message->msg,
			       (uint32_t)message->msg_length);
}

static const struct wslay_event_callbacks callbacks = {
	.recv_callback = frames_recv,
	.send_callback = frames_send,
	.on_frame_recv_start_callback = frame_begins,
	.on_msg_recv_callback = message_came,
};

/* ---- handshake ---- */

static int websocket_open(struct connection *c)
{
	struct websocket *ws = calloc(1, sizeof(*ws));

	if (!ws || wslay_event_context_server_init(&ws->frames, &callbacks, c) != 0) {
		free(ws);
		count(c->stack, SIP_COUNTER_no_memory);
		return -ENOMEM;
	}
	wslay_event_config_set_max_recv_msg_length(ws->frames, SIP_MESSAGE_SIZE_MAX);
	c->websocket = ws;
	return 0;
}

/* True when frames may follow. */
static bool handshake_take(struct connection *c)
{
	struct ws_handshake handshake;
	enum ws_handshake_result result =
		ws_handshake_read(c->rx, c->rx_n, &c->rx_scanned, &handshake);

	if (result == WS_HANDSHAKE_MORE)
		return false;
	if (handshake.has_origin)
		count(c->stack, SIP_COUNTER_ws_origins);
	if (result == WS_HANDSHAKE_REFUSED)
		count(c->stack, SIP_COUNTER_ws_refused);
	if (connection_queue(c, handshake.answer, handshake.answer_n) < 0 ||
	    result == WS_HANDSHAKE_REFUSED || websocket_open(c) < 0) {
		connection_finish(c);
		connection_push(c);
		return false;
	}
	count(c->stack, SIP_COUNTER_ws_opened);
	memmove(c->rx, c->rx + handshake.size, c->rx_n - handshake.size);
	c->rx_n -= handshake.size;
	connection_push(c);
	return !c->closing;
}

/* ---- frames ---- */

static void ws_take(struct connection *c)
{
	wslay_event_context_ptr frames;
	int failed;

	if (!c->websocket && !handshake_take(c))
		return;
	frames = c->websocket->frames;
	failed = wslay_event_recv(frames);
	if (c->dead)
		return;
	/* answers to pings, or the closing frame that names what was wrong */
	if (wslay_event_send(frames) != 0)
		failed = WSLAY_ERR_CALLBACK_FAILURE;
	if (failed != 0 || wslay_event_get_close_sent(frames)) {
		if (failed != 0 || wslay_event_get_status_code_sent(frames) > WSLAY_CODE_GOING_AWAY)
			count(c->stack, SIP_COUNTER_ws_broken);
		connection_finish(c);
	}
	connection_push(c);
}

/* RFC 3629; a text frame must hold nothing else (RFC 6455 5.6). */
static bool is_utf8(const char *bytes, uint32_t n)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

	for (uint32_t i = 0; i < n;) {
		uint8_t first = (uint8_t)bytes[i++];
		uint32_t more = first < 0x80             ? 0
				: (first & 0xe0) == 0xc0 ? 1
				: (first & 0xf0) == 0xe0 ? 2
				: (first & 0xf8) == 0xf0 ? 3
							 : UINT32_MAX;
		uint32_t code = more == 0 ? first : first & (0x3fu >> (more & 3));

		if (more > n - i)
			return false;
		for (uint32_t j = 0; j < more; j++, i++) {
			if (((uint8_t)bytes[i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | ((uint8_t)bytes[i] & 0x3f);
		}
		if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}

static int ws_put(struct connection *c, const char *bytes, uint32_t n)
{
	struct wslay_event_msg message = {
		.opcode = is_utf8(bytes, n) ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
		.msg = (const uint8_t *)bytes,
		.msg_length = n,
	};
	int failed;

	if (!c->websocket || c->closing)
		return -ENOTCONN;
	if (n + FRAME_HEAD_MAX > connection_queue_room(c))
		return -ENOBUFS;
	failed = wslay_event_queue_msg(c->websocket->frames, &message);
	if (failed != 0)
		return failed == WSLAY_ERR_NOMEM ? -ENOMEM : -ENOTCONN;
	return wslay_event_send(c->websocket->frames) == 0 ? 0 : -ENOMEM;
}

static bool ws_is_owed(const struct connection *c)
{
	return !c->websocket || c->websocket->in_message;
}

static void ws_close(struct connection *c)
{
	if (!c->websocket)
		return;
	wslay_event_context_free(c->websocket->frames);
	free(c->websocket);
}

const struct connection_framing_ops connection_framing_ws = {
	.take = ws_take,
	.put = ws_put,
	.is_owed = ws_is_owed,
	.close = ws_close,
};
