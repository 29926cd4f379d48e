/* The session table, and the life of sessions, legs and streams. */
#include "dataplane/session/session.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/session/port.h"
#include "dataplane/session/recording.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define MEDIA_TIMEOUT_S     60
#define PATIENT_TIMES       10 /* on hold, and before the answer */
#define LEGS_PER_SESSION    3
#define STREAMS_PER_SESSION 6

bool span_store(char *field, size_t size, struct sdp_span span)
{
	if (span.len >= size)
		return false;
	if (span.len > 0)
		memcpy(field, span.text, span.len);
	field[span.len] = '\0';
	return true;
}

/* ---- the table ---- */

static int config_check(struct session_table_config *config)
{
	if (config->interfaces_count == 0 || config->interfaces_count > SESSION_INTERFACES_MAX ||
	    config->sessions == 0 || config->sessions > 1u << 24 || config->workers == 0 ||
	    config->workers > UINT8_MAX || config->addresses_count > FLOW_ADDRESSES_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < config->interfaces_count; i++) {
		const struct session_interface *interface = &config->interfaces[i];

		if (interface->addresses_count == 0 ||
		    interface->addresses_count > SESSION_ADDRESSES_MAX)
			return -EINVAL;
		for (uint32_t a = 0; a < interface->addresses_count; a++) {
			if (interface->addresses[a].index >= config->addresses_count)
				return -EINVAL;
		}
	}
	if (config->legs == 0)
		config->legs = config->sessions * LEGS_PER_SESSION;
	if (config->streams == 0)
		config->streams = config->sessions * STREAMS_PER_SESSION;
	if (config->media_timeout_s == 0)
		config->media_timeout_s = MEDIA_TIMEOUT_S;
	return 0;
}

uint32_t session_table_flows_max(const struct session_table_config *config)
{
	uint32_t streams =
		config->streams ? config->streams : config->sessions * STREAMS_PER_SESSION;

	/* Two flows a stream, and as much again for confs in their grace period. */
	return streams * 4 + 64;
}

static int pools_create(struct session_table *t)
{
	const struct session_table_config *config = &t->config;
	uint32_t buckets = 64;

	while (buckets < config->sessions)
		buckets *= 2;
	t->buckets_mask = buckets - 1;
	t->buckets = calloc(buckets, sizeof(*t->buckets));
	t->session_pool = calloc(config->sessions, sizeof(*t->session_pool));
	t->leg_pool = calloc(config->legs, sizeof(*t->leg_pool));
	t->stream_pool = calloc(config->streams, sizeof(*t->stream_pool));
	t->recording_pool = calloc(config->sessions, sizeof(*t->recording_pool));
	if (!t->buckets || !t->session_pool || !t->leg_pool || !t->stream_pool ||
	    !t->recording_pool)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->sessions; i++) {
		list_append(&t->free_sessions, &t->session_pool[i].node);
		list_append(&t->free_recordings, &t->recording_pool[i].node);
	}
	for (uint32_t i = 0; i < config->legs; i++)
		list_append(&t->free_legs, &t->leg_pool[i].node);
	for (uint32_t i = 0; i < config->streams; i++)
		list_append(&t->free_streams, &t->stream_pool[i].node);
	return 0;
}

static void table_free(struct session_table *t)
{
	port_pool_destroy(t->ports);
	free(t->buckets);
	free(t->session_pool);
	free(t->leg_pool);
	free(t->stream_pool);
	free(t->recording_pool);
	free(t);
}

int session_table_create(struct session_table **table, const struct session_table_config *config,
			 struct flow_table *flows, const struct session_time *now)
{
	struct port_pool_config ports = {.port_min = config->port_min,
					 .port_max = config->port_max,
					 .addresses = config->addresses_count,
					 .reuse_ns = config->port_reuse_ms * NS_PER_MS,
					 .seed = config->seed};
	struct session_table *t = calloc(1, sizeof(*t));
	int rc;

	*table = NULL;
	if (!t)
		return -ENOMEM;
	t->config = *config;
	t->flows = flows;
	t->started_real_ns = now->real_ns;
	list_init(&t->sessions);
	list_init(&t->free_sessions);
	list_init(&t->free_legs);
	list_init(&t->free_streams);
	list_init(&t->free_recordings);
	list_init(&t->ending_recordings);
	rc = config_check(&t->config);
	if (rc == 0)
		rc = port_pool_create(&t->ports, &ports);
	if (rc == 0)
		rc = pools_create(t);
	if (rc != 0) {
		table_free(t);
		return rc;
	}
	*table = t;
	return 0;
}

