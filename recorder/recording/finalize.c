/* Building the file of one recording: collect, place, mix, count. */
#include "recorder/recording/finalize.h"
#include "recorder/recording/mixdown.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAMS_MAX  64
#define CODECS_MAX   256
#define PT_COUNT     128
#define RATE_MIN_HZ  8000
#define RATE_MAX_HZ  48000
#define NS_PER_SEC   UINT64_C(1000000000)
#define TEXT_MAX     128
#define CODEC_UNSEEN UINT16_MAX

struct stream {
	bool described;
	bool audio;
	bool has_totals;
	uint32_t leg;
	char label[TEXT_MAX];
	char tag[TEXT_MAX];
	char type[TEXT_MAX];
	uint16_t codec_of_pt[PT_COUNT];
	uint16_t codec_first; /* of the first packet, for the receipt */
	struct td_fork_totals totals;
	uint32_t overrun;
	struct timeline_packet *packets;
	size_t packets_count;
	size_t packets_size;
	uint64_t rtcp;
	struct timeline_summary timeline;
	size_t track_first, track_end;
};

struct collection {
	struct stream *streams[STREAMS_MAX];
	struct codec codecs[CODECS_MAX];
	uint32_t codecs_count;
	struct segment_log_reader *reader;
	uint64_t unreadable;
	uint64_t surplus; /* packets of streams that found no place */
	struct mixdown_track *tracks;
	size_t tracks_count;
};

/* ---- collecting ---- */

static uint16_t codec_index(struct collection *all, struct codec codec)
{
	for (uint32_t k = 0; k < all->codecs_count; k++) {
		const struct codec *known = &all->codecs[k];

		if (known->kind == codec.kind && known->clock_hz == codec.clock_hz &&
		    known->sample_hz == codec.sample_hz && known->channels == codec.channels)
			return (uint16_t)k;
	}
	if (all->codecs_count == CODECS_MAX)
		return 0; /* the unknown one, see collection_init */
	all->codecs[all->codecs_count] = codec;
	return (uint16_t)all->codecs_count++;
}

static struct stream *stream_get(struct collection *all, const struct td_fork_record *record)
{
	struct stream *stream;

	if (record->stream >= STREAMS_MAX)
		return NULL;
	stream = all->streams[record->stream];
	if (stream)
		return stream;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	stream->audio = true;
	stream->leg = record->leg;
	stream->codec_first = CODEC_UNSEEN;
	for (uint32_t pt = 0; pt < PT_COUNT; pt++)
		stream->codec_of_pt[pt] = codec_index(all, codec_from_payload_type((uint8_t)pt));
	all->streams[record->stream] = stream;
	return stream;
}

static void text_copy(char out[TEXT_MAX], const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(out, TEXT_MAX, "%s", text ? text : "");
	/* cut at a character, not inside one: what goes out is JSON again */
	for (size_t n = strlen(out);
	     n > 0 && text && strlen(text) >= TEXT_MAX && (out[n - 1] & 0x80);)
		out[--n] = '\0';
}

static void stream_describe(struct collection *all, const struct td_fork_record *record,
			    const uint8_t *payload)
{
	json_t *description = json_loadb((const char *)payload, record->payload_len, 0, NULL);
	struct stream *stream = stream_get(all, record);
	json_t *codec;
	size_t k;

	if (!stream || !json_is_object(description)) {
		json_decref(description);
		return;
	}
	stream->described = true;
	stream->leg = record->leg;
	text_copy(stream->label, description, "label");
	text_copy(stream->tag, description, "tag");
	text_copy(stream->type, description, "type");
	stream->audio = stream->type[0] == '\0' || strcmp(stream->type, "audio") == 0;
	json_array_foreach(json_object_get(description, "codecs"), k, codec)
	{
		const char *name = json_string_value(json_object_get(codec, "name"));
		json_int_t pt = json_integer_value(json_object_get(codec, "pt"));
		json_int_t rate = json_integer_value(json_object_get(codec, "rate"));
		json_int_t channels = json_integer_value(json_object_get(codec, "channels"));

		if (!name || pt < 0 || pt >= PT_COUNT || rate < 0 || rate > INT32_MAX ||
		    channels < 0 || channels > INT32_MAX)
			continue;
		stream->codec_of_pt[pt] =
			codec_index(all, codec_from_name(name, (uint32_t)rate, (uint32_t)channels));
	}
	json_decref(description);
}

