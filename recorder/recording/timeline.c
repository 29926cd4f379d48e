/* Ordering the packets of a stream and placing them on the recording's time line. */
#include "recorder/recording/timeline.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define NS_PER_SECOND INT64_C(1000000000)
#define DROPOUT_MAX   3000                 /* sequence numbers ahead (RFC 3550 A.1) */
#define MISORDER_MAX  100                  /* sequence numbers behind (RFC 3550 A.1) */
#define PIECE_NS      (10 * NS_PER_SECOND) /* anchored anew at least this often */
#define LEAP_NS       (NS_PER_SECOND / 5)  /* RTP time and arrival apart by more are no jitter */
#define MOVE_MIN_NS   (NS_PER_SECOND / 50) /* smaller moves of the anchor are not made */
#define LINGER        25                   /* packets that must all be late to be called late */

/* Times come from packets: what a hostile one makes of them may wrap, and harms its own only. */
static int64_t ns_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t ns_sub(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

struct source {
	uint32_t ssrc;
	uint16_t seq;     /* highest so far */
	int64_t extended; /* of it */
};

/* Extended sequence number of the next arrival; a jump goes on right behind the highest. */
static int64_t source_extend(struct source *source, uint16_t seq)
{
	int16_t ahead = (int16_t)(uint16_t)(seq - source->seq);
	int64_t extended;

	if (ahead > -MISORDER_MAX && ahead <= 0)
		return source->extended + ahead;
	extended = source->extended + (ahead > 0 && ahead < DROPOUT_MAX ? ahead : 1);
	source->seq = seq;
	source->extended = extended;
	return extended;
}

/* Gives each packet source and extended number; packets of surplus sources get UINT16_MAX. */
static void packets_number(struct timeline_packet *packets, size_t count,
			   struct timeline_summary *summary)
{
	struct source sources[TIMELINE_SOURCES_MAX];
	uint32_t last = 0;

	for (size_t k = 0; k < count; k++) {
		struct timeline_packet *packet = &packets[k];
		uint32_t s = last;

		if (summary->sources == 0 || sources[s].ssrc != packet->ssrc) {
			for (s = 0; s < summary->sources && sources[s].ssrc != packet->ssrc; s++)
				;
		}
		packet->duplicate = false;
		packet->start_ns = 0;
		if (s == TIMELINE_SOURCES_MAX) {
			packet->source = UINT16_MAX;
			packet->extended = (int64_t)k;
			summary->surplus++;
			continue;
		}
		if (s == summary->sources) {
			sources[s] = (struct source){packet->ssrc, packet->seq, 0};
			summary->sources++;
		}
		packet->source = (uint16_t)s;
		packet->extended = source_extend(&sources[s], packet->seq);
		last = s;
	}
}

static int packet_order(const void *left, const void *right)
{
	const struct timeline_packet *a = left, *b = right;

	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	if (a->extended != b->extended)
		return a->extended < b->extended ? -1 : 1;
	if (a->arrival_ns != b->arrival_ns)
		return a->arrival_ns < b->arrival_ns ? -1 : 1;
	return a->position < b->position ? -1 : a->position > b->position;
}

static void source_count(struct timeline_packet *packets, size_t count,
			 struct timeline_summary *summary)
{
	for (size_t k = 1; k < count; k++) {
		int64_t step = packets[k].extended - packets[k - 1].extended;

		if (step > 1) {
			summary->lost += (uint64_t)step - 1;
		} else if (step == 0 && packets[k].ts == packets[k - 1].ts) {
			packets[k].duplicate = true;
			summary->duplicates++;
		}
	}
}

/* Delay of a packet against its RTP time, up to a constant. While a source is being placed,
 * start_ns holds its RTP time in ns. */
static int64_t packet_delay(const struct timeline_packet *packet)
{
	return ns_sub((int64_t)packet->arrival_ns, packet->start_ns);
}

/* RTP time along the source, from 0; begin[k] marks packets whose own clock says nothing about the
 * distance to the one before. */
static void rtp_time_fill(struct timeline_packet **chain, size_t count)
{
	chain[0]->start_ns = 0;
	for (size_t k = 1; k < count; k++) {
		const struct timeline_packet *before = chain[k - 1];
		int32_t ahead = (int32_t)(chain[k]->ts - before->ts);
		int64_t step = ahead * NS_PER_SECOND / (int64_t)chain[k]->clock_hz;

		if (chain[k]->clock_hz != before->clock_hz)
			step = (int64_t)(chain[k]->arrival_ns - before->arrival_ns);
		chain[k]->start_ns = ns_add(before->start_ns, step);
	}
}

static bool packets_stay_behind(struct timeline_packet **chain, size_t count, int64_t least)
{
	for (size_t k = 0; k < count && k < LINGER; k++) {
		if (ns_sub(packet_delay(chain[k]), least) <= LEAP_NS)
			return false;
	}
	return true;
}

/* Length of the piece that begins with chain[0]; *least gets the smallest delay in it. */
static size_t piece_measure(struct timeline_packet **chain, size_t count, int64_t *least)
{
	size_t k = 1;

	*least = packet_delay(chain[0]);
	for (; k < count; k++) {
		int64_t delay = packet_delay(chain[k]);

		if (ns_sub(chain[k]->start_ns, chain[0]->start_ns) >= PIECE_NS ||
		    ns_sub(packet_delay(chain[k - 1]), delay) > LEAP_NS ||
		    (ns_sub(delay, *least) > LEAP_NS &&
		     packets_stay_behind(chain + k, count - k, *least)))
			break;
		if (delay < *least)
			*least = delay;
	}
	return k;
}

static void chain_place(struct timeline_packet **chain, size_t count, uint64_t started_ns,
			struct timeline_summary *summary)
{
	int64_t anchor = 0;
	size_t from = 0;

	rtp_time_fill(chain, count);
	while (from < count) {
		int64_t least;
		size_t n = piece_measure(chain + from, count - from, &least);
		int64_t move = ns_sub(least, anchor);

		if (from == 0) {
			anchor = least;
		} else if ((move > MOVE_MIN_NS || move < -MOVE_MIN_NS) &&
			   (n >= LINGER || move > LEAP_NS || move < -LEAP_NS)) {
			anchor = least;
			summary->jumps++;
		}
		/* the anchor is the arrival at RTP time 0 */
		for (size_t k = from; k < from + n; k++)
			chain[k]->start_ns =
				ns_add(chain[k]->start_ns, ns_sub(anchor, (int64_t)started_ns));
		from += n;
	}
}

int timeline_build(struct timeline_packet *packets, size_t count, uint64_t started_ns,
		   struct timeline_summary *summary)
{
	struct timeline_packet **chain;
	size_t from = 0, end;

	*summary = (struct timeline_summary){0};
	if (count == 0)
		return 0;
	packets_number(packets, count, summary);
	qsort(packets, count, sizeof(*packets), packet_order);
	end = count - summary->surplus;
	chain = malloc((end ? end : 1) * sizeof(struct timeline_packet *));
	if (!chain)
		return -ENOMEM;
	while (from < end) {
		size_t n = 0, links = 0;

		while (from + n < end && packets[from + n].source == packets[from].source)
			n++;
		source_count(packets + from, n, summary);
		for (size_t k = from; k < from + n; k++) {
			if (packets[k].audible && !packets[k].duplicate)
				chain[links++] = &packets[k];
		}
		if (links > 0)
			chain_place(chain, links, started_ns, summary);
		from += n;
	}
	free(chain);
	return 0;
}