void session_table_destroy(struct session_table *table, const struct session_time *now)
{
	if (!table)
		return;
	while (!list_is_empty(&table->sessions))
		session_delete(table, list_entry(table->sessions.next, struct session, node),
			       SESSION_SHUT_DOWN, now);
	recording_tick(table, now);
	table_free(table);
}

const struct session_address *session_table_address(const struct session_table *table,
						    const struct address *address)
{
	for (uint32_t i = 0; i < table->config.interfaces_count; i++) {
		const struct session_interface *interface = &table->config.interfaces[i];

		for (uint32_t a = 0; a < interface->addresses_count; a++) {
			if (address_equal(&interface->addresses[a].address, address))
				return &interface->addresses[a];
		}
	}
	return NULL;
}

const struct session_address *session_interface_address(const struct session_interface *interface,
							int family)
{
	for (uint32_t a = 0; a < interface->addresses_count; a++) {
		if (address_is_v4(&interface->addresses[a].address) == (family != 6))
			return &interface->addresses[a];
	}
	return &interface->addresses[0];
}

/* ---- sessions ---- */

/* FNV-1a, begun with the table's random seed so that a stranger cannot choose collisions. */
static uint32_t hash_of(const struct session_table *table, struct sdp_span text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ table->config.seed;

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.text[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(hash ^ hash >> 32);
}

struct session *session_find(const struct session_table *table, struct sdp_span call_id)
{
	uint32_t hash = hash_of(table, call_id);
	struct session *session = table->buckets[hash & table->buckets_mask];

	while (session && !(session->hash == hash && sdp_span_equal(call_id, session->call_id)))
		session = session->hash_next;
	return session;
}

struct session *session_create(struct session_table *table, struct sdp_span call_id,
			       const struct session_time *now)
{
	struct session *session;
	struct session **bucket;

	if (list_is_empty(&table->free_sessions)) {
		table->counters.refused_limit++;
		return NULL;
	}
	session = list_entry(table->free_sessions.next, struct session, node);
	list_remove(&session->node);
	memset(session, 0, sizeof(*session));
	span_store(session->call_id, sizeof(session->call_id), call_id);
	session->hash = hash_of(table, call_id);
	bucket = &table->buckets[session->hash & table->buckets_mask];
	session->hash_next = *bucket;
	*bucket = session;
	session->created_real_ns = now->real_ns;
	session->signalled_real_ns = now->real_ns;
	session->active_mono_ns = now->mono_ns;
	session->serial = ++table->next_serial;
	session->worker = (uint8_t)table->next_worker;
	table->next_worker = (table->next_worker + 1) % table->config.workers;
	list_append(&table->sessions, &session->node);
	table->counters.created++;
	table->sessions_count++;
	if (table->sessions_count > table->sessions_peak)
		table->sessions_peak = table->sessions_count;
	return session;
}

static void slot_add(const struct session_table *table, uint32_t slot, struct session_totals *sum)
{
	struct flow_stats stats = flow_table_stats(table->flows, slot);

	sum->packets += stats.packets;
	sum->bytes += stats.bytes;
	sum->errors += stats.dropped;
}

void session_totals(const struct session_table *table, const struct session *session,
		    struct session_totals *rtp, struct session_totals *rtcp)
{
	*rtp = (struct session_totals){0};
	*rtcp = (struct session_totals){0};
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			const struct stream *stream = session->legs[l]->streams[s];

			if (stream->published)
				slot_add(table, stream->slot, rtp);
			if (stream->rtcp_published)
				slot_add(table, stream->rtcp_slot, rtcp);
		}
	}
}

/* Legs whose party has sent media. */
static uint32_t legs_heard(const struct session_table *table, const struct session *session)
{
	uint32_t heard = 0;

	for (uint32_t l = 0; l < session->legs_count; l++) {
		struct session_totals sum = {0};

		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			if (session->legs[l]->streams[s]->published)
				slot_add(table, session->legs[l]->streams[s]->slot, &sum);
		}
		heard += sum.packets > 0;
	}
	return heard;
}

static void count_end(struct session_table *table, const struct session *session,
		      enum session_end why, const struct session_time *now)
{
	struct session_counters *counters = &table->counters;
	struct session_totals rtp, rtcp;

