/*
 * A dialog as bytes for the journal: version, flags, numbers (big-endian), flow, texts with their
 * lengths. A connection does not outlive the process and is left out.
 */
#include "control/sip/internal.h"

#include <errno.h>

#define SAVE_VERSION 1

#define FLAG_CONFIRMED    0x01
#define FLAG_SECURE       0x02
#define FLAG_INITIATOR    0x04
#define FLAG_REMOTE_KNOWN 0x08
#define FLAG_FOLLOW       0x10

struct cursor {
	uint8_t *at; /* read only when reading */
	size_t n;
	bool overrun;
};

static uint8_t *take(struct cursor *c, size_t n)
{
	uint8_t *at = c->at;

	if (c->overrun || n > c->n) {
		c->overrun = true;
		return NULL;
	}
	c->at += n;
	c->n -= n;
	return at;
}

static void put_number(struct cursor *c, uint32_t value, size_t n)
{
	uint8_t *at = take(c, n);

	for (size_t i = 0; at && i < n; i++)
		at[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint32_t get_number(struct cursor *c, size_t n)
{
	const uint8_t *at = take(c, n);
	uint32_t value = 0;

	for (size_t i = 0; at && i < n; i++)
		value = value << 8 | at[i];
	return value;
}

static void put_endpoint(struct cursor *c, const struct endpoint *e)
{
	uint8_t *at = take(c, sizeof(e->address.ip));

	if (at)
		memcpy(at, e->address.ip, sizeof(e->address.ip));
	put_number(c, e->port, 2);
}

static void get_endpoint(struct cursor *c, struct endpoint *e)
{
	const uint8_t *at = take(c, sizeof(e->address.ip));

	if (at)
		memcpy(e->address.ip, at, sizeof(e->address.ip));
	e->port = (uint16_t)get_number(c, 2);
}

int sip_dialog_save(const struct sip_dialog *dialog, void *out, size_t size)
{
	struct cursor c = {out, size, false};
	uint32_t flags = (dialog->state == SIP_DIALOG_CONFIRMED ? FLAG_CONFIRMED : 0) |
			 (dialog->secure ? FLAG_SECURE : 0) |
			 (dialog->initiator ? FLAG_INITIATOR : 0) |
			 (dialog->remote_cseq_known ? FLAG_REMOTE_KNOWN : 0) |
			 (dialog->follow ? FLAG_FOLLOW : 0);

	put_number(&c, SAVE_VERSION, 1);
	put_number(&c, flags, 1);
	put_number(&c, dialog->local_cseq, 4);
	put_number(&c, dialog->remote_cseq, 4);
	put_number(&c, dialog->flow.transport, 1);
	put_endpoint(&c, &dialog->flow.local);
	put_endpoint(&c, &dialog->flow.remote);
	for (int i = 0; i < SIP_DIALOG_TEXTS; i++) {
		uint8_t *at;

		put_number(&c, dialog->texts[i].n, 4);
		at = take(&c, dialog->texts[i].n);
		if (at && dialog->texts[i].n > 0)
			memcpy(at, dialog->texts[i].at, dialog->texts[i].n);
	}
	return c.overrun ? -ENOSPC : (int)(size - c.n);
}

int sip_dialog_restore(struct sip_stack *stack, const void *bytes, size_t n,
		       struct sip_dialog **out)
{
	struct cursor c = {(uint8_t *)(uintptr_t)bytes, n, false};
	uint32_t version = get_number(&c, 1);
	uint32_t flags = get_number(&c, 1);
	struct sip_text texts[SIP_DIALOG_TEXTS];
	struct sip_flow flow = {0};
	uint32_t local_cseq = get_number(&c, 4);
	uint32_t remote_cseq = get_number(&c, 4);
	struct sip_dialog *dialog;
	struct sip_uri target;
	int rc;

	flow.transport = get_number(&c, 1);
	get_endpoint(&c, &flow.local);
	get_endpoint(&c, &flow.remote);
	for (int i = 0; i < SIP_DIALOG_TEXTS; i++) {
		texts[i].n = get_number(&c, 4);
		texts[i].at = (const char *)take(&c, texts[i].n);
	}
	if (c.overrun || c.n != 0 || version != SAVE_VERSION || flow.transport >= SIP_TRANSPORTS ||
	    sip_uri_parse(&target, texts[SIP_DIALOG_REMOTE_TARGET]) < 0)
		return -EINVAL;
	rc = dialog_make(stack, texts, &dialog);
	if (rc < 0)
		return rc;
	dialog->state = flags & FLAG_CONFIRMED ? SIP_DIALOG_CONFIRMED : SIP_DIALOG_EARLY;
	dialog->secure = flags & FLAG_SECURE;
	dialog->initiator = flags & FLAG_INITIATOR;
	dialog->remote_cseq_known = flags & FLAG_REMOTE_KNOWN;
	dialog->follow = flags & FLAG_FOLLOW;
	dialog->local_cseq = local_cseq;
	dialog->remote_cseq = remote_cseq;
	dialog->flow = flow;
	*out = dialog;
	return 0;
}
