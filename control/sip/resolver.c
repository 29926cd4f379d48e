/* The cache of answers and the queries that wait for them; c-ares does the asking. */
#include "control/sip/resolver.h"

#include "control/sip/siphash.h"
#include "control/sip/text.h"
#include "dataplane/base/clock.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/time.h>

#define TIMEOUT_DEFAULT_MS 1500
#define TRIES_DEFAULT      2
#define ANSWERS_DEFAULT    1024
#define QUERIES_DEFAULT    1024
#define BUCKETS            1024
#define WATCHES            32
#define ROUNDS_MAX         8
#define TTL_MAX_S          86400
#define TTL_NOTHING_S      30  /* nothing there, and no SOA that says for how long */
#define TTL_NOTHING_MAX_S  900 /* RFC 2308 5 lets us keep it for hours; phones do not wait */
#define TTL_FAILED_S       5

struct entry {
	struct entry *hash_next;
	struct list by_age; /* in resolver->entries, the one used last at the end */
	struct sip_resolver *resolver;
	enum dns_type type;
	bool pending;
	bool failed;
	uint64_t expires_ms;
	struct dns_answer *answer;
	char name[DNS_NAME_MAX];
};

struct sip_resolver_query {
	struct list node;
	struct sip_resolver *resolver;
	struct sip_locate locate;
	sip_resolved_function *resolved;
	void *owner;
	uint64_t begun_ms;
	uint32_t rounds;
};

struct watch {
	struct loop_fd fd;
	struct sip_resolver *resolver;
};

struct sip_resolver {
	struct loop *loop;
	ares_channel channel;
	bool library;
	bool closing;
	int family;
	uint32_t answers_max;
	uint32_t answers_count;
	uint32_t queries_max;
	uint32_t queries_count;
	locate_random_function *random;
	void *random_arg;
	struct siphash_key hash_key;
	struct entry *buckets[BUCKETS];
	struct list entries;
	struct list queries;
	struct watch watches[WATCHES];
	struct timer channel_timer; /* c-ares's own timeouts */
	struct timer settle_timer;  /* answers have come: queries walk again */
	struct sip_resolver_counters counters;
	struct dns_answer scratch;
	/* of the walk under way */
	uint64_t walk_begun_ms;
	bool walk_failed;
	bool walk_refused;
};

static uint64_t now(const struct sip_resolver *resolver)
{
	return loop_now_ms(resolver->loop);
}

static uint32_t random_default(void *arg, uint32_t n)
{
	uint64_t random;

	(void)arg;
	random_bytes(&random, sizeof(random));
	return (uint32_t)(random % ((uint64_t)n + 1));
}

/* ---- sockets and timeouts of c-ares ---- */

static void channel_schedule(struct sip_resolver *resolver)
{
	struct timeval storage;
	struct timeval *wait = ares_timeout(resolver->channel, NULL, &storage);

	if (!wait) {
		timer_stop(loop_timers(resolver->loop), &resolver->channel_timer);
		return;
	}
	timer_start(loop_timers(resolver->loop), &resolver->channel_timer,
		    now(resolver) + (uint64_t)wait->tv_sec * 1000 + (uint64_t)wait->tv_usec / 1000 +
			    1);
}

static void channel_expired(struct timer *timer, uint64_t now_ms)
{
	struct sip_resolver *resolver = list_entry(timer, struct sip_resolver, channel_timer);

	(void)now_ms;
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	channel_schedule(resolver);
}

static void socket_ready(struct loop_fd *fd, uint32_t events)
{
	struct watch *watch = list_entry(fd, struct watch, fd);
	struct sip_resolver *resolver = watch->resolver;
	int its = fd->fd;

	ares_process_fd(resolver->channel,
			events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? its : ARES_SOCKET_BAD,
			events & EPOLLOUT ? its : ARES_SOCKET_BAD);
	channel_schedule(resolver);
}

/* A socket that finds no free watch is one whose questions run into their timeout. */
static void socket_changed(void *arg, ares_socket_t its, int readable, int writable)
{
	struct sip_resolver *resolver = arg;
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
	struct watch *free_watch = NULL;

	for (int i = 0; i < WATCHES; i++) {
		struct watch *watch = &resolver->watches[i];

		if (watch->fd.fd == its) {
			if (events) {
				loop_fd_change(resolver->loop, &watch->fd, events);
			} else {
				loop_fd_del(resolver->loop, &watch->fd);
				watch->fd.fd = -1;
			}
			return;
		}
		if (watch->fd.fd < 0 && !free_watch)
			free_watch = watch;
	}
	if (!events || !free_watch)
		return;
	free_watch->fd.fd = its;
	if (loop_fd_add(resolver->loop, &free_watch->fd, events) < 0)
		free_watch->fd.fd = -1;
}

