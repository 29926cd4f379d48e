/* The exchange: users, dial plan and registrar behind the questions that the B2BUA asks. One
 * thread: the loop's. */
#pragma once

#include "control/b2bua/board.h"
#include "control/b2bua/exchange.h"
#include "control/b2bua/trunk_view.h"
#include "control/tiers/journal_record.h"
#include "dataplane/base/config.h"

struct pbx;

/* Where bindings are remembered. */
struct pbx_ledger {
	void (*binding_add)(void *arg, const struct journal_binding *binding);
	void (*binding_del)(void *arg, const char *aor, const char *contact);
	void *arg;
};

/* The board and what the ledger points at must outlive it. -ENOMEM, -EEXIST (an extension twice),
 * or what reading a trunk's password file says (logged). */
int pbx_create(struct pbx **pbx, const struct config_control *config, struct board *board,
	       const struct pbx_ledger *ledger);
void pbx_destroy(struct pbx *pbx);

struct sip_stack;
struct sip_resolver;
struct timer_wheel;

/* Trunks begin to register over the stack; until pbx_stop, which comes before the stack's end. */
int pbx_start(struct pbx *pbx, struct sip_stack *stack, struct sip_resolver *resolver,
	      struct timer_wheel *timers);
void pbx_stop(struct pbx *pbx);
/* Every trunk in turn. Only in the loop's thread. */
void pbx_each_trunk(struct pbx *pbx, trunk_view_fn *each, void *arg);

struct exchange *pbx_exchange(struct pbx *pbx);

/* Takes users and echo extension from a configuration that was read anew (trunks, routes and DIDs
 * stay as they were at the start); on failure (-ENOMEM,
 * -EEXIST) all stays as it was. */
int pbx_reload(struct pbx *pbx, const struct config_control *config);

/* A binding of an earlier life; of a user who is gone it is dropped, and the ledger told. */
void pbx_restore(struct pbx *pbx, const struct journal_binding *binding);

/* Removes bindings that have expired; every few seconds. */
void pbx_sweep(struct pbx *pbx);
