/*
 * The registrar's bindings (RFC 3261 10.3): a bounded table of contacts by address of record. Pure:
 * time is an argument, what changes is told to an observer (journal, board).
 *
 *   AOR "1001" -> binding sip:1001@192.0.2.7:5060      (at most EXCHANGE_CONTACTS_MAX)
 *              -> binding sip:1001@198.51.100.9:40112;transport=tcp
 */
#pragma once

#include "control/b2bua/exchange.h"
#include "dataplane/base/list.h"

#define REGISTRAR_EXPIRES_MIN_S     60
#define REGISTRAR_EXPIRES_MAX_S     3600
#define REGISTRAR_EXPIRES_DEFAULT_S 3600

struct binding {
	struct list in_aor;
	struct list in_all; /* of all bindings, the order of the sweep */
	struct registrar_aor *aor;
	char *contact; /* URI as registered */
	char *key;     /* its canonical form */
	char *call_id;
	char *instance;
	char *user_agent;
	uint32_t cseq;
	uint32_t q_permille;
	uint64_t registered_ns; /* CLOCK_REALTIME */
	uint64_t expires_ns;
	struct exchange_path path;
	uint32_t board_slot; /* the observer's; BOARD_NO_SLOT at first */
};

/* Told of every change, in the order of happening. */
struct registrar_observer {
	/* New or refreshed. */
	void (*added)(struct registrar_observer *observer, struct binding *binding);
	/* About to be freed, or to be added again with its Contact spelt in another way. */
	void (*removed)(struct registrar_observer *observer, struct binding *binding);
};

struct registrar;

/* Room for `bindings` in all. observer may be NULL and must outlive the registrar. -ENOMEM. */
int registrar_create(struct registrar **registrar, uint32_t bindings,
		     struct registrar_observer *observer);
/* Frees the bindings without telling the observer: they stay registered as far as the journal
 * knows. */
void registrar_destroy(struct registrar *registrar);

/* Applies an authenticated REGISTER as a whole or not at all and fills in the answer. */
void registrar_apply(struct registrar *registrar, const struct exchange_register *request,
		     uint64_t now_ns, struct exchange_registered *answer);

/* Puts a binding back as the journal kept it; expires_ns counts, limits too. Does not tell
 * added(). 0, -ENOSPC, -ENOMEM, -EEXIST. *restored is valid until the next change. */
int registrar_restore(struct registrar *registrar, const struct exchange_register *request,
		      uint64_t registered_ns, uint64_t expires_ns, struct binding **restored);

/* Bindings in force of this AOR, best q first, then the latest registered; returns how many. Valid
 * until the next change. */
uint32_t registrar_lookup(struct registrar *registrar, const char *aor, size_t len, uint64_t now_ns,
			  const struct binding *found[EXCHANGE_CONTACTS_MAX]);

/* Removes what has expired. */
void registrar_sweep(struct registrar *registrar, uint64_t now_ns);
uint32_t registrar_count(const struct registrar *registrar);

const char *binding_aor(const struct binding *binding);
