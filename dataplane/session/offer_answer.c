/* Which session and legs a message is about, where their ports are to be, and the answer's text. */
#include "dataplane/session/offer_answer.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/session/negotiate.h"
#include "dataplane/session/recording.h"

#include <errno.h>
#include <stdio.h>

/* ---- legs ---- */

static bool branch_matches(const struct leg *leg, struct sdp_span branch)
{
	return branch.len == 0 || leg->via_branch[0] == '\0' ||
	       sdp_span_equal(branch, leg->via_branch);
}

/* The leg that was offered to by `offerer` and has not told its tag yet. */
static struct leg *untagged_leg(const struct session *session, const struct leg *offerer,
				struct sdp_span branch, bool any_branch)
{
	for (uint32_t l = 0; l < session->legs_count; l++) {
		struct leg *leg = session->legs[l];

		if (leg != offerer && leg->tag[0] == '\0' && leg->peer == offerer &&
		    (any_branch || branch_matches(leg, branch)))
			return leg;
	}
	return NULL;
}

/* Branches that never answered make room for new ones. */
static void evict_branch(struct exchange *x, struct session *session)
{
	if (session->legs_count < SESSION_LEGS_MAX)
		return;
	for (uint32_t l = 0; l < session->legs_count; l++) {
		struct leg *leg = session->legs[l];

		if (leg != x->sender && !leg->answered) {
			leg_delete(x->table, leg, x->now);
			return;
		}
	}
}

static struct leg *new_leg(struct exchange *x, struct session *session, struct sdp_span tag)
{
	struct leg *leg;

	evict_branch(x, session);
	leg = leg_create(x->table, session, x->now);
	if (leg)
		span_store(leg->tag, sizeof(leg->tag), tag);
	else
		x->result->limit = true;
	return leg;
}

static int find_offer_receiver(struct exchange *x, struct session *session)
{
	const struct ng_flags *flags = x->flags;
	struct leg *sender = x->sender;
	struct leg *leg = NULL;

	if (flags->to_tag.len > 0)
		leg = session_leg(session, flags->to_tag);
	if (leg == sender)
		return exchange_refuse(x, -EINVAL, "from-tag and to-tag are the same");
	if (!leg)
		leg = untagged_leg(session, sender, flags->via_branch, false);
	if (!leg && flags->to_tag.len == 0 && flags->via_branch.len == 0)
		leg = sender->peer;
	if (!leg)
		leg = new_leg(x, session, flags->to_tag);
	if (!leg)
		return exchange_refuse(x, -ENOSPC, "Parallel session limit reached");
	if (leg->tag[0] == '\0')
		span_store(leg->tag, sizeof(leg->tag), flags->to_tag);
	if (leg->via_branch[0] == '\0')
		span_store(leg->via_branch, sizeof(leg->via_branch), flags->via_branch);
	leg->peer = sender;
	if (flags->to_tag.len > 0 || !sender->peer || !sender->peer->answered)
		sender->peer = leg;
	x->receiver = leg;
	return 0;
}

static int find_answer_legs(struct exchange *x, struct session *session)
{
	const struct ng_flags *flags = x->flags;
	struct leg *offerer = session_leg(session, flags->from_tag);
	struct leg *answerer = session_leg(session, flags->to_tag);

	if (!offerer)
		return exchange_refuse(x, -ENOENT, "Unknown from-tag");
	if (answerer == offerer)
		return exchange_refuse(x, -EINVAL, "from-tag and to-tag are the same");
	if (!answerer)
		answerer = untagged_leg(session, offerer, flags->via_branch, false);
	if (!answerer)
		answerer = untagged_leg(session, offerer, flags->via_branch, true);
	if (!answerer)
		answerer =
			offerer->peer; /* a proxy forked behind us: the branch that answers last */
	if (!answerer)
		return exchange_refuse(x, -ENOENT, "No offer to answer from this from-tag");
	span_store(answerer->tag, sizeof(answerer->tag), flags->to_tag);
	offerer->peer = answerer;
	answerer->peer = offerer;
	x->sender = answerer;
	x->receiver = offerer;
	return 0;
}

/* ---- local addresses ---- */

