/* Segment files as they stand on disk: names, headers, records, and a window for reading them. */
#include "recorder/log/segment_file.h"
#include "recorder/log/crc32c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_NAME_DIGITS 8
static const char segment_suffix[] = ".segment";

void segment_file_header_build(struct segment_file_header *header, uint32_t number,
			       uint64_t created_ns)
{
	*header = (struct segment_file_header){
		.magic = SEGMENT_FILE_MAGIC,
		.version = SEGMENT_FILE_VERSION,
		.number = number,
		.created_ns = created_ns,
	};
	header->crc32c = crc32c(0, header, offsetof(struct segment_file_header, crc32c));
}

bool segment_file_header_is_valid(const struct segment_file_header *header, uint32_t number)
{
	return header->magic == SEGMENT_FILE_MAGIC && header->version == SEGMENT_FILE_VERSION &&
	       header->number == number &&
	       header->crc32c == crc32c(0, header, offsetof(struct segment_file_header, crc32c));
}

void segment_file_name(char out[SEGMENT_FILE_NAME_MAX], uint32_t number)
{
	snprintf(out, SEGMENT_FILE_NAME_MAX, "%0*x%s", SEGMENT_NAME_DIGITS, number, segment_suffix);
}

uint32_t segment_file_number(const char *name)
{
	uint32_t number = 0;

	if (strlen(name) != SEGMENT_NAME_DIGITS + sizeof(segment_suffix) - 1 ||
	    strcmp(name + SEGMENT_NAME_DIGITS, segment_suffix) != 0)
		return 0;
	for (int k = 0; k < SEGMENT_NAME_DIGITS; k++) {
		char c = name[k];
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t)(c - 'a' + 10);
		else
			return 0;
		number = number << 4 | digit;
	}
	return number;
}

int segment_directory_scan(int directory_fd, uint32_t *oldest, uint32_t *newest)
{
	/* a description of its own: the stream's position is not shared with other scans */
	int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *directory;

	if (fd < 0)
		return -errno;
	directory = fdopendir(fd);
	if (!directory) {
		int error = -errno;

		close(fd);
		return error;
	}
	*oldest = 0;
	*newest = 0;
	while ((entry = readdir(directory))) {
		uint32_t number = segment_file_number(entry->d_name);

		if (number == 0)
			continue;
		if (*oldest == 0 || number < *oldest)
			*oldest = number;
		if (number > *newest)
			*newest = number;
	}
	closedir(directory);
	return 0;
}

/* Records are bound to their segment: what a recycled disk block held never passes for one. */
static uint32_t record_crc(const void *record, uint32_t payload_len, uint32_t segment)
{
	const size_t from = offsetof(struct segment_log_record, type);
	uint32_t crc = crc32c(0, &segment, sizeof(segment));

	return crc32c(crc, (const uint8_t *)record + from,
		      sizeof(struct segment_log_record) - from + payload_len);
}

void segment_record_seal(struct segment_log_record *record, uint32_t segment, uint16_t type,
			 uint16_t version, uint32_t payload_len, uint64_t sequence)
{
	uint8_t *payload = (uint8_t *)(record + 1);

	*record = (struct segment_log_record){
		.length = segment_record_length(payload_len),
		.type = type,
		.version = version,
		.payload_len = payload_len,
		.sequence = sequence,
	};
	memset(payload + payload_len, 0, record->length - sizeof(*record) - payload_len);
	record->crc32c = record_crc(record, payload_len, segment);
}

int segment_log_record_parse(struct segment_log_entry *entry, uint32_t segment,
			     const uint8_t *bytes, size_t n)
{
	struct segment_log_record head;

	if (n < sizeof(head.length))
		return 0;
	memcpy(&head.length, bytes, sizeof(head.length));
	if (head.length == 0)
		return 0;
	if (n < sizeof(head) || head.length > n)
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	if (head.payload_len > SEGMENT_LOG_PAYLOAD_MAX ||
	    head.length != segment_record_length(head.payload_len))
		return -EBADMSG;
	if (head.crc32c != record_crc(bytes, head.payload_len, segment))
		return -EBADMSG;
	*entry = (struct segment_log_entry){
		.position = 0,
		.next = head.length,
		.sequence = head.sequence,
		.type = head.type,
		.version = head.version,
		.payload_len = head.payload_len,
		.payload = bytes + sizeof(head),
	};
	return 1;
}

