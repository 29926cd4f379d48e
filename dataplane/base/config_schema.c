/* One table per section of the file: parsing, types, defaults and limits come from here and nowhere
 * else. */
#include "dataplane/base/config_schema.h"

#define TEXT_MAX 4096
#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, type, member)                                                                    \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPTIONAL, type, member, 0, TEXT_MAX)
#define NEEDED_TEXT(key, type, member)                                                             \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, type, member, 1, TEXT_MAX)
#define NUMBER(key, type, member) CYAML_FIELD_UINT(key, OPTIONAL, type, member)
#define LIST(key, type, member, entry, most)                                                       \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | OPTIONAL, type, member, entry, 0, most)
#define CHOICE(key, type, member, choices)                                                         \
	CYAML_FIELD_ENUM(key, CYAML_FLAG_STRICT | OPTIONAL, type, member, choices,                 \
			 CYAML_ARRAY_LEN(choices))

static const cyaml_strval_t port_kinds[] = {
	{"auto", CONFIG_PORT_AUTO},           {"af_xdp", CONFIG_PORT_AF_XDP},
	{"af_packet", CONFIG_PORT_AF_PACKET}, {"tap", CONFIG_PORT_TAP},
	{"memif", CONFIG_PORT_MEMIF},         {"pci", CONFIG_PORT_PCI},
	{"null", CONFIG_PORT_NULL},
};
static const cyaml_strval_t store_kinds[] = {{"directory", CONFIG_STORE_DIRECTORY},
					     {"s3", CONFIG_STORE_S3}};
static const cyaml_strval_t switches[] = {{"true", 1}, {"false", CONFIG_SWITCH_OFF}};
static const cyaml_strval_t digests[] = {
	{"md5", CONFIG_DIGEST_MD5}, {"sha256", CONFIG_DIGEST_SHA256}, {"both", CONFIG_DIGEST_BOTH}};
static const cyaml_strval_t verify_clients[] = {{"none", CONFIG_VERIFY_CLIENTS_NONE},
						{"optional", CONFIG_VERIFY_CLIENTS_OPTIONAL},
						{"require", CONFIG_VERIFY_CLIENTS_REQUIRE}};
/* 0 means absent, so that the default can be the useful one. */
static const cyaml_strval_t recordings[] = {{"none", 1 + CONFIG_RECORD_NONE},
					    {"all", 1 + CONFIG_RECORD_ALL}};

static const cyaml_schema_value_t text_entry = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TEXT_MAX),
};

static const cyaml_schema_field_t port_fields[] = {
	TEXT("name", struct config_port, name),
	CHOICE("kind", struct config_port, kind, port_kinds),
	NEEDED_TEXT("device", struct config_port, device),
	LIST("addresses", struct config_port, addresses, &text_entry, 16),
	TEXT("gateway", struct config_port, gateway),
	TEXT("gateway6", struct config_port, gateway6),
	TEXT("arguments", struct config_port, arguments),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t port_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_port, port_fields),
};

static const cyaml_schema_field_t interface_fields[] = {
	NEEDED_TEXT("name", struct config_interface, name),
	LIST("addresses", struct config_interface, addresses, &text_entry, 16),
	TEXT("advertised", struct config_interface, advertised),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t interface_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_interface, interface_fields),
};

