/* Offer and answer: SDP and flags in; SDP and published flows out. */
#include "tests/unit/session/fixture.h"

#define HEAD    "v=0\r\no=a 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
#define HEAD_B  "v=0\r\no=b 1 1 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 198.51.100.2\r\nt=0 0\r\n"
#define SHOWN   "v=0\r\no=a 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n"
#define SHOWN_B "v=0\r\no=b 1 1 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n"
#define AUDIO   "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
#define AUDIO_B "m=audio 5000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
#define AUDIO_P "m=audio $0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
#define RTCP    "a=rtcp:$0+\r\n"
#define MUX     "a=rtcp-mux\r\n"
#define MUXED   "a=rtcp:$0\r\n" MUX
#define PLAIN_FLOWS                                                                                \
	"A0 rtp B0 B0+ 198.51.100.1:4000 ls\n"                                                     \
	"A0+ rtcp - B0+ 198.51.100.1:4001 ls\n"                                                    \
	"B0 rtp A0 A0+ 198.51.100.2:5000 ls\n"                                                     \
	"B0+ rtcp - A0+ 198.51.100.2:5001 ls\n"

/* One round; what is NULL is not given or not looked at. */
struct round {
	const char *name;
	const char *offer;
	const char *key, *value;   /* one more key of the offer */
	const char *key2, *value2; /* and another */
	const char *offered;
	const char *answer;
	const char *answer_key, *answer_value;
	const char *answered;
	const char *flows;
};

