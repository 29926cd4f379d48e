/* Sources, their points and their bans: a hash table over one array, two lists by age. */
#include "control/b2bua/bans.h"

#include "control/sip/siphash.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NONE UINT32_MAX
/* Points of a failed authentication; its limit is `failures` of them. */
#define FAILURE_POINTS 100
#define FLOOD_POINTS   1 /* per message beyond the rate: 1,000 of them earn a ban by default */
#define FOREVER        UINT64_MAX

static const struct {
	uint32_t points;
	enum bans_reason reason;
} signs[BANS_SIGNS] = {
	[BANS_AUTH_FAILED] = {FAILURE_POINTS, BANS_FOR_CREDENTIALS},
	[BANS_MALFORMED] = {FAILURE_POINTS / 5, BANS_FOR_MALFORMED},
	[BANS_UNANSWERED] = {FAILURE_POINTS / 5, BANS_FOR_UNANSWERED},
	[BANS_PROBE] = {FAILURE_POINTS / 50, BANS_FOR_PROBES},
	[BANS_SCANNER] = {FAILURE_POINTS * 5, BANS_FOR_SCANNING},
};

struct source {
	struct list node; /* in bans->quiet or bans->banned, the latest last */
	struct address address;
	uint32_t hash_next;
	uint32_t points;     /* as of points_ms */
	uint32_t unanswered; /* of these, what a right answer takes back */
	uint16_t times;      /* bans, those forgiven taken off */
	uint8_t reason;      /* enum bans_reason of the last */
	bool exempt;
	uint64_t points_ms;
	uint64_t tokens_us;     /* the rate: the time at which the bucket was (or will be) full */
	uint64_t registered_ms; /* until then */
	uint64_t banned_ms;     /* until then; 0 = not */
	uint64_t forgive_ms;    /* when the next ban is forgiven */
	uint64_t numbers;       /* set of those tried: bit by hash */
	uint64_t dropped;
};

struct network {
	struct address address;
	uint32_t bits;
};

struct bans {
	struct bans_options options;
	struct siphash_key key;
	struct source *source;
	uint32_t *bucket; /* index or NONE */
	uint32_t mask;
	uint32_t used; /* of the array */
	struct list quiet;
	struct list banned;
	struct bans_counters counters;
	uint32_t allowed_count;
	struct network allowed[BANS_ALLOW_MAX];
};

static uint32_t given(uint32_t value, uint32_t fallback)
{
	return value > 0 ? value : fallback;
}

int bans_create(struct bans **out, const struct bans_options *options)
{
	struct bans *bans = calloc(1, sizeof(*bans));
	uint32_t buckets = 16;

	if (!bans)
		return -ENOMEM;
	bans->options = (struct bans_options){
		.sources = given(options->sources, 16384),
		.failures = given(options->failures, 10),
		.window_s = given(options->window_s, 300),
		.ban_s = given(options->ban_s, 60),
		.ban_max_s = given(options->ban_max_s, 86400),
		.requests_per_second = given(options->requests_per_second, 500),
		.numbers = given(options->numbers, 25),
	};
	while (buckets < bans->options.sources)
		buckets *= 2;
	bans->mask = buckets - 1;
	bans->bucket = malloc(buckets * sizeof(*bans->bucket));
	bans->source = calloc(bans->options.sources, sizeof(*bans->source));
	if (!bans->bucket || !bans->source) {
		bans_destroy(bans);
		return -ENOMEM;
	}
	memset(bans->bucket, 0xff, buckets * sizeof(*bans->bucket));
	list_init(&bans->quiet);
	list_init(&bans->banned);
	random_bytes(&bans->key, sizeof(bans->key));
	*out = bans;
	return 0;
}

void bans_destroy(struct bans *bans)
{
	if (!bans)
		return;
	free(bans->bucket);
	free(bans->source);
	free(bans);
}

/* ---- addresses ---- */

/* Whoever has an IPv6 address has its /64 (RFC 6177). */
static struct address source_of(const struct address *address)
{
	struct address source = *address;

	if (!address_is_v4(address))
		memset(source.ip + 8, 0, 8);
	return source;
}

static bool network_has(const struct network *network, const struct address *address)
{
	uint32_t bytes = network->bits / 8, rest = network->bits % 8;

	if (memcmp(network->address.ip, address->ip, bytes) != 0)
		return false;
	return rest == 0 || ((network->address.ip[bytes] ^ address->ip[bytes]) >> (8 - rest)) == 0;
}

