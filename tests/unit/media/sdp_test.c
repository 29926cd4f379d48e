/* The index over SDP: what is found, what is tolerated, what is refused and why. */
#include "dataplane/media/sdp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sdp sdp; /* large */
static char error[SDP_ERROR_MAX];

static int parse(const char *text)
{
	error[0] = '\0';
	return sdp_parse(&sdp, text, strlen(text), error);
}

static void assert_span(struct sdp_span span, const char *text)
{
	if (!sdp_span_equal(span, text))
		fail_msg("'%.*s' is not '%s'", (int)span.len, span.text, text);
}

static void assert_address(const struct address *address, const char *text)
{
	char have[ADDRESS_TEXT_MAX];

	assert_string_equal(address_text(address, have), text);
}

/* RFC 8866 5, the example, with one more stream. */
static const char example[] = "v=0\r\n"
			      "o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
			      "s=Call to John Smith\r\n"
			      "i=SDP Offer #1\r\n"
			      "u=http://www.jdoe.example.com/home.html\r\n"
			      "e=Jane Doe <jane@jdoe.example.com>\r\n"
			      "p=+1 617 555-6011\r\n"
			      "c=IN IP4 198.51.100.1\r\n"
			      "t=0 0\r\n"
			      "m=audio 49170 RTP/AVP 0 8 101\r\n"
			      "a=rtpmap:101 telephone-event/8000\r\n"
			      "a=fmtp:101 0-15\r\n"
			      "a=ptime:30\r\n"
			      "m=audio 49180 RTP/AVP 0\r\n"
			      "a=sendonly\r\n"
			      "m=video 51372/2 RTP/AVP 99\r\n"
			      "c=IN IP6 2001:db8::2\r\n"
			      "a=rtpmap:99 h263-1998/90000\r\n"
			      "a=rtcp:53020 IN IP6 2001:db8::3\r\n";

static void the_example_is_indexed(void **state)
{
	struct sdp_codec codecs[8];
	struct sdp_origin origin;
	struct address address;
	struct endpoint rtcp;

	(void)state;
	assert_int_equal(parse(example), 0);
	assert_int_equal(sdp.media_count, 3);
	assert_int_equal(sdp_origin(&sdp, &origin), 0);
	assert_span(origin.username, "jdoe");
	assert_span(origin.session_id, "3724394400");
	assert_span(origin.version, "3724394405");
	assert_span(origin.address, "198.51.100.1");
	assert_span(sdp_line_value(&sdp, sdp.name_line), "Call to John Smith");
	assert_span(sdp.media[0].type, "audio");
	assert_int_equal(sdp.media[0].port, 49170);
	assert_span(sdp.media[0].proto, "RTP/AVP");
	assert_span(sdp.media[0].formats, "0 8 101");
	assert_int_equal(sdp.media[2].ports_count, 2);
	assert_int_equal(sdp_media_address(&sdp, 0, &address), 0);
	assert_address(&address, "198.51.100.1");
	assert_int_equal(sdp_media_address(&sdp, 2, &address), 0);
	assert_address(&address, "2001:db8::2");
	assert_int_equal(sdp_media_rtcp(&sdp, 0, &rtcp), 0);
	assert_int_equal(rtcp.port, 49171);
	assert_int_equal(sdp_media_rtcp(&sdp, 2, &rtcp), 0);
	assert_int_equal(rtcp.port, 53020);
	assert_address(&rtcp.address, "2001:db8::3");
	assert_int_equal(sdp_media_ptime_ms(&sdp, 0), 30);
	assert_int_equal(sdp_media_ptime_ms(&sdp, 1), 0);
	assert_int_equal(sdp_media_codecs(&sdp, 0, codecs, 8), 3);
	assert_span(codecs[0].name, "PCMU");
	assert_int_equal(codecs[0].rate, 8000);
	assert_false(codecs[0].mapped);
	assert_span(codecs[2].name, "telephone-event");
	assert_span(codecs[2].fmtp, "0-15");
	assert_int_equal(sdp_media_codecs(&sdp, 0, codecs, 2), 2);
}

static void directions_come_from_the_section_or_the_session(void **state)
{
	static const struct {
		const char *session, *media;
		enum sdp_direction direction;
		bool held;
	} rows[] = {
		{"", "", SDP_DIRECTION_SENDRECV, false},
		{"a=inactive\r\n", "", SDP_DIRECTION_INACTIVE, true},
		{"a=sendonly\r\n", "a=sendrecv\r\n", SDP_DIRECTION_SENDRECV, false},
		{"", "a=recvonly\r\n", SDP_DIRECTION_RECVONLY, false},
		{"", "a=sendonly\r\n", SDP_DIRECTION_SENDONLY, true},
		{"", "c=IN IP4 0.0.0.0\r\n", SDP_DIRECTION_SENDRECV, true},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text),
			 "v=0\r\nc=IN IP4 192.0.2.1\r\n%sm=audio 4000 RTP/AVP 0\r\n%s",
			 rows[i].session, rows[i].media);
		assert_int_equal(parse(text), 0);
		assert_int_equal(sdp_media_direction(&sdp, 0), rows[i].direction);
		assert_int_equal(sdp_media_is_held(&sdp, 0), rows[i].held);
	}
}