/* ---- the cache ---- */

static struct entry **bucket_of(struct sip_resolver *resolver, enum dns_type type, const char *name)
{
	struct siphash hash;
	uint64_t words[2];
	uint8_t tag = (uint8_t)type;

	siphash_init(&hash, &resolver->hash_key);
	siphash_add(&hash, &tag, sizeof(tag));
	siphash_add(&hash, name, strlen(name));
	siphash_finish(&hash, words);
	return &resolver->buckets[words[0] & (BUCKETS - 1)];
}

static struct entry *entry_find(struct sip_resolver *resolver, enum dns_type type, const char *name)
{
	struct entry *entry = *bucket_of(resolver, type, name);

	while (entry && (entry->type != type || strcmp(entry->name, name) != 0))
		entry = entry->hash_next;
	return entry;
}

static void entry_free(struct entry *entry)
{
	struct sip_resolver *resolver = entry->resolver;
	struct entry **at = bucket_of(resolver, entry->type, entry->name);

	while (*at != entry)
		at = &(*at)->hash_next;
	*at = entry->hash_next;
	list_remove(&entry->by_age);
	resolver->answers_count--;
	free(entry->answer);
	free(entry);
}

/* Makes room by forgetting what was not asked for the longest time. */
static bool cache_make_room(struct sip_resolver *resolver)
{
	struct list *node;

	if (resolver->answers_count < resolver->answers_max)
		return true;
	list_each (node, &resolver->entries) {
		struct entry *entry = list_entry(node, struct entry, by_age);

		if (entry->pending)
			continue;
		entry_free(entry);
		resolver->counters.evicted++;
		return true;
	}
	return false;
}

static struct entry *entry_make(struct sip_resolver *resolver, enum dns_type type, const char *name)
{
	struct entry **bucket;
	struct entry *entry;

	if (!cache_make_room(resolver))
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	bucket = bucket_of(resolver, type, name);
	entry->resolver = resolver;
	entry->type = type;
	strcpy(entry->name, name);
	entry->hash_next = *bucket;
	*bucket = entry;
	list_append(&resolver->entries, &entry->by_age);
	resolver->answers_count++;
	return entry;
}

static uint32_t ttl_of(const struct dns_answer *answer, bool failed)
{
	uint32_t ttl_s = answer->ttl_s;

	if (failed)
		return TTL_FAILED_S;
	if (answer->count == 0) {
		if (ttl_s == 0)
			return TTL_NOTHING_S;
		return ttl_s < TTL_NOTHING_MAX_S ? ttl_s : TTL_NOTHING_MAX_S;
	}
	return ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
}

/* Takes scratch into the entry. A query accepts what expires after it began, so even TTL 0 serves
 * the ones that asked. */
static void entry_answered(struct entry *entry, bool failed)
{
	struct sip_resolver *resolver = entry->resolver;
	struct dns_answer *answer = &resolver->scratch;
	size_t size;

	answer->type = entry->type;
	if (failed)
		answer->count = 0;
	size = dns_answer_size(entry->type, answer->count);
	entry->pending = false;
	entry->failed = failed;
	free(entry->answer);
	entry->answer = malloc(size);
	if (entry->answer)
		memcpy(entry->answer, answer, size);
	else
		entry->failed = true;
	if (failed)
		resolver->counters.failures++;
	else if (answer->count == 0)
		resolver->counters.nothing++;
	entry->expires_ms = now(resolver) + (uint64_t)ttl_of(answer, failed) * 1000 + 1;
	timer_start(loop_timers(resolver->loop), &resolver->settle_timer, now(resolver));
}

/* ---- questions ---- */

static void records_came(void *arg, int status, int timeouts, unsigned char *bytes, int n)
{
	struct entry *entry = arg;
	bool nothing = status == ARES_ENODATA || status == ARES_ENOTFOUND;
	bool failed = status != ARES_SUCCESS && !nothing;

	(void)timeouts;
	if (entry->resolver->closing)
		return;
	entry->resolver->scratch.count = 0;
	entry->resolver->scratch.ttl_s = 0;
	if (!failed && bytes && n > 0 &&
	    dns_answer_parse(&entry->resolver->scratch, entry->type, bytes, (size_t)n) < 0)
		failed = true;
	entry_answered(entry, failed);
}

