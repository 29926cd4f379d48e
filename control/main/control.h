/* The daemon's root: everything that control is made of, started and stopped in one order. */
#pragma once

#include "control/admin/admin.h"
#include "control/b2bua/b2bua.h"
#include "control/pbx/pbx.h"
#include "control/tiers/journal.h"
#include "control/tiers/receipts.h"
#include "control/tiers/records_tier.h"
#include "dataplane/base/config.h"

struct control {
	const char *config_path;
	struct config *config; /* as read at start; reload reads another for the users */
	struct loop *loop;
	struct journal *journal;
	struct records_tier *records;
	struct ng_client *ng;
	struct ng_arena *arena; /* of pings */
	struct board *board;
	struct pbx *pbx;
	struct b2bua *b2bua;
	struct sip_resolver *resolver;
	struct receipts *receipts;
	struct admin *admin;
	struct timer sweep_timer;
	bool stopping;
};

/* Starts all parts; what is missing in the outside world (dataplane, records store) is no error.
 * -errno, logged; then control_close() all the same. */
int control_open(struct control *control);
/* Begins the clean stop: calls end, then the loop does. A second one stops at once. */
void control_stop(struct control *control);
/* Reads the configuration again and takes its users and certificates; connections stay. 0, or
 * -errno and a sentence in error. */
int control_reload(struct control *control, char error[CONFIG_ERROR_MAX]);
void control_close(struct control *control);
