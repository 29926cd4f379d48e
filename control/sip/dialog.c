/* Dialogs: their table, how they come to be, where their requests go. */
#include "control/sip/internal.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t dialog_hash(const struct sip_stack *stack, struct sip_text call_id,
			    struct sip_text local_tag, struct sip_text remote_tag)
{
	const struct sip_text parts[] = {call_id, local_tag, remote_tag};
	struct siphash hash;
	uint64_t out[2];

	siphash_init(&hash, &stack->hash_key);
	for (size_t i = 0; i < 3; i++)
		siphash_add_part(&hash, parts[i].at ? parts[i].at : "", parts[i].n);
	siphash_finish(&hash, out);
	return out[0];
}

struct sip_dialog *sip_dialog_find(struct sip_stack *stack, struct sip_text call_id,
				   struct sip_text local_tag, struct sip_text remote_tag)
{
	uint64_t hash = dialog_hash(stack, call_id, local_tag, remote_tag);
	struct sip_dialog *dialog = stack->dialogs[hash & stack->dialogs_mask];

	for (; dialog; dialog = dialog->hash_next) {
		if (dialog->hash == hash &&
		    sip_text_equal(dialog->texts[SIP_DIALOG_CALL_ID], call_id) &&
		    sip_text_equal(dialog->texts[SIP_DIALOG_LOCAL_TAG], local_tag) &&
		    sip_text_equal(dialog->texts[SIP_DIALOG_REMOTE_TAG], remote_tag))
			return dialog;
	}
	return NULL;
}

/* All texts in one block: a dialog costs two allocations. */
static int texts_set(struct sip_dialog *dialog, const struct sip_text texts[SIP_DIALOG_TEXTS])
{
	size_t n = 0;
	char *block;

	for (int i = 0; i < SIP_DIALOG_TEXTS; i++)
		n += texts[i].n;
	block = malloc(n > 0 ? n : 1);
	if (!block)
		return -ENOMEM;
	n = 0;
	for (int i = 0; i < SIP_DIALOG_TEXTS; i++) {
		struct sip_text copy = {block + n, texts[i].n};

		if (copy.n > 0)
			memcpy(block + n, texts[i].at, copy.n);
		n += copy.n;
		dialog->texts[i] = copy;
	}
	free(dialog->text_block);
	dialog->text_block = block;
	return 0;
}

static int text_replace(struct sip_dialog *dialog, enum sip_dialog_text which, struct sip_text text)
{
	struct sip_text texts[SIP_DIALOG_TEXTS];

	if (sip_text_equal(dialog->texts[which], text))
		return 0;
	memcpy(texts, dialog->texts, sizeof(texts));
	texts[which] = text;
	return texts_set(dialog, texts);
}

int dialog_make(struct sip_stack *stack, const struct sip_text texts[SIP_DIALOG_TEXTS],
		struct sip_dialog **out)
{
	struct sip_dialog *dialog;
	struct sip_dialog **bucket;

	if (stack->dialogs_count >= stack->dialogs_max) {
		count(stack, SIP_COUNTER_dialogs_full);
		return -ENOBUFS;
	}
	dialog = calloc(1, sizeof(*dialog));
	if (!dialog || texts_set(dialog, texts) < 0) {
		free(dialog);
		count(stack, SIP_COUNTER_no_memory);
		return -ENOMEM;
	}
	dialog->stack = stack;
	list_init(&dialog->transactions);
	timer_init(&dialog->accept_timer, dialog_accept_expired);
	dialog->hash = dialog_hash(stack, texts[SIP_DIALOG_CALL_ID], texts[SIP_DIALOG_LOCAL_TAG],
				   texts[SIP_DIALOG_REMOTE_TAG]);
	bucket = &stack->dialogs[dialog->hash & stack->dialogs_mask];
	dialog->hash_next = *bucket;
	*bucket = dialog;
	stack->dialogs_count++;
	stack->dialogs_made++;
	*out = dialog;
	return 0;
}

void sip_dialog_destroy(struct sip_dialog *dialog)
{
	struct sip_dialog **at;

	if (!dialog)
		return;
	while (!list_is_empty(&dialog->transactions))
		transaction_untie(
			list_entry(dialog->transactions.next, struct sip_transaction, dialog_node));
	at = &dialog->stack->dialogs[dialog->hash & dialog->stack->dialogs_mask];
	while (*at != dialog)
		at = &(*at)->hash_next;
	*at = dialog->hash_next;
	dialog->stack->dialogs_count--;
	dialog_accept_stop(dialog);
	free(dialog->ack_bytes);
	free(dialog->text_block);
	free(dialog);
}

/* ---- where requests go ---- */

/* RFC 1918, link-local, loopback, unique local: of no use from outside. */
static bool is_private(const struct address *a)
{
	if (address_is_v4(a)) {
		const uint8_t *v4 = a->ip + 12;

		return v4[0] == 10 || v4[0] == 127 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
		       (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254) ||
		       (v4[0] == 100 && (v4[1] & 0xc0) == 64);
	}
	return address_is_loopback(a) || (a->ip[0] & 0xfe) == 0xfc ||
	       (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80);
}

