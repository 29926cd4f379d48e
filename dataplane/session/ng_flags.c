/* Taking a request's dictionary apart. */
#include "dataplane/session/ng_flags.h"

#include <errno.h>
#include <stddef.h>

static struct sdp_span text_at(const struct ng_value *request, const char *key)
{
	struct sdp_span span = {"", 0};
	size_t len;
	const char *text = ng_get_text(request, key, &len);

	if (text)
		span = (struct sdp_span){text, len};
	return span;
}

static struct sdp_span text_of(const struct ng_value *value)
{
	if (!value || value->type != NG_STRING)
		return (struct sdp_span){"", 0};
	return (struct sdp_span){value->text, value->len};
}

/* Flags that are simply there or not: the key of the list, the word, the field. */
static const struct {
	const char *key;
	const char *word;
	size_t field;
} words[] = {
	{"replace", "origin", offsetof(struct ng_flags, origin)},
	{"replace", "session-name", offsetof(struct ng_flags, session_name)},
	{"replace", "SDP-version", offsetof(struct ng_flags, sdp_version)},
	{"replace", "force-increment-sdp-ver", offsetof(struct ng_flags, force_increment)},
	{"replace", "username", offsetof(struct ng_flags, username)},
	{"replace", "zero-address", offsetof(struct ng_flags, zero_address)},
	{"rtcp-mux", "offer", offsetof(struct ng_flags, mux_offer)},
	{"rtcp-mux", "require", offsetof(struct ng_flags, mux_require)},
	{"rtcp-mux", "demux", offsetof(struct ng_flags, mux_demux)},
	{"rtcp-mux", "accept", offsetof(struct ng_flags, mux_accept)},
	{"rtcp-mux", "reject", offsetof(struct ng_flags, mux_reject)},
	{"flags", "replace-origin", offsetof(struct ng_flags, origin)},
	{"flags", "rtcp-mux-offer", offsetof(struct ng_flags, mux_offer)},
	{"flags", "rtcp-mux-require", offsetof(struct ng_flags, mux_require)},
	{"flags", "rtcp-mux-demux", offsetof(struct ng_flags, mux_demux)},
	{"flags", "rtcp-mux-accept", offsetof(struct ng_flags, mux_accept)},
	{"flags", "rtcp-mux-reject", offsetof(struct ng_flags, mux_reject)},
	{"flags", "asymmetric", offsetof(struct ng_flags, asymmetric)},
	{"flags", "media-handover", offsetof(struct ng_flags, media_handover)},
	{"flags", "strict-source", offsetof(struct ng_flags, strict_source)},
	{"flags", "SIP-source-address", offsetof(struct ng_flags, sip_source_address)},
	{"flags", "record-call", offsetof(struct ng_flags, record_call)},
	{"flags", "full-rtcp-attribute", offsetof(struct ng_flags, full_rtcp)},
	{"flags", "no-rtcp-attribute", offsetof(struct ng_flags, no_rtcp)},
	{"flags", "original-sendrecv", offsetof(struct ng_flags, original_sendrecv)},
	{"flags", "fatal", offsetof(struct ng_flags, fatal)},
	{"supports", "load-limit", offsetof(struct ng_flags, load_limit)},
};

static void parse_words(struct ng_flags *flags, const struct ng_value *request)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (ng_has_flag(request, words[i].key, words[i].word))
			*(bool *)((char *)flags + words[i].field) = true;
	}
	if (ng_has_flag(request, "flags", "trust-address"))
		flags->sip_source_address = false;
	if (ng_has_flag(request, "flags", "symmetric"))
		flags->asymmetric = false;
}

/* ["IP4", "192.0.2.1"] or just the address. */
static int parse_received_from(struct ng_flags *flags, const struct ng_value *request)
{
	const struct ng_value *value = ng_get(request, "received-from");
	struct sdp_span address;

	if (!value)
		return 0;
	if (value->type == NG_LIST)
		value = value->last;
	address = text_of(value);
	if (address.len == 0)
		return 0;
	if (address_parse(&flags->received_from, address.text, address.len) != 0)
		return -EINVAL;
	flags->received_from_given = true;
	return 0;
}

