/* The exchange: answers the B2BUA from the snapshot and the registrar, and tells journal and board
 * of every binding. */
#include "control/pbx/pbx.h"
#include "control/pbx/registrar.h"
#include "control/pbx/routes.h"
#include "control/pbx/trunks.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 320

struct pbx {
	struct exchange exchange;
	struct registrar_observer observer;
	struct routes *routes;
	struct registrar *registrar;
	struct trunks *trunks;
	struct board *board;
	struct pbx_ledger ledger;
};

static struct pbx *pbx_of(struct exchange *exchange)
{
	return list_entry(exchange, struct pbx, exchange);
}

static const struct exchange_user *find_user(struct exchange *exchange, const char *name,
					     size_t len)
{
	return users_find(routes_users(pbx_of(exchange)->routes), name, len);
}

/* To our own extensions and services only. */
static void route_inside(struct pbx *pbx, const char *number, size_t len,
			 struct exchange_route *route)
{
	const struct binding *found[EXCHANGE_CONTACTS_MAX];
	const struct exchange_user *user;

	*route = (struct exchange_route){.verdict = EXCHANGE_UNKNOWN};
	switch (routes_find(pbx->routes, number, len, &user)) {
	case ROUTE_UNKNOWN:
		return;
	case ROUTE_ECHO:
		route->verdict = EXCHANGE_ECHO;
		snprintf(route->callee, sizeof(route->callee), "%.*s", (int)len, number);
		return;
	case ROUTE_EXTENSION:
		break;
	}
	route->targets_count =
		registrar_lookup(pbx->registrar, number, len, clock_real_ns(), found);
	if (route->targets_count == 0) {
		route->verdict = EXCHANGE_UNREGISTERED;
		return;
	}
	route->verdict = EXCHANGE_TARGETS;
	snprintf(route->callee, sizeof(route->callee), "%s", user->extension);
	for (uint32_t i = 0; i < route->targets_count; i++)
		route->targets[i] =
			(struct exchange_target){.uri = found[i]->contact, .path = found[i]->path};
}

static void route(struct exchange *exchange, const char *number, size_t len,
		  struct exchange_route *route)
{
	struct pbx *pbx = pbx_of(exchange);

	route_inside(pbx, number, len, route);
	if (route->verdict == EXCHANGE_UNKNOWN)
		trunks_route(pbx->trunks, number, len, route);
}

static void route_trunk(struct exchange *exchange, const struct exchange_trunk *trunk,
			const char *number, size_t len, struct exchange_route *route)
{
	struct pbx *pbx = pbx_of(exchange);
	const char *extension = trunks_extension_of(pbx->trunks, number, len);

	(void)trunk;
	if (extension)
		route_inside(pbx, extension, strlen(extension), route);
	else
		route_inside(pbx, number, len, route);
}

static const struct exchange_trunk *find_trunk(struct exchange *exchange,
					       const struct endpoint *source, const char *user,
					       size_t len)
{
	return trunks_find(pbx_of(exchange)->trunks, source, user, len);
}

static bool trunk_take(struct exchange *exchange, const struct exchange_trunk *trunk,
		       const char **reason)
{
	return trunks_take(pbx_of(exchange)->trunks, trunk, reason);
}

static void trunk_give(struct exchange *exchange, const struct exchange_trunk *trunk)
{
	trunks_give(pbx_of(exchange)->trunks, trunk);
}

static void apply_register(struct exchange *exchange, const struct exchange_register *request,
			   struct exchange_registered *answer)
{
	registrar_apply(pbx_of(exchange)->registrar, request, clock_real_ns(), answer);
}

/* ---- what changes is told ---- */

static void text_cut(char *out, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memcpy(out, text, n);
	out[n] = '\0';
}

static void show(struct pbx *pbx, struct binding *binding)
{
	struct registration_view view;

	memset(&view, 0, sizeof(view));
	text_cut(view.aor, sizeof(view.aor), binding_aor(binding));
	text_cut(view.contact, sizeof(view.contact), binding->contact);
	endpoint_text(&binding->path.source, view.source);
	text_cut(view.transport, sizeof(view.transport),
		 exchange_transport_name(binding->path.transport));
	text_cut(view.user_agent, sizeof(view.user_agent), binding->user_agent);
	view.registered_ns = binding->registered_ns;
	view.expires_ns = binding->expires_ns;
	board_show_registration(pbx->board, &binding->board_slot, &view);
}

static void count_bindings(struct pbx *pbx, uint32_t count)
{
	atomic_store_explicit(&board_counters(pbx->board)->registrations, count,
			      memory_order_relaxed);
}

static void binding_added(struct registrar_observer *observer, struct binding *binding)
{
	struct pbx *pbx = list_entry(observer, struct pbx, observer);
	struct journal_binding record = {
		.aor = binding_aor(binding),
		.contact = binding->contact,
		.call_id = binding->call_id,
		.user_agent = binding->user_agent,
		.transport = exchange_transport_name(binding->path.transport),
		.instance = binding->instance,
		.path = "",
		.received = binding->path.source,
		.local = binding->path.local,
		.cseq = binding->cseq,
		.q_milli = binding->q_permille,
		.registered_ns = binding->registered_ns,
		.expires_ns = binding->expires_ns,
	};

	show(pbx, binding);
	count_bindings(pbx, registrar_count(pbx->registrar));
	pbx->ledger.binding_add(pbx->ledger.arg, &record);
}

