/*
 * The workers' counters: what came, what left, and every reason for which a packet did not. One set
 * per worker, which alone writes it; the slow path reads them with relaxed loads and adds them up
 * (counter_sum).
 */
#pragma once

#include "dataplane/session/flow_worker.h"

#include <stdatomic.h>
#include <stdint.h>

/* Those from DROP_FIRST on are verdicts on one packet (enum counter fits struct packet.verdict). */
#define COUNTERS(X)                                                                                \
	X(COUNTER_NONE, "none")                                                                    \
	X(COUNTER_RX_PACKETS, "rx.packets")                                                        \
	X(COUNTER_RX_BYTES, "rx.bytes")                                                            \
	X(COUNTER_TX_PACKETS, "tx.packets")                                                        \
	X(COUNTER_TX_BYTES, "tx.bytes")                                                            \
	X(COUNTER_HOST_ANSWERED, "host.answered")                                                  \
	X(COUNTER_HOST_LEARNT, "host.learnt")                                                      \
	X(COUNTER_HANDOFF, "worker.handoff")                                                       \
	X(COUNTER_FORK_PACKETS, "fork.packets")                                                    \
	X(COUNTER_FORK_RTCP, "fork.rtcp")                                                          \
	X(COUNTER_FORK_OVERRUN, "fork.overrun")                                                    \
	X(COUNTER_FORK_RTCP_OVERRUN, "fork.rtcp_overrun")                                          \
	X(COUNTER_FORK_COMMANDS, "fork.commands")                                                  \
	X(COUNTER_FORK_WAITS, "fork.command_waits")                                                \
	X(COUNTER_HOP_ASKED, "hop.asked")                                                          \
	X(COUNTER_HOP_ASK_FULL, "hop.ask_full")                                                    \
	X(COUNTER_SLEEPS, "worker.sleeps")                                                         \
	X(DROP_NOT_UDP, "drop.not_udp")                                                            \
	X(DROP_BAD_HEADER, "drop.bad_header")                                                      \
	X(DROP_BAD_SOURCE, "drop.bad_source")                                                      \
	X(DROP_OTHER_HOST, "drop.other_host")                                                      \
	X(DROP_FRAGMENT, "drop.fragment")                                                          \
	X(DROP_NO_FLOW, "drop.no_flow")                                                            \
	X(DROP_STUN, "drop.stun")                                                                  \
	X(DROP_DTLS, "drop.dtls")                                                                  \
	X(DROP_NOT_MEDIA, "drop.not_media")                                                        \
	X(DROP_STRICT_SOURCE, "drop.strict_source")                                                \
	X(DROP_BAD_RTP, "drop.bad_rtp")                                                            \
	X(DROP_BAD_RTCP, "drop.bad_rtcp")                                                          \
	X(DROP_BLOCKED, "drop.blocked")                                                            \
	X(DROP_NO_SINK, "drop.no_sink")                                                            \
	X(DROP_NO_REMOTE, "drop.no_remote")                                                        \
	X(DROP_NO_NEXT_HOP, "drop.no_next_hop")                                                    \
	X(DROP_NO_HEADROOM, "drop.no_headroom")                                                    \
	X(DROP_TX_FULL, "drop.tx_full")                                                            \
	X(DROP_HANDOFF_FULL, "drop.handoff_full")

enum counter {
#define COUNTER_ENUM(name, text) name,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
		COUNTER_COUNT
};
#define DROP_FIRST DROP_NOT_UDP
_Static_assert(COUNTER_COUNT <= 250, "a verdict fits a byte");

struct counter_set {
	_Alignas(64) _Atomic uint64_t values[COUNTER_COUNT];
};

/* By the owning worker only. */
static inline void counter_add(struct counter_set *set, enum counter counter, uint64_t n)
{
	flow_count(&set->values[counter], n);
}

/* "drop.no_flow" and so on; NULL for no counter. */
const char *counter_name(enum counter counter);
