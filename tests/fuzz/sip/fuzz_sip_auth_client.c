/* Any bytes as the value of WWW-Authenticate: what we answer can be read back, is one line, and
 * proves the password to a server that asked the same. */
#include "control/sip/auth.h"
#include "control/sip/auth_client.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char head[] = "SIP/2.0 401 X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
				   "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\n"
				   "CSeq: 1 REGISTER\r\nWWW-Authenticate: ";
	static const struct sip_auth_secret secret = {.username = "u", .password = "p"};
	static struct sip_digest *digest;
	static char bytes[8192];
	static struct sip_message m;
	struct sip_auth_client client = {0};
	struct sip_auth_credentials c;
	struct sip_builder b;
	char out[4096];
	const char *reason;
	size_t n = sizeof(head) - 1;

	if (!digest && sip_digest_create(&digest) < 0)
		abort();
	if (size > sizeof(bytes) - sizeof(head) - 8)
		return 0;
	memcpy(bytes, head, n);
	memcpy(bytes + n, data, size);
	memcpy(bytes + n + size, "\r\n\r\n", 4);
	if (sip_message_parse(&m, bytes, (uint32_t)(n + size + 4), &reason) != 0 ||
	    sip_auth_challenged(&client, &m, &secret) < 0)
		return 0;
	sip_builder_init(&b, out, sizeof(out));
	sip_auth_put(&client, digest, &secret, &b, sip_text_of("REGISTER"), sip_text_of("sip:h"),
		     sip_text_of("body"));
	if (sip_builder_result(&b) < 0 || b.n < 17 ||
	    (char *)memchr(out, '\n', b.n) != out + b.n - 1)
		abort();
	if (sip_auth_parse(&c, (struct sip_text){out + 15, b.n - 17}) < 0 || c.algorithm_unknown)
		abort();
	if (!sip_text_equal(c.nonce, sip_text_of(client.server.nonce)) ||
	    !sip_text_equal(c.realm, sip_text_of(client.server.realm)))
		abort();
	return 0;
}
