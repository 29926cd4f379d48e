/*
 * The one configuration file (YAML), read by all three daemons. Every field that is absent has a
 * default that config_load fills in, so the daemons never test for "not given". Unknown keys, wrong
 * types and values out of range are refused with file, line and what was expected.
 */
#pragma once

#include "dataplane/base/address.h"
#include "dataplane/base/log.h"

#include <stdbool.h>
#include <stdint.h>

enum config_port_kind {
	CONFIG_PORT_AUTO,      /* shared: af_xdp where it attaches, else af_packet */
	CONFIG_PORT_AF_XDP,    /* shared */
	CONFIG_PORT_AF_PACKET, /* shared */
	CONFIG_PORT_TAP,       /* owned */
	CONFIG_PORT_MEMIF,     /* owned */
	CONFIG_PORT_PCI,       /* owned */
	CONFIG_PORT_NULL,      /* owned; benchmarks */
};

/* A device that packets come through. */
struct config_port {
	char *name;                 /* unique; default: the device's name */
	enum config_port_kind kind; /* default auto */
	char *device; /* netdev name; memif: socket path; pci: bus address; tap: name of the tap */
	/* owned: "10.0.0.2/24" texts. shared: ignored addresses are an error; empty = all of the
	 * device's */
	char **addresses;
	uint32_t addresses_count;
	char *gateway;   /* owned, IPv4; may be NULL */
	char *gateway6;  /* owned, IPv6; may be NULL */
	char *arguments; /* added to the DPDK device arguments; may be NULL */
};

/* A named set of local media addresses (ng `direction`); the first one in the file is the default.
 */
struct config_interface {
	char *name;
	char **addresses; /* literal addresses, at most one IPv4 and one IPv6 preferred; first of a
			     family wins */
	uint32_t addresses_count;
	char *advertised; /* address shown in SDP in place of the IPv4 one (1:1 NAT); may be NULL */
};

struct config_dataplane {
	struct config_port *ports;
	uint32_t ports_count;
	struct config_interface *interfaces;
	uint32_t interfaces_count;
	uint32_t media_port_min;  /* default 16384 */
	uint32_t media_port_max;  /* default 32767 */
	uint32_t sessions;        /* most at once, default 2000 */
	uint32_t workers;         /* default 1 */
	int spin;                 /* 0 or 1, default 0: sleep in steps when idle */
	int hugepages;            /* 0 or 1, default 1: used if they can be reserved */
	uint32_t memory_mb;       /* EAL memory without hugepages, default 256 */
	uint32_t media_timeout_s; /* default 60: session without any packet is deleted */
	uint32_t fork_ring_mb;    /* one ring per worker, power of two, default 32 */
	char *ng_unix;            /* default RUN/ng.sock */
	char *ng_udp;             /* "127.0.0.1:2223" or NULL = off */
	char *ng_tcp;             /* likewise */
	char *fork_socket;        /* default RUN/fork.sock */
};

enum config_store_kind { CONFIG_STORE_DIRECTORY, CONFIG_STORE_S3 };

struct config_store {
	enum config_store_kind kind;
	char *directory;  /* default DATA/recordings */
	char *endpoint;   /* s3: host:port */
	char *bucket;     /* s3 */
	char *access_key; /* s3 */
	char *secret_key; /* s3 */
	int tls;          /* s3: 0 = http, 1 = https (default) */
};

struct config_recorder {
	char *spool;                /* default DATA/spool */
	uint32_t silence_timeout_s; /* default 120: a recording without any record is closed */
	uint32_t commit_ms;         /* default 50: group commit interval */
	uint32_t segment_mb;        /* default 64 */
	struct config_store store;
	char *http_socket;    /* default RUN/recorder.sock */
	char *receipt_socket; /* default RUN/receipt.sock, control listens there */
};

/* Digest credentials: HA1 = H(extension:realm:password) in lower-case hex; the password itself is
 * nowhere. */
struct config_user {
	char *extension;
	char *name;   /* display name; default the extension */
	char *md5;    /* 32 hex digits or NULL */
	char *sha256; /* 64 hex digits or NULL */
};

/* What requests without credentials are challenged with; answers in either algorithm are taken.
 * Phones older than RFC 8760 may give up at the sight of anything but MD5. */
enum config_digest { CONFIG_DIGEST_BOTH, CONFIG_DIGEST_MD5, CONFIG_DIGEST_SHA256 };

enum config_verify_clients {
	CONFIG_VERIFY_CLIENTS_NONE,
	CONFIG_VERIFY_CLIENTS_OPTIONAL,
	CONFIG_VERIFY_CLIENTS_REQUIRE,
};

/* SIP over TLS and WSS; files in PEM. */
struct config_tls {
	char *certificate; /* default DATA/tls/certificate.pem */
	char *key;         /* default DATA/tls/key.pem */
	bool self_signed;  /* not read: neither is given, so control makes them when absent */
	char *ca;          /* who peers' certificates come from; NULL = servers are not verified */
	enum config_verify_clients verify_clients; /* default none; the others need ca */
};

