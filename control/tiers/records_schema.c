/*
 * The tables of the records tier. Ids are made by us (UUIDv7), so that a row that comes twice is
 * known; times are ns since 1970. Audio is in no table.
 */
#include "control/tiers/records.h"

#include <stddef.h>

#define CDR(member) offsetof(struct cdr, member)
static const struct records_column cdr_columns[] = {
	{"id", COLUMN_TEXT, CDR(id)},
	{"caller", COLUMN_TEXT, CDR(caller)},
	{"caller_name", COLUMN_TEXT, CDR(caller_name)},
	{"callee", COLUMN_TEXT, CDR(callee)},
	{"destination", COLUMN_TEXT, CDR(destination)},
	{"source", COLUMN_TEXT, CDR(source)},
	{"caller_call_id", COLUMN_TEXT, CDR(caller_call_id)},
	{"callee_call_id", COLUMN_TEXT, CDR(callee_call_id)},
	{"recording_id", COLUMN_TEXT, CDR(recording_id)},
	{"cause", COLUMN_TEXT, CDR(cause)},
	{"ended_by", COLUMN_ENDED_BY, CDR(ended_by)},
	{"sip_status", COLUMN_U32, CDR(sip_status)},
	{"started_ns", COLUMN_U64, CDR(started_ns)},
	{"ringing_ns", COLUMN_U64, CDR(ringing_ns)},
	{"answered_ns", COLUMN_U64, CDR(answered_ns)},
	{"ended_ns", COLUMN_U64, CDR(ended_ns)},
	{"caller_packets", COLUMN_U64, CDR(from_caller.packets)},
	{"caller_bytes", COLUMN_U64, CDR(from_caller.bytes)},
	{"caller_lost", COLUMN_U64, CDR(from_caller.lost)},
	{"callee_packets", COLUMN_U64, CDR(from_callee.packets)},
	{"callee_bytes", COLUMN_U64, CDR(from_callee.bytes)},
	{"callee_lost", COLUMN_U64, CDR(from_callee.lost)},
};

#define RECORDING(member) offsetof(struct recording, member)
static const struct records_column recording_columns[] = {
	{"id", COLUMN_TEXT, RECORDING(id)},
	{"call_id", COLUMN_TEXT, RECORDING(call_id)},
	{"metadata", COLUMN_TEXT, RECORDING(metadata)},
	{"object", COLUMN_TEXT, RECORDING(object)},
	{"sha256", COLUMN_TEXT, RECORDING(sha256)},
	{"format", COLUMN_TEXT, RECORDING(format)},
	{"reason", COLUMN_TEXT, RECORDING(reason)},
	{"bytes", COLUMN_U64, RECORDING(bytes)},
	{"channels", COLUMN_U64, RECORDING(channels)},
	{"duration_ms", COLUMN_U64, RECORDING(duration_ms)},
	{"started_ns", COLUMN_U64, RECORDING(started_ns)},
	{"ended_ns", COLUMN_U64, RECORDING(ended_ns)},
	{"packets_received", COLUMN_U64, RECORDING(packets_received)},
	{"packets_written", COLUMN_U64, RECORDING(packets_written)},
	{"packets_lost", COLUMN_U64, RECORDING(packets_lost)},
	{"packets_overrun", COLUMN_U64, RECORDING(packets_overrun)},
	{"packets_duplicate", COLUMN_U64, RECORDING(packets_duplicate)},
	{"packets_undecoded", COLUMN_U64, RECORDING(packets_undecoded)},
	{"receipt", COLUMN_TEXT, RECORDING(receipt)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
static const struct records_table_layout layouts[RECORDS_TABLES] = {
	[RECORDS_CDR] = {"cdr", cdr_columns, COUNT(cdr_columns)},
	[RECORDS_RECORDING] = {"recordings", recording_columns, COUNT(recording_columns)},
};

const struct records_table_layout *records_table_layout(enum records_table table)
{
	return &layouts[table];
}

const char *const records_migrations[] = {
	/* 1 */
	"CREATE TABLE cdr ("
	" id TEXT PRIMARY KEY,"
	" caller TEXT NOT NULL, caller_name TEXT NOT NULL, callee TEXT NOT NULL,"
	" destination TEXT NOT NULL, source TEXT NOT NULL,"
	" caller_call_id TEXT NOT NULL, callee_call_id TEXT NOT NULL,"
	" recording_id TEXT NOT NULL, cause TEXT NOT NULL, ended_by TEXT NOT NULL,"
	" sip_status BIGINT NOT NULL,"
	" started_ns BIGINT NOT NULL, ringing_ns BIGINT NOT NULL,"
	" answered_ns BIGINT NOT NULL, ended_ns BIGINT NOT NULL,"
	" caller_packets BIGINT NOT NULL, caller_bytes BIGINT NOT NULL,"
	" caller_lost BIGINT NOT NULL, callee_packets BIGINT NOT NULL,"
	" callee_bytes BIGINT NOT NULL, callee_lost BIGINT NOT NULL);"
	"CREATE INDEX cdr_started ON cdr (started_ns);"
	"CREATE INDEX cdr_caller ON cdr (caller, started_ns);"
	"CREATE INDEX cdr_callee ON cdr (callee, started_ns);"
	"CREATE TABLE recordings ("
	" id TEXT PRIMARY KEY,"
	" call_id TEXT NOT NULL, metadata TEXT NOT NULL, object TEXT NOT NULL,"
	" sha256 TEXT NOT NULL, format TEXT NOT NULL, reason TEXT NOT NULL,"
	" bytes BIGINT NOT NULL, channels BIGINT NOT NULL, duration_ms BIGINT NOT NULL,"
	" started_ns BIGINT NOT NULL, ended_ns BIGINT NOT NULL,"
	" packets_received BIGINT NOT NULL, packets_written BIGINT NOT NULL,"
	" packets_lost BIGINT NOT NULL, packets_overrun BIGINT NOT NULL,"
	" packets_duplicate BIGINT NOT NULL, packets_undecoded BIGINT NOT NULL,"
	" receipt TEXT NOT NULL);"
	"CREATE INDEX recordings_started ON recordings (started_ns);"
	"CREATE INDEX recordings_call ON recordings (call_id);",
};
const uint32_t records_migrations_count = COUNT(records_migrations);