static void choose_interface(struct exchange *x, struct leg *leg, struct sdp_span name)
{
	const struct session_table_config *config = &x->table->config;

	if (name.len == 0)
		return;
	for (uint32_t i = 0; i < config->interfaces_count; i++) {
		if (!sdp_span_equal(name, config->interfaces[i].name))
			continue;
		if (leg->interface != i)
			leg->address = NULL;
		leg->interface = i;
		return;
	}
	log_warn("session %s: no interface is named %.*s, the default is used",
		 leg->session->call_id, (int)(name.len < 32 ? name.len : 32), name.text);
}

/* Family 0 = whatever the leg has, or the first of its interface. */
static void choose_address(struct exchange *x, struct leg *leg, int family)
{
	const struct session_interface *interface = &x->table->config.interfaces[leg->interface];

	if (leg->address && (family == 0 || address_is_v4(&leg->address->address) == (family == 4)))
		return;
	if (family == 0) {
		leg->address = &interface->addresses[0];
		return;
	}
	leg->address = session_interface_address(interface, family);
}

/* The family of the first address in the SDP, 0 = none. */
static int sdp_family(const struct sdp *sdp)
{
	struct address address;

	for (uint32_t i = 0; i < sdp->media_count; i++) {
		if (sdp_media_address(sdp, i, &address) == 0)
			return address_is_v4(&address) ? 4 : 6;
	}
	return 0;
}

static void choose_addresses(struct exchange *x)
{
	const struct ng_flags *flags = x->flags;
	const struct session_address *given = NULL;
	int family = flags->family;

	/* The one who speaks was told its address before, if it is not the first offer. */
	if (x->offer)
		choose_interface(x, x->sender, flags->direction[0]);
	choose_address(x, x->sender,
		       x->offer || !x->sender->address ? sdp_family(&x->table->sdp) : 0);
	if (x->offer)
		choose_interface(x, x->receiver, flags->direction[1]);
	if (flags->media_address_given && flags->direction[1].len == 0)
		given = session_table_address(x->table, &flags->media_address);
	if (given) {
		x->receiver->address = given;
		return;
	}
	if (family == 0 && flags->media_address_given)
		family = address_is_v4(&flags->media_address) ? 4 : 6;
	if (family == 0 && !x->receiver->address)
		family = sdp_family(&x->table->sdp);
	choose_address(x, x->receiver, family);
}

/* ---- flags that stay with the legs ---- */

static void apply_echo(struct exchange *x)
{
	switch (x->flags->echo) {
	case NG_ECHO_UNSET:
		break;
	case NG_ECHO_SINKHOLE:
		x->sender->echo = LEG_SINKHOLE;
		x->receiver->echo = LEG_SINKHOLE;
		break;
	case NG_ECHO_FORWARD:
		x->sender->echo = LEG_SINKHOLE;
		x->receiver->echo = LEG_ECHO;
		break;
	case NG_ECHO_BACKWARDS:
		x->sender->echo = LEG_ECHO;
		x->receiver->echo = LEG_SINKHOLE;
		break;
	case NG_ECHO_BOTH:
		x->sender->echo = LEG_ECHO;
		x->receiver->echo = LEG_ECHO;
		break;
	}
}

static void apply_flags(struct exchange *x)
{
	const struct ng_flags *flags = x->flags;

	x->sender->asymmetric = flags->asymmetric;
	x->sender->media_handover = flags->media_handover && !flags->strict_source;
	if (flags->label.len > 0)
		span_store(x->sender->label, sizeof(x->sender->label), flags->label);
	if (flags->tos >= 0) {
		x->sender->tos = (uint8_t)flags->tos;
		x->receiver->tos = (uint8_t)flags->tos;
	}
	apply_echo(x);
}

/* ---- the text for the receiver ---- */