/* One Via only, whose address is not where the request came from: the peer itself is behind NAT. */
static bool sender_is_translated(const struct sip_message *m)
{
	struct sip_values values;
	struct sip_text value;
	struct address sent_by;

	if (!m->is_request)
		return false;
	sip_values_begin(&values, m, SIP_HEADER_VIA);
	if (!sip_values_next(&values, &value) || sip_values_next(&values, &value))
		return false;
	return address_parse(&sent_by, m->via.host.at, m->via.host.n) == 0 &&
	       !address_equal(&sent_by, &m->flow.remote.address);
}

static bool target_is_hidden(const struct sip_message *m, const struct address *target)
{
	return is_private(target) && !is_private(&m->flow.remote.address);
}

/* The URI that in-dialog requests go to: the first of the route set, or the target. */
static int next_hop(const struct sip_dialog *dialog, struct sip_uri *uri)
{
	struct sip_text rest = dialog->texts[SIP_DIALOG_ROUTE_SET];
	struct sip_text first;
	struct sip_address route;
	int rc;

	if (!sip_value_split(&rest, &first))
		return sip_uri_parse(uri, dialog->texts[SIP_DIALOG_REMOTE_TARGET]);
	rc = sip_address_parse(&route, first);
	*uri = route.uri;
	return rc;
}

/* From the message that made the dialog or moved its target. The way the message came is taken
 * where the peer's URI leads nowhere: a name, an address that cannot be its own as seen from here,
 * or a browser's. */
static void route_from(struct sip_dialog *dialog, const struct sip_message *m)
{
	bool routed = dialog->texts[SIP_DIALOG_ROUTE_SET].n > 0;
	struct sip_flow flow;
	struct sip_uri uri;

	if (m->flow.remote.port == 0)
		return;
	if (next_hop(dialog, &uri) < 0 || sip_flow_from_uri(&uri, &flow) < 0 ||
	    (!routed && sip_transport_is_websocket(m->flow.transport)) ||
	    (!routed && (sender_is_translated(m) || target_is_hidden(m, &flow.remote.address)))) {
		dialog->follow = true;
		dialog->flow = m->flow;
		return;
	}
	dialog->follow = false;
	if (!sip_uri_parameter(&uri, "transport", NULL) && uri.scheme != SIP_SCHEME_SIPS) {
		flow.transport = m->flow.transport;
		if (uri.port == 0)
			flow.remote.port = sip_transport_default_port(flow.transport);
	}
	flow.connection = 0;
	if (flow.transport == m->flow.transport) {
		flow.local = m->flow.local;
		if (address_equal(&flow.remote.address, &m->flow.remote.address))
			flow.connection = m->flow.connection;
	}
	dialog->flow = flow;
}

void dialog_follow(struct sip_dialog *dialog, const struct sip_message *m)
{
	if (dialog->follow)
		dialog->flow = m->flow;
	else if (m->flow.connection != 0 && dialog->flow.transport == m->flow.transport &&
		 address_equal(&dialog->flow.remote.address, &m->flow.remote.address))
		dialog->flow.connection = m->flow.connection;
}

void sip_dialog_set_flow(struct sip_dialog *dialog, const struct sip_flow *flow)
{
	dialog->flow = *flow;
	dialog->follow = true;
}

/* ---- making ---- */

/* Record-Route of m as the route set's text into out: as it stands for a UAS, reversed for a UAC
 * (12.1.2). -ENOSPC. */
static int route_set_of(const struct sip_message *m, bool reverse, char *out, uint32_t size,
			struct sip_text *text)
{
	struct sip_text routes[64];
	uint32_t n = 0;
	struct sip_values values;
	struct sip_builder b;

	sip_values_begin(&values, m, SIP_HEADER_RECORD_ROUTE);
	while (n < 64 && sip_values_next(&values, &routes[n])) {
		struct sip_address route;

		if (sip_address_parse(&route, routes[n]) < 0 || route.star)
			return -EINVAL;
		n++;
	}
	if (n == 64)
		return -EINVAL;
	sip_builder_init(&b, out, size);
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			sip_put_bytes(&b, ", ", 2);
		sip_put_text(&b, routes[reverse ? n - 1 - i : i]);
	}
	*text = (struct sip_text){out, b.n};
	return sip_builder_result(&b);
}

/* The peer's Contact; without one (RFC 2543) its From or To. */
static int target_of(const struct sip_message *m, struct sip_text *target)
{
	struct sip_address contact;
	int rc = sip_message_address(m, SIP_HEADER_CONTACT, &contact);

	if (rc == -ENOENT) {
		contact = m->is_request ? m->from : m->to;
		rc = 0;
	}
	if (rc < 0 || contact.star || contact.uri.scheme == SIP_SCHEME_OTHER ||
	    contact.uri.text.n == 0)
		return -EINVAL;
	*target = contact.uri.text;
	return 0;
}

