/* DNS messages: just enough of RFC 1035 4 to read SRV and NAPTR. */
#include "control/sip/dns.h"

#include <errno.h>
#include <stdbool.h>

#define HEADER_SIZE 12
#define JUMPS_MAX   32
#define TYPE_SOA    6

struct reader {
	const uint8_t *bytes;
	size_t n;
	size_t at;
};

struct record {
	uint16_t type;
	uint16_t its_class;
	uint32_t ttl_s;
	size_t at; /* of its RDATA */
	size_t end;
};

size_t dns_answer_size(enum dns_type type, uint32_t count)
{
	size_t one = type == DNS_SRV     ? sizeof(struct dns_srv)
		     : type == DNS_NAPTR ? sizeof(struct dns_naptr)
					 : sizeof(struct address);

	return offsetof(struct dns_answer, srv) + count * one;
}

static bool read_number(struct reader *r, int size, uint32_t *number)
{
	*number = 0;
	if (r->n - r->at < (size_t)size)
		return false;
	while (size-- > 0)
		*number = *number << 8 | r->bytes[r->at++];
	return true;
}

/* A label's byte as it may stand in a host name; others make the name one that nobody has. */
static char label_char(uint8_t byte)
{
	if (byte >= 'A' && byte <= 'Z')
		return (char)(byte | 0x20);
	if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
	    byte == '_')
		return (char)byte;
	return '?';
}

/* RFC 1035 4.1.4. A pointer leads back only, so that it ends. out may be NULL. */
static bool read_name(struct reader *r, char out[DNS_NAME_MAX])
{
	size_t at = r->at;
	size_t written = 0;
	size_t limit = at;
	bool jumped = false;

	for (int jumps = 0; at < r->n;) {
		uint8_t len = r->bytes[at++];

		if (len >= 0xc0) {
			size_t to;

			if (at >= r->n || ++jumps > JUMPS_MAX)
				return false;
			to = (size_t)(len & 0x3f) << 8 | r->bytes[at++];
			if (!jumped)
				r->at = at;
			jumped = true;
			if (to >= limit)
				return false;
			at = limit = to;
			continue;
		}
		if (len >= 0x40)
			return false;
		if (len == 0) {
			if (!jumped)
				r->at = at;
			if (out)
				out[written] = '\0';
			return true;
		}
		if (r->n - at < len || written + len + 2 > DNS_NAME_MAX)
			return false;
		if (out && written > 0)
			out[written] = '.';
		written += written > 0;
		for (uint8_t i = 0; i < len; i++, written++, at++)
			if (out)
				out[written] = label_char(r->bytes[at]);
	}
	return false;
}

/* character-string (RFC 1035 3.3); what does not fit is cut. */
static bool read_string(struct reader *r, char *out, size_t size)
{
	size_t n = 0;
	uint8_t len;

	if (r->at >= r->n)
		return false;
	len = r->bytes[r->at++];
	if (r->n - r->at < len)
		return false;
	for (uint8_t i = 0; i < len && n + 1 < size; i++)
		out[n++] = (char)r->bytes[r->at + i];
	out[n] = '\0';
	r->at += len;
	return true;
}

static bool read_record(struct reader *r, struct record *record)
{
	uint32_t type, its_class, length;

	if (!read_name(r, NULL) || !read_number(r, 2, &type) || !read_number(r, 2, &its_class) ||
	    !read_number(r, 4, &record->ttl_s) || !read_number(r, 2, &length) ||
	    r->n - r->at < length)
		return false;
	record->type = (uint16_t)type;
	record->its_class = (uint16_t)its_class;
	record->at = r->at;
	r->at += length;
	record->end = r->at;
	if (record->ttl_s > INT32_MAX)
		record->ttl_s = 0; /* RFC 2181 8 */
	return true;
}

static bool read_srv(struct reader *r, struct dns_srv *srv)
{
	uint32_t priority, weight, port;

	if (!read_number(r, 2, &priority) || !read_number(r, 2, &weight) ||
	    !read_number(r, 2, &port) || !read_name(r, srv->target))
		return false;
	srv->priority = (uint16_t)priority;
	srv->weight = (uint16_t)weight;
	srv->port = (uint16_t)port;
	return true;
}

static bool read_naptr(struct reader *r, struct dns_naptr *naptr)
{
	uint32_t order, preference;
	char flags[4];
	char regexp[4];

	if (!read_number(r, 2, &order) || !read_number(r, 2, &preference) ||
	    !read_string(r, flags, sizeof(flags)) ||
	    !read_string(r, naptr->service, sizeof(naptr->service)) ||
	    !read_string(r, regexp, sizeof(regexp)) || !read_name(r, naptr->replacement))
		return false;
	naptr->order = (uint16_t)order;
	naptr->preference = (uint16_t)preference;
	naptr->flag = (char)(flags[0] >= 'A' && flags[0] <= 'Z' ? flags[0] | 0x20 : flags[0]);
	return true;
}

static bool take(struct dns_answer *answer, const struct reader *r, const struct record *record)
{
	struct reader its = {.bytes = r->bytes, .n = record->end, .at = record->at};
	bool good;

	if (record->type != (uint16_t)answer->type || record->its_class != DNS_CLASS_INTERNET ||
	    answer->count == DNS_RECORDS_MAX)
		return true;
	if (answer->type == DNS_SRV)
		good = read_srv(&its, &answer->srv[answer->count]);
	else
		good = read_naptr(&its, &answer->naptr[answer->count]);
	if (!good)
		return false;
	if (answer->count == 0 || record->ttl_s < answer->ttl_s)
		answer->ttl_s = record->ttl_s;
	answer->count++;
	return true;
}

/* The lower of the SOA's own TTL and its MINIMUM, the last of five numbers behind two names. */
static bool negative_ttl(struct dns_answer *answer, const struct reader *r,
			 const struct record *record)
{
	struct reader its = {.bytes = r->bytes, .n = record->end, .at = record->at};
	uint32_t number;

	if (record->type != TYPE_SOA || answer->count > 0)
		return true;
	if (!read_name(&its, NULL) || !read_name(&its, NULL))
		return false;
	for (int i = 0; i < 5; i++)
		if (!read_number(&its, 4, &number))
			return false;
	answer->ttl_s = number < record->ttl_s ? number : record->ttl_s;
	return true;
}

int dns_answer_parse(struct dns_answer *answer, enum dns_type type, const uint8_t *bytes, size_t n)
{
	struct reader r = {.bytes = bytes, .n = n, .at = 4};
	uint32_t questions, answers, authorities, additional;
	struct record record;

	answer->type = type;
	answer->ttl_s = 0;
	answer->count = 0;
	if (n < HEADER_SIZE || type == DNS_ADDRESS)
		return -EBADMSG;
	read_number(&r, 2, &questions);
	read_number(&r, 2, &answers);
	read_number(&r, 2, &authorities);
	read_number(&r, 2, &additional);
	for (uint32_t i = 0; i < questions; i++) {
		if (!read_name(&r, NULL) || r.n - r.at < 4)
			return -EBADMSG;
		r.at += 4;
	}
	for (uint32_t i = 0; i < answers; i++)
		if (!read_record(&r, &record) || !take(answer, &r, &record))
			return -EBADMSG;
	for (uint32_t i = 0; i < authorities && answer->count == 0; i++)
		if (!read_record(&r, &record) || !negative_ttl(answer, &r, &record))
			return -EBADMSG;
	return 0;
}
