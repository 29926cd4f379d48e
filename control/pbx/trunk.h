/* One trunk, from inside: shared by trunks.c (calls) and trunk_client.c (registration, health). */
#pragma once

#include "control/b2bua/trunk_sip.h"
#include "control/pbx/trunks.h"

#define TRUNK_MATCH_MAX   64
#define TRUNK_CONTACT_MAX 20
#define TRUNK_PROBLEM_MAX 96

enum trunk_state { TRUNK_UNKNOWN, TRUNK_UP, TRUNK_DOWN };
enum trunk_registration {
	TRUNK_REGISTRATION_NONE,
	TRUNK_REGISTERING,
	TRUNK_REGISTERED,
	TRUNK_REGISTRATION_FAILED,
};

/* A request of ours that goes to the trunk's places one after the other. */
struct trunk_errand {
	struct trunk *trunk;
	enum sip_method method;
	struct timer timer; /* when it is due next */
	struct sip_transaction *transaction;
	struct sip_resolver_query *query;
	struct sip_targets places;
	uint32_t at;
	uint32_t cseq;
	uint32_t failures; /* in a row */
	struct sip_auth_client auth;
	char call_id[33];
	char tag[SIP_TAG_SIZE];
};

struct trunk {
	struct exchange_trunk face;
	struct trunks *trunks;
	char *name, *host, *domain, *user, *auth_user, *password, *realm, *md5, *sha256;
	struct sip_auth_secret secret;
	struct sip_locate locate;
	char contact[TRUNK_CONTACT_MAX + 1];
	bool registers;
	uint32_t expires_s;
	uint32_t options_s;
	struct address match[TRUNK_MATCH_MAX];
	uint32_t match_count;

	/* calls */
	uint32_t calls;
	uint32_t calls_max;
	uint32_t calls_per_second;
	uint64_t credit; /* thousandths of a call that may begin */
	uint64_t credited_ms;
	uint64_t calls_in;
	uint64_t calls_out;
	uint64_t calls_refused;

	/* what is known of the other side */
	enum trunk_state state;
	enum trunk_registration registration;
	uint64_t registered_until_ms;
	struct sip_targets places; /* as last found */
	struct endpoint good;      /* that answered last; port 0 = none */
	struct trunk_errand registering;
	struct trunk_errand options;
	char problem[TRUNK_PROBLEM_MAX];
};

struct trunks {
	struct sip_stack *stack;
	struct sip_resolver *resolver;
	struct timer_wheel *timers;
	struct sip_digest *digest;
	struct trunk *trunks;
	uint32_t count;
	struct config_route *routes; /* longest prefix first */
	uint32_t routes_count;
	struct config_did *dids; /* sorted by number */
	uint32_t dids_count;
};

/* ---- trunk_client.c ---- */

void trunk_client_init(struct trunk *trunk);
void trunk_client_start(struct trunk *trunk);
void trunk_client_stop(struct trunk *trunk);
/* Where the trunk is right now, the place that answered last before the others: false = not
 * known. */
bool trunk_places(struct trunk *trunk, struct sip_targets *places);
