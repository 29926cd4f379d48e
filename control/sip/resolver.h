/*
 * Finds SIP servers by name (RFC 3263) with c-ares on the loop: nothing here waits. What DNS said
 * is remembered for as long as it allows, also that there is nothing (RFC 2308); a question that is
 * under way is not asked twice.
 *
 *   query --walk--> cache --missing--> c-ares --answer--> cache --walk again--> targets
 */
#pragma once

#include "control/sip/locate.h"
#include "dataplane/base/loop.h"

struct sip_resolver;
struct sip_resolver_query;

struct sip_resolver_config {
	struct loop *loop;
	const char *servers;            /* "192.0.2.53:53,[2001:db8::53]"; NULL = the system's */
	uint32_t timeout_ms;            /* of one try; 0 = 1500 */
	uint32_t tries;                 /* 0 = 2 */
	uint32_t answers;               /* most remembered; 0 = 1024 */
	uint32_t queries;               /* most at once; 0 = 1024 */
	bool ipv4_only;                 /* AAAA is not asked for */
	locate_random_function *random; /* NULL = the kernel's */
	void *random_arg;
};

struct sip_resolver_counters {
	uint64_t queries;
	uint64_t hits;      /* answered at once */
	uint64_t questions; /* asked of DNS */
	uint64_t nothing;   /* there is no such record */
	uint64_t failures;  /* time ran out, server failure, broken answer */
	uint64_t evicted;
	uint64_t refused; /* too many at once */
};

/* -errno; -EINVAL for servers that are none. */
int sip_resolver_create(struct sip_resolver **resolver, const struct sip_resolver_config *config);
/* Queries under way end silently. */
void sip_resolver_destroy(struct sip_resolver *resolver);

/* error: 0 with at least one target, -ENOENT (DNS knows no such server), -ETIMEDOUT (DNS did not
 * say), -ENOMEM. targets lives during the call. The query is gone. */
typedef void sip_resolved_function(void *owner, int error, const struct sip_targets *targets);

/* 1: targets is filled now (a literal address, or all is remembered); 0: resolved() will be called,
 * never from inside here; else -errno as above, or -ENOBUFS. */
int sip_resolver_find(struct sip_resolver *resolver, const struct sip_locate *locate,
		      struct sip_targets *targets, sip_resolved_function *resolved, void *owner,
		      struct sip_resolver_query **query);
/* resolved() will not be called. NULL is fine. */
void sip_resolver_forget(struct sip_resolver_query *query);

const struct sip_resolver_counters *sip_resolver_counters(const struct sip_resolver *resolver);
uint32_t sip_resolver_remembered(const struct sip_resolver *resolver);