static uint64_t text_hash(const char *text, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* `replace` of what must stay the same towards one party: version counts changes, the names stay
 * the first ones. */
static void rewrite_identity(struct exchange *x, struct sdp_rewrite *rewrite)
{
	struct session_table *table = x->table;
	struct leg *leg = x->receiver;
	struct sdp_origin origin;
	uint64_t hash, version;
	int64_t n;

	if (sdp_origin(&table->sdp, &origin) != 0)
		return;
	if (leg->shown_username[0] == '\0')
		span_store(leg->shown_username, sizeof(leg->shown_username), origin.username);
	if (leg->shown_name[0] == '\0' && table->sdp.name_line != SDP_NO_LINE)
		span_store(leg->shown_name, sizeof(leg->shown_name),
			   sdp_line_value(&table->sdp, table->sdp.name_line));
	if (x->flags->username)
		rewrite->username =
			(struct sdp_span){leg->shown_username, strlen(leg->shown_username)};
	if (x->flags->session_name)
		rewrite->session_name = (struct sdp_span){leg->shown_name, strlen(leg->shown_name)};
	if (!x->flags->sdp_version && !x->flags->force_increment)
		return;
	rewrite->version = true;
	rewrite->version_number = 0;
	n = sdp_rewrite(&table->sdp, rewrite, table->text, sizeof(table->text));
	hash = n > 0 ? text_hash(table->text, (size_t)n) : 0;
	if (!leg->shown) {
		leg->shown_version = sdp_span_number(origin.version, INT64_MAX, &version)
					     ? version
					     : x->now->real_ns / NS_PER_S;
	} else if (hash != leg->shown_hash || x->flags->force_increment) {
		leg->shown_version++;
	}
	leg->shown = true;
	leg->shown_hash = hash;
	rewrite->version_number = leg->shown_version;
}

static int write_sdp(struct exchange *x)
{
	struct session_table *table = x->table;
	struct sdp_rewrite rewrite;
	int64_t n;

	negotiate_rewrite(x, &rewrite);
	rewrite_identity(x, &rewrite);
	n = sdp_rewrite(&table->sdp, &rewrite, table->text, sizeof(table->text));
	if (n < 0)
		return exchange_refuse(x, (int)n, "Error rewriting SDP: the result is too long");
	x->result->sdp = (struct sdp_span){table->text, (size_t)n};
	return 0;
}

/* ---- the two commands ---- */

static int run(struct exchange *x, struct session *session)
{
	int rc = negotiate_check(x);

	if (rc != 0)
		return rc;
	apply_flags(x);
	choose_addresses(x);
	rc = negotiate_apply(x);
	if (rc != 0)
		return rc;
	x->sender->answered = true;
	session->answered |= !x->offer;
	session->signalled_real_ns = x->now->real_ns;
	session->active_mono_ns = x->now->mono_ns;
	session->delete_mono_ns = 0;
	recording_update(x->table, session, x->now);
	if (session_publish(x->table, session) != 0) {
		x->result->limit = true;
		return exchange_refuse(x, -ENOSPC, "Parallel session limit reached");
	}
	x->result->session = session;
	return write_sdp(x);
}

static int parse_sdp(struct exchange *x)
{
	char error[SDP_ERROR_MAX];
	int rc = sdp_parse(&x->table->sdp, x->flags->sdp.text, x->flags->sdp.len, error);

	return rc == 0 ? 0 : exchange_refuse(x, rc, "Failed to parse SDP: %s", error);
}

int offer_answer_offer(struct session_table *table, const struct ng_flags *flags,
		       const struct session_time *now, struct offer_answer_result *result)
{
	struct exchange x = {
		.table = table, .flags = flags, .now = now, .result = result, .offer = true};
	struct session *session = session_find(table, flags->call_id);
	bool created = session == NULL;
	int rc = parse_sdp(&x);

	if (rc != 0)
		return rc;
	if (created)
		session = session_create(table, flags->call_id, now);
	if (!session) {
		result->limit = true;
		return exchange_refuse(&x, -ENOSPC, "Parallel session limit reached");
	}
	x.sender = session_leg(session, flags->from_tag);
	if (!x.sender)
		x.sender = new_leg(&x, session, flags->from_tag);
	if (!x.sender)
		rc = exchange_refuse(&x, -ENOSPC, "Parallel session limit reached");
	if (rc == 0)
		rc = find_offer_receiver(&x, session);
	if (rc == 0)
		rc = run(&x, session);
	if (rc != 0 && created)
		session_delete(table, session, SESSION_FAILED, now);
	return rc;
}

int offer_answer_answer(struct session_table *table, const struct ng_flags *flags,
			const struct session_time *now, struct offer_answer_result *result)
{
	struct exchange x = {.table = table, .flags = flags, .now = now, .result = result};
	struct session *session = session_find(table, flags->call_id);
	int rc;

	if (!session)
		return exchange_refuse(&x, -ENOENT, "Unknown call-id");
	rc = parse_sdp(&x);
	if (rc == 0)
		rc = find_answer_legs(&x, session);
	return rc == 0 ? run(&x, session) : rc;
}
