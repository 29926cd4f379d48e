/*
 * Shared ports by AF_PACKET, where XDP is missing. The packet socket gets a copy of everything, so
 * a socket filter leaves only media in it, and only what arrives (on `lo` each frame passes twice).
 * The kernel's own copy of media is dropped behind the packet socket by a traffic control filter,
 * lest the kernel answer "port unreachable".
 */
#include "dataplane/main/port.h"

#include "dataplane/base/log.h"
#include "dataplane/main/eal.h"
#include "dataplane/main/media_drop_bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TC_HANDLE   1
#define TC_PRIORITY 0x7464

/* ---- the socket's filter ---- */

/*
 * Takes UDP to the port range, addressed to this host. IPv4 fragments are left to the kernel's
 * copy, which traffic control does not drop either. The addresses are checked in stage parse.
 */
static int filter_attach(int fd, const struct port_media *media)
{
	struct sock_filter code[] = {
		/* 0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		/* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 16),
		/* 2 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		/* 3 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x86dd, 0, 4),
		/* 4 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 6),
		/* 5 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 12),
		/* 6 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14 + 40 + 2),
		/* 7 */ BPF_STMT(BPF_JMP | BPF_JA, 7),
		/* 8 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 9),
		/* 9 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 9),
		/* 10 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 7),
		/* 11 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14 + 6),
		/* 12 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 5, 0),
		/* 13 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
		/* 14 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 14 + 2),
		/* 15 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, media->port_min, 0, 2),
		/* 16 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, media->port_max, 1, 0),
		/* 17 */ BPF_STMT(BPF_RET | BPF_K, 0x40000),
		/* 18 */ BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}

/* ---- the kernel's copy ---- */

static int tc_attach(const struct port *port, struct bpf_object *object,
		     const struct port_media *media)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = port->ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	int rc;

	rc = bpf_object__load(object);
	if (rc < 0)
		return rc;
	opts.prog_fd = bpf_program__fd(bpf_object__next_program(object, NULL));
	rc = bpf_tc_hook_create(&hook);
	if (rc < 0 && rc != -EEXIST)
		return rc;
	rc = bpf_tc_attach(&hook, &opts);
	return rc < 0 ? rc : media_maps_fill(opts.prog_id, media);
}

/* The filter stays with the device when the object is closed. */
static int tc_open(struct port *port, const struct port_media *media)
{
	struct bpf_object *object =
		bpf_object__open_mem(media_drop_bpf, sizeof(media_drop_bpf), NULL);
	int rc;

	if (object == NULL)
		return -errno;
	rc = tc_attach(port, object, media);
	bpf_object__close(object);
	port->tc = rc == 0;
	return rc;
}

static void tc_close(struct port *port)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = port->ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	if (port->tc)
		bpf_tc_detach(&hook, &opts);
	port->tc = false;
}

/* ---- the device ---- */

static int print_nothing(enum libbpf_print_level level, const char *format, va_list list)
{
	(void)level, (void)format, (void)list;
	return 0;
}

int port_packet_open(struct port *port, const struct port_media *media, struct rte_mempool *pool)
{
	char device[32], arguments[512];
	int rc;

	libbpf_set_print(print_nothing);
	snprintf(device, sizeof(device), "net_af_packet%u", port->index);
	snprintf(arguments, sizeof(arguments), "iface=%s,qpairs=1,framecnt=4096,qdisc_bypass=1%s%s",
		 port->conf->device, port->conf->arguments ? "," : "",
		 port->conf->arguments ? port->conf->arguments : "");
	port->queues = 1;
	rc = port_vdev_open(port, device, arguments, pool);
	if (rc < 0) {
		log_error("port %s: AF_PACKET does not open on %s: %s (%s)", port->name,
			  port->conf->device, strerror(-rc), eal_last_message());
		return rc;
	}
	for (uint32_t i = 0; rc == 0 && i < port->fds_count; i++)
		rc = filter_attach(port->fds[i], media);
	if (rc < 0 || port->fds_count == 0) {
		log_error("port %s: packet filter does not attach: %s", port->name, strerror(-rc));
		port_device_close(port);
		return rc < 0 ? rc : -ENOENT;
	}
	rc = tc_open(port, media);
	if (rc < 0)
		log_warn("port %s: no traffic control filter on %s (%s): the kernel will answer "
			 "media with ICMP",
			 port->name, port->conf->device, strerror(-rc));
	return 0;
}

void port_packet_close(struct port *port)
{
	tc_close(port);
}
