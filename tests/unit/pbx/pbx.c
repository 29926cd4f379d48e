/* The exchange as the B2BUA sees it, with its ledger and the board. */
#include "control/pbx/pbx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct {
	struct board *board;
	struct pbx *pbx;
	struct exchange *exchange;
	uint32_t added;
	uint32_t removed;
	struct journal_binding last;
	char aor[64], contact[128], transport[8];
} f;

static void binding_add(void *arg, const struct journal_binding *binding)
{
	(void)arg;
	f.added++;
	f.last = *binding;
	snprintf(f.aor, sizeof(f.aor), "%s", binding->aor);
	snprintf(f.contact, sizeof(f.contact), "%s", binding->contact);
	snprintf(f.transport, sizeof(f.transport), "%s", binding->transport);
}

static void binding_del(void *arg, const char *aor, const char *contact)
{
	(void)arg;
	f.removed++;
	snprintf(f.aor, sizeof(f.aor), "%s", aor);
	snprintf(f.contact, sizeof(f.contact), "%s", contact);
}

static struct config_user users[] = {
	{.extension = "1001", .name = "Ann", .md5 = "m", .sha256 = "s"},
	{.extension = "1002", .name = "Bob", .md5 = "m"}};

static struct config_control config_of(uint32_t users_count)
{
	return (struct config_control){.users = users,
				       .users_count = users_count,
				       .registrations = 5,
				       .echo_extension = (char *)"600"};
}

static int open_world(void **state)
{
	const struct pbx_ledger ledger = {.binding_add = binding_add, .binding_del = binding_del};
	struct config_control config = config_of(2);

	(void)state;
	memset(&f, 0, sizeof(f));
	assert_int_equal(board_create(&f.board, 1, 5), 0);
	assert_int_equal(pbx_create(&f.pbx, &config, f.board, &ledger), 0);
	f.exchange = pbx_exchange(f.pbx);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	pbx_destroy(f.pbx);
	board_destroy(f.board);
	return 0;
}

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(&e, text, strlen(text)), 0);
	return e;
}

static void put(const char *extension, const char *uri, int64_t expires_s)
{
	static uint32_t cseq;
	struct exchange_registered answer;
	struct exchange_register request = {
		.extension = extension,
		.call_id = "c",
		.user_agent = "phone",
		.cseq = ++cseq,
		.expires_s = -1,
		.contacts_count = 1,
		.contacts = {{.uri = uri,
			      .key = uri,
			      .instance = "",
			      .expires_s = expires_s,
			      .q_permille = 1000}},
		.path = {.source = at("192.0.2.7:5060"), .local = at("192.0.2.1:5060")},
	};

	f.exchange->apply_register(f.exchange, &request, &answer);
	assert_int_equal(answer.status, 200);
}

static struct exchange_route to(const char *number)
{
	struct exchange_route route;

	f.exchange->route(f.exchange, number, strlen(number), &route);
	return route;
}

static uint32_t shown(struct registration_view *view)
{
	uint32_t next = 0, count = 0;

	while (board_next_registration(f.board, &next, view))
		count++;
	return count;
}

static void numbers_lead_where_phones_are(void **state)
{
	struct exchange_route route;

	(void)state;
	assert_int_equal(to("4711").verdict, EXCHANGE_UNKNOWN);
	assert_int_equal(to("600").verdict, EXCHANGE_ECHO);
	assert_string_equal(to("600").callee, "600");
	assert_int_equal(to("1002").verdict, EXCHANGE_UNREGISTERED);
	assert_string_equal(to("1002").callee, "");
	put("1002", "sip:1002@192.0.2.7", 60);
	put("1002", "sip:1002@192.0.2.8", 60);
	route = to("1002");
	assert_int_equal(route.verdict, EXCHANGE_TARGETS);
	assert_int_equal(route.targets_count, 2);
	assert_string_equal(route.callee, "1002");
	assert_int_equal(to("1001").verdict, EXCHANGE_UNREGISTERED);
}