static bool is_allowed(const struct bans *bans, const struct address *address)
{
	if (address_is_loopback(address))
		return true;
	for (uint32_t i = 0; i < bans->allowed_count; i++)
		if (network_has(&bans->allowed[i], address))
			return true;
	return false;
}

static uint32_t *bucket_of(struct bans *bans, const struct address *source)
{
	struct siphash hash;
	uint64_t word[2];

	siphash_init(&hash, &bans->key);
	siphash_add(&hash, source->ip, sizeof(source->ip));
	siphash_finish(&hash, word);
	return &bans->bucket[word[0] & bans->mask];
}

static struct source *source_find(struct bans *bans, const struct address *address)
{
	struct address key = source_of(address);
	uint32_t at = *bucket_of(bans, &key);

	while (at != NONE && !address_equal(&bans->source[at].address, &key))
		at = bans->source[at].hash_next;
	return at == NONE ? NULL : &bans->source[at];
}

static void source_unlink(struct bans *bans, struct source *s)
{
	uint32_t index = (uint32_t)(s - bans->source);
	uint32_t *at = bucket_of(bans, &s->address);

	while (*at != index)
		at = &bans->source[*at].hash_next;
	*at = s->hash_next;
	list_remove(&s->node);
}

/* The quietest makes room; bans only when they fill the table, the oldest first. */
static struct source *source_take(struct bans *bans)
{
	struct list *from = &bans->quiet;
	struct source *s;

	if (bans->used < bans->options.sources)
		return &bans->source[bans->used++];
	if (list_is_empty(&bans->quiet)) {
		from = &bans->banned;
		bans->counters.evicted_bans++;
		bans->counters.live--;
	}
	s = list_entry(from->next, struct source, node);
	bans->counters.evicted++;
	bans->counters.sources--;
	source_unlink(bans, s);
	return s;
}

/* Its entry, the latest of those that are not banned. */
static struct source *source_get(struct bans *bans, const struct address *address, uint64_t now_ms)
{
	struct source *s = source_find(bans, address);
	uint32_t *bucket;

	if (!s) {
		s = source_take(bans);
		*s = (struct source){.address = source_of(address), .points_ms = now_ms};
		s->exempt = is_allowed(bans, address);
		bucket = bucket_of(bans, &s->address);
		s->hash_next = *bucket;
		*bucket = (uint32_t)(s - bans->source);
		list_append(&bans->quiet, &s->node);
		bans->counters.sources++;
	} else if (s->banned_ms == 0) {
		list_remove(&s->node);
		list_append(&bans->quiet, &s->node);
	}
	return s;
}

static int network_parse(struct network *network, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint32_t base, most;
	unsigned long bits;
	char *end;

	if (address_parse(&network->address, text, n))
		return -EINVAL;
	base = address_is_v4(&network->address) ? 96 : 0;
	most = 128 - base;
	network->bits = 128;
	if (!slash)
		return 0;
	bits = slash[1] >= '0' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : most + 1;
	if (bits > most || *end)
		return -EINVAL;
	network->bits = base + (uint32_t)bits;
	return 0;
}

static void ban_end(struct bans *bans, struct source *s)
{
	s->banned_ms = 0;
	s->points = 0;
	s->unanswered = 0;
	s->numbers = 0;
	list_remove(&s->node);
	list_append(&bans->quiet, &s->node);
	bans->counters.live--;
}

int bans_allow(struct bans *bans, const char *text)
{
	struct network parsed, *network = &bans->allowed[bans->allowed_count];

	if (network_parse(&parsed, text))
		return -EINVAL;
	for (uint32_t i = 0; i < bans->allowed_count; i++)
		if (bans->allowed[i].bits == parsed.bits &&
		    address_equal(&bans->allowed[i].address, &parsed.address))
			return 0;
	if (bans->allowed_count == BANS_ALLOW_MAX)
		return -ENOSPC;
	*network = parsed;
	bans->allowed_count++;
	for (uint32_t i = 0; i < bans->used; i++) {
		struct source *s = &bans->source[i];

		if (!network_has(network, &s->address))
			continue;
		s->exempt = true;
		if (s->banned_ms)
			ban_end(bans, s);
	}
	return 0;
}

/* ---- bans ---- */

static bool is_banned(struct bans *bans, struct source *s, uint64_t now_ms)
{
	if (s->banned_ms == 0)
		return false;
	if (s->banned_ms > now_ms)
		return true;
	ban_end(bans, s);
	return false;
}

