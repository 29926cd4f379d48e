/*
 * Where a SIP server is (RFC 3263): the order in which its places are tried, made from DNS answers
 * that somebody else fetches. Pure: randomness and answers are arguments.
 *
 *   name --NAPTR--> service names --SRV--> hosts and ports --A, AAAA--> addresses
 */
#pragma once

#include "control/sip/dns.h"
#include "control/sip/message.h"

#include <stdbool.h>

#define SIP_TARGETS_MAX 16

/* A place to try, the best first. */
struct sip_target {
	enum sip_transport_kind transport;
	struct endpoint remote;
};

struct sip_targets {
	uint32_t count;
	struct sip_target targets[SIP_TARGETS_MAX];
};

/* What is looked for. */
struct sip_locate {
	char host[DNS_NAME_MAX]; /* a name or a literal address, IPv6 without brackets */
	uint16_t port;           /* 0 = not given */
	bool secure;             /* sips */
	bool transport_given;
	enum sip_transport_kind transport; /* when given */
	uint32_t transports;               /* that we have: bits 1 << enum sip_transport_kind */
};

/* From a URI: maddr in place of the host, transport parameter (RFC 3263 4.1). -EINVAL if the scheme
 * or transport is none of SIP's, or the host is no name. */
int sip_locate_of_uri(struct sip_locate *locate, const struct sip_uri *uri, uint32_t transports);

/* RFC 2782: by priority, and among equals at random by weight. random(arg, n) gives 0 to n. */
typedef uint32_t locate_random_function(void *arg, uint32_t n);
void locate_srv_order(struct dns_srv *records, uint32_t count, locate_random_function *random,
		      void *arg);
/* RFC 3263 4.1: leaves those that lead to a transport of ours (their SRV names), best first; sips
 * takes only SIPS+. Returns how many; transports[i] belongs to records[i]. */
uint32_t locate_naptr_choose(struct dns_naptr *records, uint32_t count,
			     const struct sip_locate *locate,
			     enum sip_transport_kind transports[DNS_RECORDS_MAX]);

/* Where answers come from. find returns what is known, or NULL: then the question is noted by its
 * owner, and the walk goes on to find out what else will be needed. */
struct locate_source {
	const struct dns_answer *(*find)(void *arg, enum dns_type type, const char *name);
	locate_random_function *random;
	void *arg;
};

/* 0: targets is complete (count 0: there is no such server). -EAGAIN: answers are missing. */
int locate_walk(const struct sip_locate *locate, const struct locate_source *source,
		struct sip_targets *targets);
