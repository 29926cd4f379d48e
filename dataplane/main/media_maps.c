/* Fills the maps of our kernel programs (dataplane/main/xdp/media.h). They are found through the
 * program itself, as it was others (DPDK, libbpf) who loaded it. */
#include "dataplane/main/port.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_MAPS_MAX 8

struct media_range {
	uint32_t port_min;
	uint32_t port_max;
};

static int addresses_fill(int map, const struct port_media *media)
{
	uint32_t one = 1;

	for (uint32_t i = 0; i < media->addresses_count; i++) {
		if (bpf_map_update_elem(map, media->addresses[i].ip, &one, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int range_fill(int map, const struct port_media *media)
{
	struct media_range range = {media->port_min, media->port_max};
	uint32_t first = 0;

	return bpf_map_update_elem(map, &first, &range, BPF_ANY) < 0 ? -errno : 0;
}

static int map_fill(uint32_t id, const struct port_media *media)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		rc = -errno;
	else if (strcmp(info.name, "media_address") == 0)
		rc = addresses_fill(fd, media);
	else if (strcmp(info.name, "media_range") == 0)
		rc = range_fill(fd, media);
	close(fd);
	return rc;
}

int media_maps_fill(uint32_t program_id, const struct port_media *media)
{
	uint32_t ids[PROGRAM_MAPS_MAX];
	struct bpf_prog_info info = {.nr_map_ids = PROGRAM_MAPS_MAX,
				     .map_ids = (uint64_t)(uintptr_t)ids};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(program_id);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		rc = -errno;
	close(fd);
	for (uint32_t i = 0; rc == 0 && i < info.nr_map_ids && i < PROGRAM_MAPS_MAX; i++)
		rc = map_fill(ids[i], media);
	return rc;
}