static void ban(struct bans *bans, struct source *s, enum bans_reason reason, uint64_t for_ms,
		uint64_t now_ms)
{
	if (s->banned_ms == 0)
		bans->counters.live++;
	s->banned_ms = for_ms == FOREVER ? FOREVER : now_ms + for_ms;
	s->forgive_ms = s->banned_ms == FOREVER ? FOREVER : s->banned_ms + BANS_FORGIVE_MS;
	s->reason = (uint8_t)reason;
	s->dropped = 0;
	if (s->times < UINT16_MAX)
		s->times++;
	list_remove(&s->node);
	list_append(&bans->banned, &s->node);
	bans->counters.made++;
}

/* How long the next ban is: it gets longer each time, and a day without one takes a step back. */
static uint64_t next_ban_ms(const struct bans *bans, struct source *s, uint64_t now_ms)
{
	static const uint32_t steps[] = {1, 10, 60};
	uint64_t most_ms = (uint64_t)bans->options.ban_max_s * 1000, for_ms = most_ms;

	while (s->times > 0 && now_ms >= s->forgive_ms) {
		s->times--;
		s->forgive_ms += BANS_FORGIVE_MS;
	}
	if (s->times < sizeof(steps) / sizeof(steps[0]))
		for_ms = (uint64_t)bans->options.ban_s * 1000 * steps[s->times];
	return for_ms < most_ms ? for_ms : most_ms;
}

static uint32_t factor_of(const struct source *s, uint64_t now_ms)
{
	return s->registered_ms > now_ms ? BANS_REGISTERED_FACTOR : 1;
}

/* Points leak at the rate that fills the limit in a window. */
static void leak(const struct bans *bans, struct source *s, uint64_t now_ms)
{
	uint64_t per_window = (uint64_t)bans->options.failures * FAILURE_POINTS;
	uint64_t window_ms = (uint64_t)bans->options.window_s * 1000;
	uint64_t age_ms = now_ms - s->points_ms;
	uint64_t gone = age_ms >= window_ms ? per_window : age_ms * per_window / window_ms;

	if (age_ms >= window_ms)
		s->numbers = 0;
	if (gone == 0)
		return;
	s->points_ms = gone >= per_window ? now_ms : s->points_ms + gone * window_ms / per_window;
	s->points = s->points > gone ? s->points - (uint32_t)gone : 0;
	s->unanswered = s->unanswered < s->points ? s->unanswered : s->points;
}

static bool add_points(struct bans *bans, struct source *s, uint32_t points,
		       enum bans_reason reason, uint64_t now_ms)
{
	leak(bans, s, now_ms);
	s->points += points;
	if (s->points < bans->options.failures * FAILURE_POINTS * factor_of(s, now_ms))
		return false;
	ban(bans, s, reason, next_ban_ms(bans, s, now_ms), now_ms);
	return true;
}

/* A token bucket as one number (the generic cell rate algorithm, in us): a second's worth
 * may come at once. */
static bool is_within_rate(const struct bans *bans, struct source *s, uint64_t now_ms)
{
	uint64_t each =
		1000000 / ((uint64_t)bans->options.requests_per_second * factor_of(s, now_ms));
	uint64_t now = now_ms * 1000;

	if (s->tokens_us < now)
		s->tokens_us = now;
	if (s->tokens_us + each > now + 1000000)
		return false;
	s->tokens_us += each;
	return true;
}

bool bans_admit(struct bans *bans, const struct address *address, uint64_t now_ms)
{
	struct source *s;

	if (address_is_loopback(address))
		return true;
	s = source_get(bans, address, now_ms);
	if (s->exempt)
		return true;
	if (is_banned(bans, s, now_ms)) {
		s->dropped++;
		bans->counters.dropped++;
		return false;
	}
	if (is_within_rate(bans, s, now_ms))
		return true;
	bans->counters.limited++;
	add_points(bans, s, FLOOD_POINTS, BANS_FOR_FLOOD, now_ms);
	return false;
}

/* A set of 64 bits: numbers that share one count once, so the limit is reached a little late, and
 * above 60 not at all. */
