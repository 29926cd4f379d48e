/*
 * What the B2BUA asks of the exchange above it (control/pbx): who are our users, where does a
 * number lead, who is registered. Plain structs, no SIP message crosses; everything is answered at
 * once, in the SIP thread.
 */
#pragma once

#include "control/sip/locate.h"
#include "dataplane/base/address.h"
#include "dataplane/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXCHANGE_EXTENSION_MAX 64
#define EXCHANGE_CONTACTS_MAX  10 /* bindings of one AOR, and so branches of one call */

/* Texts live as long as the snapshot that the user was found in: do not keep them over a return to
 * the loop. */
struct exchange_user {
	const char *extension;
	const char *name;
	const char *md5; /* HA1, lower-case hex, or NULL */
	const char *sha256;
};

/* The path a request came by, and so the way back to who sent it. */
struct exchange_path {
	struct endpoint source; /* the party's address as seen */
	struct endpoint local;  /* ours, towards it */
	uint64_t connection;    /* of a stream transport; 0 = none */
	uint8_t transport;      /* enum sip_transport */
	bool nat; /* the party does not know the address that we see it by: only `source` works */
};

/* "udp", "tcp", ...; of() returns -EINVAL for a name that is none. */
const char *exchange_transport_name(uint8_t transport);
int exchange_transport_of(const char *name);
/* The canonical form of a contact's URI, and where it points (port 0: at a name). -EINVAL. */
int exchange_contact_key(const char *contact, char *key, size_t size, struct endpoint *at);

/* ---- routing ---- */

enum exchange_verdict {
	EXCHANGE_TARGETS,      /* ring these */
	EXCHANGE_ECHO,         /* our own echo */
	EXCHANGE_UNREGISTERED, /* a known extension with no phone: 480 */
	EXCHANGE_UNKNOWN,      /* no such number: 404 */
	EXCHANGE_TRUNK,        /* out over route->trunk, which is taken: give it back */
	EXCHANGE_TRUNK_BUSY,   /* 503 with route->reason */
};

struct sip_auth_secret;

/* A trunk as a call sees it; the exchange's, lives as long as the exchange. */
struct exchange_trunk {
	const char *name;
	const char *user;    /* our name there; "" = none */
	const char *domain;  /* of To, From and Request-URI: host, with port if one is given */
	const char *contact; /* user part of our Contact: calls to it can only come from there */
	bool trusted;        /* RFC 3325: identities pass */
	const struct sip_auth_secret *secret; /* NULL = none */
};

struct exchange_target {
	const char *uri; /* the Contact as registered; valid until the next registration */
	struct exchange_path path;
};

struct exchange_route {
	enum exchange_verdict verdict;
	char callee[EXCHANGE_EXTENSION_MAX]; /* who will be rung; "" = nobody */
	uint32_t targets_count;
	struct exchange_target targets[EXCHANGE_CONTACTS_MAX];
	const struct exchange_trunk *trunk;  /* EXCHANGE_TRUNK */
	char number[EXCHANGE_EXTENSION_MAX]; /* as the trunk gets it */
	struct sip_targets places;           /* where the trunk is, the best first */
	const char *reason;                  /* literal, EXCHANGE_TRUNK_BUSY */
};

/* ---- registration (RFC 3261 10.3) ---- */

struct exchange_contact {
	const char *uri;      /* terminated */
	const char *key;      /* canonical form: equal keys = equal URIs (RFC 3261 19.1.4) */
	const char *instance; /* +sip.instance (RFC 5626 4.1) or "" */
	int64_t expires_s;    /* -1 = not given here */
	uint32_t q_permille;  /* 1000 = not given */
};

struct exchange_register {
	const char *extension;
	const char *call_id;
	const char *user_agent;
	uint32_t cseq;
	int64_t expires_s;       /* Expires header, -1 = absent */
	bool all;                /* Contact: * */
	uint32_t contacts_count; /* 0 and not all: a query */
	struct exchange_contact contacts[EXCHANGE_CONTACTS_MAX];
	struct exchange_path path;
};

struct exchange_bound {
	const char *uri; /* valid until the next registration */
	uint32_t expires_s;
	uint32_t q_permille;
};

struct exchange_registered {
	int status; /* 200, 400, 403, 423, 500, 503 */
	const char *reason;
	uint32_t min_expires_s; /* with 423 */
	uint32_t retry_after_s; /* with 503 */
	uint32_t bound_count;   /* with 200: all that are in force now */
	struct exchange_bound bound[EXCHANGE_CONTACTS_MAX];
};

/* Embedded in its implementation; none may be NULL but those of trunks, all together. */
struct exchange {
	/* NULL = no such user. */
	const struct exchange_user *(*find_user)(struct exchange *exchange, const char *name,
						 size_t len);
	void (*route)(struct exchange *exchange, const char *number, size_t len,
		      struct exchange_route *route);
	void (*apply_register)(struct exchange *exchange, const struct exchange_register *request,
			       struct exchange_registered *answer);

	/* The trunk that a request from there, for that user of ours, belongs to; or NULL. */
	const struct exchange_trunk *(*find_trunk)(struct exchange *exchange,
						   const struct endpoint *source, const char *user,
						   size_t len);
	/* A call comes in over it. False with a literal in *reason: beyond its limits. */
	bool (*trunk_take)(struct exchange *exchange, const struct exchange_trunk *trunk,
			   const char **reason);
	/* The call is over, whichever way it went. */
	void (*trunk_give)(struct exchange *exchange, const struct exchange_trunk *trunk);
	/* Where a number leads that a trunk calls: never to another trunk. */
	void (*route_trunk)(struct exchange *exchange, const struct exchange_trunk *trunk,
			    const char *number, size_t len, struct exchange_route *route);
};