static const cyaml_schema_field_t dataplane_fields[] = {
	LIST("ports", struct config_dataplane, ports, &port_entry, 16),
	LIST("interfaces", struct config_dataplane, interfaces, &interface_entry, 16),
	NUMBER("media_port_min", struct config_dataplane, media_port_min),
	NUMBER("media_port_max", struct config_dataplane, media_port_max),
	NUMBER("sessions", struct config_dataplane, sessions),
	NUMBER("workers", struct config_dataplane, workers),
	CHOICE("spin", struct config_dataplane, spin, switches),
	CHOICE("hugepages", struct config_dataplane, hugepages, switches),
	NUMBER("memory_mb", struct config_dataplane, memory_mb),
	NUMBER("media_timeout_s", struct config_dataplane, media_timeout_s),
	NUMBER("fork_ring_mb", struct config_dataplane, fork_ring_mb),
	TEXT("ng_unix", struct config_dataplane, ng_unix),
	TEXT("ng_udp", struct config_dataplane, ng_udp),
	TEXT("ng_tcp", struct config_dataplane, ng_tcp),
	TEXT("fork_socket", struct config_dataplane, fork_socket),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t store_fields[] = {
	CHOICE("kind", struct config_store, kind, store_kinds),
	TEXT("directory", struct config_store, directory),
	TEXT("endpoint", struct config_store, endpoint),
	TEXT("bucket", struct config_store, bucket),
	TEXT("access_key", struct config_store, access_key),
	TEXT("secret_key", struct config_store, secret_key),
	CHOICE("tls", struct config_store, tls, switches),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t recorder_fields[] = {
	TEXT("spool", struct config_recorder, spool),
	NUMBER("silence_timeout_s", struct config_recorder, silence_timeout_s),
	NUMBER("commit_ms", struct config_recorder, commit_ms),
	NUMBER("segment_mb", struct config_recorder, segment_mb),
	CYAML_FIELD_MAPPING("store", OPTIONAL, struct config_recorder, store, store_fields),
	TEXT("http_socket", struct config_recorder, http_socket),
	TEXT("receipt_socket", struct config_recorder, receipt_socket),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t user_fields[] = {
	NEEDED_TEXT("extension", struct config_user, extension),
	TEXT("name", struct config_user, name),
	TEXT("md5", struct config_user, md5),
	TEXT("sha256", struct config_user, sha256),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t user_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_user, user_fields),
};

static const cyaml_schema_field_t tls_fields[] = {
	TEXT("certificate", struct config_tls, certificate),
	TEXT("key", struct config_tls, key),
	TEXT("ca", struct config_tls, ca),
	CHOICE("verify_clients", struct config_tls, verify_clients, verify_clients),
	CYAML_FIELD_END,
};

static const cyaml_strval_t transports[] = {{"auto", CONFIG_TRANSPORT_AUTO},
					    {"udp", CONFIG_TRANSPORT_UDP},
					    {"tcp", CONFIG_TRANSPORT_TCP},
					    {"tls", CONFIG_TRANSPORT_TLS}};

static const cyaml_schema_field_t trunk_fields[] = {
	NEEDED_TEXT("name", struct config_trunk, name),
	NEEDED_TEXT("host", struct config_trunk, host),
	NUMBER("port", struct config_trunk, port),
	CHOICE("transport", struct config_trunk, transport, transports),
	TEXT("user", struct config_trunk, user),
	TEXT("auth_user", struct config_trunk, auth_user),
	TEXT("password", struct config_trunk, password),
	TEXT("password_file", struct config_trunk, password_file),
	TEXT("md5", struct config_trunk, md5),
	TEXT("sha256", struct config_trunk, sha256),
	TEXT("realm", struct config_trunk, realm),
	CHOICE("register", struct config_trunk, registers, switches),
	NUMBER("expires_s", struct config_trunk, expires_s),
	NUMBER("options_s", struct config_trunk, options_s),
	NUMBER("calls", struct config_trunk, calls),
	NUMBER("calls_per_second", struct config_trunk, calls_per_second),
	LIST("match", struct config_trunk, match, &text_entry, 64),
	CHOICE("trusted", struct config_trunk, trusted, switches),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t trunk_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_trunk, trunk_fields),
};

static const cyaml_schema_field_t route_fields[] = {
	TEXT("prefix", struct config_route, prefix),
	NEEDED_TEXT("trunk", struct config_route, trunk),
	NUMBER("strip", struct config_route, strip),
	TEXT("prepend", struct config_route, prepend),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t route_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_route, route_fields),
};

static const cyaml_schema_field_t did_fields[] = {
	NEEDED_TEXT("number", struct config_did, number),
	NEEDED_TEXT("extension", struct config_did, extension),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t did_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_did, did_fields),
};

