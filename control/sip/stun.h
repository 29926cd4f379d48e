/*
 * The STUN server on the SIP port (RFC 5626 4.4.2, RFC 8489): answers Binding requests, which
 * phones behind a NAT send to keep their mapping and to see that it is still the same.
 */
#pragma once

#include "dataplane/base/address.h"

#include <stdbool.h>

/* Header and the longest answer: XOR-MAPPED-ADDRESS of IPv6 and FINGERPRINT, or ERROR-CODE and
 * UNKNOWN-ATTRIBUTES. */
#define STUN_ANSWER_MAX 128

/* No SIP message begins with such a byte; the magic cookie makes it sure (RFC 8489 5). */
bool stun_is_message(const char *bytes, uint32_t n);
/* Writes what answers the message that came from there and returns its length. 0: nothing is
 * answered, because it is broken or no Binding request. */
uint32_t stun_answer(const char *bytes, uint32_t n, const struct endpoint *from,
		     char out[STUN_ANSWER_MAX]);