static void packet_collect(struct collection *all, uint64_t position,
			   const struct td_fork_record *record)
{
	struct stream *stream = stream_get(all, record);
	const struct codec *codec;
	uint16_t index;

	if (stream && stream->packets_count == stream->packets_size) {
		size_t size = stream->packets_size ? stream->packets_size * 2 : 1024;
		struct timeline_packet *packets = realloc(stream->packets, size * sizeof(*packets));

		if (packets) {
			stream->packets = packets;
			stream->packets_size = size;
		} else {
			stream = NULL;
		}
	}
	if (!stream) {
		all->surplus++;
		return;
	}
	index = stream->codec_of_pt[record->pt & (PT_COUNT - 1)];
	codec = &all->codecs[index];
	if (stream->codec_first == CODEC_UNSEEN && codec->sample_hz > 0)
		stream->codec_first = index;
	if (record->overrun > stream->overrun)
		stream->overrun = record->overrun;
	stream->packets[stream->packets_count++] = (struct timeline_packet){
		.position = position,
		.arrival_ns = record->arrival_ns,
		.ssrc = record->ssrc,
		.ts = record->ts,
		.clock_hz = codec->clock_hz,
		.seq = record->seq,
		.codec = index,
		.audible = codec->kind != CODEC_SILENT,
	};
}

static void record_collect(struct collection *all, uint64_t position,
			   const struct td_fork_record *record, const uint8_t *payload)
{
	struct stream *stream;

	switch (record->type) {
	case TD_FORK_STREAM:
		stream_describe(all, record, payload);
		break;
	case TD_FORK_PACKET:
		packet_collect(all, position, record);
		break;
	case TD_FORK_RTCP:
		stream = stream_get(all, record);
		if (stream)
			stream->rtcp++;
		break;
	case TD_FORK_STREAM_END:
		stream = stream_get(all, record);
		if (stream && record->payload_len >= sizeof(stream->totals)) {
			memcpy(&stream->totals, payload, sizeof(stream->totals));
			stream->has_totals = true;
		}
		break;
	default:
		break;
	}
}

static int record_read(struct collection *all, uint64_t position, struct td_fork_record *record,
		       const uint8_t **payload)
{
	struct segment_log_entry entry;
	struct spool_fork from;

	segment_log_reader_seek(all->reader, position);
	if (segment_log_reader_next(all->reader, &entry) != 1 || entry.position != position ||
	    entry.type != SPOOL_FORK)
		return -EBADMSG;
	return spool_fork_parse(entry.payload, entry.payload_len, &from, record, payload);
}

static void records_collect(struct collection *all, const struct recording *recording)
{
	struct position_walk walk = {0};
	uint64_t position;

	while ((position = position_index_next(&recording->index, &walk))) {
		struct td_fork_record record;
		const uint8_t *payload;

		if (record_read(all, position, &record, &payload) < 0)
			all->unreadable++;
		else
			record_collect(all, position, &record, payload);
	}
}

/* ---- placing ---- */