static const struct round rounds[] = {
	{.name = "plain",
	 .offer = HEAD AUDIO,
	 .offered = SHOWN AUDIO_P RTCP,
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "replace origin",
	 .offer = HEAD AUDIO,
	 .key = "replace",
	 .value = "origin,session connection",
	 .offered = "v=0\r\no=a 1 1 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 "
		    "0\r\n" AUDIO_P RTCP},
	{.name = "direction between interfaces",
	 .offer = HEAD AUDIO,
	 .key = "direction",
	 .value = "pub,priv",
	 .offered = "v=0\r\no=a 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 203.0.113.2\r\nt=0 "
		    "0\r\n" AUDIO_P RTCP,
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "an interface behind a NAT shows the address outside",
	 .offer = HEAD AUDIO,
	 .key = "direction",
	 .value = "pub,nat",
	 .offered = "v=0\r\no=a 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 "
		    "0\r\n" AUDIO_P RTCP},
	{.name = "address family",
	 .offer = HEAD AUDIO,
	 .key = "address family",
	 .value = "IP6",
	 .offered = "v=0\r\no=a 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 "
		    "0\r\n" AUDIO_P RTCP,
	 .answer = "v=0\r\nc=IN IP6 2001:db8::99\r\nm=audio 5000 RTP/AVP 0\r\n",
	 .answered = "v=0\r\nc=IN IP4 203.0.113.1\r\n" AUDIO_P RTCP,
	 .flows = "A0 rtp B0 B0+ 198.51.100.1:4000 ls\n"
		  "A0+ rtcp - B0+ 198.51.100.1:4001 ls\n"
		  "B0 rtp A0 A0+ [2001:db8::99]:5000 ls\n"
		  "B0+ rtcp - A0+ [2001:db8::99]:5001 ls\n"},
	{.name = "media address of ours, towards the callee",
	 .offer = HEAD AUDIO,
	 .key = "media address",
	 .value = "127.0.0.1",
	 .offered = "v=0\r\no=a 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 "
		    "0\r\n" AUDIO_P RTCP},
	{.name = "media address of ours, towards the caller",
	 .offer = HEAD AUDIO,
	 .answer = HEAD_B AUDIO_B,
	 .answer_key = "media-address",
	 .answer_value = "127.0.0.1",
	 .answered = "v=0\r\no=b 1 1 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 "
		     "0\r\n" AUDIO_P RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "media address that is not ours",
	 .offer = HEAD AUDIO,
	 .key = "media-address",
	 .value = "192.0.2.77",
	 .offered = SHOWN AUDIO_P RTCP},
	{.name = "source address of the signalling",
	 .offer = HEAD AUDIO,
	 .key = "received-from",
	 .value = "IP4,192.0.2.77",
	 .key2 = "flags",
	 .value2 = "SIP-source-address",
	 .flows = "A0 rtp B0 B0+ 192.0.2.77:4000 ls\n"
		  "A0+ rtcp - B0+ 192.0.2.77:4001 ls\n"
		  "B0 rtp A0 A0+ - ls\n"
		  "B0+ rtcp - A0+ - ls\n"},
	{.name = "trusted address",
	 .offer = HEAD AUDIO,
	 .key = "received-from",
	 .value = "IP4,192.0.2.77",
	 .key2 = "flags",
	 .value2 = "trust address",
	 .answer = HEAD_B AUDIO_B,
	 .flows = PLAIN_FLOWS},
	{.name = "asymmetric caller, handover for the callee",
	 .offer = HEAD AUDIO,
	 .key = "flags",
	 .value = "asymmetric",
	 .answer = HEAD_B AUDIO_B,
	 .answer_key = "flags",
	 .answer_value = "media handover",
	 .flows = "A0 rtp B0 B0+ 198.51.100.1:4000 \n"
		  "A0+ rtcp - B0+ 198.51.100.1:4001 \n"
		  "B0 rtp A0 A0+ 198.51.100.2:5000 l\n"
		  "B0+ rtcp - A0+ 198.51.100.2:5001 l\n"},
	{.name = "handover gives way to strict source",
	 .offer = HEAD AUDIO,
	 .key = "flags",
	 .value = "media-handover,strict-source",
	 .answer = HEAD_B AUDIO_B,
	 .flows = PLAIN_FLOWS},
	{.name = "rtcp attributes: full",
	 .offer = HEAD AUDIO "a=rtcp:4444 IN IP4 198.51.100.9\r\n",
	 .key = "flags",
	 .value = "full rtcp attribute",
	 .offered = SHOWN AUDIO_P "a=rtcp:$0+ IN IP4 203.0.113.1\r\n",
	 .answer = HEAD_B AUDIO_B,
	 .flows = "A0 rtp B0 B0+ 198.51.100.1:4000 ls\n"
		  "A0+ rtcp - B0+ 198.51.100.9:4444 ls\n"
		  "B0 rtp A0 A0+ 198.51.100.2:5000 ls\n"
		  "B0+ rtcp - A0+ 198.51.100.2:5001 ls\n"},
	{.name = "rtcp attributes: none",
	 .offer = HEAD AUDIO,
	 .key = "flags",
	 .value = "no-rtcp-attribute",
	 .offered = SHOWN AUDIO_P},
	{.name = "rtcp-mux on both sides",
	 .offer = HEAD AUDIO MUX,
	 .offered = SHOWN AUDIO_P RTCP MUX,
	 .answer = HEAD_B AUDIO_B MUX,
	 .answered = SHOWN_B AUDIO_P MUXED,
	 .flows = "A0 mux B0 B0 198.51.100.1:4000 ls\nB0 mux A0 A0 198.51.100.2:5000 ls\n"},
	{.name = "rtcp-mux refused by the callee",
	 .offer = HEAD AUDIO MUX,
	 .offered = SHOWN AUDIO_P RTCP MUX,
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = "A0 rtp B0 B0+ 198.51.100.1:4000 ls\n"
		  "A0+ rtcp - B0+ 198.51.100.1:4000 ls\n"
		  "B0 rtp A0 A0+ 198.51.100.2:5000 ls\n"
		  "B0+ rtcp - A0+ 198.51.100.2:5001 ls\n"},
	{.name = "rtcp-mux demux",
	 .offer = HEAD AUDIO MUX,
	 .key = "rtcp-mux",
	 .value = "demux",
	 .offered = SHOWN AUDIO_P RTCP,
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P MUXED,
	 .flows = "A0 mux B0 B0+ 198.51.100.1:4000 ls\n"
		  "B0 rtp A0 A0 198.51.100.2:5000 ls\n"
		  "B0+ rtcp - A0 198.51.100.2:5001 ls\n"},
	{.name = "rtcp-mux accept",
	 .offer = HEAD AUDIO MUX,
	 .key = "rtcp-mux",
	 .value = "accept",
	 .offered = SHOWN AUDIO_P RTCP MUX,
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P MUXED},
	{.name = "rtcp-mux reject",
	 .offer = HEAD AUDIO MUX,
	 .key = "rtcp-mux",
	 .value = "reject",
	 .offered = SHOWN AUDIO_P RTCP MUX,
	 .answer = HEAD_B AUDIO_B MUX,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = "A0 rtp B0 B0 198.51.100.1:4000 ls\n"
		  "A0+ rtcp - B0 198.51.100.1:4000 ls\n"
		  "B0 mux A0 A0+ 198.51.100.2:5000 ls\n"},
	{.name = "rtcp-mux offer",
	 .offer = HEAD AUDIO,
	 .key = "rtcp-mux",
	 .value = "offer",
	 .offered = SHOWN AUDIO_P RTCP MUX,
	 .answer = HEAD_B AUDIO_B MUX,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = "A0 rtp B0 B0 198.51.100.1:4000 ls\n"
		  "A0+ rtcp - B0 198.51.100.1:4001 ls\n"
		  "B0 mux A0 A0+ 198.51.100.2:5000 ls\n"},
	{.name = "rtcp-mux require",
	 .offer = HEAD AUDIO,
	 .key = "rtcp-mux",
	 .value = "require",
	 .offered = SHOWN AUDIO_P MUXED,
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "before the answer both ways of RTCP are open",
	 .offer = HEAD AUDIO MUX,
	 .flows = "A0 mux B0 B0+ 198.51.100.1:4000 ls\n"
		  "A0+ rtcp - B0+ 198.51.100.1:4000 ls\n"
		  "B0 mux A0 A0+ - ls\n"
		  "B0+ rtcp - A0+ - ls\n"},
	{.name = "hold: sendonly and recvonly are passed on",
	 .offer = HEAD "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n",
	 .offered = SHOWN "m=audio $0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n" RTCP,
	 .answer = HEAD_B "m=audio 5000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n",
	 .answered = SHOWN_B "m=audio $0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n" RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "hold of old: the zero address",
	 .offer = "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n",
	 .offered = "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio $0 RTP/AVP 0\r\na=rtpmap:0 "
		    "PCMU/8000\r\na=sendonly\r\na=rtcp:$0+\r\n",
	 .flows = "A0 rtp B0 B0+ - ls\nA0+ rtcp - B0+ - ls\nB0 rtp A0 A0+ - ls\nB0+ rtcp - A0+ - "
		  "ls\n"},
	{.name = "hold of old with the address replaced",
	 .offer = "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 96\r\n",
	 .key = "replace",
	 .value = "zero address",
	 .offered = "v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio $0 RTP/AVP "
		    "96\r\na=sendonly\r\na=rtcp:$0+\r\n"},
	{.name = "several lines, one rejected by the offer",
	 .offer = HEAD AUDIO
	 "m=video 0 RTP/AVP 99\r\na=x\r\nm=video 4004 RTP/AVP 98\r\na=sendrecv\r\n",
	 .offered = SHOWN AUDIO_P RTCP "m=video 0 RTP/AVP 99\r\na=x\r\n"
				       "m=video $2 RTP/AVP 98\r\na=sendrecv\r\na=rtcp:$2+\r\n",
	 .answer = HEAD_B AUDIO_B "m=video 0 RTP/AVP 99\r\nm=video 0 RTP/AVP 98\r\n",
	 .answered = SHOWN_B AUDIO_P RTCP "m=video 0 RTP/AVP 99\r\nm=video 0 RTP/AVP 98\r\n",
	 .flows = PLAIN_FLOWS},
	{.name = "an answer with fewer lines",
	 .offer = HEAD AUDIO "m=video 4004 RTP/AVP 98\r\n",
	 .answer = HEAD_B AUDIO_B,
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "fax, and a protocol that is not relayed",
	 .offer = HEAD "m=image 4000 udptl t38\r\na=T38FaxVersion:0\r\nm=message 7 TCP/MSRP *\r\n",
	 .offered = SHOWN "m=image $0 udptl t38\r\na=T38FaxVersion:0\r\nm=message 7 TCP/MSRP *\r\n"
			  "c=IN IP4 198.51.100.1\r\n",
	 .answer = HEAD_B "m=image 5000 udptl t38\r\nm=message 8 TCP/MSRP *\r\n",
	 .answered = SHOWN_B "m=image $0 udptl t38\r\nm=message 8 TCP/MSRP *\r\n"
			     "c=IN IP4 198.51.100.2\r\n",
	 .flows = "A0 raw B0 B0 198.51.100.1:4000 ls\nB0 raw A0 A0 198.51.100.2:5000 ls\n"},
	{.name = "SRTP with keys in the SDP passes",
	 .offer =
		 HEAD "m=audio 4000 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:k\r\n",
	 .offered =
		 SHOWN "m=audio $0 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:k\r\n"
		       "a=sendrecv\r\n" RTCP},
	{.name = "DTLS passes on one port",
	 .offer = HEAD "a=fingerprint:sha-256 AA\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 96\r\n"
		       "a=setup:actpass\r\na=ice-ufrag:x\r\n" MUX,
	 .offered = SHOWN "a=fingerprint:sha-256 AA\r\nm=audio $0 UDP/TLS/RTP/SAVPF 96\r\n"
			  "a=setup:actpass\r\na=sendrecv\r\n" MUXED,
	 .flows = "A0 raw B0 B0 198.51.100.1:4000 ls\nB0 raw A0 A0 - ls\n"},
	{.name = "transport protocol of the same kind, and back",
	 .offer = HEAD AUDIO,
	 .key = "transport-protocol",
	 .value = "RTP/AVPF",
	 .offered = SHOWN "m=audio $0 RTP/AVPF 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n" RTCP,
	 .answer = HEAD_B "m=audio 5000 RTP/AVPF 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n",
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = PLAIN_FLOWS},
	{.name = "echo to both",
	 .offer = HEAD AUDIO,
	 .answer = HEAD_B AUDIO_B,
	 .answer_key = "media-echo",
	 .answer_value = "both",
	 .answered = SHOWN_B AUDIO_P RTCP,
	 .flows = "A0 rtp A0 - 198.51.100.1:4000 ls\nA0+ rtcp - - 198.51.100.1:4001 ls\n"
		  "B0 rtp B0 - 198.51.100.2:5000 ls\nB0+ rtcp - - 198.51.100.2:5001 ls\n"},
	{.name = "echo backwards: to the sender of the offer",
	 .offer = HEAD AUDIO,
	 .key = "media echo",
	 .value = "backwards",
	 .answer = HEAD_B AUDIO_B,
	 .flows = "A0 rtp A0 - 198.51.100.1:4000 ls\nA0+ rtcp - - 198.51.100.1:4001 ls\n"
		  "B0 rtp - - 198.51.100.2:5000 ls\nB0+ rtcp - - 198.51.100.2:5001 ls\n"},
	{.name = "echo forward: to the receiver of the offer",
	 .offer = HEAD AUDIO,
	 .key = "media-echo",
	 .value = "forward",
	 .answer = HEAD_B AUDIO_B,
	 .flows = "A0 rtp - - 198.51.100.1:4000 ls\nA0+ rtcp - - 198.51.100.1:4001 ls\n"
		  "B0 rtp B0 - 198.51.100.2:5000 ls\nB0+ rtcp - - 198.51.100.2:5001 ls\n"},
	{.name = "sinkhole",
	 .offer = HEAD AUDIO,
	 .key = "media-echo",
	 .value = "sinkhole",
	 .answer = HEAD_B AUDIO_B,
	 .flows = "A0 rtp - - 198.51.100.1:4000 ls\nA0+ rtcp - - 198.51.100.1:4001 ls\n"
		  "B0 rtp - - 198.51.100.2:5000 ls\nB0+ rtcp - - 198.51.100.2:5001 ls\n"},
	{.name = "direction attributes left alone",
	 .offer = HEAD "a=inactive\r\nm=audio 4000 RTP/AVP 96\r\n",
	 .key = "flags",
	 .value = "original sendrecv",
	 .offered = SHOWN "a=inactive\r\nm=audio $0 RTP/AVP 96\r\n" RTCP},
};

