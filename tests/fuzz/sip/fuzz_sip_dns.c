/* Any bytes as a DNS message, and the order that is made of what was in it. */
#include "control/sip/locate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t pick(void *arg, uint32_t n)
{
	uint32_t *state = arg;

	*state = *state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)*state * ((uint64_t)n + 1) >> 32);
}

static const struct dns_answer *find(void *arg, enum dns_type type, const char *name)
{
	static const struct dns_answer address = {
		.type = DNS_ADDRESS, .count = 1, .address = {{.ip = {[15] = 1}}}};
	const struct dns_answer *answers = arg;

	if (strlen(name) >= DNS_NAME_MAX)
		abort();
	if (type == DNS_ADDRESS)
		return &address;
	return &answers[type == DNS_NAPTR];
}

static uint32_t fixed(void *arg, uint32_t n)
{
	uint32_t state = 3;

	(void)arg;
	return pick(&state, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_answer answers[2];
	const struct locate_source source = {find, fixed, answers};
	struct sip_locate locate = {.host = "h.test", .transports = 7};
	struct sip_targets targets;
	uint32_t state = 1;
	int srv = dns_answer_parse(&answers[0], DNS_SRV, data, size);
	int naptr = dns_answer_parse(&answers[1], DNS_NAPTR, data, size);

	if (srv < 0)
		answers[0].count = 0;
	if (naptr < 0)
		answers[1].count = 0;
	if (locate_walk(&locate, &source, &targets) < 0 || targets.count > SIP_TARGETS_MAX)
		abort();
	locate_srv_order(answers[0].srv, answers[0].count, pick, &state);
	for (uint32_t i = 1; i < answers[0].count; i++)
		if (answers[0].srv[i].priority < answers[0].srv[i - 1].priority)
			abort();
	return 0;
}
