/* The transaction table: memory, keys, timers. Chunks of memory are reused, never given back. */
#include "control/sip/internal.h"

#include "control/sip/chars.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC_COOKIE "z9hG4bK"

static int chunk_add(struct sip_stack *stack)
{
	struct transaction_chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk)
		return -ENOMEM;
	chunk->next = stack->chunks;
	stack->chunks = chunk;
	for (size_t i = 0; i < sizeof(chunk->transactions) / sizeof(chunk->transactions[0]); i++) {
		chunk->transactions[i].hash_next = stack->transactions_free;
		stack->transactions_free = &chunk->transactions[i];
	}
	return 0;
}

static void transaction_expired(struct timer *timer, uint64_t now_ms)
{
	struct sip_transaction *t = list_entry(timer, struct sip_transaction, timer);

	if (t->kind == TRANSACTION_SERVER)
		server_expired(t, now_ms);
	else
		client_expired(t, now_ms);
}

struct sip_transaction *transaction_add(struct sip_stack *stack, const struct transaction_key *key)
{
	struct sip_transaction **bucket =
		&stack->transactions[key->word[0] & stack->transactions_mask];
	struct sip_transaction *t;

	if (stack->transactions_count >= stack->transactions_max) {
		count(stack, SIP_COUNTER_transactions_full);
		return NULL;
	}
	if (!stack->transactions_free && chunk_add(stack) < 0) {
		count(stack, SIP_COUNTER_no_memory);
		return NULL;
	}
	t = stack->transactions_free;
	stack->transactions_free = t->hash_next;
	memset(t, 0, sizeof(*t));
	t->stack = stack;
	t->key = *key;
	t->hash_next = *bucket;
	*bucket = t;
	timer_init(&t->timer, transaction_expired);
	list_init(&t->dialog_node);
	list_init(&t->stream_node);
	stack->transactions_count++;
	stack->transactions_live++;
	return t;
}

struct sip_transaction *transaction_find(struct sip_stack *stack, const struct transaction_key *key)
{
	struct sip_transaction *t = stack->transactions[key->word[0] & stack->transactions_mask];

	while (t && (t->key.word[0] != key->word[0] || t->key.word[1] != key->word[1]))
		t = t->hash_next;
	return t;
}

void transaction_tie(struct sip_transaction *t, struct sip_dialog *dialog)
{
	transaction_untie(t);
	t->dialog = dialog;
	list_append(&dialog->transactions, &t->dialog_node);
}

void transaction_untie(struct sip_transaction *t)
{
	t->dialog = NULL;
	list_remove(&t->dialog_node);
}

bool transaction_is_finished(const struct sip_transaction *t)
{
	return t->state >= TRANSACTION_COMPLETED;
}

void transaction_finish(struct sip_transaction *t, enum transaction_state state)
{
	if (!transaction_is_finished(t))
		t->stack->transactions_live--;
	t->state = (uint8_t)state;
	t->owner = NULL;
	t->response = NULL;
	transaction_untie(t);
	list_remove(&t->stream_node);
}

void transaction_shrink(struct sip_transaction *t)
{
	free(t->bytes);
	free(t->skeleton);
	t->bytes = NULL;
	t->skeleton = NULL;
	t->bytes_n = 0;
	t->skeleton_n = 0;
}

void transaction_free(struct sip_transaction *t)
{
	struct sip_stack *stack = t->stack;
	struct sip_transaction **at =
		&stack->transactions[t->key.word[0] & stack->transactions_mask];

	if (!transaction_is_finished(t))
		transaction_finish(t, TRANSACTION_COMPLETED);
	timer_stop(stack->timers, &t->timer);
	transaction_shrink(t);
	while (*at != t)
		at = &(*at)->hash_next;
	*at = t->hash_next;
	t->hash_next = stack->transactions_free;
	stack->transactions_free = t;
	stack->transactions_count--;
}

int transaction_keep(struct sip_transaction *t, const char *bytes, uint32_t n)
{
	char *copy = malloc(n);

	free(t->bytes);
	t->bytes = copy;
	t->bytes_n = copy ? n : 0;
	if (!copy) {
		count(t->stack, SIP_COUNTER_no_memory);
		return -ENOMEM;
	}
	memcpy(copy, bytes, n);
	return 0;
}

void transaction_schedule(struct sip_transaction *t)
{
	uint64_t at_ms = t->deadline_ms;

	if (t->retransmit_ms != 0 && (at_ms == 0 || t->retransmit_ms < at_ms))
		at_ms = t->retransmit_ms;
	if (at_ms == 0)
		timer_stop(t->stack->timers, &t->timer);
	else
		timer_start(t->stack->timers, &t->timer, at_ms);
}

static void add_text(struct siphash *hash, struct sip_text t)
{
	siphash_add_part(hash, t.at ? t.at : "", t.n);
}

static void add_lower(struct siphash *hash, struct sip_text t)
{
	char lower[256];
	uint32_t n = t.n < sizeof(lower) ? t.n : (uint32_t)sizeof(lower);

	for (uint32_t i = 0; i < n; i++)
		lower[i] = sip_lower(t.at[i]);
	siphash_add_part(hash, lower, n);
}

/* A branch is unique only with something behind the cookie (RFC 4475 3.2.1). */
static bool branch_is_unique(struct sip_text branch)
{
	const uint32_t n = sizeof(MAGIC_COOKIE) - 1;

	return branch.n > n &&
	       sip_text_equal_nocase((struct sip_text){branch.at, n}, sip_text_of(MAGIC_COOKIE));
}

void transaction_server_key(const struct sip_stack *stack, const struct sip_message *request,
			    struct sip_text method, struct transaction_key *key)
{
	struct siphash hash;

	siphash_init(&hash, &stack->hash_key);
	if (branch_is_unique(request->via.branch)) {
		siphash_add(&hash, "s", 1);
	} else {
		/* RFC 3261 17.2.3, second half */
		siphash_add(&hash, "o", 1);
		add_text(&hash, request->uri_text);
		add_text(&hash, request->from.tag);
		add_text(&hash, request->call_id);
		siphash_add(&hash, &request->cseq.number, sizeof(request->cseq.number));
	}
	add_text(&hash, request->via.branch);
	add_lower(&hash, request->via.host);
	siphash_add(&hash, &request->via.port, sizeof(request->via.port));
	add_text(&hash, method);
	siphash_finish(&hash, key->word);
}

void transaction_client_key(const struct sip_stack *stack, struct sip_text branch,
			    struct sip_text method, struct transaction_key *key)
{
	struct siphash hash;

	siphash_init(&hash, &stack->hash_key);
	siphash_add(&hash, "c", 1);
	add_text(&hash, branch);
	add_text(&hash, method);
	siphash_finish(&hash, key->word);
}