	session_totals(table, session, &rtp, &rtcp);
	counters->packets += rtp.packets + rtcp.packets;
	counters->bytes += rtp.bytes + rtcp.bytes;
	counters->errors += rtp.errors + rtcp.errors;
	if (now->real_ns > session->created_real_ns)
		counters->duration_ms += (now->real_ns - session->created_real_ns) / NS_PER_MS;
	if (session->answered) {
		uint32_t heard = legs_heard(table, session);

		counters->zero_way += heard == 0;
		counters->one_way += heard == 1;
	}
	counters->deleted += why == SESSION_DELETED;
	counters->timed_out += why == SESSION_TIMED_OUT && session->answered;
	counters->timed_out_offered += why == SESSION_TIMED_OUT && !session->answered;
}

static const char *end_text(enum session_end why)
{
	switch (why) {
	case SESSION_TIMED_OUT:
		return "timeout";
	case SESSION_SHUT_DOWN:
		return "shutdown";
	case SESSION_DELETED:
	case SESSION_FAILED:
		break;
	}
	return "delete";
}

static void leg_free(struct session_table *table, struct leg *leg, const struct session_time *now)
{
	for (uint32_t s = 0; s < leg->streams_count; s++) {
		stream_release(table, leg, leg->streams[s], now);
		list_append(&table->free_streams, &leg->streams[s]->node);
	}
	leg->streams_count = 0;
	list_append(&table->free_legs, &leg->node);
}

void session_delete(struct session_table *table, struct session *session, enum session_end why,
		    const struct session_time *now)
{
	struct session **at = &table->buckets[session->hash & table->buckets_mask];

	count_end(table, session, why, now);
	recording_stop(table, session, end_text(why), now);
	for (uint32_t l = 0; l < session->legs_count; l++)
		leg_free(table, session->legs[l], now);
	session->legs_count = 0;
	recording_forget(table, session);
	while (*at != session)
		at = &(*at)->hash_next;
	*at = session->hash_next;
	list_remove(&session->node);
	list_append(&table->free_sessions, &session->node);
	table->sessions_count--;
}

/* ---- legs ---- */

struct leg *session_leg(const struct session *session, struct sdp_span tag)
{
	for (uint32_t l = 0; l < session->legs_count; l++) {
		if (tag.len > 0 && sdp_span_equal(tag, session->legs[l]->tag))
			return session->legs[l];
	}
	return NULL;
}

struct leg *leg_create(struct session_table *table, struct session *session,
		       const struct session_time *now)
{
	struct leg *leg;
	uint32_t number = 0;

	if (session->legs_count == SESSION_LEGS_MAX || list_is_empty(&table->free_legs)) {
		table->counters.refused_limit++;
		return NULL;
	}
	leg = list_entry(table->free_legs.next, struct leg, node);
	list_remove(&leg->node);
	memset(leg, 0, sizeof(*leg));
	list_init(&leg->node);
	for (uint32_t l = 0; l < session->legs_count; l++) {
		if (session->legs[l]->number >= number)
			number = session->legs[l]->number + 1;
	}
	leg->session = session;
	leg->number = number;
	leg->created_real_ns = now->real_ns;
	session->legs[session->legs_count++] = leg;
	return leg;
}

void leg_delete(struct session_table *table, struct leg *leg, const struct session_time *now)
{
	struct session *session = leg->session;
	uint32_t at = 0;

	while (session->legs[at] != leg)
		at++;
	for (uint32_t l = 0; l < session->legs_count; l++) {
		if (session->legs[l]->peer == leg)
			session->legs[l]->peer = NULL;
	}
	memmove(&session->legs[at], &session->legs[at + 1],
		(session->legs_count - at - 1) * sizeof(session->legs[0]));
	session->legs_count--;
	session_publish(table, session); /* nobody's sink any more */
	leg_free(table, leg, now);
}

/* ---- streams ---- */

struct stream *leg_stream(struct session_table *table, struct leg *leg, uint32_t index)
{
	assert(index < SESSION_STREAMS_MAX);
	while (leg->streams_count <= index) {
		struct stream *stream;

		if (list_is_empty(&table->free_streams)) {
			table->counters.refused_limit++;
			return NULL;
		}
		stream = list_entry(table->free_streams.next, struct stream, node);
		list_remove(&stream->node);
		memset(stream, 0, sizeof(*stream));
		list_init(&stream->node);
		stream->index = (uint8_t)leg->streams_count;
		stream->slot = FLOW_NONE;
		stream->rtcp_slot = FLOW_NONE;
		stream->fork_stream = STREAM_NO_FORK;
		stream->fork_stale = true;
		leg->streams[leg->streams_count++] = stream;
	}
	return leg->streams[index];
}

