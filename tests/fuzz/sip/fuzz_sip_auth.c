/* Any bytes as the value of Authorization, verified against a known user's digests. */
#include "control/sip/auth.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char request[] = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9\r\n"
				      "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
				      "CSeq: 1 OPTIONS\r\n\r\n";
	static const char *const ha1[SIP_AUTH_ALGORITHMS] = {
		[SIP_AUTH_MD5] = "939e7578ed9e3c518a452acee763bce9",
		[SIP_AUTH_SHA256] =
			"7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
	};
	static const uint8_t key[32];
	static struct sip_auth *auth;
	static struct sip_message m;
	struct sip_auth_credentials c;
	const char *reason;

	if (!auth) {
		if (sip_auth_create(&auth, "tandem", key, 60000, 16) < 0)
			abort();
		sip_message_parse(&m, request, sizeof(request) - 1, &reason);
	}
	if (sip_auth_parse(&c, (struct sip_text){(const char *)data, (uint32_t)size}) == 0 &&
	    sip_auth_verify(auth, &c, &m, ha1, 1000) == SIP_AUTH_OK)
		abort(); /* nobody was challenged */
	return 0;
}
