/* Start-up: the spool tells which recordings are under way, ended, built, stored, acknowledged. */
#include "recorder/main/recorder.h"
#include "dataplane/base/log.h"
#include "recorder/recording/spool_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void fork_scan(struct recorder *recorder, const struct segment_log_entry *entry)
{
	struct td_fork_record record;
	struct spool_fork from;
	const uint8_t *payload;

	if (spool_fork_parse(entry->payload, entry->payload_len, &from, &record, &payload) < 0) {
		recorder->counters.damaged++;
		return;
	}
	intake_resume(recorder->intake, &from);
	recording_table_feed(recorder->table, entry->position, loop_now_ms(recorder->loop), &from,
			     &record, payload);
}

static void closed_scan(struct recorder *recorder, const struct segment_log_entry *entry)
{
	char reason[RECORDING_REASON_MAX];
	struct recording *recording;
	struct spool_key key;
	uint32_t n;

	if (entry->payload_len < sizeof(key)) {
		recorder->counters.damaged++;
		return;
	}
	memcpy(&key, entry->payload, sizeof(key));
	n = entry->payload_len - (uint32_t)sizeof(key);
	if (n >= sizeof(reason))
		n = sizeof(reason) - 1;
	memcpy(reason, entry->payload + sizeof(key), n);
	reason[n] = '\0';
	recording = recording_table_find(recorder->table, key.generation, key.recording);
	if (recording)
		recording_table_close(recorder->table, recording, key.ended_ns, reason);
}

static void delivery_scan(struct recorder *recorder, const struct segment_log_entry *entry)
{
	struct recording *recording;
	struct spool_key key;

	if (!deliveries_recover(recorder->deliveries, entry, &key))
		return;
	recording = recording_table_find(recorder->table, key.generation, key.recording);
	if (recording)
		recording_table_remove(recorder->table, recording);
}

static void entry_scan(struct recorder *recorder, const struct segment_log_entry *entry)
{
	recorder->counters.scanned++;
	switch (entry->type) {
	case SPOOL_FORK:
		fork_scan(recorder, entry);
		break;
	case SPOOL_CLOSED:
		closed_scan(recorder, entry);
		break;
	case SPOOL_FINISHED:
	case SPOOL_UPLOADED:
	case SPOOL_ACKED:
		delivery_scan(recorder, entry);
		break;
	default:
		recorder->counters.damaged++;
		break;
	}
}

int recorder_scan(struct recorder *recorder)
{
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	int outcome = segment_log_reader_open(&reader, recorder->spool, NULL, 0);

	if (outcome)
		return outcome;
	while ((outcome = segment_log_reader_next(reader, &entry)) != 0) {
		if (outcome == 1)
			entry_scan(recorder, &entry);
		else if (outcome == -EBADMSG)
			recorder->counters.damaged++;
		else
			break;
	}
	segment_log_reader_close(reader);
	recorder->orphans_of_scan = recording_table_counters(recorder->table)->orphans;
	log_info("spool scanned: %" PRIu64 " records, %" PRIu64 " recordings under way",
		 recorder->counters.scanned, recording_table_counters(recorder->table)->live);
	return outcome;
}