static void binding_removed(struct registrar_observer *observer, struct binding *binding)
{
	struct pbx *pbx = list_entry(observer, struct pbx, observer);

	board_hide_registration(pbx->board, &binding->board_slot);
	count_bindings(pbx, registrar_count(pbx->registrar) - 1);
	pbx->ledger.binding_del(pbx->ledger.arg, binding_aor(binding), binding->contact);
}

/* The connection it came by is gone with the process; whether the phone sits behind a NAT is told
 * by the address that it gave and the one that was seen. */
void pbx_restore(struct pbx *pbx, const struct journal_binding *binding)
{
	struct exchange_register request = {.extension = binding->aor,
					    .call_id = binding->call_id,
					    .user_agent = binding->user_agent,
					    .cseq = binding->cseq,
					    .contacts_count = 1};
	struct binding *restored;
	struct endpoint at;
	char key[KEY_MAX];
	int transport = exchange_transport_of(binding->transport);

	if (transport < 0 ||
	    !users_find(routes_users(pbx->routes), binding->aor, strlen(binding->aor)) ||
	    exchange_contact_key(binding->contact, key, sizeof(key), &at)) {
		pbx->ledger.binding_del(pbx->ledger.arg, binding->aor, binding->contact);
		return;
	}
	request.contacts[0] = (struct exchange_contact){.uri = binding->contact,
							.key = key,
							.instance = binding->instance,
							.expires_s = -1,
							.q_permille = binding->q_milli};
	request.path = (struct exchange_path){
		.source = binding->received,
		.transport = (uint8_t)transport,
		.nat = at.port == 0 || !address_equal(&at.address, &binding->received.address)};
	if (registrar_restore(pbx->registrar, &request, binding->registered_ns, binding->expires_ns,
			      &restored)) {
		log_warn("binding %s of %s not restored", binding->contact, binding->aor);
		pbx->ledger.binding_del(pbx->ledger.arg, binding->aor, binding->contact);
		return;
	}
	show(pbx, restored);
	count_bindings(pbx, registrar_count(pbx->registrar));
}

/* ---- life ---- */

static int routes_make(struct routes **routes, const struct config_control *config)
{
	struct users *users;
	int err = users_create(&users, config->users, config->users_count);

	return err ? err : routes_create(routes, users, config->echo_extension);
}

int pbx_create(struct pbx **pbx, const struct config_control *config, struct board *board,
	       const struct pbx_ledger *ledger)
{
	struct pbx *p = calloc(1, sizeof(*p));
	char error[TRUNKS_ERROR_MAX] = "";
	int err;

	if (!p)
		return -ENOMEM;
	p->exchange = (struct exchange){.find_user = find_user,
					.route = route,
					.apply_register = apply_register,
					.find_trunk = find_trunk,
					.trunk_take = trunk_take,
					.trunk_give = trunk_give,
					.route_trunk = route_trunk};
	p->observer =
		(struct registrar_observer){.added = binding_added, .removed = binding_removed};
	p->board = board;
	p->ledger = *ledger;
	err = routes_make(&p->routes, config);
	if (!err)
		err = registrar_create(&p->registrar, config->registrations, &p->observer);
	if (!err) {
		err = trunks_create(&p->trunks, config, error);
		if (err)
			log_error("%s", error);
	}
	if (err) {
		pbx_destroy(p);
		return err;
	}
	*pbx = p;
	return 0;
}

void pbx_destroy(struct pbx *pbx)
{
	if (!pbx)
		return;
	trunks_destroy(pbx->trunks);
	registrar_destroy(pbx->registrar);
	routes_destroy(pbx->routes);
	free(pbx);
}

int pbx_start(struct pbx *pbx, struct sip_stack *stack, struct sip_resolver *resolver,
	      struct timer_wheel *timers)
{
	return trunks_start(pbx->trunks, stack, resolver, timers);
}

void pbx_stop(struct pbx *pbx)
{
	if (pbx)
		trunks_stop(pbx->trunks);
}

void pbx_each_trunk(struct pbx *pbx, trunk_view_fn *each, void *arg)
{
	trunks_each(pbx->trunks, each, arg);
}

struct exchange *pbx_exchange(struct pbx *pbx)
{
	return &pbx->exchange;
}

int pbx_reload(struct pbx *pbx, const struct config_control *config)
{
	struct routes *routes;
	int err = routes_make(&routes, config);

	if (err)
		return err;
	routes_destroy(pbx->routes);
	pbx->routes = routes;
	return 0;
}

void pbx_sweep(struct pbx *pbx)
{
	registrar_sweep(pbx->registrar, clock_real_ns());
}
