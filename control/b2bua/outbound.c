/* The leg of a call that goes out over a trunk: its INVITE with credentials when they are asked
 * for, and to the trunk's next place when one does not take it (RFC 3263 4.3). */
#include "control/b2bua/call.h"

#include "control/sip/auth_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_ID_RANDOM 24
#define URI_MAX        512

struct outbound {
	const struct exchange_trunk *trunk;
	struct sip_targets places;
	uint32_t at; /* the place in use */
	uint32_t cseq;
	uint32_t sdp_n;
	char *sdp;
	struct sip_auth_client auth;
	char tag[SIP_TAG_SIZE];
	char number[EXCHANGE_EXTENSION_MAX];
};

const char *outbound_contact(const struct leg *leg)
{
	return leg->outbound->trunk->contact;
}

static void give_back(struct b2bua *b2bua, const struct exchange_trunk *trunk)
{
	b2bua->options.exchange->trunk_give(b2bua->options.exchange, trunk);
}

void outbound_drop(struct leg *leg)
{
	struct outbound *outbound = leg->outbound;

	if (!outbound)
		return;
	leg->outbound = NULL;
	give_back(leg->call->b2bua, outbound->trunk);
	free(outbound->sdp);
	free(outbound);
}

/* The flow to the place in use, or the next one that we have a way to. */
static int place_find(struct leg *leg)
{
	struct sip_stack *stack = leg->call->b2bua->stack;
	struct outbound *outbound = leg->outbound;

	for (; outbound->at < outbound->places.count; outbound->at++) {
		const struct sip_target *place = &outbound->places.targets[outbound->at];

		leg->flow =
			(struct sip_flow){.transport = place->transport, .remote = place->remote};
		if (!sip_stack_is_local(stack, &place->remote.address, place->remote.port) &&
		    sip_flow_resolve(stack, &leg->flow) == 0)
			return 0;
	}
	return -EHOSTUNREACH;
}

int outbound_begin(struct call *call, const struct exchange_route *route)
{
	struct leg *leg = leg_add(call);
	struct outbound *outbound = leg ? calloc(1, sizeof(*outbound)) : NULL;
	char call_id[CALL_ID_RANDOM + 1];
	int err;

	if (!outbound) {
		give_back(call->b2bua, route->trunk);
		if (leg)
			leg_free(leg);
		return -ENOMEM;
	}
	leg->outbound = outbound;
	outbound->trunk = route->trunk;
	outbound->places = route->places;
	snprintf(outbound->number, sizeof(outbound->number), "%s", route->number);
	random_token(outbound->tag, SIP_TAG_SIZE - 1);
	random_token(call_id, CALL_ID_RANDOM);
	err = text_keep(&leg->call_id, NULL, call_id, CALL_ID_RANDOM);
	if (!err)
		err = place_find(leg);
	if (err)
		leg_free(leg);
	return err;
}

/* Whom we say is calling: who is not trusted with numbers knows us by our own name there. */
static void put_from(const struct leg *leg, struct sip_builder *b)
{
	const struct exchange_trunk *trunk = leg->outbound->trunk;
	const struct call *call = leg->call;
	const char *user = trunk->trusted || !trunk->user[0] ? call->caller_user : trunk->user;
	char escaped[3 * EXCHANGE_EXTENSION_MAX];

	if (identity_is_private(call)) {
		sip_put_string(b, IDENTITY_ANONYMOUS);
		return;
	}
	if (sip_escape_user(sip_text_of(user), escaped, sizeof(escaped)) < 0)
		b->overflow = true;
	if (call->caller_name[0]) {
		sip_put_quoted(b, sip_text_of(call->caller_name));
		sip_put_string(b, " ");
	}
	sip_put_format(b, "<sip:%s@%s>", escaped, trunk->domain);
}

static void put_headers(struct leg *leg, struct sip_request *request, struct sip_text uri,
			struct sip_text sdp)
{
	struct outbound *outbound = leg->outbound;
	const struct exchange_trunk *trunk = outbound->trunk;
	struct sip_builder *b = &request->builder;

	sip_put_contact(b, &request->flow, sip_text_of(trunk->contact), NULL);
	sip_put_string(b, "Allow: " B2BUA_ALLOW "\r\n");
	if (trunk->trusted)
		identity_put(leg->call, b, &request->flow.local);
	if (trunk->secret)
		sip_auth_put(&outbound->auth, leg->call->b2bua->digest, trunk->secret, b,
			     sip_text_of("INVITE"), uri, sdp);
}

static int send_here(struct leg *leg, struct sip_text sdp)
{
	struct outbound *outbound = leg->outbound;
	struct call *call = leg->call;
	char buffer[B2BUA_BUFFER + B2BUA_SDP_MAX];
	char uri[URI_MAX], to[URI_MAX + 2], from[URI_MAX], escaped[3 * EXCHANGE_EXTENSION_MAX];
	struct sip_builder from_builder;
	struct sip_request request;
	struct sip_request_start start = {.method = SIP_METHOD_INVITE,
					  .from_tag = sip_text_of(outbound->tag),
					  .call_id = sip_text_of(leg->call_id),
					  .cseq = ++outbound->cseq,
					  .flow = leg->flow};
	int err;

	if (sip_escape_user(sip_text_of(outbound->number), escaped, sizeof(escaped)) < 0)
		return -EINVAL;
	snprintf(uri, sizeof(uri), "sip:%s@%s", escaped, outbound->trunk->domain);
	snprintf(to, sizeof(to), "<%s>", uri);
	sip_builder_init(&from_builder, from, sizeof(from));
	put_from(leg, &from_builder);
	if (sip_builder_result(&from_builder) < 0)
		return -ENOSPC;
	start.uri = sip_text_of(uri);
	start.from = (struct sip_text){from, from_builder.n};
	start.to = sip_text_of(to);
	start.max_forwards = call->max_forwards > 1 ? call->max_forwards - 1 : 1;
	err = sip_request_begin(&request, call->b2bua->stack, &start, buffer, sizeof(buffer));
	if (err)
		return err;
	put_headers(leg, &request, start.uri, sdp);
	return sip_request_send(&request, sdp.n > 0 ? "application/sdp" : NULL, sdp,
				invite_answered, leg, &leg->invite);
}

int outbound_send(struct leg *leg, struct sip_text sdp)
{
	struct outbound *outbound = leg->outbound;
	int err = text_keep(&outbound->sdp, &outbound->sdp_n, sdp.at, sdp.n);

	while (!err) {
		if (send_here(leg, sdp) == 0)
			return 0;
		outbound->at++;
		memset(&outbound->auth, 0, sizeof(outbound->auth));
		err = place_find(leg);
	}
	return err;
}

bool outbound_again(struct leg *leg, uint32_t status, const struct sip_message *response)
{
	struct outbound *outbound = leg->outbound;
	const struct sip_text sdp = {outbound->sdp, outbound->sdp_n};
	int rc;

	if (response && (status == 401 || status == 407)) {
		rc = outbound->trunk->secret ? sip_auth_challenged(&outbound->auth, response,
								   outbound->trunk->secret)
					     : -ENOKEY;
		if (rc == 0 && send_here(leg, sdp) == 0)
			return true;
		log_warn("call %s: trunk %s does not take our credentials: %s", leg->call->id,
			 outbound->trunk->name, strerror(-rc));
		return false;
	}
	if (status != 503 && (response || status != 408))
		return false;
	outbound->at++;
	memset(&outbound->auth, 0, sizeof(outbound->auth));
	while (place_find(leg) == 0) {
		if (send_here(leg, sdp) == 0)
			return true;
		outbound->at++;
	}
	return false;
}
