/*
 * A stack without sockets for the unit tests: a transport that keeps what is sent, a wheel that the
 * test turns, a user that notes what it is told.
 */
#pragma once

#include "control/sip/stack.h"

#define FAKE_SENT_MAX  512
#define FAKE_EVENT_MAX 256

enum fake_event_kind {
	FAKE_REQUEST,
	FAKE_CANCELLED,
	FAKE_ACKNOWLEDGED,
	FAKE_UNACKNOWLEDGED,
	FAKE_RESPONSE,
};

struct fake_event {
	enum fake_event_kind kind;
	enum sip_method method;
	uint32_t status;
	bool made_here; /* response without message */
	struct sip_transaction *transaction;
	struct sip_dialog *dialog;
};

struct fake_sent {
	char *bytes;
	uint32_t n;
	uint64_t at_ms;
	struct sip_flow flow;
	struct sip_message message;
};

struct fake {
	struct timer_wheel wheel;
	struct sip_stack *stack;
	struct fake_sent *sent[FAKE_SENT_MAX];
	uint32_t sent_count;
	struct fake_event events[FAKE_EVENT_MAX];
	uint32_t events_count;
	int send_error;               /* what the transport returns, 0 = sends */
	bool make_dialog;             /* on INVITE: create the UAS dialog at once */
	bool confirm;                 /* on 2xx: create or update the UAC dialog and ACK */
	struct sip_dialog *dialog;    /* made last */
	struct sip_message *request;  /* clone of the last request */
	struct sip_message *response; /* clone of the last response */
};

/* transactions, dialogs: limits, 0 = default. The stack listens on udp and tcp 192.0.2.1:5060. */
void fake_start(struct fake *fake, uint32_t transactions, uint32_t dialogs);
void fake_stop(struct fake *fake);
/* Turns the wheel; callbacks run at their time. */
void fake_advance(struct fake *fake, uint64_t ms);
/* One message from 192.0.2.2:5060 ("LF" line ends are made CRLF). */
void fake_receive(struct fake *fake, enum sip_transport_kind transport, const char *text);
void fake_receive_from(struct fake *fake, enum sip_transport_kind transport, const char *remote,
		       const char *text);
/* What was sent, from the first (0) or from the end (-1). */
struct fake_sent *fake_sent(struct fake *fake, int index);
struct fake_event *fake_event(struct fake *fake, int index);
void fake_forget(struct fake *fake); /* sent and events */

/* A request of the usual form from 192.0.2.2. to_tag NULL: none. extra: further header lines. */
const char *fake_request(const char *method, const char *branch, const char *to_tag, uint32_t cseq,
			 const char *extra);
/* A response to what was sent, with that To tag and a Contact. */
void fake_answer(struct fake *fake, const struct fake_sent *sent, uint32_t status,
		 const char *to_tag);
/* Sends a request outside of dialogs to 192.0.2.2:5060; the responses become events. */
int fake_send(struct fake *fake, enum sip_transport_kind transport, enum sip_method method,
	      struct sip_transaction **transaction);
/* Sends a request within the dialog. */
int fake_dialog_send(struct fake *fake, struct sip_dialog *dialog, enum sip_method method,
		     struct sip_transaction **transaction);
/* Answers the last request event with a Contact where the dialog has one. */
void fake_reply(struct fake *fake, struct sip_transaction *transaction, uint32_t status,
		struct sip_dialog *dialog);
/* One header of a message, as terminated text in a static buffer. */
const char *fake_header(const struct sip_message *m, enum sip_header_id id);