static void addresses_came(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct entry *entry = arg;
	struct dns_answer *answer = &entry->resolver->scratch;
	bool nothing = status == ARES_ENODATA || status == ARES_ENOTFOUND;
	struct ares_addrinfo_node *node = found ? found->nodes : NULL;

	(void)timeouts;
	if (entry->resolver->closing) {
		ares_freeaddrinfo(found);
		return;
	}
	answer->count = 0;
	answer->ttl_s = 0;
	for (; node && answer->count < DNS_RECORDS_MAX; node = node->ai_next) {
		uint32_t ttl_s = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0;
		struct endpoint at;

		if (endpoint_from_sockaddr(&at, node->ai_addr) < 0)
			continue;
		if (answer->count == 0 || ttl_s < answer->ttl_s)
			answer->ttl_s = ttl_s;
		answer->address[answer->count++] = at.address;
	}
	ares_freeaddrinfo(found);
	entry_answered(entry, status != ARES_SUCCESS && !nothing);
}

static void entry_ask(struct entry *entry)
{
	struct sip_resolver *resolver = entry->resolver;
	struct ares_addrinfo_hints hints = {.ai_family = resolver->family,
					    .ai_socktype = SOCK_DGRAM};

	entry->pending = true;
	resolver->counters.questions++;
	if (entry->type == DNS_ADDRESS)
		ares_getaddrinfo(resolver->channel, entry->name, NULL, &hints, addresses_came,
				 entry);
	else
		ares_query(resolver->channel, entry->name, DNS_CLASS_INTERNET, (int)entry->type,
			   records_came, entry);
	channel_schedule(resolver);
}

/* ---- queries ---- */

static const struct dns_answer *find(void *arg, enum dns_type type, const char *name)
{
	struct sip_resolver *resolver = arg;
	char lower[DNS_NAME_MAX];
	struct entry *entry;
	size_t n = strnlen(name, sizeof(lower) - 1);

	for (size_t i = 0; i < n; i++)
		lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	lower[n] = '\0';
	entry = entry_find(resolver, type, lower);
	if (!entry)
		entry = entry_make(resolver, type, lower);
	if (!entry) {
		resolver->walk_refused = true;
		return NULL;
	}
	list_remove(&entry->by_age);
	list_append(&resolver->entries, &entry->by_age);
	if (!entry->pending && entry->answer && entry->expires_ms > resolver->walk_begun_ms) {
		resolver->walk_failed |= entry->failed;
		return entry->answer;
	}
	if (!entry->pending)
		entry_ask(entry);
	return NULL;
}

static uint32_t pick(void *arg, uint32_t n)
{
	struct sip_resolver *resolver = arg;

	return resolver->random(resolver->random_arg, n);
}

/* 0 with targets, -EAGAIN, or why there are none. */
static int walk(struct sip_resolver *resolver, const struct sip_locate *locate, uint64_t begun_ms,
		struct sip_targets *targets)
{
	const struct locate_source source = {find, pick, resolver};
	int rc;

	resolver->walk_begun_ms = begun_ms;
	resolver->walk_failed = false;
	resolver->walk_refused = false;
	rc = locate_walk(locate, &source, targets);
	if (rc < 0)
		return resolver->walk_refused ? -ENOBUFS : rc;
	if (targets->count > 0)
		return 0;
	return resolver->walk_failed ? -ETIMEDOUT : -ENOENT;
}

static void query_free(struct sip_resolver_query *query)
{
	list_remove(&query->node);
	query->resolver->queries_count--;
	free(query);
}

/* Every query walks again; those that have all they need are told, which may begin and forget
 * others: so the list is taken first. */
static void settle(struct timer *timer, uint64_t now_ms)
{
	struct sip_resolver *resolver = list_entry(timer, struct sip_resolver, settle_timer);
	struct list waiting;

	(void)now_ms;
	list_init(&waiting);
	while (!list_is_empty(&resolver->queries)) {
		struct list *node = resolver->queries.next;

		list_remove(node);
		list_append(&waiting, node);
	}
	while (!list_is_empty(&waiting)) {
		struct list *node = waiting.next;
		struct sip_resolver_query *query =
			list_entry(node, struct sip_resolver_query, node);
		sip_resolved_function *resolved = query->resolved;
		void *owner = query->owner;
		struct sip_targets targets;
		int rc = walk(resolver, &query->locate, query->begun_ms, &targets);

		if (rc == -EAGAIN && ++query->rounds < ROUNDS_MAX * DNS_RECORDS_MAX) {
			list_remove(node);
			list_append(&resolver->queries, node);
			continue;
		}
		query_free(query);
		resolved(owner, rc == -EAGAIN ? -ETIMEDOUT : rc, &targets);
	}
}