static void one_round(const struct round *r)
{
	struct fixture f;

	fixture_open(&f, NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", r->offer, r->key ? r->key : "x",
	    r->value, r->key2 ? r->key2 : "y", r->value2, NULL);
	assert_ok(&f);
	if (r->offered)
		assert_sdp(&f, "c", 1, r->offered);
	if (r->answer) {
		ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", r->answer,
		    r->answer_key ? r->answer_key : "x", r->answer_value, NULL);
		assert_ok(&f);
	}
	if (r->answered)
		assert_sdp(&f, "c", 0, r->answered);
	if (r->flows)
		assert_flows(&f, "c", r->flows);
	fixture_close(&f);
}

static void every_round_gives_its_text_and_flows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
		print_message("%s\n", rounds[i].name);
		one_round(&rounds[i]);
	}
}

static void offer(struct fixture *f, const char *from, const char *to, const char *sdp)
{
	ask(f, "offer", "call-id", "c", "from-tag", from, "to-tag", to, "sdp", sdp, NULL);
	assert_ok(f);
}

static void answer(struct fixture *f, const char *from, const char *to, const char *sdp)
{
	ask(f, "answer", "call-id", "c", "from-tag", from, "to-tag", to, "sdp", sdp, NULL);
	assert_ok(f);
}

