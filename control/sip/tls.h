/*
 * TLS of the stack: contexts made from the configuration, replaced as a whole on reload. What is
 * open keeps the context it began with.
 */
#pragma once

#include "control/sip/stack.h"

struct tls_context;

/* Reads certificate, key and CA. -EINVAL or -ENOMEM, and error says which file and why. */
int tls_context_create(struct tls_context **tls, const struct sip_tls_config *config,
		       char error[SIP_STACK_ERROR_MAX]);
/* The same for a context in use; on failure it stays as it was. */
int tls_context_reload(struct tls_context *tls, const struct sip_tls_config *config,
		       char error[SIP_STACK_ERROR_MAX]);
void tls_context_destroy(struct tls_context *tls);
