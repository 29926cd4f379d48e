/* Trunks: the table, its routes, and the calls that are counted against each. */
#include "control/pbx/trunks.h"

#include "control/pbx/trunk.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_MAX 256

/* ---- making ---- */

static int keep(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

/* The first line of the file. */
static int password_read(struct trunk *trunk, const char *path, char error[TRUNKS_ERROR_MAX])
{
	char line[PASSWORD_MAX + 2];
	FILE *file = fopen(path, "re");
	int err = 0;

	if (!file || !fgets(line, sizeof(line), file)) {
		err = file ? -ENODATA : -errno;
		snprintf(error, TRUNKS_ERROR_MAX, "trunk %s: password file %.128s: %s", trunk->name,
			 path, strerror(-err));
	}
	if (file)
		fclose(file);
	if (err)
		return err;
	line[strcspn(line, "\r\n")] = '\0';
	err = keep(&trunk->password, line);
	explicit_bzero(line, sizeof(line));
	return err;
}

static void locate_make(struct trunk *trunk, const struct config_trunk *config)
{
	static const enum sip_transport_kind kinds[] = {
		[CONFIG_TRANSPORT_UDP] = SIP_TRANSPORT_UDP,
		[CONFIG_TRANSPORT_TCP] = SIP_TRANSPORT_TCP,
		[CONFIG_TRANSPORT_TLS] = SIP_TRANSPORT_TLS,
	};

	snprintf(trunk->locate.host, sizeof(trunk->locate.host), "%s", config->host);
	trunk->locate.port = (uint16_t)config->port;
	trunk->locate.transport_given = config->transport != CONFIG_TRANSPORT_AUTO;
	if (trunk->locate.transport_given)
		trunk->locate.transport = kinds[config->transport];
}

static int domain_make(struct trunk *trunk, const struct config_trunk *config)
{
	bool v6 = strchr(config->host, ':') != NULL;
	char port[12] = "";

	if (config->port != 0)
		snprintf(port, sizeof(port), ":%u", config->port);
	return asprintf(&trunk->domain, "%s%s%s%s", v6 ? "[" : "", config->host, v6 ? "]" : "",
			port) < 0
		       ? -ENOMEM
		       : 0;
}

static void match_add(struct trunk *trunk, const char *text)
{
	if (trunk->match_count < TRUNK_MATCH_MAX &&
	    address_parse(&trunk->match[trunk->match_count], text, strlen(text)) == 0)
		trunk->match_count++;
}

static void face_make(struct trunk *trunk, const struct config_trunk *config)
{
	trunk->secret = (struct sip_auth_secret){
		.username = trunk->auth_user,
		.password = trunk->password,
		.realm = trunk->realm,
		.ha1 = {[SIP_AUTH_MD5] = trunk->md5, [SIP_AUTH_SHA256] = trunk->sha256}};
	trunk->face = (struct exchange_trunk){
		.name = trunk->name,
		.user = trunk->user,
		.domain = trunk->domain,
		.contact = trunk->contact,
		.trusted = config->trusted != 0,
		.secret = trunk->password || trunk->md5 || trunk->sha256 ? &trunk->secret : NULL};
}

static int trunk_make(struct trunk *trunk, struct trunks *trunks, const struct config_trunk *config,
		      char error[TRUNKS_ERROR_MAX])
{
	int err = keep(&trunk->name, config->name);

	trunk->trunks = trunks;
	err = err ? err : keep(&trunk->host, config->host);
	err = err ? err : keep(&trunk->user, config->user ? config->user : "");
	err = err ? err : keep(&trunk->auth_user, config->auth_user ? config->auth_user : "");
	err = err ? err : keep(&trunk->password, config->password);
	err = err ? err : keep(&trunk->realm, config->realm);
	err = err ? err : keep(&trunk->md5, config->md5);
	err = err ? err : keep(&trunk->sha256, config->sha256);
	err = err ? err : domain_make(trunk, config);
	if (!err && config->password_file)
		err = password_read(trunk, config->password_file, error);
	if (err)
		return err;
	random_token(trunk->contact, TRUNK_CONTACT_MAX);
	trunk->registers = config->registers != 0;
	trunk->expires_s = config->expires_s;
	trunk->options_s = config->options_s;
	trunk->calls_max = config->calls;
	trunk->calls_per_second = config->calls_per_second;
	trunk->credit = (uint64_t)config->calls_per_second * 1000;
	match_add(trunk, config->host);
	for (uint32_t i = 0; i < config->match_count; i++)
		match_add(trunk, config->match[i]);
	locate_make(trunk, config);
	face_make(trunk, config);
	trunk_client_init(trunk);
	return 0;
}

/* Longest prefix first; those of one length stay in the order of the file. */
static int routes_make(struct trunks *trunks, const struct config_control *config)
{
	trunks->routes = calloc(config->routes_count + 1, sizeof(*trunks->routes));
	if (!trunks->routes)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->routes_count; i++) {
		const struct config_route *from = &config->routes[i];
		struct config_route made = {.strip = from->strip};
		uint32_t at = trunks->routes_count;

		if (keep(&made.prefix, from->prefix) || keep(&made.trunk, from->trunk) ||
		    keep(&made.prepend, from->prepend))
			return -ENOMEM;
		while (at > 0 && strlen(trunks->routes[at - 1].prefix) < strlen(made.prefix)) {
			trunks->routes[at] = trunks->routes[at - 1];
			at--;
		}
		trunks->routes[at] = made;
		trunks->routes_count++;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return strcmp(((const struct config_did *)a)->number,
		      ((const struct config_did *)b)->number);
}

static int dids_make(struct trunks *trunks, const struct config_control *config)
{
	trunks->dids = calloc(config->dids_count + 1, sizeof(*trunks->dids));
	if (!trunks->dids)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->dids_count; i++) {
		struct config_did *did = &trunks->dids[trunks->dids_count++];

		if (keep(&did->number, config->dids[i].number) ||
		    keep(&did->extension, config->dids[i].extension))
			return -ENOMEM;
	}
	qsort(trunks->dids, trunks->dids_count, sizeof(*trunks->dids), by_number);
	return 0;
}

