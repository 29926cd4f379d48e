/* What operators see of a trunk. */
#pragma once

#include "dataplane/base/address.h"

#include <stdint.h>

struct trunk_view {
	const char *name; /* texts live during the call that shows the view */
	const char *host;
	const char *state;                 /* "up", "down", "unknown" */
	const char *registration;          /* "none", "registered", "registering", "failed" */
	const char *problem;               /* what went wrong last; "" = nothing */
	char place[ENDPOINT_TEXT_MAX + 8]; /* "udp:192.0.2.1:5060"; "" = not found */
	uint32_t calls;                    /* now */
	uint32_t calls_max;                /* 0 = no limit */
	uint64_t calls_in;
	uint64_t calls_out;
	uint64_t calls_refused; /* beyond its limits, or while it was down */
	uint64_t expires_s;     /* until the registration ends; 0 = not registered */
};

typedef void trunk_view_fn(void *arg, const struct trunk_view *view);
