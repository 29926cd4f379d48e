/* What a call leaves behind: journal records, its CDR, its line on the board. */
#include "control/b2bua/call.h"

#include <string.h>

void call_cdr(const struct call *call, struct cdr *cdr)
{
	*cdr = (struct cdr){
		.id = call->id,
		.caller = call->caller_user,
		.caller_name = call->caller_name,
		.callee = call->dialled,
		.destination = call->destination,
		.source = call->source,
		.caller_call_id = call->caller_call_id,
		.callee_call_id = call->callee_call_id,
		.recording_id = call->recording_id,
		.cause = call->cause,
		.started_ns = call->started_ns,
		.ringing_ns = call->ringing_ns,
		.answered_ns = call->answered_ns,
		.ended_ns = call->ended_ns,
		.sip_status = call->final_status,
		.ended_by = call->ended_by,
		.from_caller = call->from_caller,
		.from_callee = call->from_callee,
	};
}

/* Once, when nothing more will be learnt. */
void call_account(struct call *call)
{
	struct cdr cdr;

	if (call->accounted)
		return;
	call->accounted = true;
	call_cdr(call, &cdr);
	call->b2bua->options.ledger.cdr(call->b2bua->options.ledger.arg, &cdr);
}

static void copy(char *out, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memcpy(out, text, n);
	out[n] = '\0';
}

static enum journal_call_state state_of(const struct call *call)
{
	if (call->answered_ns)
		return JOURNAL_CALL_ANSWERED;
	return call->ringing_ns ? JOURNAL_CALL_RINGING : JOURNAL_CALL_STARTED;
}

void call_show(struct call *call)
{
	struct call_view view;
	struct list *node;

	memset(&view, 0, sizeof(view));
	copy(view.id, sizeof(view.id), call->id);
	copy(view.recording_id, sizeof(view.recording_id), call->recording_id);
	copy(view.caller, sizeof(view.caller), call->caller_user);
	copy(view.caller_name, sizeof(view.caller_name), call->caller_name);
	copy(view.callee, sizeof(view.callee), call->dialled);
	copy(view.destination, sizeof(view.destination), call->destination);
	copy(view.source, sizeof(view.source), call->source);
	view.state = state_of(call);
	view.held = call->caller.held;
	list_each (node, &call->branches)
		if (list_entry(node, struct leg, node)->held)
			view.held = 1;
	view.started_ns = call->started_ns;
	view.ringing_ns = call->ringing_ns;
	view.answered_ns = call->answered_ns;
	board_show_call(call->b2bua->options.board, &call->board_slot, &view);
}

void call_moved(struct call *call)
{
	struct b2bua_ledger *ledger = &call->b2bua->options.ledger;
	struct cdr cdr;

	call_cdr(call, &cdr);
	ledger->call(ledger->arg, state_of(call), &cdr);
	call_show(call);
}
