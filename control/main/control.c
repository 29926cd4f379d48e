/* Wiring: who is told what by whom. */
#include "control/main/control.h"
#include "control/b2bua/command.h"
#include "control/sip/certificate.h"
#include "control/sip/resolver.h"
#include "control/sip/stack.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS      2000
#define PING_MAX      4096
#define STOP_WAIT_MS  2000
#define NG_TIMEOUT_MS 3000

/* ---- B2BUA and exchange to journal ---- */

static void ledger_call(void *arg, enum journal_call_state state, const struct cdr *so_far)
{
	struct control *control = arg;

	journal_call(control->journal, state, so_far);
}

static void ledger_cdr(void *arg, const struct cdr *cdr)
{
	struct control *control = arg;

	journal_cdr(control->journal, cdr);
}

static void ledger_binding_add(void *arg, const struct journal_binding *binding)
{
	struct control *control = arg;

	journal_binding_add(control->journal, binding);
}

static void ledger_binding_del(void *arg, const char *aor, const char *contact)
{
	struct control *control = arg;

	journal_binding_del(control->journal, aor, contact);
}

/* ---- B2BUA to dataplane ---- */

static int media_send(void *arg, const struct ng_value *request, ng_reply_fn *replied, void *owner)
{
	struct control *control = arg;

	return ng_client_send(control->ng, request, replied, owner);
}

static void media_forget_owner(void *arg, void *owner)
{
	struct control *control = arg;

	ng_client_forget(control->ng, owner);
}

static bool media_is_connected(void *arg)
{
	struct control *control = arg;

	return ng_client_is_connected(control->ng);
}

/* ---- HTTP to the loop's thread ---- */

static int admin_hangup(void *arg, const char *call_id, uint32_t wait_ms)
{
	struct control *control = arg;

	return command_hangup(control->b2bua, call_id, wait_ms);
}

static void admin_each_counter(void *arg,
			       void (*each)(void *each_arg, const char *name, uint64_t value),
			       void *each_arg)
{
	struct control *control = arg;

	b2bua_each_counter(control->b2bua, each, each_arg);
}

static void admin_each_ban(void *arg, void (*each)(void *each_arg, const struct bans_view *view),
			   void *each_arg)
{
	struct control *control = arg;

	b2bua_each_ban(control->b2bua, each, each_arg);
}

static int admin_ban(void *arg, const struct address *source, uint64_t for_s)
{
	struct control *control = arg;

	return b2bua_ban(control->b2bua, source, for_s);
}

static int admin_ban_lift(void *arg, const struct address *source)
{
	struct control *control = arg;

	return b2bua_ban_lift(control->b2bua, source);
}

static void admin_each_trunk(void *arg, trunk_view_fn *each, void *each_arg)
{
	struct control *control = arg;

	pbx_each_trunk(control->pbx, each, each_arg);
}

static int admin_trace(void *arg, const char *key, struct trace_view **views)
{
	struct control *control = arg;

	return b2bua_trace(control->b2bua, key, views);
}

static int admin_reload(void *arg, char error[ADMIN_ERROR_MAX])
{
	_Static_assert(ADMIN_ERROR_MAX == CONFIG_ERROR_MAX, "one sentence");
	return control_reload(arg, error);
}

/* ---- what was before ---- */

static void restore_binding(void *arg, const struct journal_binding *binding)
{
	struct control *control = arg;
	uint64_t now_ns = clock_real_ns();

	pbx_restore(control->pbx, binding);
	if (binding->expires_ns > now_ns)
		b2bua_trust(control->b2bua, &binding->received.address,
			    (binding->expires_ns - now_ns) / NS_PER_S);
}

/* A call of an earlier life is over: its CDR says so, and the dataplane lets go of it. */
static void restore_call(void *arg, enum journal_call_state state, const struct cdr *so_far)
{
	struct control *control = arg;
	struct cdr cdr = *so_far;

	(void)state;
	cdr.ended_ns = clock_real_ns();
	cdr.ended_by = ENDED_BY_SYSTEM;
	cdr.cause = "system restart";
	journal_cdr(control->journal, &cdr);
	b2bua_abandon_media(control->b2bua, cdr.id);
}

/* ---- start ---- */

/* Everything that this round appended is handed to the kernel before the packets that tell of it
 * leave. */
static void round_ends(void *arg)
{
	struct control *control = arg;

	journal_round_end(control->journal);
	sip_stack_flush(b2bua_stack(control->b2bua));
}

static void pinged(void *arg, int error, const struct ng_value *reply)
{
	(void)arg;
	(void)error;
	(void)reply;
}

/* Over UDP nothing else tells whether the dataplane is there before a call needs it. */
static void ping(struct control *control)
{
	struct ng_value *request;

	ng_arena_reset(control->arena);
	request = ng_dict(control->arena);
	if (request && ng_put_string(control->arena, request, "command", "ping"))
		ng_client_send(control->ng, request, pinged, control);
}

