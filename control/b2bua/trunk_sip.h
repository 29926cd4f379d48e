/* The parts of the SIP stack that the exchange's trunks work with on their own: the exchange asks
 * for them here and nowhere else. */
#pragma once

#include "control/sip/auth_client.h"
#include "control/sip/resolver.h"
#include "control/sip/stack.h"
