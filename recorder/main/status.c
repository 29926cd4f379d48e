/* What GET /status answers. */
#include "dataplane/base/clock.h"
#include "recorder/main/recorder.h"

#include <inttypes.h>
#include <stdio.h>

/* Adds "name": value for each pair up to a NULL name. */
struct number {
	const char *name;
	uint64_t value;
};

static json_t *numbers_json(const struct number *numbers)
{
	json_t *object = json_object();

	for (; numbers->name; numbers++)
		json_object_set_new(object, numbers->name,
				    json_integer((json_int_t)numbers->value));
	return object;
}

static json_t *spool_json(const struct recorder *recorder)
{
	struct segment_log_stats stats;

	segment_log_stats(recorder->spool, &stats);
	return numbers_json((const struct number[]){
		{"bytes", stats.disk_bytes},
		{"segments", stats.segments},
		{"records", stats.records},
		{"appended_bytes", stats.bytes},
		{"writes", stats.writes},
		{"short_writes", stats.short_writes},
		{"write_errors", stats.write_errors},
		{"syncs", stats.syncs},
		{"sync_errors", stats.sync_errors},
		{"create_errors", stats.create_errors},
		{"unlink_errors", stats.unlink_errors},
		{"refused_full", stats.refused_full},
		{"refused_limit", stats.refused_limit},
		{"torn_tails", stats.torn_tails},
		{"torn_bytes", stats.torn_bytes},
		{"segments_lost", stats.segments_lost},
		{"buffers_in_use", stats.buffers_in_use},
		{"buffers_registered", stats.buffers_registered},
		{"scanned", recorder->counters.scanned},
		{"damaged", recorder->counters.damaged},
		{NULL, 0},
	});
}

static json_t *recordings_json(struct recorder *recorder)
{
	const struct recording_table_counters *table = recording_table_counters(recorder->table);

	return numbers_json((const struct number[]){
		{"live", table->live},
		{"finalizing", finalizer_queued(recorder->finalizer)},
		{"started", table->started},
		{"ended", table->ended},
		{"finished", recorder->counters.finished},
		{"failed", recorder->counters.failed},
		{"closed_silent", recorder->counters.closed_silent},
		{"closed_gone", recorder->counters.closed_gone},
		{"refused_full", table->refused_full},
		{"start_broken", table->start_broken},
		{"start_again", table->start_again},
		{"orphans", table->orphans - recorder->orphans_of_scan},
		{"unindexed", table->unindexed},
		{"unreadable", recorder->counters.unreadable},
		{NULL, 0},
	});
}

static json_t *ring_json(const struct recorder *recorder)
{
	struct intake_counters intake;
	char generation[24];
	json_t *object;

	intake_counters(recorder->intake, &intake);
	object = numbers_json((const struct number[]){
		{"rings", intake.rings},
		{"waiting_bytes", intake.ring_bytes},
		{"records", intake.records},
		{"bytes", intake.bytes},
		{"overruns", intake.overruns},
		{"again", intake.again},
		{"unknown", intake.unknown},
		{"held_back", intake.held_back},
		{"broken", intake.broken},
		{"connects", intake.connects},
		{"refused", intake.refused},
		{NULL, 0},
	});
	snprintf(generation, sizeof(generation), "%" PRIu64, intake.generation);
	json_object_set_new(object, "attached", json_boolean(intake.connected));
	json_object_set_new(object, "generation", json_string(generation));
	return object;
}

static json_t *uploads_json(const struct uploader_counters *uploader,
			    const struct delivery_counters *deliveries)
{
	json_t *object = numbers_json((const struct number[]){
		{"queued", uploader->queued},
		{"uploaded", uploader->uploaded},
		{"failures", uploader->failures},
		{"bytes", uploader->bytes},
		{"unacknowledged", deliveries->entries},
		{"carried", deliveries->carried},
		{"held_back", deliveries->held_back},
		{"broken", deliveries->broken},
		{NULL, 0},
	});

	json_object_set_new(object, "last_error",
			    uploader->last_error[0] ? json_string(uploader->last_error)
						    : json_null());
	return object;
}

static json_t *receipts_json(const struct receipt_counters *receipts)
{
	json_t *object = numbers_json((const struct number[]){
		{"waiting", receipts->waiting},
		{"sent", receipts->sent},
		{"acknowledged", receipts->acknowledged},
		{"unknown", receipts->unknown},
		{NULL, 0},
	});

	json_object_set_new(object, "connected", json_boolean(receipts->connected));
	return object;
}

json_t *recorder_status(struct recorder *recorder)
{
	struct uploader_counters uploader;
	struct delivery_counters deliveries;
	struct receipt_counters receipts;

	uploader_counters(recorder->uploader, &uploader);
	deliveries_counters(recorder->deliveries, &deliveries, &receipts);
	return json_pack("{ss sI so so so so so so}", "program", "tandem-recorder", "uptime_s",
			 (json_int_t)((clock_mono_ns() - recorder->started_ns) / NS_PER_S),
			 "recordings", recordings_json(recorder), "ring", ring_json(recorder),
			 "spool", spool_json(recorder), "uploads",
			 uploads_json(&uploader, &deliveries), "receipts", receipts_json(&receipts),
			 "last_error",
			 recorder->last_error[0] ? json_string(recorder->last_error) : json_null());
}
