/* Describing sessions and the table in ng dictionaries. */
#include "dataplane/session/query.h"

#include "dataplane/base/clock.h"
#include "dataplane/session/port.h"
#include "dataplane/session/recording.h"

#include <inttypes.h>
#include <stdio.h>

/* Keys of a dictionary must outlive the message, so those that are ours to lose are copied. */
static const char *key_copy(struct ng_arena *arena, const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = ng_arena_alloc(arena, n);

	return copy ? memcpy(copy, text, n) : "";
}

static void put_stats(struct ng_arena *arena, struct ng_value *to, const char *key,
		      const struct session_totals *totals)
{
	struct ng_value *stats = ng_put_dict(arena, to, key);

	ng_put_integer(arena, stats, "packets", (int64_t)totals->packets);
	ng_put_integer(arena, stats, "bytes", (int64_t)totals->bytes);
	ng_put_integer(arena, stats, "errors", (int64_t)totals->errors);
}

static void put_endpoint(struct ng_arena *arena, struct ng_value *to, const char *key,
			 const struct endpoint *endpoint)
{
	struct ng_value *dict = ng_put_dict(arena, to, key);
	char text[ADDRESS_TEXT_MAX];

	if (endpoint->port == 0)
		return;
	ng_put_string(arena, dict, "family", address_is_v4(&endpoint->address) ? "IPv4" : "IPv6");
	ng_put_string(arena, dict, "address", address_text(&endpoint->address, text));
	ng_put_integer(arena, dict, "port", endpoint->port);
}

/* One port: the RTP or the RTCP one of a stream. */
static void put_port(const struct session_table *table, const struct stream *stream, bool rtcp,
		     struct ng_arena *arena, struct ng_value *list)
{
	uint32_t slot = rtcp ? stream->rtcp_slot : stream->slot;
	struct flow_stats stats = flow_table_stats(table->flows, slot);
	struct ng_value *dict = ng_put_dict(arena, list, NULL);
	struct endpoint endpoint = {.port = 0};
	struct ng_value *flags;
	char text[ADDRESS_TEXT_MAX];
	struct session_totals totals = {stats.packets, stats.bytes, stats.dropped};

	ng_put_integer(arena, dict, "local port", stream->port + (rtcp ? 1 : 0));
	ng_put_string(arena, dict, "local address", address_text(&stream->address->address, text));
	ng_put_string(arena, dict, "family",
		      address_is_v4(&stream->address->address) ? "IPv4" : "IPv6");
	flow_table_remote(table->flows, slot, &endpoint);
	put_endpoint(arena, dict, "endpoint", &endpoint);
	put_endpoint(arena, dict, "advertised endpoint",
		     rtcp ? &stream->remote_rtcp : &stream->remote);
	ng_put_integer(arena, dict, "last packet", (int64_t)(stats.last_ns / NS_PER_S));
	flags = ng_put_list(arena, dict, "flags");
	if (!rtcp)
		ng_put_string(arena, flags, NULL, "RTP");
	if (rtcp || stream->mux)
		ng_put_string(arena, flags, NULL, "RTCP");
	if (endpoint.port != 0)
		ng_put_string(arena, flags, NULL, "filled");
	if (totals.packets > 0) {
		ng_put_string(arena, flags, NULL, "confirmed");
		ng_put_integer(arena, dict, "SSRC", stats.ssrc);
	}
	put_stats(arena, dict, "stats", &totals);
}

/* The codec of the last packet, as "PCMU/8000". */
static void put_codec(const struct session_table *table, const struct stream *stream,
		      struct ng_arena *arena, struct ng_value *media)
{
	struct flow_stats stats = flow_table_stats(table->flows, stream->slot);
	uint32_t pt = stats.pt;
	char text[40];

	if (stats.packets == 0)
		return;
	for (uint32_t i = 0; i < stream->codecs_count; i++) {
		if (stream->codecs[i].pt != pt)
			continue;
		snprintf(text, sizeof(text), "%s/%u", stream->codecs[i].name,
			 stream->codecs[i].rate);
		ng_put_string(arena, media, "codec", text);
	}
}

