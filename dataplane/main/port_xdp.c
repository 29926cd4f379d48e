/*
 * Shared ports by AF_XDP. DPDK's driver loads our program from a file; the file is a memfd with the
 * object that was compiled in. The driver does not hand out the program's maps, so they are filled
 * through the program that is attached to the device afterwards; until then nothing matches.
 */
#include "dataplane/main/port.h"

#include "dataplane/base/log.h"
#include "dataplane/main/media_bpf.h"
#include "dataplane/main/netdev.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROGRAM_NAME "tandem_media"

/* The id of the XDP program on the device and its mode, 0 = none. */
static uint32_t program_attached(int ifindex, uint32_t *flags)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query(ifindex, 0, &query) < 0)
		return 0;
	*flags = query.attach_mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	return query.attach_mode == XDP_ATTACHED_MULTI ? 0 : query.prog_id;
}

static bool program_is_ours(uint32_t id)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);
	bool ours;

	if (fd < 0)
		return false;
	ours = bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && strcmp(info.name, PROGRAM_NAME) == 0;
	close(fd);
	return ours;
}

/* A program that an earlier dataplane left behind (kill -9) would be in the way. */
static int program_clear(const struct port *port)
{
	uint32_t flags = 0;
	uint32_t id = program_attached(port->ifindex, &flags);

	if (id == 0)
		return 0;
	if (!program_is_ours(id)) {
		log_warn("port %s: another XDP program (id %u) is on %s", port->name, id,
			 port->conf->device);
		return -EBUSY;
	}
	return bpf_xdp_detach(port->ifindex, flags, NULL);
}

static int program_file(struct port *port)
{
	if (port->program_fd >= 0)
		return 0;
	port->program_fd = memfd_create("tandem-media-xdp", MFD_CLOEXEC);
	if (port->program_fd < 0)
		return -errno;
	if (write(port->program_fd, media_bpf, sizeof(media_bpf)) != sizeof(media_bpf))
		return -EIO;
	return 0;
}

static int device_open(struct port *port, struct rte_mempool *pool, bool force_copy)
{
	char device[32], arguments[512];

	snprintf(device, sizeof(device), "net_af_xdp%u", port->index);
	/* busy_budget=0: the kernel's softirq moves packets, we sleep when there are none. */
	snprintf(arguments, sizeof(arguments),
		 "iface=%s,start_queue=0,queue_count=%u,busy_budget=0,xdp_prog=/proc/self/fd/"
		 "%d%s%s%s",
		 port->conf->device, port->queues, port->program_fd,
		 force_copy ? ",force_copy=1" : "", port->conf->arguments ? "," : "",
		 port->conf->arguments ? port->conf->arguments : "");
	return port_vdev_open(port, device, arguments, pool);
}

static int maps_fill(const struct port *port, const struct port_media *media)
{
	uint32_t flags = 0;
	uint32_t id = program_attached(port->ifindex, &flags);
	int rc;

	if (id == 0 || !program_is_ours(id))
		return -ENOENT;
	rc = media_maps_fill(id, media);
	if (rc == 0)
		log_debug("port %s: XDP program id %u, %s", port->name, id,
			  flags == XDP_FLAGS_SKB_MODE ? "generic" : "native");
	return rc;
}

static int print_nothing(enum libbpf_print_level level, const char *format, va_list list)
{
	(void)level, (void)format, (void)list;
	return 0;
}

int port_xdp_open(struct port *port, const struct port_media *media, struct rte_mempool *pool)
{
	uint32_t queues = port_queues_expected(port);
	uint32_t spread = netdev_rx_queues(port->conf->device);
	int rc;

	libbpf_set_print(print_nothing);
	if (spread > queues)
		log_warn("port %s: %s receives on %u queues, of which %u can be read: set it to %u",
			 port->name, port->conf->device, spread, queues, queues);
	rc = program_clear(port);
	if (rc == 0)
		rc = program_file(port);
	if (rc < 0)
		return rc;
	port->queues = (uint16_t)queues;
	rc = device_open(port, pool, false);
	if (rc < 0) {
		program_clear(port);
		port->queues = (uint16_t)queues;
		rc = device_open(port, pool, true);
	}
	if (rc < 0)
		return rc;
	rc = maps_fill(port, media);
	if (rc < 0)
		port_device_close(port);
	return rc;
}

void port_xdp_close(struct port *port)
{
	program_clear(port); /* the driver has taken it away; this is for the case that not */
	if (port->program_fd >= 0)
		close(port->program_fd);
	port->program_fd = -1;
}