static int parse_addresses(struct ng_flags *flags, const struct ng_value *request,
			   const char **reason)
{
	struct sdp_span address = text_at(request, "media-address");
	struct sdp_span family = text_at(request, "address-family");

	if (parse_received_from(flags, request) != 0) {
		*reason = "received-from is no address";
		return -EINVAL;
	}
	if (address.len > 0) {
		if (address_parse(&flags->media_address, address.text, address.len) != 0) {
			*reason = "media-address is no address";
			return -EINVAL;
		}
		flags->media_address_given = true;
	}
	if (sdp_span_equal_any(family, "IP4"))
		flags->family = 4;
	else if (sdp_span_equal_any(family, "IP6"))
		flags->family = 6;
	else if (family.len > 0) {
		*reason = "address-family is neither IP4 nor IP6";
		return -EINVAL;
	}
	return 0;
}

static void parse_direction(struct ng_flags *flags, const struct ng_value *request)
{
	const struct ng_value *value = ng_get(request, "direction");

	if (!value || value->type != NG_LIST || !value->first)
		return;
	flags->direction[0] = text_of(value->first);
	flags->direction[1] = text_of(value->first->next);
}

static int parse_echo(struct ng_flags *flags, const struct ng_value *request, const char **reason)
{
	struct sdp_span echo = text_at(request, "media-echo");

	if (echo.len == 0)
		return 0;
	if (sdp_span_equal_any(echo, "blackhole") || sdp_span_equal_any(echo, "sinkhole"))
		flags->echo = NG_ECHO_SINKHOLE;
	else if (sdp_span_equal_any(echo, "forward"))
		flags->echo = NG_ECHO_FORWARD;
	else if (sdp_span_equal_any(echo, "backwards"))
		flags->echo = NG_ECHO_BACKWARDS;
	else if (sdp_span_equal_any(echo, "both"))
		flags->echo = NG_ECHO_BOTH;
	else {
		*reason = "media-echo is none of blackhole, sinkhole, forward, backwards, both";
		return -EINVAL;
	}
	return 0;
}

static void parse_record_call(struct ng_flags *flags, const struct ng_value *request)
{
	struct sdp_span word = text_at(request, "record-call");

	if (sdp_span_equal_any(word, "yes") || sdp_span_equal_any(word, "on"))
		flags->record_call = true;
	else if (sdp_span_equal_any(word, "no") || sdp_span_equal_any(word, "off"))
		flags->stop_recording = true;
}

int ng_flags_parse(struct ng_flags *flags, const struct ng_value *request, const char **reason)
{
	int64_t tos = ng_get_integer(request, "TOS", -1);

	*flags = (struct ng_flags){
		.call_id = text_at(request, "call-id"),
		.from_tag = text_at(request, "from-tag"),
		.to_tag = text_at(request, "to-tag"),
		.via_branch = text_at(request, "via-branch"),
		.sdp = text_at(request, "sdp"),
		.label = text_at(request, "label"),
		.metadata = text_at(request, "metadata"),
		.recording_id = text_at(request, "recording-id"),
		.transport = text_at(request, "transport-protocol"),
		.direction = {{"", 0}, {"", 0}},
		.tos = tos >= 0 && tos <= 255 ? (int)tos : -1,
		.delete_delay_s = ng_get_integer(request, "delete-delay", -1),
	};
	if (flags->label.len == 0)
		flags->label = text_at(request, "from-label");
	parse_words(flags, request);
	parse_direction(flags, request);
	parse_record_call(flags, request);
	if (parse_addresses(flags, request, reason) != 0)
		return -EINVAL;
	return parse_echo(flags, request, reason);
}
