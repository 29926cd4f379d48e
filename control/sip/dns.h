/*
 * DNS answers of the types that locate a SIP server: SRV (RFC 2782) and NAPTR (RFC 3403), read from
 * the wire, and addresses. Pure: no sockets, no time.
 */
#pragma once

#include "dataplane/base/address.h"

#include <stdint.h>

#define DNS_NAME_MAX    256 /* with NUL */
#define DNS_SERVICE_MAX 32
#define DNS_RECORDS_MAX 32 /* of one answer; what is beyond is left out */

#define DNS_CLASS_INTERNET 1

enum dns_type { DNS_ADDRESS = 1 /* A and AAAA together */, DNS_SRV = 33, DNS_NAPTR = 35 };

struct dns_srv {
	uint16_t priority;
	uint16_t weight;
	uint16_t port;
	char target[DNS_NAME_MAX]; /* without the dot at the end; "" = service not there (".") */
};

struct dns_naptr {
	uint16_t order;
	uint16_t preference;
	char flag; /* lower case; 0 = none */
	char service[DNS_SERVICE_MAX];
	char replacement[DNS_NAME_MAX];
};

/* Of one question. count 0: there is nothing, which is known for ttl_s too. */
struct dns_answer {
	enum dns_type type;
	uint32_t ttl_s;
	uint32_t count;
	union {
		struct dns_srv srv[DNS_RECORDS_MAX];
		struct dns_naptr naptr[DNS_RECORDS_MAX];
		struct address address[DNS_RECORDS_MAX];
	};
};

/* Bytes that the filled part of an answer of count records takes. */
size_t dns_answer_size(enum dns_type type, uint32_t count);

/* Reads the records of that type from a whole DNS message (header included), whatever CNAME they
 * stand behind; ttl_s is the lowest of theirs. Without any, ttl_s is what the SOA of the authority
 * section says (RFC 2308 5), 0 without one. -EBADMSG if the message is broken. */
int dns_answer_parse(struct dns_answer *answer, enum dns_type type, const uint8_t *bytes, size_t n);
