/* What other threads may ask of the SIP thread. Each waits for the answer, up to wait_ms; the SIP
 * thread waits for nobody. */
#pragma once

#include <stdint.h>

struct b2bua;

/* Ends the call with this id (BYE, CANCEL or a final response, as its state asks; CDR cause
 * "administrator"). 0 = its end has begun, -ENOENT = no such call, -ETIMEDOUT = the SIP thread had
 * no time within wait_ms (it will still do it), -ENOMEM. */
int command_hangup(struct b2bua *b2bua, const char *call_id, uint32_t wait_ms);
