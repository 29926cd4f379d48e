/* What the B2BUA sees of its sources and of its own load: the stack's watch, and what follows from
 * it. */
#include "control/b2bua/guard.h"

#include "control/b2bua/call.h"
#include "control/sip/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- signs ---- */

static void say_banned(struct b2bua *b2bua, const struct address *source)
{
	char text[ADDRESS_TEXT_MAX];
	uint32_t suppressed;

	if (log_allowed(&b2bua->ban_log, 5, &suppressed))
		log_warn("source %s banned for what it did (%u more lines held back)",
			 address_text(source, text), suppressed);
}

static void sign(struct b2bua *b2bua, const struct sip_flow *flow, enum bans_sign what,
		 struct sip_text number)
{
	if (bans_sign(b2bua->bans, &flow->remote.address, what, number.at, number.n,
		      b2bua_now_ms(b2bua)))
		say_banned(b2bua, &flow->remote.address);
}

/* What a request asks for: itself for REGISTER, the callee for others. */
static struct sip_text number_of(const struct sip_message *request)
{
	return request->method == SIP_METHOD_REGISTER ? request->to.uri.user : request->uri.user;
}

void guard_request(struct b2bua *b2bua, const struct sip_message *request)
{
	struct sip_text agent = sip_message_header(request, SIP_HEADER_USER_AGENT);

	if (agent.n > 0 && bans_is_scanner(agent.at, agent.n))
		sign(b2bua, &request->flow, BANS_SCANNER, (struct sip_text){0});
	if (request->method == SIP_METHOD_OPTIONS)
		sign(b2bua, &request->flow, BANS_PROBE, number_of(request));
}

void guard_challenged(struct b2bua *b2bua, const struct sip_message *request)
{
	sign(b2bua, &request->flow, BANS_UNANSWERED, number_of(request));
}

void guard_refused(struct b2bua *b2bua, const struct sip_message *request)
{
	sign(b2bua, &request->flow, BANS_AUTH_FAILED, number_of(request));
}

void guard_malformed(struct b2bua *b2bua, const struct sip_message *request)
{
	sign(b2bua, &request->flow, BANS_MALFORMED, (struct sip_text){0});
}

void guard_proved(struct b2bua *b2bua, const struct sip_message *request)
{
	bans_proved(b2bua->bans, &request->flow.remote.address, b2bua_now_ms(b2bua));
}

void guard_registered(struct b2bua *b2bua, const struct address *source, uint64_t for_s)
{
	uint64_t now_ms = b2bua_now_ms(b2bua);

	bans_registered(b2bua->bans, source, now_ms + for_s * 1000, now_ms);
}

/* ---- the stack's watch ---- */

static bool watch_admits(void *arg, const struct address *source, bool opening)
{
	struct b2bua *b2bua = arg;

	(void)opening;
	return bans_admit(b2bua->bans, source, b2bua_now_ms(b2bua));
}

static void watch_malformed(void *arg, const struct sip_flow *flow)
{
	sign(arg, flow, BANS_MALFORMED, (struct sip_text){0});
}

static void watch_received(void *arg, const struct sip_flow *flow, const char *bytes, uint32_t n)
{
	struct b2bua *b2bua = arg;

	trace_message(b2bua->trace, TRACE_RECEIVED, flow, bytes, n, clock_real_ns());
}

static void watch_sent(void *arg, const struct sip_flow *flow, const char *bytes, uint32_t n)
{
	struct b2bua *b2bua = arg;

	trace_message(b2bua->trace, TRACE_SENT, flow, bytes, n, clock_real_ns());
}

/* How long a message that is being looked at may have waited: in its socket, and in this round. */
static uint64_t delay_us(const struct b2bua *b2bua)
{
	uint64_t socket_us = sip_stack_delay_us(b2bua->stack);
	uint64_t round_us = 0, now_us;

	if (b2bua->options.loop) {
		now_us = clock_mono_ns() / 1000;
		round_us = now_us - loop_now_ms(b2bua->options.loop) * 1000;
	}
	return socket_us > round_us ? socket_us : round_us;
}

static uint32_t watch_busy_s(void *arg, const struct sip_message *invite)
{
	struct b2bua *b2bua = arg;
	uint32_t busy_s = overload_busy_s(&b2bua->overload, b2bua_now_ms(b2bua), delay_us(b2bua));

	(void)invite;
	if (busy_s > 0)
		count(&b2bua->counters->calls_refused);
	return busy_s;
}

int guard_open(struct b2bua *b2bua)
{
	const struct b2bua_options *options = &b2bua->options;
	int err = bans_create(&b2bua->bans, &options->bans);

	if (!err)
		err = trace_create(&b2bua->trace, options->trace_bytes);
	b2bua->overload.calls_per_second = options->calls_per_second;
	b2bua->overload.delay_limit_ms = options->delay_limit_ms;
	for (uint32_t i = 0; !err && i < options->allow_count; i++)
		err = bans_allow(b2bua->bans, options->allow[i]);
	return err;
}

void guard_watch(struct b2bua *b2bua)
{
	const struct sip_watch watch = {
		.admits = watch_admits,
		.busy_s = watch_busy_s,
		.malformed = watch_malformed,
		.received = b2bua->trace ? watch_received : NULL,
		.sent = b2bua->trace ? watch_sent : NULL,
		.arg = b2bua,
	};

	sip_stack_set_watch(b2bua->stack, &watch);
}

void guard_close(struct b2bua *b2bua)
{
	bans_destroy(b2bua->bans);
	trace_destroy(b2bua->trace);
}

void guard_each_counter(const struct b2bua *b2bua,
			void (*each)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct overload *overload = &b2bua->overload;
	struct bans_counters bans;

	bans_counters(b2bua->bans, &bans);
	each(arg, "bans_made", bans.made);
	each(arg, "bans_lifted", bans.lifted);
	each(arg, "bans_live", bans.live);
	each(arg, "bans_dropped", bans.dropped);
	each(arg, "bans_limited", bans.limited);
	each(arg, "bans_sources", bans.sources);
	each(arg, "bans_sources_evicted", bans.evicted);
	each(arg, "bans_evicted", bans.evicted_bans);
	each(arg, "overload_refused_rate", overload->refused_rate);
	each(arg, "overload_refused_delay", overload->refused_delay);
	each(arg, "overload_delay_us", delay_us(b2bua));
	each(arg, "overload_delay_us_max", overload->delay_us_max);
}

/* ---- by hand ---- */

int b2bua_ban(struct b2bua *b2bua, const struct address *source, uint64_t for_s)
{
	return bans_add(b2bua->bans, source, for_s * 1000, b2bua_now_ms(b2bua));
}

int b2bua_ban_lift(struct b2bua *b2bua, const struct address *source)
{
	return bans_lift(b2bua->bans, source, b2bua_now_ms(b2bua));
}

void b2bua_each_ban(struct b2bua *b2bua, void (*each)(void *arg, const struct bans_view *view),
		    void *arg)
{
	bans_each(b2bua->bans, b2bua_now_ms(b2bua), each, arg);
}

int b2bua_trace(struct b2bua *b2bua, const char *key, struct trace_view **views)
{
	return trace_read(b2bua->trace, key, strlen(key), views);
}

int b2bua_never_ban(struct b2bua *b2bua, const struct address *source)
{
	char text[ADDRESS_TEXT_MAX];

	return bans_allow(b2bua->bans, address_text(source, text));
}

void b2bua_trust(struct b2bua *b2bua, const struct address *source, uint64_t for_s)
{
	guard_registered(b2bua, source, for_s);
}
