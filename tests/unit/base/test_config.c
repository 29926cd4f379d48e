/* The configuration file: defaults, and refusals that name file, line and what was expected. */
#include "dataplane/base/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int load(const char *text, struct config **config, char error[CONFIG_ERROR_MAX])
{
	char path[] = "/tmp/tandem-config-XXXXXX";
	int fd = mkstemp(path);
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	error[0] = 0;
	rc = config_load(path, config, error);
	/* The path is random: what comes behind it is checked. */
	if (rc < 0) {
		assert_memory_equal(error, path, strlen(path));
		memmove(error, error + strlen(path), strlen(error + strlen(path)) + 1);
	}
	unlink(path);
	return rc;
}

static void absent_fields_get_their_defaults(void **state)
{
	char error[CONFIG_ERROR_MAX];
	struct config *config;

	(void)state;
	assert_int_equal(load("run_dir: /r\ndata_dir: /d\ndataplane:\n  ports:\n    - device: lo\n",
			      &config, error),
			 0);
	assert_string_equal(config->dataplane.ng_unix, "/r/ng.sock");
	assert_string_equal(config->control.dataplane, "unix:/r/ng.sock");
	assert_string_equal(config->control.records, "sqlite:/d/records.db");
	assert_string_equal(config->recorder.store.directory, "/d/recordings");
	assert_string_equal(config->dataplane.ports[0].name, "lo");
	assert_int_equal(config->dataplane.sessions, 2000);
	assert_int_equal(config->dataplane.hugepages, 1);
	assert_int_equal(config->recorder.store.tls, 1);
	assert_int_equal(config->control.recording, CONFIG_RECORD_ALL);
	assert_int_equal(config->control.listen_count, 6);
	assert_string_equal(config->control.tls.certificate, "/d/tls/certificate.pem");
	assert_string_equal(config->control.tls.key, "/d/tls/key.pem");
	assert_true(config->control.tls.self_signed);
	assert_null(config->control.tls.ca);
	assert_int_equal(config->control.calls_per_second, 10000);
	assert_int_equal(config->control.delay_limit_ms, 200);
	assert_int_equal(config->control.security.failures, 10);
	assert_int_equal(config->control.security.ban_max_s, 86400);
	assert_int_equal(config->control.security.allow_count, 0);
	assert_int_equal(config->log_level, LOG_LEVEL_INFO);
	config_free(config);
}

static void given_fields_are_read(void **state)
{
	char error[CONFIG_ERROR_MAX];
	struct config *config;

	(void)state;
	assert_int_equal(load("dataplane: {hugepages: false, spin: true, sessions: 7}\n"
			      "recorder: {store: {kind: s3, endpoint: 'h:1', bucket: b, "
			      "access_key: a, secret_key: s, "
			      "tls: false}}\n"
			      "control:\n  recording: none\n  listen: ['tls:[::1]:5061', "
			      "'wss:0.0.0.0:443', 'ws:0.0.0.0:80']\n"
			      "  tls: {certificate: /c, key: /k, ca: /a, verify_clients: require}\n"
			      "  users:\n    - extension: 1001\n      "
			      "md5: 0123456789abcdef0123456789abcdef\n",
			      &config, error),
			 0);
	assert_int_equal(config->dataplane.hugepages, 0);
	assert_true(config->dataplane.spin);
	assert_int_equal(config->dataplane.sessions, 7);
	assert_int_equal(config->recorder.store.kind, CONFIG_STORE_S3);
	assert_int_equal(config->recorder.store.tls, 0);
	assert_int_equal(config->control.recording, CONFIG_RECORD_NONE);
	assert_string_equal(config->control.users[0].name, "1001");
	assert_int_equal(config->control.listen_count, 3);
	assert_string_equal(config->control.tls.certificate, "/c");
	assert_string_equal(config->control.tls.key, "/k");
	assert_string_equal(config->control.tls.ca, "/a");
	assert_false(config->control.tls.self_signed);
	assert_int_equal(config->control.tls.verify_clients, CONFIG_VERIFY_CLIENTS_REQUIRE);
	config_free(config);
}