int stream_take_ports(struct session_table *table, struct leg *leg, struct stream *stream,
		      const struct session_time *now)
{
	struct endpoint local;
	uint16_t port;

	if (stream->state == STREAM_RELAYED) {
		if (stream->address == leg->address)
			return 0;
		stream_release(table, leg, stream, now);
	}
	port = port_pool_take(table->ports, leg->address->index, now->mono_ns);
	if (port == 0) {
		table->counters.refused_ports++;
		return -ENOSPC;
	}
	local = (struct endpoint){leg->address->address, port};
	stream->slot = flow_table_slot(table->flows, &local);
	local.port++;
	stream->rtcp_slot = flow_table_slot(table->flows, &local);
	assert(stream->slot != FLOW_NONE && stream->rtcp_slot != FLOW_NONE);
	stream->address = leg->address;
	stream->port = port;
	stream->state = STREAM_RELAYED;
	return 0;
}

void stream_release(struct session_table *table, struct leg *leg, struct stream *stream,
		    const struct session_time *now)
{
	if (stream->state != STREAM_RELAYED)
		return;
	if (stream->published)
		flow_table_retire(table->flows, stream->slot);
	if (stream->rtcp_published)
		flow_table_retire(table->flows, stream->rtcp_slot);
	stream->published = false;
	stream->rtcp_published = false;
	if (!recording_hold_port(leg->session, stream))
		port_pool_put(table->ports, stream->address->index, stream->port, now->mono_ns);
	stream->fork_stream = STREAM_NO_FORK;
	stream->fork_stale = true;
	stream->state = STREAM_IDLE;
	stream->mux = false;
	stream->mux_offered = false;
	stream->mux_shown = false;
	stream->mux_stated = false;
	stream->slot = FLOW_NONE;
	stream->rtcp_slot = FLOW_NONE;
	stream->port = 0;
}

bool session_is_held(const struct session *session)
{
	bool held = false;

	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			const struct stream *stream = session->legs[l]->streams[s];

			if (stream->state != STREAM_RELAYED || !session->legs[l]->answered)
				continue;
			held |= stream->direction != SDP_DIRECTION_SENDRECV ||
				stream->remote.port == 0;
		}
	}
	return held;
}

/* ---- housekeeping ---- */

static bool session_is_over(struct session_table *table, struct session *session,
			    const struct session_time *now)
{
	uint64_t timeout_ns = table->config.media_timeout_s * NS_PER_S;
	struct session_totals rtp, rtcp;

	if (session->delete_mono_ns != 0 && now->mono_ns >= session->delete_mono_ns)
		return true;
	session_totals(table, session, &rtp, &rtcp);
	if (rtp.packets + rtcp.packets != session->packets_seen) {
		session->packets_seen = rtp.packets + rtcp.packets;
		session->active_mono_ns = now->mono_ns;
		return false;
	}
	if (!session->answered || session_is_held(session))
		timeout_ns *= PATIENT_TIMES;
	return now->mono_ns >= session->active_mono_ns + timeout_ns;
}

static bool has_stale_stream(const struct session *session)
{
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			const struct stream *stream = session->legs[l]->streams[s];

			if (stream->fork_stale && stream->rtp && stream->state == STREAM_RELAYED)
				return true;
		}
	}
	return false;
}

void session_table_tick(struct session_table *table, const struct session_time *now)
{
	struct list *node, *after;

	list_each_safe (node, after, &table->sessions) {
		struct session *session = list_entry(node, struct session, node);

		if (session_is_over(table, session, now)) {
			bool wanted = session->delete_mono_ns != 0;

			if (!wanted)
				log_info("session %s deleted: no media", session->call_id);
			session_delete(table, session, wanted ? SESSION_DELETED : SESSION_TIMED_OUT,
				       now);
			continue;
		}
		if (session->recording && session->recording->active && has_stale_stream(session)) {
			recording_update(table, session, now);
			session_publish(table, session);
		}
	}
	recording_tick(table, now);
	flow_table_reclaim(table->flows);
}