int trunks_create(struct trunks **out, const struct config_control *config,
		  char error[TRUNKS_ERROR_MAX])
{
	struct trunks *trunks = calloc(1, sizeof(*trunks));
	int err = 0;

	snprintf(error, TRUNKS_ERROR_MAX, "no memory");
	if (!trunks)
		return -ENOMEM;
	trunks->trunks = calloc(config->trunks_count + 1, sizeof(*trunks->trunks));
	if (!trunks->trunks)
		err = -ENOMEM;
	err = err ? err : sip_digest_create(&trunks->digest);
	err = err ? err : routes_make(trunks, config);
	err = err ? err : dids_make(trunks, config);
	for (uint32_t i = 0; !err && i < config->trunks_count; i++)
		err = trunk_make(&trunks->trunks[trunks->count++], trunks, &config->trunks[i],
				 error);
	if (err) {
		trunks_destroy(trunks);
		return err;
	}
	*out = trunks;
	return 0;
}

static void trunk_free(struct trunk *trunk)
{
	if (trunk->password)
		explicit_bzero(trunk->password, strlen(trunk->password));
	free(trunk->name);
	free(trunk->host);
	free(trunk->domain);
	free(trunk->user);
	free(trunk->auth_user);
	free(trunk->password);
	free(trunk->realm);
	free(trunk->md5);
	free(trunk->sha256);
}

void trunks_destroy(struct trunks *trunks)
{
	if (!trunks)
		return;
	for (uint32_t i = 0; i < trunks->count; i++)
		trunk_free(&trunks->trunks[i]);
	for (uint32_t i = 0; i < trunks->routes_count; i++) {
		free(trunks->routes[i].prefix);
		free(trunks->routes[i].trunk);
		free(trunks->routes[i].prepend);
	}
	for (uint32_t i = 0; i < trunks->dids_count; i++) {
		free(trunks->dids[i].number);
		free(trunks->dids[i].extension);
	}
	free(trunks->routes);
	free(trunks->dids);
	free(trunks->trunks);
	sip_digest_destroy(trunks->digest);
	free(trunks);
}