static void a_new_offer_keeps_ports_and_starts_the_latch_anew(void **state)
{
	struct fixture f;
	const struct session *session;
	uint16_t ports[2];
	uint32_t epoch;

	(void)state;
	fixture_open(&f, NULL);
	offer(&f, "a", NULL, HEAD AUDIO);
	answer(&f, "a", "b", HEAD_B AUDIO_B);
	session = the_session(&f, "c");
	ports[0] = session->legs[0]->streams[0]->port;
	ports[1] = session->legs[1]->streams[0]->port;
	epoch = session->legs[0]->streams[0]->latch_epoch;
	answer(&f, "a", "b", HEAD_B AUDIO_B); /* the 200 after the 183 */
	assert_int_equal(session->legs[1]->streams[0]->latch_epoch, 0);
	offer(&f, "a", "b", HEAD AUDIO);
	assert_sdp(&f, "c", 1, SHOWN AUDIO_P RTCP);
	assert_int_equal(session->legs_count, 2);
	assert_int_equal(session->legs[0]->streams[0]->latch_epoch, epoch + 1);
	answer(&f, "a", "b", "v=0\r\nc=IN IP4 198.51.100.7\r\n" AUDIO_B);
	assert_int_equal(session->legs[1]->streams[0]->latch_epoch, 1); /* another address */
	offer(&f, "b", "a", HEAD_B AUDIO_B);                            /* from the other side */
	assert_sdp(&f, "c", 0, SHOWN_B AUDIO_P RTCP);
	answer(&f, "b", "a", HEAD AUDIO);
	assert_int_equal(session->legs[0]->streams[0]->port, ports[0]);
	assert_int_equal(session->legs[1]->streams[0]->port, ports[1]);
	assert_flows(&f, "c", PLAIN_FLOWS);
	fixture_close(&f);
}

