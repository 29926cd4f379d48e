/* Start, description and end of a session's recording. */
#include "dataplane/session/recording.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/session/json.h"
#include "dataplane/session/port.h"

#include <errno.h>
#include <stdio.h>

bool recording_id_is_sound(struct sdp_span id)
{
	if (id.len == 0 || id.len > SESSION_RECORDING_ID)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}

static struct recording *recording_of(struct session_table *table, struct session *session)
{
	struct recording *recording = session->recording;

	if (recording)
		return recording;
	if (list_is_empty(&table->free_recordings))
		return NULL;
	recording = list_entry(table->free_recordings.next, struct recording, node);
	list_remove(&recording->node);
	memset(recording, 0, sizeof(*recording));
	list_init(&recording->node);
	session->recording = recording;
	return recording;
}

int recording_set_metadata(struct session_table *table, struct session *session,
			   struct sdp_span metadata)
{
	struct recording *recording;

	if (metadata.len > SESSION_METADATA_MAX)
		return -ENAMETOOLONG;
	recording = recording_of(table, session);
	if (!recording)
		return -ENOSPC;
	span_store(recording->metadata, sizeof(recording->metadata), metadata);
	return 0;
}

static int post_start(struct session_table *table, const struct session *session)
{
	const struct recording *recording = session->recording;
	struct fork_command command = {.type = TD_FORK_START,
				       .recording = recording->number,
				       .time_ns = recording->started_real_ns};
	struct json json;

	json_begin(&json, table->text, sizeof(table->text));
	json_open(&json, NULL, '{');
	json_text(&json, "recording_id", recording->id, strlen(recording->id));
	json_text(&json, "call_id", session->call_id, strlen(session->call_id));
	json_text(&json, "metadata", recording->metadata, strlen(recording->metadata));
	json_integer(&json, "started_ns", (int64_t)recording->started_real_ns);
	json_close(&json, '}');
	command.payload = json.text;
	command.payload_len = (uint32_t)json.n;
	return json.full ? -EMSGSIZE : flow_table_fork(table->flows, session->worker, &command);
}

static void describe_codec(struct json *json, const struct stream_codec *codec)
{
	json_open(json, NULL, '{');
	json_integer(json, "pt", codec->pt);
	json_text(json, "name", codec->name, strlen(codec->name));
	json_integer(json, "rate", codec->rate);
	json_integer(json, "channels", codec->channels);
	json_text(json, "fmtp", codec->fmtp, strlen(codec->fmtp));
	json_close(json, '}');
}

static const struct stream *opposite_of(const struct leg *leg, const struct stream *stream)
{
	const struct leg *peer = leg->peer;

	return peer && stream->index < peer->streams_count ? peer->streams[stream->index] : NULL;
}

/* What a party sends has the payload types that the other one has stated (RFC 3264 5.1); those that
 * only it has stated itself come behind, for senders that do not keep to that. */
static void describe_codecs(struct json *json, const struct stream *stream,
			    const struct stream *opposite)
{
	bool stated[128] = {false};

	json_open(json, "codecs", '[');
	for (uint32_t i = 0; opposite && i < opposite->codecs_count; i++) {
		stated[opposite->codecs[i].pt & 0x7f] = true;
		describe_codec(json, &opposite->codecs[i]);
	}
	for (uint32_t i = 0; i < stream->codecs_count; i++) {
		if (!stated[stream->codecs[i].pt & 0x7f])
			describe_codec(json, &stream->codecs[i]);
	}
	json_close(json, ']');
}

static int post_stream(struct session_table *table, const struct session *session,
		       const struct leg *leg, const struct stream *stream,
		       const struct session_time *now)
{
	const struct stream *opposite = opposite_of(leg, stream);
	uint32_t ptime_ms = opposite && opposite->ptime_ms ? opposite->ptime_ms : stream->ptime_ms;
	const char *type = stream->type[0] || !opposite ? stream->type : opposite->type;
	struct fork_command command = {.type = TD_FORK_STREAM,
				       .leg = (uint16_t)leg->number,
				       .stream = stream->fork_stream,
				       .recording = session->recording->number,
				       .time_ns = now->real_ns};
	struct json json;

	json_begin(&json, table->text, sizeof(table->text));
	json_open(&json, NULL, '{');
	json_integer(&json, "leg", leg->number);
	json_integer(&json, "media", stream->index);
	json_text(&json, "tag", leg->tag, strlen(leg->tag));
	json_text(&json, "label", leg->label, strlen(leg->label));
	json_text(&json, "type", type, strlen(type));
	describe_codecs(&json, stream, opposite);
	json_integer(&json, "ptime_ms", ptime_ms ? ptime_ms : 20);
	json_close(&json, '}');
	command.payload = json.text;
	command.payload_len = (uint32_t)json.n;
	return json.full ? -EMSGSIZE : flow_table_fork(table->flows, session->worker, &command);
}

