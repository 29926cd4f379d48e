/*
 * What we ask of a trunk on our own: REGISTER (RFC 3261 10.2, refreshed in time, tried again with
 * back-off and jitter) and OPTIONS, whose answer, whatever it is, shows that somebody is there.
 *
 *   due --find places--> send --401/407--> send with credentials --2xx--> due again
 *                         ^---- next place: 503, timeout, transport (RFC 3263 4.3)
 */
#include "control/pbx/trunk.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX      8192
#define URI_MAX          320
#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS   300000
#define RETRY_AFTER_MAX  3600
#define REFRESH_PERCENT  80

static const struct sip_text no_body;

static uint64_t now(const struct trunk *trunk)
{
	return sip_stack_now_ms(trunk->trunks->stack);
}

static uint32_t random_below(uint32_t n)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	return n > 0 ? random % n : 0;
}

static void errand_due(struct trunk_errand *errand, uint64_t in_ms)
{
	timer_start(errand->trunk->trunks->timers, &errand->timer, now(errand->trunk) + in_ms);
}

static void __attribute__((format(printf, 2, 3)))
problem_set(struct trunk *trunk, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(trunk->problem, sizeof(trunk->problem), format, arguments);
	va_end(arguments);
}

static void state_set(struct trunk *trunk, enum trunk_state state)
{
	if (trunk->state == state)
		return;
	trunk->state = state;
	if (state == TRUNK_DOWN)
		log_warn("trunk %s is down: %s", trunk->name, trunk->problem);
	else
		log_info("trunk %s is up", trunk->name);
}

static void registration_set(struct trunk *trunk, enum trunk_registration registration)
{
	if (trunk->registration == registration)
		return;
	trunk->registration = registration;
	if (registration == TRUNK_REGISTRATION_FAILED)
		log_warn("trunk %s is not registered: %s", trunk->name, trunk->problem);
	else if (registration == TRUNK_REGISTERED)
		log_info("trunk %s is registered", trunk->name);
}

/* ---- failure ---- */

/* Half of the time at least, so that those who fell together do not rise together. */
static uint64_t backoff_ms(uint32_t failures)
{
	uint32_t shift = failures < 10 ? failures : 10;
	uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << shift;

	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	return ms / 2 + random_below((uint32_t)ms / 2);
}

static void errand_failed(struct trunk_errand *errand, uint32_t retry_after_s)
{
	struct trunk *trunk = errand->trunk;
	uint64_t in_ms = backoff_ms(errand->failures++);

	memset(&errand->auth, 0, sizeof(errand->auth));
	if (errand->method == SIP_METHOD_REGISTER) {
		if (trunk->registered_until_ms <= now(trunk))
			registration_set(trunk, TRUNK_REGISTRATION_FAILED);
	} else {
		state_set(trunk, TRUNK_DOWN);
		if (in_ms > (uint64_t)trunk->options_s * 1000)
			in_ms = (uint64_t)trunk->options_s * 1000;
	}
	if (retry_after_s > RETRY_AFTER_MAX)
		retry_after_s = RETRY_AFTER_MAX;
	if (in_ms < (uint64_t)retry_after_s * 1000)
		in_ms = (uint64_t)retry_after_s * 1000;
	errand_due(errand, in_ms);
}

/* ---- sending ---- */

static void errand_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
			    const struct sip_message *response);

static void put_register(struct trunk_errand *errand, struct sip_request *request, bool stop)
{
	const struct trunk *trunk = errand->trunk;

	sip_put_contact(&request->builder, &request->flow, sip_text_of(trunk->contact), NULL);
	sip_put_header_format(&request->builder, "Expires", "%u", stop ? 0 : trunk->expires_s);
}

/* One request to one place. */
static int errand_send_to(struct trunk_errand *errand, const struct sip_target *place, bool stop)
{
	struct trunk *trunk = errand->trunk;
	struct sip_stack *stack = trunk->trunks->stack;
	bool is_register = errand->method == SIP_METHOD_REGISTER;
	char buffer[MESSAGE_MAX], uri[URI_MAX], who[URI_MAX];
	struct sip_request request;
	struct sip_request_start start = {.method = errand->method,
					  .from_tag = sip_text_of(errand->tag),
					  .call_id = sip_text_of(errand->call_id),
					  .cseq = ++errand->cseq,
					  .flow = {.transport = place->transport,
						   .remote = place->remote}};
	int err;

	if (sip_stack_is_local(stack, &place->remote.address, place->remote.port))
		return -ELOOP;
	snprintf(uri, sizeof(uri), "sip:%s", trunk->domain);
	snprintf(who, sizeof(who), "<sip:%s%s%s>", trunk->user, trunk->user[0] ? "@" : "",
		 trunk->domain);
	start.uri = sip_text_of(uri);
	start.from = sip_text_of(who);
	start.to = is_register ? start.from : sip_text_of(uri);
	err = sip_request_begin(&request, stack, &start, buffer, sizeof(buffer));
	if (err)
		return err;
	if (is_register)
		put_register(errand, &request, stop);
	else
		sip_put_contact(&request.builder, &request.flow, sip_text_of(trunk->contact), NULL);
	if (trunk->face.secret)
		sip_auth_put(&errand->auth, trunk->trunks->digest, &trunk->secret, &request.builder,
			     sip_text_of(sip_method_name(errand->method)), start.uri, no_body);
	return sip_request_send(&request, NULL, no_body, stop ? NULL : errand_answered,
				stop ? NULL : errand, stop ? NULL : &errand->transaction);
}