static void lines_come_and_go_with_new_offers(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	offer(&f, "a", NULL, HEAD AUDIO);
	answer(&f, "a", "b", HEAD_B AUDIO_B);
	offer(&f, "a", "b", HEAD AUDIO "m=video 4004 RTP/AVP 98\r\n");
	answer(&f, "a", "b", HEAD_B AUDIO_B "m=video 5004 RTP/AVP 98\r\n");
	assert_int_equal(flow_table_in_use(f.flows), 8);
	offer(&f, "a", "b", HEAD AUDIO "m=video 0 RTP/AVP 98\r\n");
	answer(&f, "a", "b", HEAD_B AUDIO_B "m=video 0 RTP/AVP 98\r\n");
	assert_flows(&f, "c", PLAIN_FLOWS);
	assert_int_equal(port_pool_used(f.table->ports, 0), 2);
	offer(&f, "a", "b", HEAD "m=image 4000 udptl t38\r\n"); /* audio becomes fax */
	assert_int_equal(flow_table_in_use(f.flows), 2);
	answer(&f, "a", "b", HEAD_B "m=image 5000 udptl t38\r\n");
	assert_flows(&f, "c",
		     "A0 raw B0 B0 198.51.100.1:4000 ls\nB0 raw A0 A0 198.51.100.2:5000 ls\n");
	offer(&f, "a", "b", HEAD AUDIO);
	answer(&f, "a", "b", HEAD_B AUDIO_B);
	assert_flows(&f, "c", PLAIN_FLOWS);
	fixture_close(&f);
}

