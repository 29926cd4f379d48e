/*
 * Segment files as they stand on disk: names, header, and a window for reading them. Shared by the
 * writer, the opening scan, cursors and readers; not for users of the log.
 */
#pragma once

#include "recorder/log/segment_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_FILE_MAGIC    UINT64_C(0x31474f4c47455354) /* "TSEGLOG1" */
#define SEGMENT_FILE_VERSION  1
#define SEGMENT_FILE_NAME_MAX 32
#define SEGMENT_WINDOW_BYTES  (512 * 1024)
#define SEGMENT_WINDOW_AHEAD  4096 /* read at first, after a jump */

struct segment_file_header {
	uint64_t magic;
	uint32_t version;
	uint32_t number;
	uint64_t created_ns; /* CLOCK_REALTIME */
	uint8_t reserved[36];
	uint32_t crc32c; /* of what stands before it */
};
_Static_assert(sizeof(struct segment_file_header) == SEGMENT_LOG_FILE_HEADER, "as on disk");

void segment_file_header_build(struct segment_file_header *header, uint32_t number,
			       uint64_t created_ns);
bool segment_file_header_is_valid(const struct segment_file_header *header, uint32_t number);

/* "0000002a.segment"; parse gives 0 when the name is none of a segment. */
void segment_file_name(char out[SEGMENT_FILE_NAME_MAX], uint32_t number);
uint32_t segment_file_number(const char *name);

/* Smallest and largest number of the segments in the directory; 0 and 0 when there are none. */
int segment_directory_scan(int directory_fd, uint32_t *oldest, uint32_t *newest);

/* Fills in a record's header for a payload whose bytes stand behind it; pads with zeros. `record`
 * has room for segment_record_length(payload_len) bytes. */
void segment_record_seal(struct segment_log_record *record, uint32_t segment, uint16_t type,
			 uint16_t version, uint32_t payload_len, uint64_t sequence);

static inline uint32_t segment_record_length(uint32_t payload_len)
{
	return (uint32_t)((sizeof(struct segment_log_record) + payload_len + SEGMENT_LOG_ALIGN -
			   1) &
			  ~(uint32_t)(SEGMENT_LOG_ALIGN - 1));
}

/* A part of a file in memory. */
struct segment_window {
	uint8_t *bytes; /* SEGMENT_WINDOW_BYTES */
	uint64_t start; /* offset in the file of bytes[0] */
	uint32_t filled;
	uint32_t ahead; /* bytes asked for by the last read */
};

int segment_window_init(struct segment_window *window);
void segment_window_fini(struct segment_window *window);
static inline void segment_window_drop(struct segment_window *window)
{
	window->filled = 0;
	window->start = UINT64_MAX / 2; /* nothing goes straight on from here */
}

/* Parses the record at `offset`, looking at no byte at or beyond `limit`. Results like
 * segment_log_record_parse, with offsets from the start of the file in entry->position and ->next;
 * or -errno when reading failed. */
int segment_window_record(struct segment_window *window, int fd, uint32_t segment, uint64_t offset,
			  uint64_t limit, struct segment_log_entry *entry);

/* The first valid record at or behind `offset` (a multiple of SEGMENT_LOG_ALIGN): 1, 0 = none below
 * `limit` or the end of the file, -errno. */
int segment_window_find(struct segment_window *window, int fd, uint32_t segment, uint64_t offset,
			uint64_t limit, struct segment_log_entry *entry);
