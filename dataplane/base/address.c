/* Address texts and the kernel's address forms. */
#include "dataplane/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

struct address address_from_v4_be(uint32_t v4_be)
{
	struct address a = {{0}};

	a.ip[10] = 0xff;
	a.ip[11] = 0xff;
	memcpy(a.ip + 12, &v4_be, sizeof(v4_be));
	return a;
}

bool address_is_any(const struct address *a)
{
	static const struct address any6;

	return address_is_v4(a) ? address_v4_be(a) == 0 : address_equal(a, &any6);
}

bool address_is_loopback(const struct address *a)
{
	static const struct address loopback6 = {{[15] = 1}};

	return address_is_v4(a) ? a->ip[12] == 127 : address_equal(a, &loopback6);
}

int address_parse(struct address *a, const char *text, size_t n)
{
	char copy[ADDRESS_TEXT_MAX];
	uint32_t v4_be;

	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(copy) || memchr(text, 0, n))
		return -EINVAL;
	memcpy(copy, text, n);
	copy[n] = 0;
	if (inet_pton(AF_INET, copy, &v4_be) == 1) {
		*a = address_from_v4_be(v4_be);
		return 0;
	}
	return inet_pton(AF_INET6, copy, a->ip) == 1 ? 0 : -EINVAL;
}

const char *address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	if (address_is_v4(a))
		inet_ntop(AF_INET, a->ip + 12, out, ADDRESS_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->ip, out, ADDRESS_TEXT_MAX);
	return out;
}

int endpoint_parse(struct endpoint *e, const char *text, size_t n)
{
	const char *colon = n ? memrchr(text, ':', n) : NULL;
	uint32_t port = 0;
	size_t host_len;

	if (!colon || colon + 1 == text + n || text + n - colon > 6)
		return -EINVAL;
	host_len = (size_t)(colon - text);
	/* A bare IPv6 literal is ambiguous with a port behind it. */
	if (memchr(text, ':', host_len) && text[0] != '[')
		return -EINVAL;
	for (const char *p = colon + 1; p < text + n; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		port = port * 10 + (uint32_t)(*p - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	e->port = (uint16_t)port;
	return address_parse(&e->address, text, host_len);
}

const char *endpoint_text(const struct endpoint *e, char out[ENDPOINT_TEXT_MAX])
{
	char address[ADDRESS_TEXT_MAX];

	address_text(&e->address, address);
	snprintf(out, ENDPOINT_TEXT_MAX, address_is_v4(&e->address) ? "%s:%u" : "[%s]:%u", address,
		 e->port);
	return out;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (address_is_v4(&e->address)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		in->sin_addr.s_addr = address_v4_be(&e->address);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->address.ip, sizeof(e->address.ip));
	return sizeof(*in6);
}

int endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

	switch (sa->sa_family) {
	case AF_INET:
		e->address = address_from_v4_be(in->sin_addr.s_addr);
		e->port = ntohs(in->sin_port);
		return 0;
	case AF_INET6:
		memcpy(e->address.ip, &in6->sin6_addr, sizeof(e->address.ip));
		e->port = ntohs(in6->sin6_port);
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}
