/* RFC 3263 4.1 and 4.2, RFC 2782. */
#include "control/sip/locate.h"

#include "control/sip/chars.h"
#include "control/sip/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct walk {
	const struct sip_locate *locate;
	const struct locate_source *source;
	struct sip_targets *targets;
	bool missing;
};

int sip_locate_of_uri(struct sip_locate *locate, const struct sip_uri *uri, uint32_t transports)
{
	struct sip_text host = uri->host;
	struct sip_text value;

	memset(locate, 0, sizeof(*locate));
	if (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS)
		return -EINVAL;
	locate->secure = uri->scheme == SIP_SCHEME_SIPS;
	locate->port = uri->port;
	locate->transports = transports;
	if (sip_uri_parameter(uri, "transport", &value)) {
		if (sip_transport_kind_of(value, &locate->transport) < 0)
			return -EINVAL;
		locate->transport_given = true;
		if (locate->secure && locate->transport == SIP_TRANSPORT_TCP)
			locate->transport = SIP_TRANSPORT_TLS;
	}
	if (sip_uri_parameter(uri, "maddr", &value) && value.n > 0)
		host = value;
	if (host.n == 0 ||
	    sip_text_copy(host, locate->host, sizeof(locate->host)) >= sizeof(locate->host))
		return -EINVAL;
	return 0;
}

/* ---- order ---- */

static int srv_by_priority(const void *a, const void *b)
{
	const struct dns_srv *x = a;
	const struct dns_srv *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	/* those without weight first, as the RFC's selection wants them */
	return (x->weight > 0) - (y->weight > 0);
}

/* One run of equal priority: again and again a random number picks from those that are left. */
static void order_run(struct dns_srv *run, uint32_t n, locate_random_function *random, void *arg)
{
	for (uint32_t done = 0; done + 1 < n; done++) {
		uint32_t sum = 0;
		uint32_t pick;
		uint32_t chosen = done;
		struct dns_srv found;

		for (uint32_t i = done; i < n; i++)
			sum += run[i].weight;
		pick = random(arg, sum);
		sum = 0;
		for (uint32_t i = done; i < n; i++) {
			sum += run[i].weight;
			chosen = i;
			if (sum >= pick)
				break;
		}
		found = run[chosen];
		memmove(&run[done + 1], &run[done], (chosen - done) * sizeof(found));
		run[done] = found;
	}
}

void locate_srv_order(struct dns_srv *records, uint32_t count, locate_random_function *random,
		      void *arg)
{
	uint32_t begin = 0;

	qsort(records, count, sizeof(*records), srv_by_priority);
	for (uint32_t i = 1; i <= count; i++) {
		if (i < count && records[i].priority == records[begin].priority)
			continue;
		order_run(records + begin, i - begin, random, arg);
		begin = i;
	}
}

static int naptr_by_order(const void *a, const void *b)
{
	const struct dns_naptr *x = a;
	const struct dns_naptr *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->preference > y->preference) - (x->preference < y->preference);
}

static bool service_of(const char *service, bool secure, enum sip_transport_kind *transport)
{
	static const struct {
		const char *service;
		enum sip_transport_kind transport;
		bool secure;
	} services[] = {
		{"SIP+D2U", SIP_TRANSPORT_UDP, false}, {"SIP+D2T", SIP_TRANSPORT_TCP, false},
		{"SIPS+D2T", SIP_TRANSPORT_TLS, true}, {"SIP+D2W", SIP_TRANSPORT_WS, false},
		{"SIPS+D2W", SIP_TRANSPORT_WSS, true},
	};

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		if (!sip_text_is(sip_text_of(service), services[i].service))
			continue;
		*transport = services[i].transport;
		return !secure || services[i].secure;
	}
	return false;
}

static bool has(const struct sip_locate *locate, enum sip_transport_kind transport)
{
	return (locate->transports & 1u << transport) != 0;
}

uint32_t locate_naptr_choose(struct dns_naptr *records, uint32_t count,
			     const struct sip_locate *locate,
			     enum sip_transport_kind transports[DNS_RECORDS_MAX])
{
	uint32_t n = 0;

	qsort(records, count, sizeof(*records), naptr_by_order);
	for (uint32_t i = 0; i < count; i++) {
		enum sip_transport_kind transport;

		if (records[i].flag != 's' || records[i].replacement[0] == '\0' ||
		    !service_of(records[i].service, locate->secure, &transport) ||
		    !has(locate, transport))
			continue;
		records[n] = records[i];
		transports[n++] = transport;
	}
	return n;
}

/* ---- the walk ---- */

static const struct dns_answer *ask(struct walk *walk, enum dns_type type, const char *name)
{
	const struct dns_answer *answer = walk->source->find(walk->source->arg, type, name);

	if (!answer)
		walk->missing = true;
	return answer;
}