/* To the place at hand, or the next that takes it. */
static void errand_send(struct trunk_errand *errand)
{
	int err = 0;

	for (; errand->at < errand->places.count; errand->at++) {
		err = errand_send_to(errand, &errand->places.targets[errand->at], false);
		if (err == 0)
			return;
		memset(&errand->auth, 0, sizeof(errand->auth));
	}
	if (err)
		problem_set(errand->trunk, "%s: %s", sip_method_name(errand->method),
			    strerror(-err));
	errand_failed(errand, 0);
}

/* ---- places ---- */

/* Moves the place that answered last to the front. */
static void prefer(struct sip_targets *places, const struct endpoint *good)
{
	struct sip_target found;

	for (uint32_t i = 1; good->port != 0 && i < places->count; i++) {
		if (!endpoint_equal(&places->targets[i].remote, good))
			continue;
		found = places->targets[i];
		memmove(&places->targets[1], &places->targets[0], i * sizeof(found));
		places->targets[0] = found;
		return;
	}
}

static const struct dns_answer *know_nothing(void *arg, enum dns_type type, const char *name)
{
	static const struct dns_answer nothing;

	(void)arg;
	(void)type;
	(void)name;
	return &nothing;
}

/* Without a resolver only addresses can be found. */
static int find(struct trunk *trunk, struct sip_targets *places, sip_resolved_function *resolved,
		void *owner, struct sip_resolver_query **query)
{
	const struct locate_source nobody = {.find = know_nothing};

	if (trunk->trunks->resolver)
		return sip_resolver_find(trunk->trunks->resolver, &trunk->locate, places, resolved,
					 owner, query);
	if (locate_walk(&trunk->locate, &nobody, places) == 0 && places->count > 0)
		return 1;
	return -ENOENT;
}

static void found(struct trunk_errand *errand, int error, const struct sip_targets *places)
{
	struct trunk *trunk = errand->trunk;

	if (error) {
		problem_set(trunk, "%s: %s", trunk->host,
			    error == -ENOENT ? "no such server in DNS" : strerror(-error));
		errand_failed(errand, 0);
		return;
	}
	trunk->places = *places;
	errand->places = *places;
	prefer(&errand->places, &trunk->good);
	errand->at = 0;
	errand_send(errand);
}

static void errand_resolved(void *owner, int error, const struct sip_targets *places)
{
	struct trunk_errand *errand = owner;

	errand->query = NULL;
	found(errand, error, places);
}

static void errand_begin(struct timer *timer, uint64_t now_ms)
{
	struct trunk_errand *errand = list_entry(timer, struct trunk_errand, timer);
	struct sip_targets places;
	int rc;

	(void)now_ms;
	if (errand->transaction || errand->query)
		return;
	if (errand->method == SIP_METHOD_REGISTER && errand->trunk->registered_until_ms == 0)
		registration_set(errand->trunk, TRUNK_REGISTERING);
	rc = find(errand->trunk, &places, errand_resolved, errand, &errand->query);
	if (rc != 0)
		found(errand, rc < 0 ? rc : 0, &places);
}

static void places_ignored(void *owner, int error, const struct sip_targets *places)
{
	(void)owner;
	(void)error;
	(void)places;
}

bool trunk_places(struct trunk *trunk, struct sip_targets *places)
{
	struct sip_resolver_query *query = NULL;
	int rc = find(trunk, places, places_ignored, trunk, &query);

	if (rc == 1)
		trunk->places = *places; /* SRV weights are drawn anew for each call */
	else
		*places = trunk->places; /* the answer serves the next call */
	prefer(places, &trunk->good);
	return places->count > 0;
}

/* ---- answers ---- */

/* How long the registrar keeps us: our Contact's expires, else Expires (RFC 3261 10.2.4). */
static uint32_t granted_s(const struct trunk *trunk, const struct sip_message *response)
{
	int64_t expires_s =
		sip_message_number(response, SIP_HEADER_EXPIRES, (int64_t)trunk->expires_s);
	struct sip_values values;
	struct sip_text value;

	sip_values_begin(&values, response, SIP_HEADER_CONTACT);
	while (sip_values_next(&values, &value)) {
		struct sip_address contact;
		struct sip_text its;
		uint64_t number;

		if (sip_address_parse(&contact, value) < 0 || contact.star ||
		    !sip_text_equal(contact.uri.user, sip_text_of(trunk->contact)))
			continue;
		if (sip_parameter_find(contact.parameters, "expires", &its) &&
		    sip_text_number(its, 86400, &number) == 0)
			expires_s = (int64_t)number;
	}
	if (expires_s < 10)
		return 10;
	return expires_s > 86400 ? 86400 : (uint32_t)expires_s;
}

