/*
 * Network addresses as the whole project carries them: 16 bytes, an IPv4 address in its mapped form
 * (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so that one comparison serves both families.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct address {
	uint8_t ip[16]; /* network order */
};

struct endpoint {
	struct address address;
	uint16_t port; /* host order; 0 = none */
};

#define ADDRESS_TEXT_MAX  46 /* INET6_ADDRSTRLEN */
#define ENDPOINT_TEXT_MAX 56 /* "[address]:port" */

static inline bool address_is_v4(const struct address *a)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(a->ip, mapped, sizeof(mapped)) == 0;
}

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

/* The IPv4 part in network order; only for address_is_v4(). */
static inline uint32_t address_v4_be(const struct address *a)
{
	uint32_t v4_be;

	memcpy(&v4_be, a->ip + 12, sizeof(v4_be));
	return v4_be;
}

struct address address_from_v4_be(uint32_t v4_be);

/* True for 0.0.0.0 and ::. */
bool address_is_any(const struct address *a);
/* True for 127.0.0.0/8 and ::1. */
bool address_is_loopback(const struct address *a);

/* Text of n bytes (not terminated) to address; -EINVAL if it is no IPv4 or IPv6 literal. Accepts
 * brackets around IPv6. */
int address_parse(struct address *a, const char *text, size_t n);
/* Writes the terminated text form into out (ADDRESS_TEXT_MAX bytes) and returns out. */
const char *address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]);

/* "192.0.2.1:5060" or "[2001:db8::1]:5060"; -EINVAL otherwise. */
int endpoint_parse(struct endpoint *e, const char *text, size_t n);
const char *endpoint_text(const struct endpoint *e, char out[ENDPOINT_TEXT_MAX]);

/* To and from the kernel's form; to_sockaddr returns the length used. A mapped IPv4 becomes
 * AF_INET. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);
int endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr *sa);