static void target_add(struct walk *walk, enum sip_transport_kind transport,
		       const struct address *address, uint16_t port)
{
	struct sip_targets *targets = walk->targets;
	struct sip_target target = {.transport = transport,
				    .remote = {.address = *address, .port = port}};

	for (uint32_t i = 0; i < targets->count; i++)
		if (targets->targets[i].transport == transport &&
		    endpoint_equal(&targets->targets[i].remote, &target.remote))
			return;
	if (targets->count < SIP_TARGETS_MAX)
		targets->targets[targets->count++] = target;
}

static void walk_addresses(struct walk *walk, enum sip_transport_kind transport, const char *name,
			   uint16_t port)
{
	const struct dns_answer *answer;
	struct address literal;

	if (port == 0)
		port = sip_transport_default_port(transport);
	if (address_parse(&literal, name, strlen(name)) == 0) {
		target_add(walk, transport, &literal, port);
		return;
	}
	answer = ask(walk, DNS_ADDRESS, name);
	for (uint32_t i = 0; answer && i < answer->count; i++)
		target_add(walk, transport, &answer->address[i], port);
}

/* False: there are no such SRV records. */
static bool walk_srv(struct walk *walk, enum sip_transport_kind transport, const char *name)
{
	const struct dns_answer *answer = ask(walk, DNS_SRV, name);
	struct dns_srv records[DNS_RECORDS_MAX];
	uint32_t count;

	if (!answer || answer->count == 0)
		return !answer;
	count = answer->count;
	memcpy(records, answer->srv, count * sizeof(records[0]));
	locate_srv_order(records, count, walk->source->random, walk->source->arg);
	for (uint32_t i = 0; i < count; i++)
		if (records[i].target[0] != '\0')
			walk_addresses(walk, transport, records[i].target, records[i].port);
	return true;
}

static bool walk_service(struct walk *walk, enum sip_transport_kind transport)
{
	/* RFC 3263 4.1, RFC 7118 B */
	static const char *const prefixes[SIP_TRANSPORTS] = {
		[SIP_TRANSPORT_UDP] = "_sip._udp.",  [SIP_TRANSPORT_TCP] = "_sip._tcp.",
		[SIP_TRANSPORT_TLS] = "_sips._tcp.", [SIP_TRANSPORT_WS] = "_sip._ws.",
		[SIP_TRANSPORT_WSS] = "_sips._ws.",
	};
	char name[DNS_NAME_MAX];
	int n = snprintf(name, sizeof(name), "%s%s", prefixes[transport], walk->locate->host);

	return n < (int)sizeof(name) && walk_srv(walk, transport, name);
}

/* No transport, no port: NAPTR decides; without it every SRV that we can use. */
static bool walk_naptr(struct walk *walk)
{
	static const enum sip_transport_kind plain[] = {SIP_TRANSPORT_UDP, SIP_TRANSPORT_TCP,
							SIP_TRANSPORT_TLS};
	const struct dns_answer *answer = ask(walk, DNS_NAPTR, walk->locate->host);
	enum sip_transport_kind transports[DNS_RECORDS_MAX];
	struct dns_naptr records[DNS_RECORDS_MAX];
	uint32_t count;
	bool found = false;

	if (!answer)
		return true;
	memcpy(records, answer->naptr, answer->count * sizeof(records[0]));
	count = locate_naptr_choose(records, answer->count, walk->locate, transports);
	for (uint32_t i = 0; i < count; i++)
		found |= walk_srv(walk, transports[i], records[i].replacement);
	for (size_t i = 0; count == 0 && i < sizeof(plain) / sizeof(plain[0]); i++)
		if (has(walk->locate, plain[i]) &&
		    (!walk->locate->secure || plain[i] == SIP_TRANSPORT_TLS))
			found |= walk_service(walk, plain[i]);
	return found;
}

int locate_walk(const struct sip_locate *locate, const struct locate_source *source,
		struct sip_targets *targets)
{
	struct walk walk = {.locate = locate, .source = source, .targets = targets};
	enum sip_transport_kind transport = locate->secure ? SIP_TRANSPORT_TLS : SIP_TRANSPORT_UDP;
	struct address literal;
	bool found = false;

	targets->count = 0;
	if (locate->transport_given)
		transport = locate->transport;
	if (address_parse(&literal, locate->host, strlen(locate->host)) != 0 && locate->port == 0)
		found = locate->transport_given ? walk_service(&walk, transport)
						: walk_naptr(&walk);
	if (!found && has(locate, transport))
		walk_addresses(&walk, transport, locate->host, locate->port);
	return walk.missing ? -EAGAIN : 0;
}
