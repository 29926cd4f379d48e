/*
 * Trunks: which numbers go out over which, which calls come in over them, how many at once, and
 * whether they are up.
 *
 *   number --routes--> trunk (up, below its limits) --> its places, the best first
 *   source address or our registered Contact --> trunk --> DID or extension
 */
#pragma once

#include "control/b2bua/exchange.h"
#include "control/b2bua/trunk_view.h"
#include "dataplane/base/config.h"
#include "dataplane/base/timer.h"

struct trunks;
struct sip_stack;
struct sip_resolver;

#define TRUNKS_ERROR_MAX 256

/* Copies what it needs of the configuration; reads password files. -errno, with a sentence in
 * error. */
int trunks_create(struct trunks **trunks, const struct config_control *config,
		  char error[TRUNKS_ERROR_MAX]);
/* Before the stack, or after trunks_stop. NULL is fine. */
void trunks_destroy(struct trunks *trunks);

/* Begins to register and to look whether they are up. resolver NULL: hosts can only be addresses.
 * -ENOMEM. */
int trunks_start(struct trunks *trunks, struct sip_stack *stack, struct sip_resolver *resolver,
		 struct timer_wheel *timers);
/* Unregisters without waiting for the answer, and forgets what is under way. */
void trunks_stop(struct trunks *trunks);

/* Where a number that no extension has leads: EXCHANGE_TRUNK (taken), EXCHANGE_TRUNK_BUSY or
 * EXCHANGE_UNKNOWN. now_ms: the wheel's time. */
void trunks_route(struct trunks *trunks, const char *number, size_t len,
		  struct exchange_route *route);
/* The extension that a called number means; NULL = not in the table. */
const char *trunks_extension_of(const struct trunks *trunks, const char *number, size_t len);

const struct exchange_trunk *trunks_find(struct trunks *trunks, const struct endpoint *source,
					 const char *user, size_t len);
bool trunks_take(struct trunks *trunks, const struct exchange_trunk *trunk, const char **reason);
void trunks_give(struct trunks *trunks, const struct exchange_trunk *trunk);

void trunks_each(struct trunks *trunks, trunk_view_fn *each, void *arg);