int segment_window_init(struct segment_window *window)
{
	*window = (struct segment_window){.bytes = aligned_alloc(64, SEGMENT_WINDOW_BYTES)};
	return window->bytes ? 0 : -ENOMEM;
}

void segment_window_fini(struct segment_window *window)
{
	free(window->bytes);
	window->bytes = NULL;
}

/* At least `need` bytes, and the more the longer reading goes straight on. */
static int window_fill(struct segment_window *window, int fd, uint64_t offset, uint64_t limit,
		       uint32_t need)
{
	uint64_t n = limit > offset ? limit - offset : 0;

	if (offset >= window->start && offset <= window->start + window->filled)
		window->ahead *= 2;
	else
		window->ahead = SEGMENT_WINDOW_AHEAD;
	while (window->ahead < need)
		window->ahead *= 2;
	if (window->ahead > SEGMENT_WINDOW_BYTES)
		window->ahead = SEGMENT_WINDOW_BYTES;
	if (n > window->ahead)
		n = window->ahead;
	window->start = offset;
	window->filled = 0;
	while (window->filled < n) {
		ssize_t got = pread(fd, window->bytes + window->filled, n - window->filled,
				    (off_t)(offset + window->filled));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		window->filled += (uint32_t)got;
	}
	return 0;
}

/* Length that the record at `skip` claims, if it can be seen and may be true. */
static uint32_t window_claim(const struct segment_window *window, uint64_t skip)
{
	uint32_t length;

	if (skip + sizeof(length) > window->filled)
		return sizeof(struct segment_log_record);
	memcpy(&length, window->bytes + skip, sizeof(length));
	return length <= segment_record_length(SEGMENT_LOG_PAYLOAD_MAX)
		       ? length
		       : (uint32_t)sizeof(struct segment_log_record);
}

int segment_window_record(struct segment_window *window, int fd, uint32_t segment, uint64_t offset,
			  uint64_t limit, struct segment_log_entry *entry)
{
	uint32_t need = sizeof(struct segment_log_record);
	bool fresh = false; /* read for this call, with all that the record claims to be */

	for (;;) {
		uint64_t skip = offset - window->start;
		int error;

		if (offset >= window->start && skip < window->filled) {
			uint32_t claim = window_claim(window, skip);
			int outcome = segment_log_record_parse(entry, segment, window->bytes + skip,
							       window->filled - skip);

			if (outcome == 1) {
				entry->position += offset;
				entry->next += offset;
				return 1;
			}
			/* cut off by the window's end, or older than what the file holds now */
			if (fresh && claim <= need)
				return outcome;
			need = claim > need ? claim : need;
		} else if (fresh) {
			return 0;
		}
		error = window_fill(window, fd, offset, limit, need);
		if (error)
			return error;
		fresh = true;
	}
}

int segment_window_find(struct segment_window *window, int fd, uint32_t segment, uint64_t offset,
			uint64_t limit, struct segment_log_entry *entry)
{
	const uint32_t longest = segment_record_length(SEGMENT_LOG_PAYLOAD_MAX);

	for (;;) {
		int error = window_fill(window, fd, offset, limit, SEGMENT_WINDOW_BYTES);
		bool last = window->filled < SEGMENT_WINDOW_BYTES;
		uint32_t skip = 0;

		if (error)
			return error;
		for (; skip < window->filled && (last || window->filled - skip >= longest);
		     skip += SEGMENT_LOG_ALIGN) {
			if (segment_log_record_parse(entry, segment, window->bytes + skip,
						     window->filled - skip) != 1)
				continue;
			entry->position += offset + skip;
			entry->next += offset + skip;
			return 1;
		}
		if (last)
			return 0;
		offset += skip;
	}
}