static void codecs_are_described(void **state)
{
	struct sdp_codec codecs[8];

	(void)state;
	assert_int_equal(
		parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/SAVPF 111 9 10 77 0 300 x\n"
		      "a=fmtp:111 minptime=10; useinbandfec=1\n"
		      "a=rtpmap:111 opus/48000/2\na=rtpmap:9 G722/8000\na=rtpmap:77 broken\n"
		      "a=rtpmap:0 PCMU/8000\n"),
		0);
	assert_int_equal(sdp_media_codecs(&sdp, 0, codecs, 8), 5);
	assert_span(codecs[0].name, "opus");
	assert_int_equal(codecs[0].rate, 48000);
	assert_int_equal(codecs[0].channels, 2);
	assert_span(codecs[0].fmtp, "minptime=10; useinbandfec=1");
	assert_span(codecs[2].name, "L16");
	assert_int_equal(codecs[2].channels, 2);
	assert_int_equal(codecs[3].name.len, 0);
	assert_true(codecs[4].mapped);
}

static void rtcp_goes_where_it_is_wanted(void **state)
{
	static const struct {
		const char *media;
		uint16_t port;
		const char *address;
	} rows[] = {
		{"m=audio 4000 RTP/AVP 0\r\n", 4001, "192.0.2.1"},
		{"m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n", 4000, "192.0.2.1"},
		{"m=audio 4000 RTP/AVP 0\r\na=rtcp:5001\r\n", 5001, "192.0.2.1"},
		{"m=audio 4000 RTP/AVP 0\r\na=rtcp:5001 IN IP4 192.0.2.9\r\n", 5001, "192.0.2.9"},
		{"m=audio 4000 RTP/AVP 0\r\na=rtcp:x\r\n", 4001, "192.0.2.1"},
		{"m=audio 4000 RTP/AVP 0\r\na=rtcp:5001 IN IP4 nowhere\r\n", 5001, "192.0.2.1"},
		{"m=audio 65535 RTP/AVP 0\r\n", 0, "192.0.2.1"},
		{"m=audio 0 RTP/AVP 0\r\n", 0, "192.0.2.1"},
	};
	struct endpoint rtcp;
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "v=0\r\nc=IN IP4 192.0.2.1\r\n%s", rows[i].media);
		assert_int_equal(parse(text), 0);
		assert_int_equal(sdp_media_rtcp(&sdp, 0, &rtcp), 0);
		assert_int_equal(rtcp.port, rows[i].port);
		assert_address(&rtcp.address, rows[i].address);
	}
}

static void sloppy_texts_are_accepted(void **state)
{
	static const char *const texts[] = {
		"v=0\nm=audio 4000 RTP/AVP 0\n",               /* LF only; no o=, s=, t= */
		"v=0\r\nm=audio 4000 RTP/AVP 0",               /* no end on the last line */
		"v=0\r\n\r\nm=audio 4000 RTP/AVP 0\r\n\r\n",   /* empty lines */
		"v=0\r\ns=\r\nm=audio  4000  RTP/AVP  0 \r\n", /* spaces */
		"v=0\r\nm=application 9 UDP/DTLS/SCTP\r\n",    /* no format */
		"v=0\r\nm=audio 4000 RTP/AVP 0\r\nx=what\r\na=SendOnly\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (parse(texts[i]) != 0)
			fail_msg("%s: %s", texts[i], error);
		assert_int_equal(sdp.media_count, 1);
	}
	assert_int_equal(sdp_media_direction(&sdp, 0), SDP_DIRECTION_SENDONLY);
}

static void broken_texts_are_refused_with_the_line(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"", "line 1: v= is missing"},
		{"o=x\r\n", "line 1: v= is missing"},
		{"garbage", "line 1: not of the form <letter>=<value>"},
		{"v=0\r\nV=1\r\n", "line 2: not of the form <letter>=<value>"},
		{"v=0\r\na\r\n", "line 2: not of the form <letter>=<value>"},
		{"v=0\r\na=x\ry\r\n", "line 2: not of the form <letter>=<value>"},
		{"v=0\r\nm=audio\r\n", "line 2: m= has no port number of 0 to 65535"},
		{"v=0\r\nm=audio -1 RTP/AVP 0\r\n", "line 2: m= has no port number of 0 to 65535"},
		{"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
		 "line 2: m= has no port number of 0 to 65535"},
		{"v=0\r\nm=audio 99999999999999999999 RTP/AVP 0\r\n",
		 "line 2: m= has no port number of 0 to 65535"},
		{"v=0\r\nm=audio 4000/0 RTP/AVP 0\r\n", "line 2: m= has a broken number of ports"},
		{"v=0\r\nm=audio 4000\r\n", "line 2: m= has no protocol"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), -EBADMSG);
		assert_string_equal(error, rows[i].error);
	}
	assert_int_equal(sdp_parse(&sdp, "v=0\r\na=x\0y\r\n", 12, error), -EBADMSG);
}