int recording_start(struct session_table *table, struct session *session, struct sdp_span id,
		    const struct session_time *now)
{
	struct recording *recording = recording_of(table, session);
	int rc;

	if (!recording) {
		table->counters.recordings_refused++;
		return -ENOSPC;
	}
	if (recording->active)
		return 0;
	if (id.len > 0) {
		if (!recording_id_is_sound(id))
			return -EINVAL;
		span_store(recording->id, sizeof(recording->id), id);
	} else {
		uuid7_make(now->real_ns, recording->id);
	}
	recording->number = ++table->next_recording;
	recording->started_real_ns = now->real_ns;
	recording->worker = session->worker;
	recording->slots_count = 0;
	rc = post_start(table, session);
	if (rc != 0) {
		table->counters.recordings_refused++;
		return rc;
	}
	recording->active = true;
	table->counters.recordings++;
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			session->legs[l]->streams[s]->fork_stream = STREAM_NO_FORK;
			session->legs[l]->streams[s]->fork_stale = true;
		}
	}
	recording_update(table, session, now);
	return 0;
}

/* A stream gets its number when it is first seen, and a new one when its ports have changed. */
static bool number_stream(struct recording *recording, const struct leg *leg, struct stream *stream)
{
	uint32_t number = recording->slots_count;

	if (stream->fork_stream != STREAM_NO_FORK)
		return true;
	if (number == FLOW_FORK_STREAMS_MAX)
		return false;
	recording->slots[number] = (struct fork_slot){
		.slot = stream->slot, .stream = number, .leg = (uint16_t)leg->number};
	recording->held[number].port = 0;
	recording->slots_count++;
	stream->fork_stream = number;
	return true;
}

void recording_update(struct session_table *table, struct session *session,
		      const struct session_time *now)
{
	if (!session->recording || !session->recording->active)
		return;
	for (uint32_t l = 0; l < session->legs_count; l++) {
		const struct leg *leg = session->legs[l];

		for (uint32_t s = 0; s < leg->streams_count; s++) {
			struct stream *stream = leg->streams[s];

			/* A leg that has not answered yet has no codecs; its packets wait for them.
			 */
			if (stream->state != STREAM_RELAYED || !stream->rtp || !stream->fork_stale)
				continue;
			if (number_stream(session->recording, leg, stream) &&
			    post_stream(table, session, leg, stream, now) == 0)
				stream->fork_stale = false;
		}
	}
}

bool recording_hold_port(struct session *session, const struct stream *stream)
{
	struct recording *recording = session->recording;

	if (!recording || !recording->active || stream->fork_stream == STREAM_NO_FORK)
		return false;
	recording->held[stream->fork_stream].address = stream->address->index;
	recording->held[stream->fork_stream].port = stream->port;
	return true;
}

/* ---- the end ---- */

static int post_end(struct session_table *table, struct recording *recording)
{
	char payload[48];
	struct fork_command command = {.type = TD_FORK_END,
				       .recording = recording->number,
				       .time_ns = recording->ended_real_ns,
				       .payload = payload,
				       .slots_count = recording->slots_count};

	snprintf(payload, sizeof(payload), "{\"reason\":\"%s\"}", recording->reason);
	command.payload_len = (uint32_t)strlen(payload);
	memcpy(command.slots, recording->slots, recording->slots_count * sizeof(command.slots[0]));
	return flow_table_fork(table->flows, recording->worker, &command);
}

static void release_held(struct session_table *table, struct recording *recording,
			 const struct session_time *now)
{
	for (uint32_t i = 0; i < recording->slots_count; i++) {
		if (recording->held[i].port != 0)
			port_pool_put(table->ports, recording->held[i].address,
				      recording->held[i].port, now->mono_ns);
	}
	recording->slots_count = 0;
}

void recording_stop(struct session_table *table, struct session *session, const char *reason,
		    const struct session_time *now)
{
	struct recording *recording = session->recording;

	if (!recording || !recording->active)
		return;
	recording->active = false;
	session_publish(table, session);
	snprintf(recording->reason, sizeof(recording->reason), "%s", reason);
	recording->ended_real_ns = now->real_ns;
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++)
			session->legs[l]->streams[s]->fork_stream = STREAM_NO_FORK;
	}
	if (post_end(table, recording) == 0) {
		release_held(table, recording, now);
		return;
	}
	log_warn("recording %s: its end waits for room in the worker's queue", recording->id);
	list_append(&table->ending_recordings, &recording->node);
	session->recording = NULL;
}

void recording_forget(struct session_table *table, struct session *session)
{
	if (!session->recording)
		return;
	list_append(&table->free_recordings, &session->recording->node);
	session->recording = NULL;
}

void recording_tick(struct session_table *table, const struct session_time *now)
{
	struct list *node, *after;

	list_each_safe (node, after, &table->ending_recordings) {
		struct recording *recording = list_entry(node, struct recording, node);

		if (post_end(table, recording) != 0)
			continue;
		release_held(table, recording, now);
		list_remove(&recording->node);
		list_append(&table->free_recordings, &recording->node);
	}
}
