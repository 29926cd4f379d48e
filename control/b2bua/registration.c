/* REGISTER: from the message to the plain request that the exchange's registrar takes, and back
 * (RFC 3261 10.3). */
#include "control/b2bua/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define URI_MAX      256
#define KEY_MAX      320
#define INSTANCE_MAX 128
#define AGENT_MAX    128
#define CALL_ID_MAX  256

/* The texts that a request points at. */
struct register_texts {
	char extension[EXCHANGE_EXTENSION_MAX];
	char call_id[CALL_ID_MAX];
	char user_agent[AGENT_MAX];
	char uri[EXCHANGE_CONTACTS_MAX][URI_MAX];
	char key[EXCHANGE_CONTACTS_MAX][KEY_MAX];
	char instance[EXCHANGE_CONTACTS_MAX][INSTANCE_MAX];
};

static void put_parameter(struct sip_builder *b, const struct sip_uri *uri, const char *name)
{
	struct sip_text value;

	if (!sip_uri_parameter(uri, name, &value))
		return;
	sip_put_format(b, ";%s=", name);
	for (uint32_t i = 0; i < value.n; i++) {
		char c = value.at[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + 32);
		sip_put_bytes(b, &c, 1);
	}
}

/* RFC 3261 19.1.4 as a text: what makes two URIs different, in one form. */
static int uri_key(const struct sip_uri *uri, char *out, size_t size)
{
	struct address literal;
	struct sip_builder b;
	char user[EXCHANGE_EXTENSION_MAX * 2] = "";

	if (uri->user.at && sip_unescape(uri->user, user, sizeof(user)) < 0)
		return -EINVAL;
	sip_builder_init(&b, out, (uint32_t)size - 1);
	sip_put_format(&b, "%d:%s@", (int)uri->scheme, user);
	if (sip_uri_address(uri, &literal)) {
		sip_put_host(&b, &literal, 0);
	} else {
		for (uint32_t i = 0; i < uri->host.n; i++) {
			char c = uri->host.at[i];

			if (c >= 'A' && c <= 'Z')
				c = (char)(c + 32);
			sip_put_bytes(&b, &c, 1);
		}
	}
	sip_put_format(&b, ":%u", (unsigned int)uri->port);
	put_parameter(&b, uri, "transport");
	put_parameter(&b, uri, "user");
	put_parameter(&b, uri, "maddr");
	put_parameter(&b, uri, "method");
	put_parameter(&b, uri, "ttl");
	if (sip_builder_result(&b))
		return -EINVAL;
	out[b.n] = '\0';
	return 0;
}

int exchange_contact_key(const char *contact, char *key, size_t size, struct endpoint *at)
{
	struct sip_uri uri;
	struct sip_flow flow;

	*at = (struct endpoint){.port = 0};
	if (sip_uri_parse(&uri, sip_text_of(contact)))
		return -EINVAL;
	if (sip_flow_from_uri(&uri, &flow) == 0)
		*at = flow.remote;
	return uri_key(&uri, key, size);
}

/* q is 0, 1 or 0.ddd (RFC 3261 20.10). */
static uint32_t q_of(struct sip_text parameters)
{
	struct sip_text value;
	uint32_t q = 0, digit = 100;

	if (!sip_parameter_find(parameters, "q", &value) || value.n == 0 || value.at[0] != '0')
		return 1000;
	for (uint32_t i = 2; i < value.n && digit; i++, digit /= 10)
		if (value.at[i] >= '0' && value.at[i] <= '9')
			q += (uint32_t)(value.at[i] - '0') * digit;
	return q;
}

static int contact_read(struct b2bua *b2bua, const struct sip_address *address,
			struct register_texts *texts, struct exchange_register *reg)
{
	uint32_t i = reg->contacts_count;
	struct exchange_contact *contact = &reg->contacts[i];
	struct endpoint at;
	struct sip_text value;
	uint64_t number;

	if (address->uri.text.n >= URI_MAX ||
	    (address->uri.scheme != SIP_SCHEME_SIP && address->uri.scheme != SIP_SCHEME_SIPS))
		return -EINVAL;
	sip_text_copy(address->uri.text, texts->uri[i], URI_MAX);
	if (exchange_contact_key(texts->uri[i], texts->key[i], KEY_MAX, &at))
		return -EINVAL;
	if (at.port && sip_stack_is_local(b2bua->stack, &at.address, at.port))
		return -ELOOP;
	*contact = (struct exchange_contact){.uri = texts->uri[i],
					     .key = texts->key[i],
					     .instance = texts->instance[i],
					     .expires_s = -1,
					     .q_permille = q_of(address->parameters)};
	if (sip_parameter_find(address->parameters, "expires", &value) &&
	    sip_text_number(value, INT32_MAX, &number) != -EINVAL)
		contact->expires_s = (int64_t)number;
	if (sip_parameter_find(address->parameters, "+sip.instance", &value) &&
	    sip_unquote(value, texts->instance[i], INSTANCE_MAX) < 0)
		texts->instance[i][0] = '\0';
	/* The address that it gives is not the one that we see, or it says nothing of the stream
	 * that it came over: only the way it came leads back. */
	if (at.port && !address_equal(&at.address, &reg->path.source.address))
		reg->path.nat = true;
	if (reg->path.transport != SIP_TRANSPORT_UDP &&
	    (!sip_uri_parameter(&address->uri, "transport", &value) ||
	     sip_transport_is_websocket(reg->path.transport)))
		reg->path.nat = true;
	reg->contacts_count++;
	return 0;
}