static const struct {
	const char *text, *error;
} wrong_lines[] = {
	{"run_dir: /r\nbogus: 1\n",
	 ":2: holds the unknown key \"bogus\", expected run_dir, data_dir, user, "
	 "log_level, dataplane, recorder, control"},
	{"dataplane:\n  sessions: 0\n", ":2: dataplane.sessions is 0, expected 1 to 1000000"},
	{"dataplane:\n  spin: maybe\n", ":2: dataplane.spin is \"maybe\", expected true, false"},
	{"dataplane:\n  workers: 99\n", ":2: dataplane.workers is 99, expected 1 to 16"},
	{"dataplane:\n  workers: two\n",
	 ":2: dataplane.workers is \"two\", expected a whole number"},
	{"dataplane:\n  workers: 99999999999\n",
	 ":2: dataplane.workers is \"99999999999\", expected a whole number"},
	{"dataplane:\n  ports:\n    - device: lo\n      kind: x\n",
	 ":4: dataplane.ports.0.kind is \"x\", expected auto, af_xdp, af_packet, tap, "
	 "memif, pci, null"},
	{"dataplane:\n  ports:\n    - kind: tap\n",
	 ":3: dataplane.ports.0 lacks a key, expected device"},
	{"dataplane:\n  ports:\n    - device: t\n      kind: tap\n      addresses: "
	 "[10.0.0.1]\n",
	 ":5: dataplane.ports.0.addresses.0 is \"10.0.0.1\", expected ADDRESS/PREFIX"},
	{"dataplane:\n  ports:\n    - device: lo\n    - device: lo\n",
	 ":4: dataplane.ports.1 has the name \"lo\" of another port"},
	{"dataplane:\n  fork_ring_mb: 3\n",
	 ":2: dataplane.fork_ring_mb is 3, expected a power of two"},
	{"control:\n  listen: ['sctp:1.2.3.4:5060']\n",
	 ":2: control.listen.0 is \"sctp:1.2.3.4:5060\", expected udp, tcp, tls, ws "
	 "or wss, then :ADDRESS:PORT"},
	{"control:\n  listen: ['udp:0.0.0.0:5060', 'wss:1.2.3.4']\n",
	 ":2: control.listen.1 is \"wss:1.2.3.4\", expected udp, tcp, tls, ws or wss, then "
	 ":ADDRESS:PORT"},
	{"control:\n  tls:\n    certificate: /c\n",
	 ":3: control.tls lacks a key, expected certificate and key"},
	{"control:\n  tls:\n    verify_clients: require\n",
	 ":3: control.tls.verify_clients needs somebody to trust, expected ca too"},
	{"control:\n  tls:\n    verify_clients: maybe\n",
	 ":3: control.tls.verify_clients is \"maybe\", expected none, optional, require"},
	{"control:\n  records: mysql\n",
	 ":2: control.records is \"mysql\", expected sqlite:PATH or postgresql://…"},
	{"control:\n  users:\n    - extension: '1 2'\n      md5: "
	 "0123456789abcdef0123456789abcdef\n",
	 ":3: control.users.0.extension is \"1 2\", expected at most 64 letters, digits "
	 "and -_.+*#"},
	{"control:\n  users:\n    - extension: 1\n",
	 ":3: control.users.0 has no digest, expected md5 or sha256 (tandemctl digest)"},
	{"control:\n  users:\n    - {extension: 1, md5: 00000000000000000000000000000000}\n"
	 "    - {extension: 2, md5: 00000000000000000000000000000000}\n"
	 "    - {extension: 1, md5: 00000000000000000000000000000000}\n",
	 ":5: control.users.2.extension is \"1\", the extension of another user"},
	{"control:\n  realm: a\n  realm: b\n",
	 ":3: control holds \"realm\" twice, expected it once"},
	{"user: a\nuser: a\n", ":2: holds \"user\" twice, expected it once"},
	{"control:\n  trunks:\n    - {name: a b, host: h}\n",
	 ":3: control.trunks.0.name is \"a b\", expected at most 31 letters, digits and "
	 "-_."},
	{"control:\n  trunks:\n    - {name: a, host: h}\n    - {name: a, host: i}\n",
	 ":4: control.trunks.1.name is \"a\", the name of another trunk"},
	{"control:\n  trunks:\n    - {name: a, host: h, register: true}\n",
	 ":3: control.trunks.0 registers, expected user"},
	{"control:\n  trunks:\n    - {name: a, host: h, user: u, md5: "
	 "00000000000000000000000000000000}\n",
	 ":3: control.trunks.0 has md5 or sha256, expected realm beside it"},
	{"control:\n  trunks:\n    - {name: a, host: h, match: [x]}\n",
	 ":3: control.trunks.0.match.0 is \"x\", expected an IPv4 or IPv6 address"},
	{"control:\n  routes:\n    - {prefix: \"0\", trunk: a}\n",
	 ":3: control.routes.0 leads to \"a\", expected the name of a trunk"},
	{"control:\n  security:\n    allow: [10.0.0.0/8, 10.0.0.0/33]\n",
	 ":3: control.security.allow.1 is \"10.0.0.0/33\", expected ADDRESS/PREFIX"},
	{"control:\n  security: {allow: [here]}\n",
	 ":2: control.security.allow.0 is \"here\", expected an IPv4 or IPv6 address"},
	{"control:\n  security:\n    failures: 0\n",
	 ":3: control.security.failures is 0, expected 1 to 10000"},
	{"control:\n  calls_per_second: 0\n",
	 ":2: control.calls_per_second is 0, expected 1 to 1000000"},
	{"log_level: loud\n", ":1: log_level is \"loud\", expected error, warn, info or debug"},
	{"dataplane: 5\n", ":1: dataplane is \"5\", expected a section"},
	{"", ":1: the file is empty, expected sections"},
};

static void wrong_lines_are_refused_with_line_and_expectation(void **state)
{
	char error[CONFIG_ERROR_MAX];
	struct config *config;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong_lines) / sizeof(wrong_lines[0]); i++) {
		assert_int_equal(load(wrong_lines[i].text, &config, error), -EINVAL);
		assert_string_equal(error, wrong_lines[i].error);
	}
}

static void every_prefix_of_a_file_is_taken_or_refused_without_harm(void **state)
{
	static const char text[] =
		"run_dir: /r\ndataplane:\n  ports:\n    - device: lo\n      addresses: [127.0.0.1, "
		"'::1']\ncontrol:\n  users:\n    - extension: 1\n      sha256: \"abc\"\n";
	char error[CONFIG_ERROR_MAX], prefix[sizeof(text)];
	struct config *config;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		memcpy(prefix, text, n);
		prefix[n] = 0;
		if (load(prefix, &config, error) == 0)
			config_free(config);
		else
			assert_int_equal(error[0], ':');
	}
}

static void an_absent_file_says_so(void **state)
{
	char error[CONFIG_ERROR_MAX];
	struct config *config;

	(void)state;
	assert_int_equal(config_load("/nonexistent/x.yaml", &config, error), -ENOENT);
	assert_string_equal(error, "/nonexistent/x.yaml:0: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_fields_get_their_defaults),
		cmocka_unit_test(given_fields_are_read),
		cmocka_unit_test(wrong_lines_are_refused_with_line_and_expectation),
		cmocka_unit_test(every_prefix_of_a_file_is_taken_or_refused_without_harm),
		cmocka_unit_test(an_absent_file_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
