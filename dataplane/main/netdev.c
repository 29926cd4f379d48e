/* Network devices as /proc, /sys, ioctl and getifaddrs show them. */
#include "dataplane/main/netdev.h"

#include "dataplane/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A line of /proc/net/route: device, destination, gateway, flags, ..., mask at column 8. */
static int default_v4(char name[IFNAMSIZ])
{
	char line[256], device[64], destination[16], mask[16];
	FILE *routes = fopen("/proc/net/route", "re");
	int rc = -ENOENT;

	if (routes == NULL)
		return -errno;
	while (rc != 0 && fgets(line, sizeof(line), routes) != NULL) {
		if (sscanf(line, "%63s %15s %*s %*s %*s %*s %*s %15s", device, destination, mask) !=
		    3)
			continue;
		if (strcmp(destination, "00000000") == 0 && strcmp(mask, "00000000") == 0) {
			snprintf(name, IFNAMSIZ, "%.15s", device);
			rc = 0;
		}
	}
	fclose(routes);
	return rc;
}

/* A line of /proc/net/ipv6_route: destination, prefix length, ..., device at the end. */
static int default_v6(char name[IFNAMSIZ])
{
	static const char none[] = "00000000000000000000000000000000";
	char line[256], device[64], destination[40], prefix[8];
	FILE *routes = fopen("/proc/net/ipv6_route", "re");
	int rc = -ENOENT;

	if (routes == NULL)
		return -errno;
	while (rc != 0 && fgets(line, sizeof(line), routes) != NULL) {
		if (sscanf(line, "%39s %7s %*s %*s %*s %*s %*s %*s %*s %63s", destination, prefix,
			   device) != 3)
			continue;
		if (strcmp(destination, none) == 0 && strcmp(prefix, "00") == 0 &&
		    strcmp(device, "lo") != 0) {
			snprintf(name, IFNAMSIZ, "%.15s", device);
			rc = 0;
		}
	}
	fclose(routes);
	return rc;
}

int netdev_default(char name[IFNAMSIZ])
{
	int rc = default_v4(name);

	return rc == 0 ? 0 : default_v6(name);
}

int netdev_index(const char *name)
{
	unsigned int index = if_nametoindex(name);

	return index == 0 ? -errno : (int)index;
}

static int device_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	rc = ioctl(fd, request, ifr) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int netdev_mac(const char *name, uint8_t mac[6])
{
	struct ifreq ifr = {0};
	int rc = device_ioctl(name, SIOCGIFHWADDR, &ifr);

	if (rc == 0)
		memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return rc;
}

static bool is_link_local(const struct address *a)
{
	return a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

int netdev_addresses(const char *name, struct address *addresses, uint32_t max)
{
	struct ifaddrs *all, *at;
	struct endpoint e;
	uint32_t n = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (at = all; at != NULL && n < max; at = at->ifa_next) {
		if (at->ifa_addr == NULL || strcmp(at->ifa_name, name) != 0)
			continue;
		if (endpoint_from_sockaddr(&e, at->ifa_addr) < 0 || is_link_local(&e.address))
			continue;
		addresses[n++] = e.address;
	}
	freeifaddrs(all);
	return (int)n;
}

uint32_t netdev_queues(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq ifr = {.ifr_data = (void *)&channels};

	if (device_ioctl(name, SIOCETHTOOL, &ifr) < 0 || channels.combined_count == 0)
		return 1;
	return channels.combined_count;
}

uint32_t netdev_rx_queues(const char *name)
{
	char path[64 + IFNAMSIZ];
	struct dirent *entry;
	uint32_t n = 0;
	DIR *queues;

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", name);
	queues = opendir(path);
	if (queues == NULL)
		return 1;
	while ((entry = readdir(queues)) != NULL)
		n += strncmp(entry->d_name, "rx-", 3) == 0;
	closedir(queues);
	return n > 0 ? n : 1;
}

int netdev_sysctl(const char *path, const char *value)
{
	char full[128], now[32];
	ssize_t n;
	int fd;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	fd = open(full, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, now, sizeof(now) - 1);
	if (n > 0 && (size_t)n >= strlen(value) && strncmp(now, value, strlen(value)) == 0 &&
	    ((size_t)n == strlen(value) || now[strlen(value)] == '\n')) {
		close(fd);
		return 0;
	}
	n = pwrite(fd, value, strlen(value), 0);
	close(fd);
	if (n < 0)
		return -errno;
	log_info("sysctl %s set to %s", path, value);
	return 0;
}
