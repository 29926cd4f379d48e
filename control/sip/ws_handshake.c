/* An HTTP/1.1 request of which only what makes it a WebSocket's is looked at. */
#include "control/sip/ws_handshake.h"

#include "control/sip/chars.h"
#include "control/sip/text.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <string.h>

#define KEY_SIZE    24 /* base64 of 16 bytes */
#define SHA1_SIZE   20
#define ACCEPT_SIZE 29                                     /* base64 of a SHA-1, and NUL */
#define MAGIC       "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */

struct upgrade {
	struct sip_text key;
	uint32_t keys;
	uint32_t headers;
	bool has_host;
	bool has_body;
	bool wants_upgrade;   /* Connection: Upgrade */
	bool wants_websocket; /* Upgrade: websocket */
	bool speaks_sip;      /* Sec-WebSocket-Protocol: sip */
	bool has_version;
	bool version_is_wrong;
};

static enum ws_handshake_result refuse(struct ws_handshake *out, uint32_t status,
				       const char *reason, const char *header)
{
	out->status = status;
	out->answer_n = (uint32_t)snprintf(out->answer, sizeof(out->answer),
					   "HTTP/1.1 %u %s\r\n%sConnection: close\r\n"
					   "Content-Length: 0\r\n\r\n",
					   status, reason, header);
	return WS_HANDSHAKE_REFUSED;
}

/* True if a comma-separated value names the word. */
static bool names(struct sip_text value, const char *word)
{
	while (value.n > 0) {
		const char *comma = memchr(value.at, ',', value.n);
		uint32_t n = comma ? (uint32_t)(comma - value.at) : value.n;

		if (sip_text_is(sip_text_trim((struct sip_text){value.at, n}), word))
			return true;
		n += comma != NULL;
		value = (struct sip_text){value.at + n, value.n - n};
	}
	return false;
}

static void header_take(struct upgrade *upgrade, struct ws_handshake *out, struct sip_text name,
			struct sip_text value)
{
	if (sip_text_is(name, "Host")) {
		upgrade->has_host = true;
	} else if (sip_text_is(name, "Upgrade")) {
		upgrade->wants_websocket |= names(value, "websocket");
	} else if (sip_text_is(name, "Connection")) {
		upgrade->wants_upgrade |= names(value, "upgrade");
	} else if (sip_text_is(name, "Sec-WebSocket-Key")) {
		upgrade->key = value;
		upgrade->keys++;
	} else if (sip_text_is(name, "Sec-WebSocket-Version")) {
		upgrade->has_version = true;
		upgrade->version_is_wrong |= !sip_text_is(value, "13");
	} else if (sip_text_is(name, "Sec-WebSocket-Protocol")) {
		upgrade->speaks_sip |= names(value, "sip");
	} else if (sip_text_is(name, "Origin")) {
		out->has_origin = true;
	} else if (sip_text_is(name, "Transfer-Encoding") ||
		   (sip_text_is(name, "Content-Length") && !sip_text_is(value, "0"))) {
		upgrade->has_body = true;
	}
}

/* A line without its CRLF; false if it is no header. */
static bool header_line(struct upgrade *upgrade, struct ws_handshake *out, struct sip_text line)
{
	uint32_t n = 0;

	while (n < line.n && sip_is_token(line.at[n]))
		n++;
	if (n == 0 || n == line.n || line.at[n] != ':')
		return false;
	for (uint32_t i = n; i < line.n; i++) {
		if ((unsigned char)line.at[i] < ' ' && line.at[i] != '\t')
			return false;
	}
	header_take(upgrade, out, (struct sip_text){line.at, n},
		    sip_text_trim((struct sip_text){line.at + n + 1, line.n - n - 1}));
	return true;
}

/* 0, or the status that refuses it. */
static uint32_t request_line(struct sip_text line)
{
	static const char version[] = " HTTP/1.1";
	const uint32_t version_n = sizeof(version) - 1;
	const char *word;
	uint32_t target_n;

	if (line.n < 4 || memcmp(line.at, "GET ", 4) != 0) {
		word = memchr(line.at, ' ', line.n);
		return word && word > line.at && line.n > version_n &&
				       memcmp(line.at + line.n - 8, "HTTP/1.", 7) == 0
			       ? 405
			       : 400;
	}
	if (line.n < 4 + version_n + 1)
		return 400;
	word = line.at + line.n - version_n;
	if (memcmp(word, version, version_n) != 0)
		return memcmp(word, " HTTP/", 6) == 0 ? 505 : 400;
	target_n = line.n - 4 - version_n;
	for (uint32_t i = 0; i < target_n; i++) {
		if ((unsigned char)line.at[4 + i] <= ' ' || line.at[4 + i] == 0x7f)
			return 400;
	}
	return line.at[4] == '/' || target_n > 1 ? 0 : 400;
}