static void branches_have_ports_of_their_own_and_the_answerer_wins(void **state)
{
	struct fixture f;
	const struct session *session;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "via-branch", "1", "sdp", HEAD AUDIO,
	    NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "via-branch", "2", "sdp", HEAD AUDIO,
	    NULL);
	assert_sdp(&f, "c", 2, SHOWN AUDIO_P RTCP);
	session = the_session(&f, "c");
	assert_int_equal(session->legs_count, 3);
	assert_int_not_equal(session->legs[1]->streams[0]->port,
			     session->legs[2]->streams[0]->port);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "via-branch", "2", "sdp", HEAD AUDIO,
	    NULL);
	assert_int_equal(session->legs_count, 3); /* the same branch again */
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b2", "via-branch", "2", "sdp",
	    HEAD_B AUDIO_B, NULL);
	assert_ok(&f);
	assert_string_equal(session->legs[2]->tag, "b2");
	assert_ptr_equal(session->legs[0]->peer, session->legs[2]);
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b1", "via-branch", "1", "sdp",
	    HEAD_B AUDIO_B, NULL);
	assert_ptr_equal(session->legs[0]->peer, session->legs[1]);
	/* One branch goes, the call stays. */
	ask(&f, "delete", "call-id", "c", "from-tag", "a", "to-tag", "b2", NULL);
	assert_ok(&f);
	assert_flows(&f, "c", PLAIN_FLOWS);
	fixture_close(&f);
}

static void branches_that_never_answer_make_room(void **state)
{
	char branch[16], tag[16];
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	for (int i = 0; i < 40; i++) {
		snprintf(branch, sizeof(branch), "z%d", i);
		ask(&f, "offer", "call-id", "c", "from-tag", "a", "via-branch", branch, "sdp",
		    HEAD AUDIO, NULL);
		assert_ok(&f);
	}
	assert_int_equal(the_session(&f, "c")->legs_count, SESSION_LEGS_MAX);
	for (int i = 0; i < SESSION_LEGS_MAX - 1; i++) {
		snprintf(tag, sizeof(tag), "b%d", i);
		answer(&f, "a", tag, HEAD_B AUDIO_B);
	}
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "via-branch", "one more", "sdp",
	    HEAD AUDIO, NULL);
	assert_refused(&f, "Parallel session limit reached");
	fixture_close(&f);
}

static void another_tag_answers_the_same_offer(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	offer(&f, "a", NULL, HEAD AUDIO);
	answer(&f, "a", "b1", HEAD_B AUDIO_B);
	answer(&f, "a", "b2", "v=0\r\nc=IN IP4 198.51.100.7\r\n" AUDIO_B);
	assert_int_equal(the_session(&f, "c")->legs_count, 2);
	assert_string_equal(the_session(&f, "c")->legs[1]->tag, "b2");
	assert_int_equal(the_session(&f, "c")->legs[1]->streams[0]->latch_epoch, 1);
	fixture_close(&f);
}

static void the_sdp_version_counts_changes(void **state)
{
	static const struct {
		const char *media;
		const char *version;
	} rows[] = {{AUDIO, "o=a 1 1 "},
		    {AUDIO, "o=a 1 1 "},
		    {"m=audio 4000 RTP/AVP 8\r\n", "o=a 1 2 "},
		    {AUDIO, "o=a 1 3 "},
		    {AUDIO, "o=a 1 3 "}};
	struct fixture f;
	char text[512];

	(void)state;
	fixture_open(&f, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Whatever the party counts itself. */
		snprintf(text, sizeof(text),
			 "v=0\r\no=a 1 %zu IN IP4 198.51.100.1\r\ns=-\r\nc=IN "
			 "IP4 198.51.100.1\r\n%s",
			 1 + 10 * i, rows[i].media);
		ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", text, "replace",
		    "SDP-version", NULL);
		assert_ok(&f);
		assert_non_null(strstr(reply_text(&f, "sdp"), rows[i].version));
	}
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", text, "replace",
	    "force-increment-sdp-ver", NULL);
	assert_non_null(strstr(reply_text(&f, "sdp"), "o=a 1 4 "));
	fixture_close(&f);
}

