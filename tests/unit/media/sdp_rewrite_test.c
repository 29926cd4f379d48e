/* Rewriting SDP: text in, text out. */
#include "dataplane/media/sdp_rewrite.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sdp sdp;

static void address_of(struct address *address, const char *text)
{
	assert_int_equal(address_parse(address, text, strlen(text)), 0);
}

/* Relays every RTP section with a port to 203.0.113.1:30000 (+2 for each further one). */
static void relay_all(struct sdp_rewrite *rewrite)
{
	address_of(&rewrite->origin_address, "203.0.113.1");
	for (uint32_t i = 0; i < sdp.media_count; i++) {
		struct sdp_rewrite_media *media = &rewrite->media[i];

		media->relay = sdp.media[i].port != 0 && sdp.media[i].proto.text[0] == 'R';
		media->rtp = media->relay;
		media->address = rewrite->origin_address;
		media->port = (uint16_t)(30000 + 2 * i);
		media->rtcp_port = (uint16_t)(media->port + 1);
	}
}

static void index_text(const char *text)
{
	char error[SDP_ERROR_MAX];

	if (sdp_parse(&sdp, text, strlen(text), error) != 0)
		fail_msg("%s", error);
}

static void assert_rewritten(const struct sdp_rewrite *rewrite, const char *want)
{
	char out[8192];
	int64_t n = sdp_rewrite(&sdp, rewrite, out, sizeof(out) - 1);

	assert_true(n >= 0);
	out[n] = '\0';
	assert_string_equal(out, want);
}

