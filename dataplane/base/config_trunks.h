/* Trunks, routes and direct numbers of the configuration. Private to config. */
#pragma once

#include "dataplane/base/config.h"

/* Puts defaults in. -ENOMEM. */
int config_fill_trunks(struct config_control *control);
/* -EINVAL with "FILE:LINE: what was found, what was expected" in error. */
int config_check_trunks(const struct config_control *control, const char *file_path,
			char error[CONFIG_ERROR_MAX]);