static int stream_place(struct collection *all, struct stream *stream, uint64_t started_ns)
{
	struct mixdown_track *tracks;
	size_t end, from = 0;
	int error = timeline_build(stream->packets, stream->packets_count, started_ns,
				   &stream->timeline);

	if (error)
		return error;
	tracks = realloc(all->tracks,
			 (all->tracks_count + stream->timeline.sources + 1) * sizeof(*tracks));
	if (!tracks)
		return -ENOMEM;
	all->tracks = tracks;
	stream->track_first = all->tracks_count;
	end = stream->packets_count - stream->timeline.surplus;
	while (from < end) {
		struct mixdown_track *track = &tracks[all->tracks_count++];

		*track = (struct mixdown_track){.packets = stream->packets + from,
						.channel = stream->leg};
		while (from < end && stream->packets[from].source == track->packets[0].source) {
			track->count++;
			from++;
		}
	}
	stream->track_end = all->tracks_count;
	return 0;
}

static int streams_place(struct collection *all, const struct recording *recording,
			 struct finalize_result *result)
{
	result->channels = 1;
	result->rate_hz = RATE_MIN_HZ;
	for (uint32_t k = 0; k < STREAMS_MAX; k++) {
		struct stream *stream = all->streams[k];
		int error;

		if (!stream || !stream->audio || stream->leg >= WAV_CHANNELS_MAX)
			continue;
		if (stream->leg + 1 > result->channels)
			result->channels = stream->leg + 1;
		for (size_t p = 0; p < stream->packets_count; p++) {
			uint32_t rate_hz = all->codecs[stream->packets[p].codec].sample_hz;

			if (rate_hz > result->rate_hz)
				result->rate_hz = rate_hz;
		}
		error = stream_place(all, stream, recording->started_ns);
		if (error)
			return error;
	}
	if (result->rate_hz > RATE_MAX_HZ)
		result->rate_hz = RATE_MAX_HZ;
	return 0;
}

/* ---- writing ---- */

static int payload_fetch(void *arg, uint64_t position, const uint8_t **payload, uint32_t *n)
{
	struct td_fork_record record;
	int error = record_read(arg, position, &record, payload);

	*n = error ? 0 : record.payload_len;
	return error;
}

static int file_write(struct collection *all, const struct recording *recording, const char *path,
		      struct finalize_result *result)
{
	uint64_t duration_ns = recording->ended_ns > recording->started_ns
				       ? recording->ended_ns - recording->started_ns
				       : 0;
	struct mixdown mixdown = {
		.codecs = all->codecs,
		.tracks = all->tracks,
		.tracks_count = all->tracks_count,
		.channels = result->channels,
		.fetch = payload_fetch,
		.fetch_arg = all,
	};
	uint64_t most = wav_frames_max(result->channels);
	struct wav_writer *wav;
	int error;

	/* a file has room for 4 GiB: rather a lower rate than a missing end */
	for (uint32_t lower = 16000; lower >= RATE_MIN_HZ; lower /= 2) {
		if (duration_ns / NS_PER_SEC * result->rate_hz >= most && lower < result->rate_hz)
			result->rate_hz = lower;
	}
	if (duration_ns / NS_PER_SEC >= most / result->rate_hz)
		duration_ns = most / result->rate_hz * NS_PER_SEC;
	result->duration_ms = duration_ns / 1000000;
	mixdown.rate_hz = result->rate_hz;
	mixdown.frames = duration_ns / NS_PER_SEC * result->rate_hz +
			 duration_ns % NS_PER_SEC * result->rate_hz / NS_PER_SEC;
	error = wav_create(&wav, path, result->rate_hz, result->channels, mixdown.frames);
	if (error)
		return error;
	error = mixdown_run(&mixdown, wav);
	if (!error)
		error = wav_finish(wav, &result->sums);
	wav_destroy(wav);
	return error;
}

/* ---- counting ---- */

static const char *codec_kind_name(const struct collection *all, uint16_t index)
{
	static const char *const names[] = {"unknown", "PCMU", "PCMA",  "G722",
					    "L16",     "opus", "silent"};

	return index == CODEC_UNSEEN ? "none" : names[all->codecs[index].kind];
}

static json_t *packets_json(const struct finalize_packets *packets)
{
	return json_pack("{sI sI sI sI sI sI}", "received", (json_int_t)packets->received,
			 "written", (json_int_t)packets->written, "lost", (json_int_t)packets->lost,
			 "overrun", (json_int_t)packets->overrun, "duplicate",
			 (json_int_t)packets->duplicate, "undecoded",
			 (json_int_t)packets->undecoded);
}

