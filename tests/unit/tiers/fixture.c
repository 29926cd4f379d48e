/* Scratch directories, sample records, a journal on a loop. */
#include "tests/unit/tiers/fixture.h"

#include "dataplane/base/clock.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_make(char path[SCRATCH_MAX])
{
	strcpy(path, "/tmp/tandem-test-XXXXXX");
	if (!mkdtemp(path))
		abort();
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
	(void)stat;
	(void)kind;
	(void)at;
	return remove(path);
}

void scratch_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct cdr sample_cdr(const char *id, const char *caller)
{
	struct cdr cdr = {
		.id = id,
		.caller = caller,
		.caller_name = "Zoë Müller",
		.callee = "1002",
		.destination = "1002",
		.source = "udp:192.0.2.7:5060",
		.caller_call_id = "a84b4c76e66710@pc33",
		.callee_call_id = "b1@tandem",
		.recording_id = "01890a5d-ac96-774b-bcce-b302099a8057",
		.cause = "normal clearing",
		.started_ns = UINT64_C(1767322800000000000),
		.ringing_ns = UINT64_C(1767322801000000000),
		.answered_ns = UINT64_C(1767322805000000000),
		.ended_ns = UINT64_C(1767322865500000000),
		.sip_status = 200,
		.ended_by = ENDED_BY_CALLEE,
		.from_caller = {.packets = 3025, .bytes = 520300, .lost = 1},
		.from_callee = {.packets = 3020, .bytes = 519440, .lost = 0},
	};

	return cdr;
}

struct journal_binding sample_binding(const char *aor, const char *contact)
{
	struct journal_binding binding = {
		.aor = aor,
		.contact = contact,
		.call_id = "reg-1@phone",
		.user_agent = "baresip v1.0.0",
		.transport = "udp",
		.instance = "<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>",
		.path = "",
		.cseq = 4711,
		.reg_id = 1,
		.q_milli = 1000,
		.registered_ns = UINT64_C(1767322800000000000),
		.expires_ns = UINT64_C(4000000000000000000),
	};

	endpoint_parse(&binding.received, "192.0.2.7:5060", 14);
	endpoint_parse(&binding.local, "[2001:db8::1]:5060", 18);
	return binding;
}

char *sample_receipt(const char *recording_id, const char *call_id)
{
	char *text;
	int n = asprintf(
		&text,
		"{\"v\":1,\"recording_id\":\"%s\",\"call_id\":\"%s\",\"metadata\":\"caller 1001\","
		"\"object\":\"2026/01/02/%s.wav\",\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae"
		"41e4649b934ca495991b7852b855\",\"bytes\":1936044,\"format\":\"wav\",\"channels\":"
		"2,"
		"\"duration_ms\":60500,\"started_ns\":1767322805000000000,"
		"\"ended_ns\":1767322865500000000,\"reason\":\"ended\",\"packets\":{\"received\":"
		"6045,\"written\":6044,\"lost\":1,\"overrun\":0,\"duplicate\":1,\"undecoded\":0},"
		"\"streams\":[]}",
		recording_id, call_id, recording_id);

	if (n < 0)
		abort();
	return text;
}

/* ---- a journal ---- */

static void restored_binding(void *arg, const struct journal_binding *binding)
{
	struct bench *bench = arg;

	bench->restored_bindings++;
	snprintf(bench->last_binding, sizeof(bench->last_binding), "%s %s", binding->aor,
		 binding->contact);
}

static void restored_call(void *arg, enum journal_call_state state, const struct cdr *so_far)
{
	struct bench *bench = arg;

	bench->restored_calls++;
	bench->last_state = state;
	snprintf(bench->last_call, sizeof(bench->last_call), "%s", so_far->id);
}

static void round_ends(void *arg)
{
	struct bench *bench = arg;

	journal_round_end(bench->journal);
}

void bench_open(struct bench *bench, const char *directory)
{
	struct journal_options options = {.directory = directory, .segment_mb = 1};
	struct journal_restore restore = {restored_binding, restored_call, bench};
	int rc;

	memset(bench, 0, sizeof(*bench));
	rc = loop_create(&bench->loop);
	assert(rc == 0);
	rc = journal_open(&bench->journal, bench->loop, &options);
	assert(rc == 0);
	rc = journal_restore(bench->journal, clock_real_ns(), &restore, NULL);
	assert(rc == 0);
	loop_after_round(bench->loop, round_ends, bench);
}

void bench_close(struct bench *bench)
{
	journal_close(bench->journal);
	loop_destroy(bench->loop);
}

bool bench_until(struct bench *bench, bool (*ready)(void *arg), void *arg)
{
	uint64_t give_up_ns = clock_mono_ns() + 5 * NS_PER_S;

	while (!ready(arg)) {
		if (clock_mono_ns() > give_up_ns)
			return false;
		loop_once(bench->loop, 10);
	}
	return true;
}