static void put_media(const struct session_table *table, const struct leg *leg,
		      const struct stream *stream, struct ng_arena *arena, struct ng_value *list)
{
	struct ng_value *media = ng_put_dict(arena, list, NULL);
	struct ng_value *streams, *flags;

	ng_put_integer(arena, media, "index", stream->index + 1);
	ng_put_string(arena, media, "type", stream->type);
	ng_put_string(arena, media, "protocol", stream->proto);
	if (stream->state == STREAM_RELAYED)
		put_codec(table, stream, arena, media);
	streams = ng_put_list(arena, media, "streams");
	if (stream->state == STREAM_RELAYED && stream->published)
		put_port(table, stream, false, arena, streams);
	if (stream->state == STREAM_RELAYED && stream->rtcp_published)
		put_port(table, stream, true, arena, streams);
	flags = ng_put_list(arena, media, "flags");
	if (leg->answered)
		ng_put_string(arena, flags, NULL, "initialized");
	if (stream->mux)
		ng_put_string(arena, flags, NULL, "rtcp-mux");
	if (stream->direction == SDP_DIRECTION_SENDRECV ||
	    stream->direction == SDP_DIRECTION_RECVONLY)
		ng_put_string(arena, flags, NULL, "send");
	if (stream->direction == SDP_DIRECTION_SENDRECV ||
	    stream->direction == SDP_DIRECTION_SENDONLY)
		ng_put_string(arena, flags, NULL, "recv");
}

static void put_subscription(struct ng_arena *arena, struct ng_value *list, const struct leg *peer)
{
	struct ng_value *dict = ng_put_dict(arena, list, NULL);

	ng_put_string(arena, dict, "tag", peer->tag);
	ng_put_string(arena, dict, "type", "offer/answer");
}

static void put_leg(const struct session_table *table, const struct leg *leg,
		    struct ng_arena *arena, struct ng_value *tags)
{
	struct ng_value *dict, *list;
	char unnamed[32];

	snprintf(unnamed, sizeof(unnamed), "<untagged %u>", leg->number);
	dict = ng_put_dict(arena, tags, key_copy(arena, leg->tag[0] ? leg->tag : unnamed));
	ng_put_string(arena, dict, "tag", leg->tag);
	if (leg->label[0])
		ng_put_string(arena, dict, "label", leg->label);
	if (leg->via_branch[0])
		ng_put_string(arena, dict, "via-branch", leg->via_branch);
	ng_put_integer(arena, dict, "created", (int64_t)(leg->created_real_ns / NS_PER_S));
	if (leg->peer && leg->peer->tag[0])
		ng_put_string(arena, dict, "in dialogue with", leg->peer->tag);
	list = ng_put_list(arena, dict, "subscriptions");
	if (leg->peer)
		put_subscription(arena, list, leg->peer);
	list = ng_put_list(arena, dict, "subscribers");
	for (uint32_t l = 0; l < leg->session->legs_count; l++) {
		if (leg->session->legs[l]->peer == leg)
			put_subscription(arena, list, leg->session->legs[l]);
	}
	list = ng_put_list(arena, dict, "medias");
	for (uint32_t s = 0; s < leg->streams_count; s++)
		put_media(table, leg, leg->streams[s], arena, list);
}

/* What arrived of one source, keyed by its SSRC. Jitter in milliseconds, loss in percent. */
static void put_source(const struct session_table *table, const struct stream *stream,
		       struct ng_arena *arena, struct ng_value *sources)
{
	struct flow_stats stats = flow_table_stats(table->flows, stream->slot);
	uint64_t packets = stats.packets, lost = stats.lost;
	uint32_t rate =
		stream->codecs_count && stream->codecs[0].rate ? stream->codecs[0].rate : 8000;
	uint64_t jitter_ts = stats.jitter_ts;
	struct ng_value *source, *average;
	char key[16];