/* 0, or the status to refuse with. */
static uint32_t contacts_read(struct b2bua *b2bua, const struct sip_message *request,
			      struct register_texts *texts, struct exchange_register *reg,
			      const char **reason)
{
	struct sip_values values;
	struct sip_text value;

	sip_values_begin(&values, request, SIP_HEADER_CONTACT);
	while (sip_values_next(&values, &value)) {
		struct sip_address address;
		int err;

		*reason = "Contact Broken";
		if (sip_address_parse(&address, value))
			return 400;
		if (address.star) {
			reg->all = true;
			continue;
		}
		if (reg->contacts_count == EXCHANGE_CONTACTS_MAX) {
			*reason = "Too Many Contacts";
			return 403;
		}
		err = contact_read(b2bua, &address, texts, reg);
		if (err == -ELOOP)
			*reason = "Contact Points To This Server";
		if (err)
			return err == -ELOOP ? 403 : 400;
	}
	return 0;
}

/* A UDP sender that asks for rport (RFC 3581) and is seen elsewhere than its Via says sits behind a
 * NAT that maps this path only. */
static bool via_is_translated(const struct sip_message *request)
{
	struct address said;
	uint16_t port = request->via.port ? request->via.port : 5060;

	if (request->flow.transport != SIP_TRANSPORT_UDP || !request->via.rport)
		return false;
	if (address_parse(&said, request->via.host.at, request->via.host.n))
		return false;
	return !address_equal(&said, &request->flow.remote.address) ||
	       port != request->flow.remote.port;
}

static void answer_send(struct sip_transaction *transaction,
			const struct exchange_registered *answer)
{
	char buffer[B2BUA_BUFFER];
	struct sip_response response;

	sip_response_begin(&response, transaction, (uint32_t)answer->status, answer->reason, buffer,
			   sizeof(buffer));
	if (answer->status == 423)
		sip_put_header_format(&response.builder, "Min-Expires", "%u",
				      answer->min_expires_s);
	if (answer->status == 503)
		sip_put_header_format(&response.builder, "Retry-After", "%u",
				      answer->retry_after_s);
	for (uint32_t i = 0; i < answer->bound_count; i++) {
		const struct exchange_bound *bound = &answer->bound[i];

		if (bound->q_permille == 1000)
			sip_put_header_format(&response.builder, "Contact", "<%s>;expires=%u",
					      bound->uri, bound->expires_s);
		else
			sip_put_header_format(&response.builder, "Contact",
					      "<%s>;expires=%u;q=0.%03u", bound->uri,
					      bound->expires_s, bound->q_permille);
	}
	if (sip_response_send(&response, NULL, (struct sip_text){0}) == -ENOSPC)
		sip_reply(transaction, 500, NULL);
}

static void registered(struct b2bua *b2bua, const struct sip_message *request,
		       const struct exchange_registered *answer)
{
	uint32_t longest_s = 0;

	for (uint32_t i = 0; i < answer->bound_count; i++)
		if (answer->bound[i].expires_s > longest_s)
			longest_s = answer->bound[i].expires_s;
	count(&b2bua->counters->registers);
	guard_registered(b2bua, &request->flow.remote.address, longest_s);
}

void register_received(struct b2bua *b2bua, struct sip_transaction *transaction,
		       const struct sip_message *request)
{
	struct exchange_register reg = {0};
	struct exchange_registered answer;
	struct register_texts texts;
	const struct exchange_user *user;
	const char *reason = NULL;
	uint32_t status;

	user = digest_check(b2bua, transaction, request, request->to.uri.user);
	if (!user)
		return;
	memset(&texts, 0, sizeof(texts));
	snprintf(texts.extension, sizeof(texts.extension), "%s", user->extension);
	sip_text_copy(sip_message_header(request, SIP_HEADER_USER_AGENT), texts.user_agent,
		      sizeof(texts.user_agent));
	reg.extension = texts.extension;
	reg.user_agent = texts.user_agent;
	reg.call_id = texts.call_id;
	reg.cseq = request->cseq.number;
	reg.expires_s = sip_message_number(request, SIP_HEADER_EXPIRES, -1);
	if (reg.expires_s < 0)
		reg.expires_s = -1; /* broken is as if absent (RFC 3261 20.19) */
	reg.path = (struct exchange_path){
		.source = request->flow.remote,
		.local = request->flow.local,
		.connection = request->flow.connection,
		.transport = (uint8_t)request->flow.transport,
		.nat = via_is_translated(request),
	};
	if (sip_text_copy(request->call_id, texts.call_id, CALL_ID_MAX) >= CALL_ID_MAX) {
		reply(transaction, 400, "Call-ID Too Long", NULL);
		return;
	}
	status = contacts_read(b2bua, request, &texts, &reg, &reason);
	if (status) {
		reply(transaction, status, reason, NULL);
		return;
	}
	b2bua->options.exchange->apply_register(b2bua->options.exchange, &reg, &answer);
	if (answer.status == 200)
		registered(b2bua, request, &answer);
	answer_send(transaction, &answer);
}