static void sweep(struct timer *timer, uint64_t now_ms)
{
	struct control *control = list_entry(timer, struct control, sweep_timer);

	pbx_sweep(control->pbx);
	ping(control);
	timer_start(loop_timers(control->loop), timer, now_ms + SWEEP_MS);
}

static int open_journal(struct control *control)
{
	struct journal_options options = {.directory = control->config->control.journal};
	int err = journal_open(&control->journal, control->loop, &options);

	if (err)
		log_error("journal %s: %s", options.directory, strerror(-err));
	return err;
}

static int open_exchange(struct control *control)
{
	const struct config_control *config = &control->config->control;
	struct pbx_ledger ledger = {.binding_add = ledger_binding_add,
				    .binding_del = ledger_binding_del,
				    .arg = control};
	int err = board_create(&control->board, config->calls, config->registrations);

	if (!err)
		err = pbx_create(&control->pbx, config, control->board, &ledger);
	if (err)
		log_error("exchange: %s",
			  err == -EEXIST ? "an extension is there twice" : strerror(-err));
	return err;
}

/* What the stack is told of TLS; the certificate of a first start is made here. 0, -errno logged.
 */
static int tls_prepare(const struct config_tls *config, struct sip_tls_config *tls)
{
	static const enum sip_verify_clients verify[] = {
		[CONFIG_VERIFY_CLIENTS_NONE] = SIP_VERIFY_CLIENTS_NONE,
		[CONFIG_VERIFY_CLIENTS_OPTIONAL] = SIP_VERIFY_CLIENTS_OPTIONAL,
		[CONFIG_VERIFY_CLIENTS_REQUIRE] = SIP_VERIFY_CLIENTS_REQUIRE,
	};
	int rc = 0;

	*tls = (struct sip_tls_config){.certificate = config->certificate,
				       .key = config->key,
				       .ca = config->ca,
				       .verify_clients = verify[config->verify_clients]};
	if (config->self_signed)
		rc = sip_certificate_make(config->certificate, config->key);
	if (rc > 0)
		log_info("certificate %s made, self-signed", config->certificate);
	if (rc < 0)
		log_error("certificate %s: %s", config->certificate, strerror(-rc));
	return rc < 0 ? rc : 0;
}

static void never_ban(struct control *control, const char *text)
{
	struct address address;

	if (address_parse(&address, text, strlen(text)) == 0)
		b2bua_never_ban(control->b2bua, &address);
}

/* What a trunk's name leads to is known later, and then said by who looks it up. */
static void never_ban_trunks(struct control *control)
{
	const struct config_control *config = &control->config->control;

	for (uint32_t i = 0; i < config->trunks_count; i++) {
		never_ban(control, config->trunks[i].host);
		for (uint32_t j = 0; j < config->trunks[i].match_count; j++)
			never_ban(control, config->trunks[i].match[j]);
	}
}

static int open_b2bua(struct control *control)
{
	const struct config_control *config = &control->config->control;
	struct sip_tls_config tls;
	const struct config_security *security = &config->security;
	struct b2bua_options options = {
		.loop = control->loop,
		.listen = (const char *const *)config->listen,
		.listen_count = config->listen_count,
		.tls = &tls,
		.realm = config->realm,
		.hide_sha256 = config->digest == CONFIG_DIGEST_MD5,
		.hide_md5 = config->digest == CONFIG_DIGEST_SHA256,
		.record = config->recording == CONFIG_RECORD_ALL,
		.ring_timeout_s = config->ring_timeout_s,
		.calls = config->calls,
		.calls_per_second = config->calls_per_second,
		.delay_limit_ms = config->delay_limit_ms,
		.trace_bytes = (size_t)config->trace_mb << 20,
		.bans = {.sources = security->sources,
			 .failures = security->failures,
			 .window_s = security->window_s,
			 .ban_s = security->ban_s,
			 .ban_max_s = security->ban_max_s,
			 .requests_per_second = security->requests_per_second,
			 .numbers = security->numbers},
		.allow = (const char *const *)security->allow,
		.allow_count = security->allow_count,
		.exchange = pbx_exchange(control->pbx),
		.board = control->board,
		.media = {.send = media_send,
			  .forget = media_forget_owner,
			  .is_connected = media_is_connected,
			  .arg = control},
		.ledger = {.call = ledger_call, .cdr = ledger_cdr, .arg = control},
	};
	char error[256] = "";
	int err = tls_prepare(&config->tls, &tls);

	if (!err)
		err = b2bua_create(&control->b2bua, &options, error);
	if (err)
		log_error("sip: %s", error[0] ? error : strerror(-err));
	else
		never_ban_trunks(control);
	return err;
}

