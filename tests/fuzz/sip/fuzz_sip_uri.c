/* Any bytes as a URI and as a name-addr. */
#include "control/sip/uri.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sip_text text = {(const char *)data, (uint32_t)size};
	struct sip_address address;
	struct address host;
	struct sip_uri uri;
	char out[256];
	char plain[256];
	int n;

	if (sip_uri_parse(&uri, text) == 0) {
		if (uri.host.n > 0 && uri.scheme == SIP_SCHEME_OTHER)
			abort();
		sip_uri_address(&uri, &host);
		sip_uri_user(&uri, out, sizeof(out));
		sip_uri_parameter(&uri, "transport", NULL);
		sip_uri_equal(&uri, &uri);
	}
	if (sip_address_parse(&address, text) == 0)
		sip_unquote(address.display, out, sizeof(out));
	/* what is escaped is unescaped to the same */
	n = sip_escape_user(text, out, sizeof(out));
	if (n >= 0 && !memchr(data ? data : (const uint8_t *)"", 0, size)) {
		if (sip_unescape((struct sip_text){out, (uint32_t)n}, plain, sizeof(plain)) !=
			    (int)size ||
		    memcmp(plain, data ? data : (const uint8_t *)"", size) != 0)
			abort();
	}
	return 0;
}
