/* The questions of owned ports: who has this address? */
#pragma once

#include "dataplane/base/address.h"

#include <stdint.h>

#define SOLICIT_BYTES_MAX 86

/* Writes an ARP request (IPv4, RFC 826) or a neighbour solicitation (IPv6, RFC 4861 4.3) frame for
 * target, of the same family as source; returns its length. */
uint32_t solicit_build(uint8_t frame[SOLICIT_BYTES_MAX], const uint8_t mac[6],
		       const struct address *source, const struct address *target);