	if (packets == 0)
		return;
	snprintf(key, sizeof(key), "%u", stats.ssrc);
	source = ng_put_dict(arena, sources, key_copy(arena, key));
	ng_put_integer(arena, source, "packets", (int64_t)packets);
	ng_put_integer(arena, source, "bytes", (int64_t)stats.bytes);
	ng_put_integer(arena, source, "packets lost", (int64_t)lost);
	ng_put_integer(arena, source, "duplicates", (int64_t)stats.duplicates);
	ng_put_integer(arena, source, "last RTP payload type", stats.pt);
	average = ng_put_dict(arena, source, "average MOS");
	ng_put_integer(arena, average, "samples", 0); /* no MOS: it takes RTCP's round trip */
	ng_put_integer(arena, average, "jitter", (int64_t)(jitter_ts * 1000 / rate));
	ng_put_integer(arena, average, "packet loss", (int64_t)(lost * 100 / (packets + lost)));
}

void query_session(const struct session_table *table, const struct session *session,
		   struct ng_arena *arena, struct ng_value *reply)
{
	struct session_totals rtp, rtcp;
	struct ng_value *dict;

	ng_put_integer(arena, reply, "created", (int64_t)(session->created_real_ns / NS_PER_S));
	ng_put_integer(arena, reply, "created_us",
		       (int64_t)(session->created_real_ns % NS_PER_S / 1000));
	ng_put_integer(arena, reply, "last signal",
		       (int64_t)(session->signalled_real_ns / NS_PER_S));
	if (session->recording && session->recording->active)
		ng_put_string(arena, reply, "recording-id", session->recording->id);
	dict = ng_put_dict(arena, reply, "SSRC");
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			if (session->legs[l]->streams[s]->published)
				put_source(table, session->legs[l]->streams[s], arena, dict);
		}
	}
	dict = ng_put_dict(arena, reply, "tags");
	for (uint32_t l = 0; l < session->legs_count; l++)
		put_leg(table, session->legs[l], arena, dict);
	session_totals(table, session, &rtp, &rtcp);
	dict = ng_put_dict(arena, reply, "totals");
	put_stats(arena, dict, "RTP", &rtp);
	put_stats(arena, dict, "RTCP", &rtcp);
}

void query_list(const struct session_table *table, int64_t limit, struct ng_arena *arena,
		struct ng_value *reply)
{
	struct ng_value *calls = ng_put_list(arena, reply, "calls");
	const struct list *node;

	list_each (node, &table->sessions) {
		if (limit-- <= 0)
			break;
		ng_put_string(arena, calls, NULL, list_entry(node, struct session, node)->call_id);
	}
}

/* ---- statistics ---- */

static void put_seconds(struct ng_arena *arena, struct ng_value *to, const char *key, uint64_t ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64 "000", ms / 1000, ms % 1000);
	ng_put_string(arena, to, key, text);
}

static void put_current(const struct session_table *table, struct ng_arena *arena,
			struct ng_value *to)
{
	struct ng_value *dict = ng_put_dict(arena, to, "currentstatistics");
	uint32_t recorded = 0;
	const struct list *node;

	list_each (node, &table->sessions) {
		const struct session *session = list_entry(node, struct session, node);

		recorded += session->recording && session->recording->active;
	}
	ng_put_integer(arena, dict, "sessionsown", table->sessions_count);
	ng_put_integer(arena, dict, "sessionsforeign", 0);
	ng_put_integer(arena, dict, "sessionstotal", table->sessions_count);
	ng_put_integer(arena, dict, "sessionsmax", table->config.sessions);
	ng_put_integer(arena, dict, "sessionspeak", table->sessions_peak);
	ng_put_integer(arena, dict, "sessionsrecorded", recorded);
	ng_put_integer(arena, dict, "flows", flow_table_in_use(table->flows));
	ng_put_integer(arena, dict, "transcodedmedia", 0);
}

static void put_total(const struct session_table *table, const struct session_time *now,
		      struct ng_arena *arena, struct ng_value *to)
{
	const struct session_counters *counters = &table->counters;
	struct ng_value *dict = ng_put_dict(arena, to, "totalstatistics");
	uint64_t ended = counters->deleted + counters->timed_out + counters->timed_out_offered;
	uint64_t packets = counters->packets, bytes = counters->bytes, errors = counters->errors;
	const struct list *node;
	char text[24];