static void addresses_that_cannot_be_used_are_told_apart(void **state)
{
	static const struct {
		const char *line;
		int rc;
	} rows[] = {
		{"", -ENOENT},
		{"c=IN IP4 192.0.2.1\r\n", 0},
		{"c=IN IP4 224.2.1.1/127/3\r\n", 0},
		{"c=IN IP6 ::1\r\n", 0},
		{"c=IN IP4 host.example.com\r\n", -EADDRNOTAVAIL},
		{"c=ATM NSAP 1\r\n", -EADDRNOTAVAIL},
		{"c=IN IP4\r\n", -EBADMSG},
		{"c=IN IP9 192.0.2.1\r\n", -EBADMSG},
	};
	struct address address;
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "v=0\r\n%sm=audio 4000 RTP/AVP 0\r\n", rows[i].line);
		assert_int_equal(parse(text), 0);
		assert_int_equal(sdp_media_address(&sdp, 0, &address), rows[i].rc);
	}
}

static void limits_are_kept(void **state)
{
	size_t max = SDP_BYTES_MAX + 100;
	char *text = malloc(max);
	size_t n;

	(void)state;
	strcpy(text, "v=0\n");
	n = strlen(text);
	for (int i = 0; i < SDP_MEDIA_MAX; i++)
		n += (size_t)sprintf(text + n, "m=audio 4000 RTP/AVP 0\n");
	assert_int_equal(sdp_parse(&sdp, text, n, error), 0);
	n += (size_t)sprintf(text + n, "m=audio 4000 RTP/AVP 0\n");
	assert_int_equal(sdp_parse(&sdp, text, n, error), -E2BIG);
	assert_string_equal(error, "line 34: more than 32 m= lines");
	n = (size_t)sprintf(text, "v=0\n");
	for (int i = 1; i < SDP_LINES_MAX; i++)
		n += (size_t)sprintf(text + n, "a=x\n");
	assert_int_equal(sdp_parse(&sdp, text, n, error), 0);
	n += (size_t)sprintf(text + n, "a=x\n");
	assert_int_equal(sdp_parse(&sdp, text, n, error), -E2BIG);
	assert_string_equal(error, "more than 1024 lines");
	n = (size_t)sprintf(text, "v=0\na=");
	memset(text + n, 'x', max - n);
	assert_int_equal(sdp_parse(&sdp, text, SDP_BYTES_MAX, error), 0);
	assert_int_equal(sdp.lines[1].len, SDP_BYTES_MAX - 4);
	assert_int_equal(sdp_parse(&sdp, text, SDP_BYTES_MAX + 1, error), -E2BIG);
	free(text);
}

static void every_prefix_is_indexed_or_refused(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(example) - 1; n++) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, example, n);
		if (sdp_parse(&sdp, copy, n, error) == 0) {
			struct sdp_codec codecs[4];
			struct endpoint rtcp;

			for (uint32_t i = 0; i < sdp.media_count; i++) {
				sdp_media_rtcp(&sdp, i, &rtcp);
				sdp_media_codecs(&sdp, i, codecs, 4);
				assert_true(sdp.media[i].lines_end <= sdp.lines_count);
			}
		} else {
			assert_true(error[0] != '\0');
		}
		free(copy);
	}
}

static void numbers_are_digits_within_their_limit(void **state)
{
	uint64_t n = 0;

	(void)state;
	assert_true(sdp_span_number((struct sdp_span){"65535", 5}, 65535, &n) && n == 65535);
	assert_false(sdp_span_number((struct sdp_span){"65536", 5}, 65535, &n));
	assert_true(sdp_span_number((struct sdp_span){"3", 1}, 5, &n) && n == 3);
	assert_false(sdp_span_number((struct sdp_span){"9", 1}, 5, &n));
	assert_false(sdp_span_number((struct sdp_span){"", 0}, 5, &n));
	assert_false(sdp_span_number((struct sdp_span){"1a", 2}, 500, &n));
	assert_true(sdp_span_number((struct sdp_span){"18446744073709551615", 20}, UINT64_MAX, &n));
	assert_false(
		sdp_span_number((struct sdp_span){"18446744073709551616", 20}, UINT64_MAX, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_indexed),
		cmocka_unit_test(directions_come_from_the_section_or_the_session),
		cmocka_unit_test(codecs_are_described),
		cmocka_unit_test(rtcp_goes_where_it_is_wanted),
		cmocka_unit_test(sloppy_texts_are_accepted),
		cmocka_unit_test(broken_texts_are_refused_with_the_line),
		cmocka_unit_test(addresses_that_cannot_be_used_are_told_apart),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(every_prefix_is_indexed_or_refused),
		cmocka_unit_test(numbers_are_digits_within_their_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
