/* A PostgreSQL server of the test's own: scratch directory, Unix socket only. */
#pragma once

#include <stdbool.h>

struct postgres;

bool postgres_is_installed(void);

/* Makes and starts one; NULL where there is none installed or it may not run. As root it runs as
 * the user postgres. */
struct postgres *postgres_start(void);
/* "postgresql://..." */
const char *postgres_target(const struct postgres *postgres);
/* Stops (immediately, as after a crash) and starts again on the same files. */
void postgres_halt(struct postgres *postgres);
bool postgres_resume(struct postgres *postgres);
/* SIGSTOP and SIGCONT for all its processes. */
void postgres_freeze(struct postgres *postgres, bool frozen);
void postgres_destroy(struct postgres *postgres);