static void addresses_and_ports_are_replaced_and_the_rest_stays(void **state)
{
	static const struct {
		const char *name, *in, *out;
	} rows[] = {
		{"order, unknown lines, both levels",
		 "v=0\r\no=a 1 2 IN IP4 192.0.2.1\r\ns=x y\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\nt=0 "
		 "0\r\n"
		 "a=x-session\r\nm=audio 4000 RTP/AVP 0 101\r\ni=info\r\na=x-before\r\n"
		 "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
		 "a=ptime:20\r\na=sendrecv\r\na=x-after\r\n",
		 "v=0\r\no=a 1 2 IN IP4 192.0.2.1\r\ns=x y\r\nc=IN IP4 "
		 "203.0.113.1\r\nb=AS:64\r\nt=0 0\r\n"
		 "a=x-session\r\nm=audio 30000 RTP/AVP 0 101\r\ni=info\r\na=x-before\r\n"
		 "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
		 "a=ptime:20\r\na=sendrecv\r\na=rtcp:30001\r\na=x-after\r\n"},
		{"LF line ends", "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n",
		 "v=0\nc=IN IP4 203.0.113.1\nm=audio 30000 RTP/AVP 8\na=rtpmap:8 PCMA/8000\n"
		 "a=sendrecv\na=rtcp:30001\n"},
		{"no end on the last line", "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 96",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 30000 RTP/AVP 96\r\na=sendrecv\r\n"
		 "a=rtcp:30001\r\n"},
		{"half a line end at the end",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 96\r",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 30000 RTP/AVP 96\r\na=sendrecv\r\n"
		 "a=rtcp:30001\r\n"},
		{"c= of the section, the session's direction moves down",
		 "v=0\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n",
		 "v=0\r\nm=audio 30000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\na=rtpmap:0 "
		 "PCMU/8000\r\n"
		 "a=inactive\r\na=rtcp:30001\r\n"},
		{"port 0 stays as it is",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\na=x\r\nm=audio 4 RTP/AVP "
		 "96\r\n",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 0 RTP/AVP 0\r\na=x\r\nm=audio 30002 "
		 "RTP/AVP 96\r\n"
		 "a=sendrecv\r\na=rtcp:30003\r\n"},
		{"no address passes when every port is 0",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\n",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\n"},
		{"a section that is neither refused nor relayed keeps the session's address",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\nm=message 7 TCP/MSRP *\r\n",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\nm=message 7 TCP/MSRP *\r\n"},
		{"what is not relayed keeps the address it lived by",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\na=sendonly\r\nm=audio 4 RTP/AVP 96\r\nm=message 7 "
		 "TCP/MSRP *\r\n",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\na=sendonly\r\nm=audio 30000 RTP/AVP "
		 "96\r\na=sendonly\r\n"
		 "a=rtcp:30001\r\nm=message 7 TCP/MSRP *\r\nc=IN IP4 192.0.2.1\r\n"},
		{"zero address stays, and says sendonly",
		 "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 96\r\na=sendrecv\r\n",
		 "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 30000 RTP/AVP "
		 "96\r\na=sendonly\r\na=rtcp:30001\r\n"},
		{"ICE, BUNDLE and DTLS go",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\na=group:BUNDLE 0\r\na=group:LS 0\r\na=ice-lite\r\n"
		 "m=audio 4 RTP/AVP 96\r\na=ice-ufrag:x\r\na=candidate:1 1 UDP 1 192.0.2.1 4 typ "
		 "host\r\n"
		 "a=end-of-candidates\r\na=setup:actpass\r\na=fingerprint:sha-256 AA\r\na=mid:0\r\n"
		 "a=rtcp-mux\r\n",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\na=group:LS 0\r\nm=audio 30000 RTP/AVP "
		 "96\r\na=mid:0\r\n"
		 "a=sendrecv\r\na=rtcp:30001\r\n"},
		{"a=rtcp is replaced where it stands, a second one goes",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 96\r\na=rtcp:9 IN IP4 "
		 "192.0.2.1\r\na=x\r\n"
		 "a=rtcp:10\r\n",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 30000 RTP/AVP 96\r\na=sendrecv\r\n"
		 "a=rtcp:30001\r\na=x\r\n"},
		{"number of ports, odd spaces, empty lines at the end",
		 "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio  4/2  RTP/AVP  96 \r\n\r\n\r\n",
		 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio  30000/2  RTP/AVP  96 \r\na=sendrecv\r\n"
		 "a=rtcp:30001\r\n\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sdp_rewrite rewrite = {0};

		index_text(rows[i].in);
		relay_all(&rewrite);
		print_message("%s\n", rows[i].name);
		assert_rewritten(&rewrite, rows[i].out);
	}
}

static void origin_version_and_names_change_when_asked(void **state)
{
	struct sdp_rewrite rewrite = {.origin = true,
				      .version = true,
				      .version_number = 17,
				      .username = {"me", 2},
				      .session_name = {"ours", 4}};

	(void)state;
	index_text("v=0\r\no=a 1 2 IN IP6 ::1\r\ns=x\r\nm=audio 0 RTP/AVP 0\r\n");
	relay_all(&rewrite);
	assert_rewritten(
		&rewrite,
		"v=0\r\no=me 1 17 IN IP4 203.0.113.1\r\ns=ours\r\nm=audio 0 RTP/AVP 0\r\n");
	index_text("v=0\r\no=broken\r\nm=audio 0 RTP/AVP 0\r\n");
	assert_rewritten(&rewrite, "v=0\r\no=broken\r\nm=audio 0 RTP/AVP 0\r\n");
}

static void rtcp_is_written_as_asked(void **state)
{
	struct sdp_rewrite rewrite = {0};

	(void)state;
	index_text("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 96\r\n");
	relay_all(&rewrite);
	rewrite.media[0].rtcp_full = true;
	rewrite.media[0].rtcp_mux = true;
	rewrite.media[0].proto = "RTP/AVPF";
	assert_rewritten(
		&rewrite,
		"v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 30000 RTP/AVPF 96\r\na=sendrecv\r\n"
		"a=rtcp:30001 IN IP4 203.0.113.1\r\na=rtcp-mux\r\n");
	rewrite.media[0].rtcp_port = 0;
	rewrite.media[0].rtcp_mux = false;
	rewrite.keep_direction = true;
	assert_rewritten(&rewrite, "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 30000 RTP/AVPF 96\r\n");
}

static void families_may_differ_between_sections(void **state)
{
	struct sdp_rewrite rewrite = {0};

	(void)state;
	index_text("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 96\r\nm=audio 6 RTP/AVP 97\r\n");
	relay_all(&rewrite);
	address_of(&rewrite.media[1].address, "2001:db8::1");
	rewrite.media[0].rtcp_port = 0;
	rewrite.media[1].rtcp_port = 0;
	assert_rewritten(&rewrite,
			 "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 30000 RTP/AVP 96\r\na=sendrecv\r\n"
			 "m=audio 30002 RTP/AVP 97\r\nc=IN IP6 2001:db8::1\r\na=sendrecv\r\n");
}

static void too_little_room_is_told(void **state)
{
	struct sdp_rewrite rewrite = {0};
	char out[512];
	int64_t whole;

	(void)state;
	index_text("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 0\r\n");
	relay_all(&rewrite);
	whole = sdp_rewrite(&sdp, &rewrite, out, sizeof(out));
	assert_true(whole > 0);
	for (size_t max = 0; max < (size_t)whole; max++) {
		char *small = malloc(max ? max : 1);

		assert_int_equal(sdp_rewrite(&sdp, &rewrite, small, max), -ENOSPC);
		free(small);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_and_ports_are_replaced_and_the_rest_stays),
		cmocka_unit_test(origin_version_and_names_change_when_asked),
		cmocka_unit_test(rtcp_is_written_as_asked),
		cmocka_unit_test(families_may_differ_between_sections),
		cmocka_unit_test(too_little_room_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