int trunks_start(struct trunks *trunks, struct sip_stack *stack, struct sip_resolver *resolver,
		 struct timer_wheel *timers)
{
	uint32_t transports = 0;

	trunks->stack = stack;
	trunks->resolver = resolver;
	trunks->timers = timers;
	for (int kind = 0; kind < SIP_TRANSPORTS; kind++)
		if (sip_stack_port(stack, (enum sip_transport_kind)kind, false) ||
		    sip_stack_port(stack, (enum sip_transport_kind)kind, true))
			transports |= 1u << kind;
	for (uint32_t i = 0; i < trunks->count; i++) {
		trunks->trunks[i].locate.transports = transports;
		trunks->trunks[i].credited_ms = sip_stack_now_ms(stack);
		trunk_client_start(&trunks->trunks[i]);
	}
	return 0;
}

void trunks_stop(struct trunks *trunks)
{
	if (!trunks || !trunks->stack)
		return;
	for (uint32_t i = 0; i < trunks->count; i++)
		trunk_client_stop(&trunks->trunks[i]);
	trunks->stack = NULL;
}

/* ---- calls ---- */

static struct trunk *trunk_of(struct trunks *trunks, const struct exchange_trunk *face)
{
	(void)trunks;
	return list_entry(face, struct trunk, face);
}

static bool rate_allows(struct trunk *trunk)
{
	uint64_t now_ms = sip_stack_now_ms(trunk->trunks->stack);
	uint64_t most = (uint64_t)trunk->calls_per_second * 1000;

	if (trunk->calls_per_second == 0)
		return true;
	trunk->credit += (now_ms - trunk->credited_ms) * trunk->calls_per_second;
	trunk->credited_ms = now_ms;
	if (trunk->credit > most)
		trunk->credit = most;
	if (trunk->credit < 1000)
		return false;
	trunk->credit -= 1000;
	return true;
}

/* NULL: taken; else why not. */
static const char *take(struct trunk *trunk)
{
	if (!trunk->trunks->stack)
		return "Trunk Down";
	if (trunk->calls_max > 0 && trunk->calls >= trunk->calls_max)
		return "Trunk Full";
	if (!rate_allows(trunk))
		return "Trunk Call Rate Exceeded";
	trunk->calls++;
	return NULL;
}

bool trunks_take(struct trunks *trunks, const struct exchange_trunk *face, const char **reason)
{
	struct trunk *trunk = trunk_of(trunks, face);

	*reason = take(trunk);
	if (*reason)
		trunk->calls_refused++;
	else
		trunk->calls_in++;
	return *reason == NULL;
}

void trunks_give(struct trunks *trunks, const struct exchange_trunk *face)
{
	trunk_of(trunks, face)->calls--;
}

static struct trunk *by_name(struct trunks *trunks, const char *name)
{
	for (uint32_t i = 0; i < trunks->count; i++)
		if (strcmp(trunks->trunks[i].name, name) == 0)
			return &trunks->trunks[i];
	return NULL;
}

/* What this route makes of the number. */
static bool rewrite(const struct config_route *to, const char *number, size_t len,
		    struct exchange_route *route)
{
	size_t strip = to->strip < len ? to->strip : len;
	int n = snprintf(route->number, sizeof(route->number), "%s%.*s", to->prepend,
			 (int)(len - strip), number + strip);

	return n > 0 && (size_t)n < sizeof(route->number);
}

static const char *try(struct trunk *trunk, struct exchange_route *route)
{
	const char *reason;
	int n;

	if (trunk->state == TRUNK_DOWN)
		return "Trunk Down";
	if (!trunk->trunks->stack || !trunk_places(trunk, &route->places))
		return "Trunk Not Found";
	reason = take(trunk);
	if (reason)
		return reason;
	trunk->calls_out++;
	route->verdict = EXCHANGE_TRUNK;
	route->trunk = &trunk->face;
	n = snprintf(route->callee, sizeof(route->callee), "%s/", trunk->name);
	snprintf(route->callee + n, sizeof(route->callee) - (size_t)n, "%.*s",
		 (int)(sizeof(route->callee) - (size_t)n) - 1, route->number);
	return NULL;
}