int sip_resolver_find(struct sip_resolver *resolver, const struct sip_locate *locate,
		      struct sip_targets *targets, sip_resolved_function *resolved, void *owner,
		      struct sip_resolver_query **out)
{
	struct sip_resolver_query *query;
	int rc = walk(resolver, locate, now(resolver), targets);

	resolver->counters.queries++;
	if (rc != -EAGAIN) {
		resolver->counters.hits += rc == 0;
		resolver->counters.refused += rc == -ENOBUFS;
		return rc < 0 ? rc : 1;
	}
	if (resolver->queries_count == resolver->queries_max) {
		resolver->counters.refused++;
		return -ENOBUFS;
	}
	query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	query->resolver = resolver;
	query->locate = *locate;
	query->resolved = resolved;
	query->owner = owner;
	query->begun_ms = now(resolver);
	list_append(&resolver->queries, &query->node);
	resolver->queries_count++;
	*out = query;
	return 0;
}

void sip_resolver_forget(struct sip_resolver_query *query)
{
	if (query)
		query_free(query);
}

/* ---- life ---- */

static int channel_open(struct sip_resolver *resolver, const struct sip_resolver_config *config)
{
	struct ares_options options = {
		.timeout = (int)(config->timeout_ms > 0 ? config->timeout_ms : TIMEOUT_DEFAULT_MS),
		.tries = (int)(config->tries > 0 ? config->tries : TRIES_DEFAULT),
		.sock_state_cb = socket_changed,
		.sock_state_cb_data = resolver,
	};
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	if (rc != ARES_SUCCESS)
		return -ENOMEM;
	resolver->library = true;
	rc = ares_init_options(&resolver->channel, &options,
			       ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (rc != ARES_SUCCESS) {
		resolver->channel = NULL;
		return rc == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	if (config->servers &&
	    ares_set_servers_ports_csv(resolver->channel, config->servers) != ARES_SUCCESS)
		return -EINVAL;
	return 0;
}

int sip_resolver_create(struct sip_resolver **out, const struct sip_resolver_config *config)
{
	struct sip_resolver *resolver = calloc(1, sizeof(*resolver));
	int rc;

	if (!resolver)
		return -ENOMEM;
	resolver->loop = config->loop;
	resolver->family = config->ipv4_only ? AF_INET : AF_UNSPEC;
	resolver->answers_max = config->answers > 0 ? config->answers : ANSWERS_DEFAULT;
	resolver->queries_max = config->queries > 0 ? config->queries : QUERIES_DEFAULT;
	resolver->random = config->random ? config->random : random_default;
	resolver->random_arg = config->random_arg;
	random_bytes(&resolver->hash_key, sizeof(resolver->hash_key));
	list_init(&resolver->entries);
	list_init(&resolver->queries);
	timer_init(&resolver->channel_timer, channel_expired);
	timer_init(&resolver->settle_timer, settle);
	for (int i = 0; i < WATCHES; i++)
		resolver->watches[i] = (struct watch){{.fd = -1, .ready = socket_ready}, resolver};
	rc = channel_open(resolver, config);
	if (rc < 0) {
		sip_resolver_destroy(resolver);
		return rc;
	}
	*out = resolver;
	return 0;
}

void sip_resolver_destroy(struct sip_resolver *resolver)
{
	if (!resolver)
		return;
	resolver->closing = true;
	if (resolver->channel)
		ares_destroy(resolver->channel);
	if (resolver->library)
		ares_library_cleanup();
	timer_stop(loop_timers(resolver->loop), &resolver->channel_timer);
	timer_stop(loop_timers(resolver->loop), &resolver->settle_timer);
	while (!list_is_empty(&resolver->queries))
		query_free(list_entry(resolver->queries.next, struct sip_resolver_query, node));
	while (!list_is_empty(&resolver->entries))
		entry_free(list_entry(resolver->entries.next, struct entry, by_age));
	free(resolver);
}

const struct sip_resolver_counters *sip_resolver_counters(const struct sip_resolver *resolver)
{
	return &resolver->counters;
}

uint32_t sip_resolver_remembered(const struct sip_resolver *resolver)
{
	return resolver->answers_count;
}
