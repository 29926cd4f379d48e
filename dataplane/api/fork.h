/*
 * The fork ring: the only way from the dataplane to the recorder. One single-producer
 * single-consumer byte ring per worker in a memfd that the dataplane owns; the recorder receives
 * the descriptors over fork_socket (SOCK_SEQPACKET, SCM_RIGHTS), so the ring outlives either side.
 *
 *   +--------------------------+---------------------------------------------------------------+
 *   | td_fork_ring (4096 bytes) | bytes: ... |head, payload, pad to 8|head, payload| ... free ... |
 *   +--------------------------+---------------------------------------------------------------+
 *                                 tail (consumer) ^                        head (producer) ^
 *
 * head and tail run freely; the place is (value & (bytes - 1)). A record never wraps: a TD_FORK_PAD
 * record fills the rest. A full ring drops PACKET and RTCP records and counts them per stream
 * (overrun); all other records are kept by the producer and written when there is room, in order,
 * before any later packet of that recording.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TD_FORK_MAGIC       UINT64_C(0x54444641524b3031)
#define TD_FORK_VERSION     1
#define TD_FORK_RING_HEADER 4096
#define TD_FORK_ALIGN       8
#define TD_FORK_PAYLOAD_MAX 65535
#define TD_FORK_WORKERS_MAX 16

enum td_fork_type {
	TD_FORK_PAD = 0,
	TD_FORK_START = 1,  /* payload: JSON, see below */
	TD_FORK_STREAM = 2, /* payload: JSON; again when a stream's description changes */
	TD_FORK_PACKET = 3, /* payload: the RTP payload as received (decrypted), padding removed */
	TD_FORK_RTCP = 4,   /* payload: the compound RTCP packet as received (decrypted) */
	TD_FORK_STREAM_END = 5, /* payload: struct td_fork_totals */
	TD_FORK_END = 6,        /* payload: JSON {"reason":"stop"|"delete"|"timeout"|"shutdown"} */
};

/*
 * START:  {"recording_id":TEXT,"call_id":TEXT,"metadata":TEXT,"started_ns":REALTIME}
 *         recording_id is at most 64 characters of [A-Za-z0-9._-]
 * STREAM: {"leg":0,"media":0,"tag":TEXT,"label":TEXT,"type":"audio",
 *          "codecs":[{"pt":0,"name":"PCMU","rate":8000,"channels":1,"fmtp":TEXT}],"ptime_ms":20}
 */

struct td_fork_record {
	uint32_t length;    /* of the whole record with this header, a multiple of TD_FORK_ALIGN */
	uint16_t type;      /* enum td_fork_type */
	uint16_t leg;       /* 0 = the offerer's side, 1 = the answerer's, ... */
	uint64_t recording; /* unique among all recordings of this ring's generation */
	uint32_t stream;    /* number of the stream within its recording, from 0 */
	uint32_t payload_len; /* bytes after the header that count */
	uint64_t arrival_ns;  /* CLOCK_REALTIME */
	uint32_t ssrc;
	uint32_t ts; /* RTP timestamp */
	uint16_t seq;
	uint8_t pt;
	uint8_t marker;
	uint32_t overrun;  /* packets of this stream lost to a full ring up to now */
	uint64_t packet;   /* number of this packet in its stream, from 1, counting overrun ones */
	uint64_t reserved; /* 0 */
};
_Static_assert(sizeof(struct td_fork_record) == 64, "one cache line");

/* What the dataplane handed over for one stream: packets = records written + overrun. */
struct td_fork_totals {
	uint64_t packets;
	uint64_t overrun;
	uint64_t bytes;
};

struct td_fork_ring {
	/* written once by the producer before the ring is handed out */
	uint64_t magic;
	uint32_t version;
	uint32_t worker;
	uint64_t generation; /* of the dataplane process: CLOCK_REALTIME ns of its start */
	uint64_t bytes;      /* of the byte area, a power of two */
	/* producer's line */
	_Alignas(64) _Atomic uint64_t head; /* release; pairs with the consumer's acquire */
	_Atomic uint64_t records;           /* written, without pads; relaxed */
	_Atomic uint64_t overruns;          /* packets dropped as full; relaxed */
	_Atomic uint64_t
		heartbeat_ns; /* CLOCK_REALTIME of the producer's last sign of life; relaxed */
	/* consumer's line */
	_Alignas(64) _Atomic uint64_t tail; /* release; pairs with the producer's acquire */
	_Atomic uint64_t consumer_pid;
};
_Static_assert(sizeof(struct td_fork_ring) <= TD_FORK_RING_HEADER, "fits its page");

/* First message on fork_socket, dataplane to recorder, with `rings` descriptors attached. The
 * dataplane closes the connection of an earlier recorder when a new one connects. */
struct td_fork_hello {
	uint64_t magic;
	uint32_t version;
	uint32_t rings;
	uint64_t generation;
};

/* ---- creation (dataplane) and attachment (recorder) ---- */

/* Creates and maps a ring of `bytes` (a power of two, at least 64 KiB); *fd is the memfd, the
 * caller's to close. -EINVAL, -errno. */
int td_fork_ring_create(struct td_fork_ring **ring, int *fd, uint64_t bytes, uint32_t worker,
			uint64_t generation);
/* Maps a ring received as a descriptor and checks magic, version and size against the file.
 * -EPROTO, -errno. */
int td_fork_ring_attach(struct td_fork_ring **ring, int fd);
void td_fork_ring_unmap(struct td_fork_ring *ring);

/* ---- producer: one thread ---- */

struct td_fork_writer {
	struct td_fork_ring *ring;
	uint8_t *area;
	uint64_t mask;
	uint64_t head;        /* private copy, published by td_fork_flush */
	uint64_t tail_cached; /* read again only when the ring looks full */
};

void td_fork_writer_init(struct td_fork_writer *writer, struct td_fork_ring *ring);
/* Room for a record with payload_len bytes of payload: returns its header (payload follows it at
 * once) with length and payload_len set and the rest zero, or NULL when full. It is published by
 * the next flush. */
struct td_fork_record *td_fork_reserve(struct td_fork_writer *writer, uint32_t payload_len);
/* Publishes all reserved records; once a burst. */
void td_fork_flush(struct td_fork_writer *writer);

/* ---- consumer: one thread ---- */

struct td_fork_reader {
	struct td_fork_ring *ring;
	const uint8_t *area;
	uint64_t mask;
	uint64_t next; /* position of the next record to look at; tail moves only by td_fork_release
			*/
};

void td_fork_reader_init(struct td_fork_reader *reader, struct td_fork_ring *ring);
/* The next whole record or NULL when there is none; pads are skipped. The record stays valid until
 * it is released. *error is set to -EPROTO when the ring's content makes no sense (a broken
 * producer). */
const struct td_fork_record *td_fork_next(struct td_fork_reader *reader, int *error);
/* Gives everything up to reader->next (or `position`, an earlier value of it) back to the producer.
 */
void td_fork_release(struct td_fork_reader *reader, uint64_t position);

static inline uint32_t td_fork_record_length(uint32_t payload_len)
{
	return (uint32_t)((sizeof(struct td_fork_record) + payload_len + TD_FORK_ALIGN - 1) &
			  ~(size_t)(TD_FORK_ALIGN - 1));
}

static inline const uint8_t *td_fork_payload(const struct td_fork_record *record)
{
	return (const uint8_t *)(record + 1);
}