static const cyaml_schema_field_t security_fields[] = {
	LIST("allow", struct config_security, allow, &text_entry, 256),
	NUMBER("failures", struct config_security, failures),
	NUMBER("window_s", struct config_security, window_s),
	NUMBER("ban_s", struct config_security, ban_s),
	NUMBER("ban_max_s", struct config_security, ban_max_s),
	NUMBER("requests_per_second", struct config_security, requests_per_second),
	NUMBER("numbers", struct config_security, numbers),
	NUMBER("sources", struct config_security, sources),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t control_fields[] = {
	LIST("listen", struct config_control, listen, &text_entry, 16),
	CYAML_FIELD_MAPPING("tls", OPTIONAL, struct config_control, tls, tls_fields),
	TEXT("realm", struct config_control, realm),
	TEXT("dataplane", struct config_control, dataplane),
	TEXT("journal", struct config_control, journal),
	TEXT("records", struct config_control, records),
	TEXT("http", struct config_control, http),
	TEXT("http_socket", struct config_control, http_socket),
	TEXT("admin_sha256", struct config_control, admin_sha256),
	CHOICE("recording", struct config_control, recording, recordings),
	CHOICE("digest", struct config_control, digest, digests),
	NUMBER("ring_timeout_s", struct config_control, ring_timeout_s),
	NUMBER("calls", struct config_control, calls),
	NUMBER("registrations", struct config_control, registrations),
	NUMBER("calls_per_second", struct config_control, calls_per_second),
	NUMBER("delay_limit_ms", struct config_control, delay_limit_ms),
	NUMBER("trace_mb", struct config_control, trace_mb),
	CYAML_FIELD_MAPPING("security", OPTIONAL, struct config_control, security, security_fields),
	TEXT("echo_extension", struct config_control, echo_extension),
	LIST("users", struct config_control, users, &user_entry, 100000),
	LIST("trunks", struct config_control, trunks, &trunk_entry, 256),
	LIST("routes", struct config_control, routes, &route_entry, 4096),
	LIST("dids", struct config_control, dids, &did_entry, 100000),
	TEXT("dns", struct config_control, dns),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t top_fields[] = {
	TEXT("run_dir", struct config, run_dir),
	TEXT("data_dir", struct config, data_dir),
	TEXT("user", struct config, user),
	TEXT("log_level", struct config, log_level_text),
	CYAML_FIELD_MAPPING("dataplane", OPTIONAL, struct config, dataplane, dataplane_fields),
	CYAML_FIELD_MAPPING("recorder", OPTIONAL, struct config, recorder, recorder_fields),
	CYAML_FIELD_MAPPING("control", OPTIONAL, struct config, control, control_fields),
	CYAML_FIELD_END,
};
const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, top_fields),
};

#define D(member) #member, offsetof(struct config, member)
const struct config_number config_numbers[] = {
	{D(dataplane.media_port_min), 16384, 1024, 65534},
	{D(dataplane.media_port_max), 32767, 1025, 65535},
	{D(dataplane.sessions), 2000, 1, 1000000},
	{D(dataplane.workers), 1, 1, 16},
	{D(dataplane.memory_mb), 256, 64, 1048576},
	{D(dataplane.media_timeout_s), 60, 1, 86400},
	{D(dataplane.fork_ring_mb), 32, 1, 4096},
	{D(recorder.silence_timeout_s), 120, 1, 86400},
	{D(recorder.commit_ms), 50, 1, 1000},
	{D(recorder.segment_mb), 64, 1, 4096},
	{D(control.ring_timeout_s), 60, 1, 600},
	{D(control.calls), 1000, 1, 1000000},
	{D(control.registrations), 10000, 1, 10000000},
	{D(control.calls_per_second), 10000, 1, 1000000},
	{D(control.delay_limit_ms), 200, 1, 60000},
	{D(control.trace_mb), 16, 0, 4096},
	{D(control.security.failures), 10, 1, 10000},
	{D(control.security.window_s), 300, 1, 86400},
	{D(control.security.ban_s), 60, 1, 86400},
	{D(control.security.ban_max_s), 86400, 1, 31536000},
	{D(control.security.requests_per_second), 500, 1, 100000},
	{D(control.security.numbers), 25, 1, 60},
	{D(control.security.sources), 16384, 16, 1048576},
};
const size_t config_numbers_count = sizeof(config_numbers) / sizeof(config_numbers[0]);

#define P(member) offsetof(struct config, member)
const struct config_path config_paths[] = {
	{P(dataplane.ng_unix), 'R', "", "ng.sock"},
	{P(dataplane.fork_socket), 'R', "", "fork.sock"},
	{P(recorder.spool), 'D', "", "spool"},
	{P(recorder.store.directory), 'D', "", "recordings"},
	{P(recorder.http_socket), 'R', "", "recorder.sock"},
	{P(recorder.receipt_socket), 'R', "", "receipt.sock"},
	{P(control.dataplane), 'R', "unix:", "ng.sock"},
	{P(control.journal), 'D', "", "journal"},
	{P(control.records), 'D', "sqlite:", "records.db"},
	{P(control.http_socket), 'R', "", "control.sock"},
	{P(control.tls.certificate), 'D', "", "tls/certificate.pem"},
	{P(control.tls.key), 'D', "", "tls/key.pem"},
};
const size_t config_paths_count = sizeof(config_paths) / sizeof(config_paths[0]);