void trunks_route(struct trunks *trunks, const char *number, size_t len,
		  struct exchange_route *route)
{
	size_t matched = 0;
	bool found = false;

	route->verdict = EXCHANGE_UNKNOWN;
	for (uint32_t i = 0; i < trunks->routes_count; i++) {
		const struct config_route *to = &trunks->routes[i];
		size_t prefix = strlen(to->prefix);
		struct trunk *trunk;
		const char *reason;

		if (prefix > len || memcmp(to->prefix, number, prefix) != 0)
			continue;
		if (found && prefix != matched)
			return;
		trunk = by_name(trunks, to->trunk);
		if (!trunk || !rewrite(to, number, len, route))
			continue;
		found = true;
		matched = prefix;
		reason = try(trunk, route);
		if (!reason)
			return;
		trunk->calls_refused++;
		route->verdict = EXCHANGE_TRUNK_BUSY;
		route->reason = reason;
	}
}

const char *trunks_extension_of(const struct trunks *trunks, const char *number, size_t len)
{
	char text[EXCHANGE_EXTENSION_MAX];
	const struct config_did key = {.number = text};
	const struct config_did *did;

	if (len >= sizeof(text))
		return NULL;
	memcpy(text, number, len);
	text[len] = '\0';
	did = bsearch(&key, trunks->dids, trunks->dids_count, sizeof(key), by_number);
	return did ? did->extension : NULL;
}

static bool is_from(const struct trunk *trunk, const struct address *source)
{
	for (uint32_t i = 0; i < trunk->match_count; i++)
		if (address_equal(&trunk->match[i], source))
			return true;
	for (uint32_t i = 0; i < trunk->places.count; i++)
		if (address_equal(&trunk->places.targets[i].remote.address, source))
			return true;
	return false;
}

const struct exchange_trunk *trunks_find(struct trunks *trunks, const struct endpoint *source,
					 const char *user, size_t len)
{
	for (uint32_t i = 0; i < trunks->count; i++) {
		const struct trunk *trunk = &trunks->trunks[i];

		if (trunk->registers && len == TRUNK_CONTACT_MAX &&
		    memcmp(trunk->contact, user, len) == 0)
			return &trunk->face;
	}
	for (uint32_t i = 0; i < trunks->count; i++)
		if (is_from(&trunks->trunks[i], &source->address))
			return &trunks->trunks[i].face;
	return NULL;
}

/* ---- view ---- */

void trunks_each(struct trunks *trunks, trunk_view_fn *each, void *arg)
{
	static const char *const states[] = {"unknown", "up", "down"};
	static const char *const registrations[] = {"none", "registering", "registered", "failed"};
	uint64_t now_ms = trunks->stack ? sip_stack_now_ms(trunks->stack) : 0;

	for (uint32_t i = 0; i < trunks->count; i++) {
		const struct trunk *trunk = &trunks->trunks[i];
		struct sip_targets places = trunk->places;
		char at[ENDPOINT_TEXT_MAX];
		struct trunk_view view = {
			.name = trunk->name,
			.host = trunk->domain,
			.state = states[trunk->state],
			.registration = registrations[trunk->registration],
			.problem = trunk->problem,
			.calls = trunk->calls,
			.calls_max = trunk->calls_max,
			.calls_in = trunk->calls_in,
			.calls_out = trunk->calls_out,
			.calls_refused = trunk->calls_refused,
			.expires_s = trunk->registered_until_ms > now_ms
					     ? (trunk->registered_until_ms - now_ms) / 1000
					     : 0};

		for (uint32_t j = 0; j < places.count; j++)
			if (j == 0 || endpoint_equal(&places.targets[j].remote, &trunk->good))
				snprintf(view.place, sizeof(view.place), "%s:%s",
					 sip_transport_parameter(places.targets[j].transport),
					 endpoint_text(&places.targets[j].remote, at));
		each(arg, &view);
	}
}
