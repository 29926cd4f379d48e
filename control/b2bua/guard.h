/* What the B2BUA's own files tell of the sources of requests. Nobody outside of this folder
 * includes it. */
#pragma once

#include "control/b2bua/b2bua.h"

struct sip_message;

int guard_open(struct b2bua *b2bua);   /* before the stack. -ENOMEM, -EINVAL: an allowed network */
void guard_watch(struct b2bua *b2bua); /* as soon as there is a stack */
void guard_close(struct b2bua *b2bua); /* after the stack */

/* A request outside of dialogs, before anything else. */
void guard_request(struct b2bua *b2bua, const struct sip_message *request);
void guard_challenged(struct b2bua *b2bua, const struct sip_message *request);
void guard_refused(struct b2bua *b2bua, const struct sip_message *request);
void guard_malformed(struct b2bua *b2bua, const struct sip_message *request);
void guard_proved(struct b2bua *b2bua, const struct sip_message *request);
void guard_registered(struct b2bua *b2bua, const struct address *source, uint64_t for_s);
void guard_each_counter(const struct b2bua *b2bua,
			void (*each)(void *arg, const char *name, uint64_t value), void *arg);