static void stream_count(const struct collection *all, uint32_t number,
			 struct finalize_result *result)
{
	const struct stream *stream = all->streams[number];
	struct finalize_packets packets = {.duplicate = stream->timeline.duplicates};
	uint64_t gaps = 0, gap_ns = 0;
	json_t *object;

	packets.received = stream->packets_count + stream->overrun;
	if (stream->has_totals && stream->totals.packets > stream->packets_count)
		packets.received = stream->totals.packets;
	packets.overrun = packets.received - stream->packets_count;
	for (size_t k = stream->track_first; k < stream->track_end; k++) {
		packets.written += all->tracks[k].written;
		gaps += all->tracks[k].gaps;
		gap_ns += all->tracks[k].gap_ns;
	}
	packets.undecoded = stream->packets_count - packets.duplicate - packets.written;
	packets.lost = stream->timeline.lost > packets.overrun
			       ? stream->timeline.lost - packets.overrun
			       : 0;
	object = json_pack("{sI sI ss ss ss ss sI sI sI sI sI so}", "stream", (json_int_t)number,
			   "leg", (json_int_t)stream->leg, "type",
			   stream->type[0] ? stream->type : "audio", "label", stream->label, "tag",
			   stream->tag, "codec", codec_kind_name(all, stream->codec_first), "ssrcs",
			   (json_int_t)stream->timeline.sources, "rtcp", (json_int_t)stream->rtcp,
			   "gaps", (json_int_t)gaps, "gap_ms", (json_int_t)(gap_ns / 1000000),
			   "jumps", (json_int_t)stream->timeline.jumps, "packets",
			   packets_json(&packets));
	if (object)
		json_array_append_new(result->streams, object);
	result->packets.received += packets.received;
	result->packets.written += packets.written;
	result->packets.lost += packets.lost;
	result->packets.overrun += packets.overrun;
	result->packets.duplicate += packets.duplicate;
	result->packets.undecoded += packets.undecoded;
}

static void key_make(const struct recording *recording, char key[FINALIZE_KEY_MAX])
{
	time_t started = (time_t)(recording->started_ns / NS_PER_SEC);
	struct tm utc;
	char day[16] = "1970/01/01";

	/* RFC 3339's four digits of year: later ones cannot come out of a clock */
	if (gmtime_r(&started, &utc) && utc.tm_year < 9999 - 1900)
		strftime(day, sizeof(day), "%Y/%m/%d", &utc);
	snprintf(key, FINALIZE_KEY_MAX, "%s/%s.wav", day, recording->id);
}

int finalize_run(const struct recording *recording, const struct segment_log *spool,
		 const char *path, struct finalize_result *result)
{
	struct collection *all = calloc(1, sizeof(*all));
	int error;

	*result = (struct finalize_result){.streams = json_array()};
	if (!all || !result->streams) {
		free(all);
		return -ENOMEM;
	}
	codec_index(all, (struct codec){.clock_hz = RATE_MIN_HZ, .channels = 1});
	error = segment_log_reader_open(&all->reader, spool, NULL, recording->first_position);
	if (!error) {
		records_collect(all, recording);
		error = streams_place(all, recording, result);
	}
	if (!error)
		error = file_write(all, recording, path, result);
	for (uint32_t k = 0; k < STREAMS_MAX; k++) {
		if (all->streams[k]) {
			if (!error)
				stream_count(all, k, result);
			free(all->streams[k]->packets);
			free(all->streams[k]);
		}
	}
	result->packets.received += all->surplus;
	result->packets.undecoded += all->surplus;
	result->unreadable = all->unreadable;
	key_make(recording, result->key);
	segment_log_reader_close(all->reader);
	free(all->tracks);
	free(all);
	return error;
}
