/*
 * The admin secret: who presents it in "Authorization: Bearer SECRET" may use the API over TCP.
 * Only its SHA-256 is known here. An address that fails too often is not listened to for a while.
 */
#pragma once

#include "dataplane/base/address.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define AUTH_SOURCES         64 /* addresses remembered; the oldest is forgotten */
#define AUTH_FAILURES        5  /* in AUTH_WINDOW_S, then 429 */
#define AUTH_WINDOW_S        60
#define AUTH_SECRET_HEX_SIZE 64

enum auth_verdict { AUTH_GRANTED, AUTH_MISSING, AUTH_WRONG, AUTH_TOO_OFTEN };

struct auth_source {
	struct address address; /* IPv6: its /64 */
	uint32_t failures;
	uint64_t since_ms;
};

struct auth {
	uint8_t sha256[32];
	pthread_mutex_t lock; /* of sources */
	struct auth_source sources[AUTH_SOURCES];
};

/* sha256_hex: 64 hex digits. -EINVAL. */
int auth_init(struct auth *auth, const char *sha256_hex);
void auth_fini(struct auth *auth);
/* authorization: the header's value or NULL. now_ms: CLOCK_MONOTONIC. Any thread. */
enum auth_verdict auth_check(struct auth *auth, const char *authorization,
			     const struct address *source, uint64_t now_ms);