int sip_dialog_create_uas(struct sip_stack *stack, struct sip_transaction *t,
			  const struct sip_message *request, struct sip_text contact_user,
			  struct sip_dialog **out)
{
	struct sip_text texts[SIP_DIALOG_TEXTS] = {
		[SIP_DIALOG_CALL_ID] = request->call_id,
		[SIP_DIALOG_LOCAL_TAG] = sip_server_tag(t),
		[SIP_DIALOG_REMOTE_TAG] = request->from.tag,
		[SIP_DIALOG_LOCAL_URI] = request->to.text,
		[SIP_DIALOG_REMOTE_URI] = request->from.text,
		[SIP_DIALOG_LOCAL_CONTACT] = contact_user,
	};
	int rc = target_of(request, &texts[SIP_DIALOG_REMOTE_TARGET]);

	assert(t->kind == TRANSACTION_SERVER && t->own_tag);
	if (rc == 0)
		rc = route_set_of(request, false, stack->scratch, sizeof(stack->scratch),
				  &texts[SIP_DIALOG_ROUTE_SET]);
	if (rc == 0)
		rc = dialog_make(stack, texts, out);
	if (rc < 0)
		return rc;
	(*out)->secure = request->uri.scheme == SIP_SCHEME_SIPS;
	(*out)->remote_cseq = request->cseq.number;
	(*out)->remote_cseq_known = true;
	(*out)->flow = request->flow;
	route_from(*out, request);
	transaction_tie(t, *out);
	return 0;
}

int sip_dialog_create_uac(struct sip_stack *stack, const struct sip_message *response,
			  const struct sip_flow *flow, struct sip_text contact_user,
			  struct sip_dialog **out)
{
	struct sip_text texts[SIP_DIALOG_TEXTS] = {
		[SIP_DIALOG_CALL_ID] = response->call_id,
		[SIP_DIALOG_LOCAL_TAG] = response->from.tag,
		[SIP_DIALOG_REMOTE_TAG] = response->to.tag,
		[SIP_DIALOG_LOCAL_URI] = response->from.text,
		[SIP_DIALOG_REMOTE_URI] = response->to.text,
		[SIP_DIALOG_LOCAL_CONTACT] = contact_user,
	};
	int rc = target_of(response, &texts[SIP_DIALOG_REMOTE_TARGET]);

	if (rc == 0)
		rc = route_set_of(response, true, stack->scratch, sizeof(stack->scratch),
				  &texts[SIP_DIALOG_ROUTE_SET]);
	if (rc == 0)
		rc = dialog_make(stack, texts, out);
	if (rc < 0)
		return rc;
	(*out)->initiator = true;
	(*out)->secure = texts[SIP_DIALOG_REMOTE_TARGET].n > 5 &&
			 strncasecmp(texts[SIP_DIALOG_REMOTE_TARGET].at, "sips:", 5) == 0;
	(*out)->local_cseq = response->cseq.number;
	(*out)->state = response->status >= 200 ? SIP_DIALOG_CONFIRMED : SIP_DIALOG_EARLY;
	(*out)->flow = *flow;
	route_from(*out, response);
	return 0;
}

int sip_dialog_update(struct sip_dialog *dialog, const struct sip_message *m)
{
	struct sip_stack *stack = dialog->stack;
	struct sip_address contact;
	struct sip_text route_set;
	bool confirms = !m->is_request && m->status >= 200 && m->status < 300 &&
			dialog->state == SIP_DIALOG_EARLY;
	int rc;

	if (!m->is_request && (m->status <= 100 || m->status >= 300))
		return 0;
	if (confirms) {
		dialog->state = SIP_DIALOG_CONFIRMED;
		rc = route_set_of(m, true, stack->scratch, sizeof(stack->scratch), &route_set);
		if (rc == 0)
			rc = text_replace(dialog, SIP_DIALOG_ROUTE_SET, route_set);
		if (rc < 0)
			return rc;
	}
	rc = sip_message_address(m, SIP_HEADER_CONTACT, &contact);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0 || contact.star || contact.uri.scheme == SIP_SCHEME_OTHER)
		return -EINVAL;
	if (!confirms && sip_text_equal(dialog->texts[SIP_DIALOG_REMOTE_TARGET], contact.uri.text))
		return 0;
	rc = text_replace(dialog, SIP_DIALOG_REMOTE_TARGET, contact.uri.text);
	if (rc == 0 && !dialog->follow)
		route_from(dialog, m);
	return rc;
}

bool dialog_accepts_cseq(struct sip_dialog *dialog, const struct sip_message *request)
{
	if (dialog->remote_cseq_known && request->cseq.number < dialog->remote_cseq)
		return false;
	dialog->remote_cseq = request->cseq.number;
	dialog->remote_cseq_known = true;
	return true;
}
