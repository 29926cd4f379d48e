/*
 * Who looks over the stack's shoulder: its user may turn sources away before anything of theirs is
 * parsed, refuse new calls before they cost a transaction, and see every message that comes and
 * goes. The stack itself knows neither bans nor traces.
 *
 *   socket -> admits? -> parse -> received()      new INVITE -> busy_s? -> transaction
 *                          +-> malformed()        stack_send -> sent()
 */
#pragma once

#include "control/sip/message.h"

struct sip_stack;

/* None is needed. Called in the stack's thread; none may call the stack. */
struct sip_watch {
	/* False: what came from there is dropped without an answer. Asked once per datagram and per
	 * message of a stream; for a new connection with opening. */
	bool (*admits)(void *arg, const struct address *source, bool opening);
	/* Seconds for the Retry-After of a 503 to this INVITE, which no transaction knows and which
	 * is in no dialog; 0 = it may go on. */
	uint32_t (*busy_s)(void *arg, const struct sip_message *invite);
	/* The message could not be parsed. */
	void (*malformed)(void *arg, const struct sip_flow *flow);
	/* One whole message, as it was or will be on the wire. */
	void (*received)(void *arg, const struct sip_flow *flow, const char *bytes, uint32_t n);
	void (*sent)(void *arg, const struct sip_flow *flow, const char *bytes, uint32_t n);
	void *arg;
};

/* watch is copied; NULL = nobody looks. */
void sip_stack_set_watch(struct sip_stack *stack, const struct sip_watch *watch);

/* How long the youngest burst of datagrams had waited in its socket, us; 0 when that was more than
 * a second ago. */
uint64_t sip_stack_delay_us(const struct sip_stack *stack);
