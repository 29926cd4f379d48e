/*
 * A B2BUA without sockets: what it sends is kept as messages to look at, what it asks of the
 * dataplane waits for the test's answer, time moves when the test says so.
 */
#pragma once

#include "control/b2bua/b2bua.h"
#include "control/b2bua/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SENT_MAX  1024
#define MEDIA_MAX 64

struct sent {
	struct endpoint to;
	char *text;
	bool seen;
};

struct asked {
	char command[32];
	char text[2048]; /* the request in bencode */
	ng_reply_fn *replied;
	void *owner;
	bool answered;
};

struct fixture {
	struct timer_wheel timers;
	struct exchange exchange;
	struct board *board;
	struct b2bua *b2bua;
	struct sip_transport *transport;
	struct endpoint server;
	struct sent sent[SENT_MAX];
	uint32_t sent_count;
	struct asked asked[MEDIA_MAX];
	uint32_t asked_count;
	bool media_connected;
	int media_error; /* of the next sends */
	struct exchange_route route;
	uint32_t states; /* journal records of calls */
	uint32_t cdrs;
	struct cdr cdr; /* the last; its texts are below */
	char cdr_text[8][128];
	struct exchange_register reg;
	char reg_uri[EXCHANGE_CONTACTS_MAX][256];
	char reg_key[EXCHANGE_CONTACTS_MAX][320];
	struct exchange_registered registered;
};

extern struct fixture f;

/* Fresh world; options may be changed by `calls` and `record`. */
void fixture_open(uint32_t calls, bool record);
/* Ends it and checks that nothing is left over. */
void fixture_close(void);
void fixture_advance(uint64_t ms);

/* A message from 127.0.0.1:port; lines are separated by "\n", "{}"-less; Via and Content-Length are
 * added. */
void from(uint16_t port, const char *start_line, const char *headers, const char *body);
/* Via of the last request from port 6001, for its CANCEL. */
const char *last_via(void);
/* The oldest message to that port that was not looked at yet and begins with this; fails without.
 */
const char *expect(uint16_t port, const char *begin);
/* Nothing of the kind has been sent since. */
void expect_none(uint16_t port, const char *begin);
/* The value of a header line of a message in a static buffer (eight in turn). */
const char *header(const char *message, const char *name);
const char *body_of(const char *message);
bool has(const char *text, const char *words);

/* The oldest unanswered request to the dataplane; it must be this command. */
struct asked *asked(const char *command);
void expect_not_asked(const char *command);
void media_sdp(const char *command, const char *sdp); /* answers it with result ok and this SDP */
void media_error(const char *command, const char *reason);
void media_ok(const char *command);
/* result ok and 100 packets from caller, 50 from callee */
void media_statistics(void);

/* An authenticated INVITE of 1001 from port 6001 to a number; it has passed the challenge. Returns
 * the header block (From, To, Call-ID ...) for what follows. */
void invite(const char *call_id, const char *number, const char *sdp);
/* ACK for a refusal that came to port. */
void acknowledge(uint16_t port, const char *refusal);
/* Response by the phone at port to a request of ours. */
void answer(uint16_t port, const char *request, const char *status, const char *tag,
	    const char *body);

#define SDP_A                                                                                      \
	"v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 "   \
	"RTP/AVP 0\r\n"
#define SDP_B                                                                                      \
	"v=0\r\no=b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5000 "   \
	"RTP/AVP 0\r\n"
#define SDP_TO_B                                                                                   \
	"v=0\r\no=t 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 "  \
	"RTP/AVP 0\r\n"
#define SDP_TO_A                                                                                   \
	"v=0\r\no=t 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20002 "  \
	"RTP/AVP 0\r\n"

/* A call that is up between 1001 (port 6001) and 1002 (port 6002). Fills in what its BYEs need. */
struct up {
	char caller_to[256];   /* To of the 200, with our tag */
	char callee_from[256]; /* From of our INVITE, with our tag */
	char callee_to[256];
	char callee_call_id[64];
};
void call_up(struct up *up);
void caller_says(const struct up *up, const char *method, uint32_t cseq, const char *more,
		 const char *body);
void callee_says(const struct up *up, const char *method, uint32_t cseq, const char *more,
		 const char *body);