static void registered(struct trunk_errand *errand, const struct sip_message *response)
{
	struct trunk *trunk = errand->trunk;
	uint32_t expires_s = granted_s(trunk, response);

	errand->failures = 0;
	sip_auth_accepted(&errand->auth);
	trunk->problem[0] = '\0';
	trunk->good = errand->places.targets[errand->at].remote;
	trunk->registered_until_ms = now(trunk) + (uint64_t)expires_s * 1000;
	registration_set(trunk, TRUNK_REGISTERED);
	state_set(trunk, TRUNK_UP);
	errand_due(errand, (uint64_t)expires_s * 10 * REFRESH_PERCENT);
}

static void register_refused(struct trunk_errand *errand, uint32_t status,
			     const struct sip_message *response)
{
	struct trunk *trunk = errand->trunk;
	int64_t min_s = sip_message_number(response, SIP_HEADER_MIN_EXPIRES, 0);
	int64_t after_s = sip_message_number(response, SIP_HEADER_RETRY_AFTER, 0);

	if (status == 423 && min_s > trunk->expires_s && min_s <= 86400) {
		trunk->expires_s = (uint32_t)min_s;
		errand_send(errand);
		return;
	}
	problem_set(trunk, "REGISTER refused: %u %.*s", status,
		    response->reason.n > 40 ? 40 : (int)response->reason.n,
		    response->reason.at ? response->reason.at : "");
	errand_failed(errand, after_s > 0 ? (uint32_t)after_s : 0);
}

static void options_answered(struct trunk_errand *errand)
{
	struct trunk *trunk = errand->trunk;

	errand->failures = 0;
	sip_auth_accepted(&errand->auth);
	trunk->good = errand->places.targets[errand->at].remote;
	if (trunk->registration != TRUNK_REGISTRATION_FAILED)
		trunk->problem[0] = '\0';
	state_set(trunk, TRUNK_UP);
	errand_due(errand, (uint64_t)trunk->options_s * 1000);
}

static void errand_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
			    const struct sip_message *response)
{
	struct trunk_errand *errand = owner;
	struct trunk *trunk = errand->trunk;

	(void)transaction;
	if (status < 200)
		return;
	errand->transaction = NULL;
	if (!response || status == 503) {
		problem_set(trunk, "%s: %s", sip_method_name(errand->method),
			    response        ? "503 from the peer"
			    : status == 408 ? "no answer"
					    : "no connection");
		errand->at++;
		memset(&errand->auth, 0, sizeof(errand->auth));
		errand_send(errand);
		return;
	}
	if ((status == 401 || status == 407) && trunk->face.secret) {
		int rc = sip_auth_challenged(&errand->auth, response, &trunk->secret);

		if (rc == 0) {
			errand_send(errand);
			return;
		}
	}
	if (errand->method == SIP_METHOD_OPTIONS)
		options_answered(errand);
	else if (status < 300)
		registered(errand, response);
	else
		register_refused(errand, status, response);
}

/* ---- life ---- */

static void errand_init(struct trunk_errand *errand, struct trunk *trunk, enum sip_method method)
{
	errand->trunk = trunk;
	errand->method = method;
	timer_init(&errand->timer, errand_begin);
	random_token(errand->call_id, sizeof(errand->call_id) - 1);
	random_token(errand->tag, SIP_TAG_SIZE - 1);
}

void trunk_client_init(struct trunk *trunk)
{
	errand_init(&trunk->registering, trunk, SIP_METHOD_REGISTER);
	errand_init(&trunk->options, trunk, SIP_METHOD_OPTIONS);
}

void trunk_client_start(struct trunk *trunk)
{
	/* not all trunks in the same millisecond */
	if (trunk->registers)
		errand_due(&trunk->registering, 1 + random_below(200));
	errand_due(&trunk->options, 1 + random_below(500));
}

static void errand_stop(struct trunk_errand *errand)
{
	timer_stop(errand->trunk->trunks->timers, &errand->timer);
	if (errand->transaction)
		sip_client_forget(errand->transaction);
	sip_resolver_forget(errand->query);
	errand->transaction = NULL;
	errand->query = NULL;
}

void trunk_client_stop(struct trunk *trunk)
{
	errand_stop(&trunk->options);
	errand_stop(&trunk->registering);
	if (trunk->registration == TRUNK_REGISTERED &&
	    trunk->registering.at < trunk->registering.places.count)
		errand_send_to(&trunk->registering,
			       &trunk->registering.places.targets[trunk->registering.at], true);
}