static bool numbers_are_many(const struct bans *bans, struct source *s, const char *number,
			     size_t n, uint64_t now_ms)
{
	uint32_t limit = bans->options.numbers * factor_of(s, now_ms);
	struct siphash hash;
	uint64_t word[2];

	siphash_init(&hash, &bans->key);
	siphash_add(&hash, number, n);
	siphash_finish(&hash, word);
	s->numbers |= UINT64_C(1) << (word[0] & 63);
	return (uint32_t)__builtin_popcountll(s->numbers) >= (limit < 60 ? limit : 60);
}

bool bans_sign(struct bans *bans, const struct address *address, enum bans_sign sign,
	       const char *number, size_t number_n, uint64_t now_ms)
{
	struct source *s;

	if (address_is_loopback(address))
		return false;
	s = source_get(bans, address, now_ms);
	if (s->exempt || is_banned(bans, s, now_ms))
		return false;
	leak(bans, s, now_ms);
	if (sign == BANS_UNANSWERED)
		s->unanswered += signs[sign].points;
	if (number_n > 0 && numbers_are_many(bans, s, number, number_n, now_ms)) {
		ban(bans, s, BANS_FOR_NUMBERS, next_ban_ms(bans, s, now_ms), now_ms);
		return true;
	}
	return add_points(bans, s, signs[sign].points, signs[sign].reason, now_ms);
}

void bans_proved(struct bans *bans, const struct address *address, uint64_t now_ms)
{
	struct source *s = source_find(bans, address);

	if (!s)
		return;
	leak(bans, s, now_ms);
	s->points -= s->unanswered;
	s->unanswered = 0;
	s->numbers = 0;
	bans_registered(bans, address, now_ms + (uint64_t)bans->options.window_s * 1000, now_ms);
}

void bans_registered(struct bans *bans, const struct address *address, uint64_t until_ms,
		     uint64_t now_ms)
{
	struct source *s;

	if (address_is_loopback(address))
		return;
	s = source_get(bans, address, now_ms);
	if (s->registered_ms < until_ms)
		s->registered_ms = until_ms;
}

bool bans_is_scanner(const char *user_agent, size_t n)
{
	static const char *const words[] = {
		"friendly-scanner", "sipvicious", "sip-scan",     "sipcli", "sundayddr",  "pplsip",
		"VaxSIP",           "iWar",       "siparmyknife", "smap ",  "sipsscuser", "Gulp"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if (n >= len && strncasecmp(user_agent, words[i], len) == 0)
			return true;
	}
	return false;
}

/* ---- by hand ---- */

int bans_add(struct bans *bans, const struct address *address, uint64_t for_ms, uint64_t now_ms)
{
	struct source *s;

	if (is_allowed(bans, address))
		return -EPERM;
	s = source_get(bans, address, now_ms);
	is_banned(bans, s, now_ms);
	ban(bans, s, BANS_BY_HAND, for_ms > 0 ? for_ms : FOREVER, now_ms);
	return 0;
}

int bans_lift(struct bans *bans, const struct address *address, uint64_t now_ms)
{
	struct source *s = source_find(bans, address);

	if (!s || !is_banned(bans, s, now_ms))
		return -ENOENT;
	ban_end(bans, s);
	s->times = 0;
	bans->counters.lifted++;
	return 0;
}

void bans_each(const struct bans *bans, uint64_t now_ms,
	       void (*each)(void *arg, const struct bans_view *view), void *arg)
{
	for (const struct list *node = bans->banned.prev; node != &bans->banned;
	     node = node->prev) {
		const struct source *s = list_entry(node, struct source, node);
		struct bans_view view = {.source = s->address,
					 .reason = s->reason,
					 .times = s->times,
					 .dropped = s->dropped};

		if (s->banned_ms <= now_ms)
			continue;
		view.left_ms = s->banned_ms == FOREVER ? FOREVER : s->banned_ms - now_ms;
		each(arg, &view);
	}
}

const char *bans_reason_text(enum bans_reason reason)
{
	static const char *const texts[BANS_REASONS] = {
		[BANS_BY_HAND] = "by hand",
		[BANS_FOR_CREDENTIALS] = "wrong credentials",
		[BANS_FOR_MALFORMED] = "malformed messages",
		[BANS_FOR_UNANSWERED] = "requests without credentials",
		[BANS_FOR_PROBES] = "probing",
		[BANS_FOR_SCANNING] = "scanner",
		[BANS_FOR_NUMBERS] = "many numbers tried",
		[BANS_FOR_FLOOD] = "flood",
	};

	return texts[reason];
}

void bans_counters(const struct bans *bans, struct bans_counters *counters)
{
	*counters = bans->counters;
}