static void bindings_are_journaled_and_shown(void **state)
{
	struct registration_view view;

	(void)state;
	put("1001", "sip:1001@192.0.2.7", 60);
	assert_int_equal(f.added, 1);
	assert_string_equal(f.aor, "1001");
	assert_string_equal(f.transport, "udp");
	assert_int_equal(f.last.received.port, 5060);
	assert_true(f.last.expires_ns - f.last.registered_ns == 60 * NS_PER_S);
	assert_int_equal(shown(&view), 1);
	assert_string_equal(view.contact, "sip:1001@192.0.2.7");
	assert_string_equal(view.source, "192.0.2.7:5060");
	assert_int_equal(board_counters(f.board)->registrations, 1);
	put("1001", "sip:1001@192.0.2.7", 60);
	assert_int_equal(f.added, 2);
	assert_int_equal(shown(&view), 1);
	put("1001", "sip:1001@192.0.2.7", 0);
	assert_int_equal(f.removed, 1);
	assert_int_equal(shown(&view), 0);
	assert_int_equal(board_counters(f.board)->registrations, 0);
}

static struct journal_binding kept(const char *aor, const char *contact, const char *received)
{
	return (struct journal_binding){.aor = aor,
					.contact = contact,
					.call_id = "c",
					.user_agent = "phone",
					.transport = "udp",
					.instance = "",
					.path = "",
					.received = at(received),
					.local = at("192.0.2.1:5060"),
					.cseq = 7,
					.q_milli = 1000,
					.registered_ns = clock_real_ns(),
					.expires_ns = clock_real_ns() + 60 * NS_PER_S};
}

static void earlier_bindings_are_restored_without_being_journaled(void **state)
{
	struct journal_binding binding = kept("1002", "sip:1002@192.0.2.7", "192.0.2.7:5060");
	struct registration_view view;
	struct exchange_route route;

	(void)state;
	pbx_restore(f.pbx, &binding);
	assert_int_equal(f.added, 0);
	assert_int_equal(shown(&view), 1);
	route = to("1002");
	assert_int_equal(route.targets_count, 1);
	assert_false(route.targets[0].path.nat);
	/* The host's address may have changed since. */
	assert_int_equal(route.targets[0].path.local.port, 0);
	binding = kept("1001", "sip:1001@10.0.0.7", "192.0.2.9:1024");
	pbx_restore(f.pbx, &binding);
	assert_true(to("1001").targets[0].path.nat);
}

static void bindings_that_cannot_be_restored_are_given_up(void **state)
{
	struct journal_binding gone = kept("1003", "sip:1003@192.0.2.7", "192.0.2.7:5060");
	struct journal_binding broken = kept("1002", "nonsense", "192.0.2.7:5060");
	struct journal_binding strange = kept("1002", "sip:1002@192.0.2.7", "192.0.2.7:5060");

	(void)state;
	strange.transport = "pigeon";
	pbx_restore(f.pbx, &gone);
	pbx_restore(f.pbx, &broken);
	pbx_restore(f.pbx, &strange);
	assert_int_equal(f.removed, 3);
	assert_int_equal(to("1002").verdict, EXCHANGE_UNREGISTERED);
}

static void reload_takes_users_and_keeps_phones(void **state)
{
	struct config_control config = config_of(1);
	struct config_user twice[] = {users[0], users[0]};

	(void)state;
	put("1001", "sip:1001@192.0.2.7", 60);
	put("1002", "sip:1002@192.0.2.7", 60);
	assert_int_equal(pbx_reload(f.pbx, &config), 0);
	assert_int_equal(to("1001").verdict, EXCHANGE_TARGETS);
	assert_int_equal(to("1002").verdict, EXCHANGE_UNKNOWN);
	assert_null(f.exchange->find_user(f.exchange, "1002", 4));
	config.users = twice;
	config.users_count = 2;
	assert_true(pbx_reload(f.pbx, &config) < 0);
	assert_int_equal(to("1001").verdict, EXCHANGE_TARGETS);
}

int main(void)
{
#define in_world(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		in_world(numbers_lead_where_phones_are),
		in_world(bindings_are_journaled_and_shown),
		in_world(earlier_bindings_are_restored_without_being_journaled),
		in_world(bindings_that_cannot_be_restored_are_given_up),
		in_world(reload_takes_users_and_keeps_phones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