static void names_stay_what_a_party_was_shown_first(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", HEAD AUDIO, "replace",
	    "username,session-name", NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp",
	    "v=0\r\no=other 1 1 IN IP4 198.51.100.1\r\ns=new\r\nc=IN IP4 198.51.100.1\r\n" AUDIO,
	    "replace", "username,session-name", NULL);
	assert_non_null(strstr(reply_text(&f, "sdp"), "o=a 1 1 "));
	assert_non_null(strstr(reply_text(&f, "sdp"), "s=-\r\n"));
	fixture_close(&f);
}

static void what_makes_no_sense_is_refused_and_leaves_nothing(void **state)
{
	static const struct {
		const char *sdp, *key, *value, *reason;
	} rows[] = {
		{"garbage", NULL, NULL,
		 "Failed to parse SDP: line 1: not of the form <letter>=<value>"},
		{HEAD, NULL, NULL, "Failed to parse SDP: no m= line"},
		{"v=0\r\n" AUDIO, NULL, NULL, "Incomplete SDP: m= line 1 has no c= line"},
		{"v=0\r\nc=IN IP4 example.com\r\n" AUDIO, NULL, NULL,
		 "Failed to parse SDP: the c= line of m= line 1 has no IPv4 or IPv6 address"},
		{HEAD AUDIO, "transport-protocol", "RTP/SAVP",
		 "Transport protocol RTP/SAVP cannot be made from RTP/AVP: media is not encrypted "
		 "or "
		 "decrypted here"},
		{HEAD AUDIO, "transport-protocol", "FOO", "Unknown transport protocol 'FOO'"},
		{HEAD AUDIO, "media-echo", "loud",
		 "media-echo is none of blackhole, sinkhole, forward, backwards, both"},
		{HEAD AUDIO, "media-address", "x", "media-address is no address"},
		{HEAD AUDIO, "received-from", "IP4,x", "received-from is no address"},
		{HEAD AUDIO, "address-family", "IP5", "address-family is neither IP4 nor IP6"},
		{HEAD AUDIO, "to-tag", "a", "from-tag and to-tag are the same"},
		{HEAD AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO
			 AUDIO AUDIO AUDIO AUDIO,
		 NULL, NULL, "Too many m= lines in SDP, at most 16"},
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", rows[i].sdp,
		    rows[i].key ? rows[i].key : "x", rows[i].value, NULL);
		assert_refused(&f, rows[i].reason);
		assert_int_equal(f.table->sessions_count, 0);
	}
	fixture_close(&f);
}

static void answers_that_fit_no_offer_are_refused(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", HEAD AUDIO, NULL);
	assert_refused(&f, "Unknown call-id");
	offer(&f, "a", NULL, HEAD AUDIO "m=video 0 RTP/AVP 98\r\n");
	ask(&f, "answer", "call-id", "c", "from-tag", "z", "to-tag", "b", "sdp", HEAD AUDIO, NULL);
	assert_refused(&f, "Unknown from-tag");
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "a", "sdp", HEAD AUDIO, NULL);
	assert_refused(&f, "from-tag and to-tag are the same");
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp",
	    HEAD AUDIO AUDIO AUDIO, NULL);
	assert_refused(&f, "The answer has 3 m= lines, the offer had 2");
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", HEAD AUDIO AUDIO,
	    NULL);
	assert_refused(&f, "The answer accepts m= line 2, which was not offered");
	answer(&f, "a", "b", HEAD_B AUDIO_B "m=video 0 RTP/AVP 98\r\n");
	assert_flows(&f, "c", PLAIN_FLOWS);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_round_gives_its_text_and_flows),
		cmocka_unit_test(a_new_offer_keeps_ports_and_starts_the_latch_anew),
		cmocka_unit_test(lines_come_and_go_with_new_offers),
		cmocka_unit_test(branches_have_ports_of_their_own_and_the_answerer_wins),
		cmocka_unit_test(branches_that_never_answer_make_room),
		cmocka_unit_test(another_tag_answers_the_same_offer),
		cmocka_unit_test(the_sdp_version_counts_changes),
		cmocka_unit_test(names_stay_what_a_party_was_shown_first),
		cmocka_unit_test(what_makes_no_sense_is_refused_and_leaves_nothing),
		cmocka_unit_test(answers_that_fit_no_offer_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
