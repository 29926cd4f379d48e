/*
 * From the model to the flow table: what each of a session's slots should hold, and the publishing
 * of what differs.
 *
 *   party A -> [A.slot  sink = B.slot ] ... [B.slot  remote = party B] -> party B
 *              [A.rtcp  sink = B.rtcp ]     with rtcp-mux on B's side the sink is B.slot
 */
#include "dataplane/session/recording.h"
#include "dataplane/session/session.h"

#include <errno.h>

static const struct stream *stream_opposite(const struct leg *leg, const struct stream *stream)
{
	const struct leg *peer = leg->peer;

	if (!peer || stream->index >= peer->streams_count)
		return NULL;
	return peer->streams[stream->index]->state == STREAM_RELAYED ? peer->streams[stream->index]
								     : NULL;
}

static uint32_t stream_rtcp_out(const struct stream *stream)
{
	return stream->mux || !stream->rtp ? stream->slot : stream->rtcp_slot;
}

static void conf_sinks(const struct leg *leg, const struct stream *stream, struct flow_conf *conf)
{
	const struct stream *opposite = stream_opposite(leg, stream);

	conf->sink = FLOW_NONE;
	conf->rtcp_sink = FLOW_NONE;
	if (leg->echo == LEG_ECHO) {
		conf->sink = stream->slot; /* its own reports are not for a sender to read */
	} else if (leg->echo == LEG_RELAY && opposite) {
		conf->sink = opposite->slot;
		conf->rtcp_sink = stream_rtcp_out(opposite);
	}
}

/* What both flows of a stream have in common. */
static void conf_of_stream(const struct session *session, const struct leg *leg,
			   const struct stream *stream, struct flow_conf *conf)
{
	const struct recording *recording = session->recording;

	*conf = (struct flow_conf){.worker = session->worker,
				   .local = {stream->address->address, stream->port},
				   .latch_epoch = stream->latch_epoch,
				   .dscp = leg->tos >> 2,
				   .clock_rate = stream->codecs_count ? stream->codecs[0].rate : 0};
	conf_sinks(leg, stream, conf);
	if (!leg->asymmetric) {
		conf->flags |= FLOW_LATCH;
		if (!leg->media_handover)
			conf->flags |= FLOW_STRICT_SOURCE;
	}
	if (recording && recording->active && stream->fork_stream != STREAM_NO_FORK &&
	    !stream->fork_stale) {
		conf->flags |= FLOW_FORK;
		conf->recording = recording->number;
		conf->fork_stream = stream->fork_stream;
		conf->fork_leg = (uint16_t)leg->number;
	}
}

static bool conf_equal(const struct flow_conf *a, const struct flow_conf *b)
{
	return a->sink == b->sink && a->rtcp_sink == b->rtcp_sink && a->kind == b->kind &&
	       a->worker == b->worker && a->flags == b->flags &&
	       endpoint_equal(&a->local, &b->local) && endpoint_equal(&a->remote, &b->remote) &&
	       a->latch_epoch == b->latch_epoch && a->dscp == b->dscp &&
	       a->recording == b->recording && a->fork_stream == b->fork_stream &&
	       a->fork_leg == b->fork_leg && a->clock_rate == b->clock_rate;
}

static int publish_conf(struct session_table *table, const struct flow_conf *conf, bool *published)
{
	const struct flow_conf *before =
		*published ? flow_table_conf(table->flows, conf->slot) : NULL;
	int rc;

	if (before && conf_equal(before, conf))
		return 0;
	rc = flow_table_publish(table->flows, conf);
	if (rc != 0) {
		table->counters.refused_flows++;
		return rc;
	}
	*published = true;
	return 0;
}

static int publish_stream(struct session_table *table, const struct session *session,
			  const struct leg *leg, struct stream *stream)
{
	struct flow_conf conf;
	int rc;

	conf_of_stream(session, leg, stream, &conf);
	conf.slot = stream->slot;
	conf.remote = stream->remote;
	if (!stream->rtp)
		conf.kind = FLOW_RAW;
	else
		conf.kind = stream->mux || stream->mux_offered ? FLOW_MUX : FLOW_RTP;
	rc = publish_conf(table, &conf, &stream->published);
	if (rc != 0)
		return rc;
	if (stream->mux || !stream->rtp) {
		if (stream->rtcp_published)
			flow_table_retire(table->flows, stream->rtcp_slot);
		stream->rtcp_published = false;
		return 0;
	}
	conf.slot = stream->rtcp_slot;
	conf.local.port++;
	conf.remote = stream->remote_rtcp;
	conf.kind = FLOW_RTCP;
	conf.sink = FLOW_NONE;
	return publish_conf(table, &conf, &stream->rtcp_published);
}

int session_publish(struct session_table *table, struct session *session)
{
	int first = 0;

	for (uint32_t l = 0; l < session->legs_count; l++) {
		struct leg *leg = session->legs[l];

		for (uint32_t s = 0; s < leg->streams_count; s++) {
			int rc = 0;

			if (leg->streams[s]->state == STREAM_RELAYED)
				rc = publish_stream(table, session, leg, leg->streams[s]);
			if (first == 0)
				first = rc;
		}
	}
	return first;
}