static bool key_is_valid(struct sip_text key)
{
	unsigned char bytes[KEY_SIZE];

	return key.n == KEY_SIZE && memcmp(key.at + KEY_SIZE - 2, "==", 2) == 0 &&
	       key.at[KEY_SIZE - 3] != '=' &&
	       EVP_DecodeBlock(bytes, (const unsigned char *)key.at, KEY_SIZE) == 18;
}

/* RFC 6455 4.2.2: what shows that the key was understood. */
static bool key_accept(struct sip_text key, char accept[ACCEPT_SIZE])
{
	unsigned char both[KEY_SIZE + sizeof(MAGIC) - 1];
	unsigned char digest[EVP_MAX_MD_SIZE];

	memcpy(both, key.at, KEY_SIZE);
	memcpy(both + KEY_SIZE, MAGIC, sizeof(MAGIC) - 1);
	if (EVP_Digest(both, sizeof(both), digest, NULL, EVP_sha1(), NULL) != 1)
		return false;
	EVP_EncodeBlock((unsigned char *)accept, digest, SHA1_SIZE);
	return true;
}

static enum ws_handshake_result judge(const struct upgrade *upgrade, struct ws_handshake *out)
{
	static const char version[] = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
	char accept[ACCEPT_SIZE];

	if (!upgrade->wants_upgrade || !upgrade->wants_websocket)
		return refuse(out, 426, "Upgrade Required", version);
	if (!upgrade->has_version || upgrade->version_is_wrong)
		return refuse(out, 426, "WebSocket Version Not Supported", version);
	if (!upgrade->has_host)
		return refuse(out, 400, "Missing Host", "");
	if (upgrade->has_body)
		return refuse(out, 400, "Body Not Expected", "");
	if (upgrade->keys != 1 || !key_is_valid(upgrade->key))
		return refuse(out, 400, "Bad Sec-WebSocket-Key", "");
	if (!upgrade->speaks_sip)
		return refuse(out, 400, "Subprotocol sip Expected", "");
	if (!key_accept(upgrade->key, accept))
		return refuse(out, 500, "Internal Server Error", "");
	out->status = 101;
	out->answer_n = (uint32_t)snprintf(out->answer, sizeof(out->answer),
					   "HTTP/1.1 101 Switching Protocols\r\n"
					   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
					   "Sec-WebSocket-Accept: %s\r\n"
					   "Sec-WebSocket-Protocol: sip\r\n\r\n",
					   accept);
	return WS_HANDSHAKE_OPEN;
}

/* Length with the empty line; 0 if it is not there yet. */
static uint32_t request_size(const char *bytes, uint32_t n, uint32_t *scanned)
{
	uint32_t from = *scanned > 3 ? *scanned - 3 : 0;
	const char *end = memmem(bytes + from, n - from, "\r\n\r\n", 4);

	*scanned = n;
	return end ? (uint32_t)(end - bytes) + 4 : 0;
}

enum ws_handshake_result ws_handshake_read(const char *bytes, uint32_t n, uint32_t *scanned,
					   struct ws_handshake *out)
{
	struct upgrade upgrade = {0};
	const char *p = bytes;
	const char *end;
	const char *stop;
	uint32_t status;

	memset(out, 0, sizeof(*out));
	out->size = n > 0 ? request_size(bytes, n, scanned) : 0;
	if (out->size > WS_HANDSHAKE_SIZE_MAX || (out->size == 0 && n > WS_HANDSHAKE_SIZE_MAX))
		return refuse(out, 431, "Request Header Fields Too Large", "");
	if (out->size == 0)
		return WS_HANDSHAKE_MORE;
	end = bytes + out->size - 2;
	stop = memmem(p, (size_t)(end - p), "\r\n", 2);
	status = stop ? request_line((struct sip_text){p, (uint32_t)(stop - p)}) : 400;
	if (status == 405)
		return refuse(out, 405, "Method Not Allowed", "Allow: GET\r\n");
	if (status == 505)
		return refuse(out, 505, "HTTP Version Not Supported", "");
	if (status != 0)
		return refuse(out, 400, "Bad Request", "");
	for (p = stop + 2; p < end; p = stop + 2) {
		stop = memmem(p, (size_t)(end - p), "\r\n", 2);
		if (upgrade.headers++ == WS_HANDSHAKE_HEADERS_MAX)
			return refuse(out, 431, "Too Many Header Fields", "");
		if (!header_line(&upgrade, out, (struct sip_text){p, (uint32_t)(stop - p)}))
			return refuse(out, 400, "Bad Header Line", "");
	}
	return judge(&upgrade, out);
}