enum config_transport {
	CONFIG_TRANSPORT_AUTO,
	CONFIG_TRANSPORT_UDP,
	CONFIG_TRANSPORT_TCP,
	CONFIG_TRANSPORT_TLS
};

/* A carrier or another exchange. Its password is needed in clear unless HA1 digests (with realm)
 * stand in for it; neither is ever logged. */
struct config_trunk {
	char *name;                      /* unique, at most 31 letters, digits and -_. */
	char *host;                      /* name (NAPTR, SRV, A, AAAA) or address */
	uint32_t port;                   /* 0 = by DNS */
	enum config_transport transport; /* default auto: by DNS, UDP for an address */
	char *user;                      /* our name there; NULL = none */
	char *auth_user;                 /* default user */
	char *password;                  /* or NULL */
	char *password_file;             /* its first line is the password; or NULL */
	char *md5;                       /* HA1 in place of a password, with realm; or NULL */
	char *sha256;                    /* likewise */
	char *realm;               /* the only one that credentials are given to; NULL = any */
	int registers;             /* key "register"; 0 or 1, default 0 */
	uint32_t expires_s;        /* of the registration, default 600 */
	uint32_t options_s;        /* between OPTIONS that show whether it is up, default 30 */
	uint32_t calls;            /* most at once; 0 = no limit */
	uint32_t calls_per_second; /* new ones, both directions; 0 = no limit */
	char **match;              /* addresses that its calls come from, besides those of host */
	uint32_t match_count;
	int trusted; /* RFC 3325: identities go to it and come from it; 0 or 1, default 0 */
};

/* Numbers with this prefix go to that trunk; the longest prefix wins, and of several with the same
 * one the first whose trunk can take a call. */
struct config_route {
	char *prefix; /* "" = every number */
	char *trunk;
	uint32_t strip; /* characters taken from the front */
	char *prepend;  /* put in front then; default "" */
};

/* A number that trunks call us by. */
struct config_did {
	char *number;
	char *extension;
};

enum config_recording { CONFIG_RECORD_NONE, CONFIG_RECORD_ALL };

/* What a stranger's address may do before it is banned (control/b2bua/bans.h). */
struct config_security {
	char **allow; /* networks that are never banned: "192.0.2.0/24"; loopback never is */
	uint32_t allow_count;
	uint32_t failures;            /* wrong credentials in window_s, default 10 */
	uint32_t window_s;            /* default 300 */
	uint32_t ban_s;               /* the first ban, default 60; then 10 and 60 times that */
	uint32_t ban_max_s;           /* and from then on, default 86400 */
	uint32_t requests_per_second; /* per address, default 500; ten times with a registration */
	uint32_t numbers;             /* different ones tried without credentials, default 25 */
	uint32_t sources;             /* addresses remembered, default 16384 */
};

struct config_control {
	char **listen; /* "udp:0.0.0.0:5060"; also tcp, tls, ws, wss; default udp and tcp on 5060,
			  tls on 5061, both families */
	uint32_t listen_count;
	struct config_tls tls;
	char *realm;       /* default "tandem" */
	char *dataplane;   /* ng address: "unix:PATH", "udp:HOST:PORT"; default unix:RUN/ng.sock */
	char *journal;     /* default DATA/journal */
	char *records;     /* "sqlite:PATH" or "postgresql://…"; default sqlite:DATA/records.db */
	char *http;        /* "127.0.0.1:8088" or NULL = off; needs the admin secret */
	char *http_socket; /* default RUN/control.sock */
	char *admin_sha256; /* SHA-256 of the admin secret, hex; NULL = http on TCP is off */
	enum config_recording recording; /* default all */
	enum config_digest digest;       /* default both */
	uint32_t ring_timeout_s;         /* default 60 */
	uint32_t calls;                  /* most at once, default 1000 */
	uint32_t registrations;          /* most at once, default 10000 */
	uint32_t calls_per_second;       /* more get 503, default 10000 */
	uint32_t delay_limit_ms; /* so do new calls when messages wait longer, default 200 */
	uint32_t trace_mb; /* memory for the last messages (tandemctl trace), default 16, 0 = off */
	struct config_security security;
	char *echo_extension; /* default "600" */
	struct config_user *users;
	uint32_t users_count;
	struct config_trunk *trunks;
	uint32_t trunks_count;
	struct config_route *routes;
	uint32_t routes_count;
	struct config_did *dids;
	uint32_t dids_count;
	char *dns; /* name servers, "192.0.2.53,[2001:db8::53]:5353"; NULL = the system's */
};

struct config {
	char *run_dir;  /* RUN, default /run/tandem */
	char *data_dir; /* DATA, default /var/lib/tandem */
	char *user; /* recorder and control run as this user; NULL = do not change; also group of
		       sockets */
	char *log_level_text;
	enum log_level log_level; /* default info */
	struct config_dataplane dataplane;
	struct config_recorder recorder;
	struct config_control control;
};

#define CONFIG_ERROR_MAX 512

/* Reads and checks the file. On failure returns -errno (-EINVAL: content) and error holds one line
 * "FILE:LINE: what was found, what was expected". The caller frees with config_free. */
int config_load(const char *path, struct config **config, char error[CONFIG_ERROR_MAX]);
void config_free(struct config *config);