/* Trunks start when the stack that they register over is there. */
static int open_trunks(struct control *control)
{
	const struct sip_resolver_config config = {.loop = control->loop,
						   .servers = control->config->control.dns};
	int err = sip_resolver_create(&control->resolver, &config);

	if (err)
		log_error("name servers: %s", strerror(-err));
	else
		err = pbx_start(control->pbx, b2bua_stack(control->b2bua), control->resolver,
				loop_timers(control->loop));
	return err;
}

static int open_admin(struct control *control)
{
	const struct config_control *config = &control->config->control;
	struct admin_options options = {
		.version = TANDEM_VERSION,
		.socket_path = config->http_socket,
		.http = config->http,
		.admin_sha256 = config->admin_sha256,
		.records_target = config->records,
		.loop = control->loop,
		.board = control->board,
		.journal = control->journal,
		.records = control->records,
		.receipts = control->receipts,
		.hangup = admin_hangup,
		.each_counter = admin_each_counter,
		.each_trunk = admin_each_trunk,
		.is_dataplane_connected = media_is_connected,
		.trace = admin_trace,
		.each_ban = admin_each_ban,
		.ban = admin_ban,
		.ban_lift = admin_ban_lift,
		.reload = admin_reload,
		.arg = control,
	};

	return admin_start(&control->admin, &options);
}

static int restore(struct control *control)
{
	const struct journal_restore before = {
		.binding = restore_binding, .call = restore_call, .arg = control};
	struct journal_restored restored = {0};
	int err = journal_restore(control->journal, clock_real_ns(), &before, &restored);

	if (!err && (restored.bindings || restored.calls))
		log_info("restored %u registrations, ended %u calls of an earlier life",
			 restored.bindings, restored.calls);
	return err;
}

int control_open(struct control *control)
{
	const struct config *config = control->config;
	int err = loop_create(&control->loop);

	if (err)
		return err;
	err = open_journal(control);
	if (!err)
		err = ng_arena_create(&control->arena, PING_MAX);
	if (!err)
		err = ng_client_create(&control->ng, control->loop, config->control.dataplane,
				       NG_TIMEOUT_MS);
	if (!err)
		err = open_exchange(control);
	if (!err)
		err = open_b2bua(control);
	if (!err)
		err = open_trunks(control);
	if (err)
		return err;
	loop_after_round(control->loop, round_ends, control);
	err = restore(control);
	if (!err)
		err = records_tier_open(&control->records, control->journal,
					config->control.records);
	if (!err)
		err = receipts_open(&control->receipts, control->loop, control->journal,
				    config->recorder.receipt_socket);
	if (!err)
		err = open_admin(control);
	if (err)
		return err;
	ping(control);
	timer_init(&control->sweep_timer, sweep);
	timer_start(loop_timers(control->loop), &control->sweep_timer,
		    loop_now_ms(control->loop) + SWEEP_MS);
	return 0;
}

/* ---- stop and reload ---- */

static void calls_ended(void *arg)
{
	struct control *control = arg;

	loop_stop(control->loop);
}

void control_stop(struct control *control)
{
	if (control->stopping) {
		loop_stop(control->loop);
		return;
	}
	control->stopping = true;
	b2bua_stop(control->b2bua, STOP_WAIT_MS, calls_ended, control);
}

int control_reload(struct control *control, char error[CONFIG_ERROR_MAX])
{
	struct config *config;
	struct sip_tls_config tls;
	char refused[SIP_STACK_ERROR_MAX];
	int err = config_load(control->config_path, &config, error);

	if (err)
		return err;
	snprintf(refused, sizeof(refused), "certificate not made");
	err = tls_prepare(&config->control.tls, &tls);
	err = err ? err : sip_stack_reload_tls(b2bua_stack(control->b2bua), &tls, refused);
	if (err) {
		snprintf(error, CONFIG_ERROR_MAX, "tls: %s", refused);
		config_free(config);
		return err;
	}
	err = pbx_reload(control->pbx, &config->control);
	if (err)
		snprintf(error, CONFIG_ERROR_MAX, "users: %s",
			 err == -EEXIST ? "an extension is there twice" : strerror(-err));
	config_free(config);
	return err;
}

void control_close(struct control *control)
{
	admin_stop(control->admin);
	receipts_close(control->receipts);
	if (control->loop)
		loop_after_round(control->loop, NULL, NULL);
	pbx_stop(control->pbx);
	sip_resolver_destroy(control->resolver);
	b2bua_destroy(control->b2bua);
	pbx_destroy(control->pbx);
	records_tier_close(control->records);
	journal_close(control->journal);
	if (control->ng)
		ng_client_destroy(control->ng);
	if (control->arena)
		ng_arena_destroy(control->arena);
	board_destroy(control->board);
	if (control->loop)
		loop_destroy(control->loop);
}