	list_each (node, &table->sessions) {
		struct session_totals rtp, rtcp;

		session_totals(table, list_entry(node, struct session, node), &rtp, &rtcp);
		packets += rtp.packets + rtcp.packets;
		bytes += rtp.bytes + rtcp.bytes;
		errors += rtp.errors + rtcp.errors;
	}
	snprintf(text, sizeof(text), "%" PRIu64,
		 (now->real_ns - table->started_real_ns) / NS_PER_S);
	ng_put_string(arena, dict, "uptime", text);
	ng_put_integer(arena, dict, "managedsessions", (int64_t)ended);
	ng_put_integer(arena, dict, "rejectedsessions", (int64_t)counters->refused_limit);
	ng_put_integer(arena, dict, "timeoutsessions", (int64_t)counters->timed_out);
	ng_put_integer(arena, dict, "silenttimeoutsessions", 0);
	ng_put_integer(arena, dict, "finaltimeoutsessions", 0);
	ng_put_integer(arena, dict, "offertimeoutsessions", (int64_t)counters->timed_out_offered);
	ng_put_integer(arena, dict, "regularterminatedsessions", (int64_t)counters->deleted);
	ng_put_integer(arena, dict, "forcedterminatedsessions", 0);
	ng_put_integer(arena, dict, "relayedpackets", (int64_t)packets);
	ng_put_integer(arena, dict, "relayedpacketerrors", (int64_t)errors);
	ng_put_integer(arena, dict, "relayedbytes", (int64_t)bytes);
	ng_put_integer(arena, dict, "zerowaystreams", (int64_t)counters->zero_way);
	ng_put_integer(arena, dict, "onewaystreams", (int64_t)counters->one_way);
	ng_put_integer(arena, dict, "recordings", (int64_t)counters->recordings);
	ng_put_integer(arena, dict, "recordingsrefused", (int64_t)counters->recordings_refused);
	ng_put_integer(arena, dict, "portsexhausted", (int64_t)port_pool_exhausted(table->ports));
	ng_put_integer(arena, dict, "flowsrefused", (int64_t)counters->refused_flows);
	put_seconds(arena, dict, "avgcallduration", ended ? counters->duration_ms / ended : 0);
	put_seconds(arena, dict, "totalcallsduration", counters->duration_ms);
}

static void put_interface(const struct session_table *table,
			  const struct session_interface *interface, uint32_t index,
			  struct ng_arena *arena, struct ng_value *list)
{
	const struct session_address *address = &interface->addresses[index];
	uint32_t used = port_pool_used(table->ports, address->index) * 2;
	uint32_t all = port_pool_pairs(table->ports) * 2;
	struct ng_value *dict = ng_put_dict(arena, list, NULL);
	char text[ADDRESS_TEXT_MAX];
	struct ng_value *ports;

	ng_put_string(arena, dict, "name", interface->name);
	ng_put_string(arena, dict, "address", address_text(&address->address, text));
	ports = ng_put_dict(arena, dict, "ports");
	ng_put_integer(arena, ports, "min", table->config.port_min);
	ng_put_integer(arena, ports, "max", table->config.port_max);
	ng_put_integer(arena, ports, "used", used);
	ng_put_integer(arena, ports, "free", all - used);
	ng_put_integer(arena, ports, "totals", all);
}

struct drops_to {
	struct ng_arena *arena;
	struct ng_value *dict;
};

static void put_drop(void *to, const char *name, uint64_t count)
{
	struct drops_to *drops = to;

	ng_put_integer(drops->arena, drops->dict, name, (int64_t)count);
}

struct ng_value *query_statistics(const struct session_table *table, const struct session_time *now,
				  struct ng_arena *arena, struct ng_value *reply)
{
	struct ng_value *statistics = ng_put_dict(arena, reply, "statistics");
	struct ng_value *list;

	put_current(table, arena, statistics);
	put_total(table, now, arena, statistics);
	list = ng_put_list(arena, statistics, "interfaces");
	for (uint32_t i = 0; i < table->config.interfaces_count; i++) {
		const struct session_interface *interface = &table->config.interfaces[i];

		for (uint32_t a = 0; a < interface->addresses_count; a++)
			put_interface(table, interface, a, arena, list);
	}
	if (table->config.drops) {
		struct drops_to to = {arena, ng_put_dict(arena, statistics, "drops")};

		table->config.drops(table->config.drops_arg, put_drop, &to);
	}
	return statistics;
}
