/*
 * Several dataplanes may run on one machine (in namespaces of their own), so nothing is shared with
 * other DPDK processes: memory is anonymous (--in-memory, or --no-shconf without huge pages), there
 * is no telemetry socket. Main and
 * workers may share a CPU, as on a machine with one or two.
 */
#include "dataplane/main/eal.h"

#include "dataplane/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define HUGE_DIR        "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define MBUF_BYTES      2688 /* with the pool's own overhead, rounded up */
#define EAL_RESERVE_MB  32   /* rings, device state, the environment itself */
#define ARGUMENTS_MAX   64

/* ---- DPDK's log lines become ours ---- */

/* DPDK logs through one stream per process, so its last complaint is kept per process too. */
static char last_message[256] = "nothing more is known";

const char *eal_last_message(void)
{
	return last_message;
}

/* Its drivers complain of much that does not matter (no multiq qdisc, no MAC on lo): debug lines.
 * What made something fail goes into the line that says so. */
static ssize_t log_write(void *cookie, const char *text, size_t n)
{
	size_t len = n;

	(void)cookie;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (len == 0)
		return (ssize_t)n;
	if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_ERR)
		snprintf(last_message, sizeof(last_message), "%.*s", (int)len, text);
	log_debug("DPDK: %.*s", (int)len, text);
	return (ssize_t)n;
}

static void log_open(void)
{
	cookie_io_functions_t functions = {.write = log_write};
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream == NULL)
		return;
	setvbuf(stream, NULL, _IOLBF, 1024);
	rte_openlog_stream(stream);
	rte_log_set_global_level(RTE_LOG_NOTICE);
}

/* ---- huge pages ---- */

static int64_t huge_read(const char *file)
{
	char path[128];
	int64_t value = -1;
	FILE *f;

	snprintf(path, sizeof(path), HUGE_DIR "%s", file);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

static void huge_write(int64_t pages)
{
	FILE *f = fopen(HUGE_DIR "nr_hugepages", "we");

	if (f == NULL)
		return;
	fprintf(f, "%ld\n", pages);
	fclose(f);
}

/* True when so many bytes of 2 MiB pages are free, after reserving more if need be. */
static bool huge_reserve(uint64_t bytes)
{
	int64_t need = (int64_t)((bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES);
	int64_t total = huge_read("nr_hugepages");
	int64_t available = huge_read("free_hugepages");

	if (total < 0 || available < 0)
		return false;
	if (available >= need)
		return true;
	huge_write(total + need - available);
	if (huge_read("free_hugepages") >= need) {
		log_info("hugepages reserved: %ld of 2 MB", need - available);
		return true;
	}
	huge_write(total);
	return false;
}

/* ---- start ---- */

struct arguments {
	int n;
	char *v[ARGUMENTS_MAX];
};

static void __attribute__((format(printf, 2, 3))) add(struct arguments *a, const char *format, ...)
{
	va_list list;

	if (a->n >= ARGUMENTS_MAX)
		return;
	va_start(list, format);
	if (vasprintf(&a->v[a->n], format, list) >= 0)
		a->n++;
	va_end(list);
}

/* "0@(0-1),1@(0-1)" with the CPUs that the process may use. */
static void add_lcores(struct arguments *a, uint32_t workers)
{
	char cpus[256] = "", lcores[4096] = "";
	size_t used = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE && used < sizeof(cpus) - 8; cpu++) {
		if (CPU_ISSET(cpu, &set))
			used += (size_t)snprintf(cpus + used, sizeof(cpus) - used, "%s%d",
						 used ? "," : "", cpu);
	}
	used = 0;
	for (uint32_t i = 0; i <= workers && used < sizeof(lcores); i++)
		used += (size_t)snprintf(lcores + used, sizeof(lcores) - used, "%s%u@(%s)",
					 i ? "," : "", i, cpus);
	add(a, "--lcores");
	add(a, "%s", lcores);
}

/* PCI drivers are many and slow to load: all of them only when there is a PCI port. */
static void add_drivers(struct arguments *a, const struct port *ports, uint32_t ports_count)
{
	static const char *const drivers[] = {"bus_vdev",   "bus_pci",       "mempool_ring",
					      "net_af_xdp", "net_af_packet", "net_tap",
					      "net_memif",  "net_null"};
	bool pci = false;

	for (uint32_t i = 0; i < ports_count; i++) {
		if (ports[i].kind != CONFIG_PORT_PCI)
			continue;
		pci = true;
		add(a, "-a");
		add(a, "%s", ports[i].conf->device);
	}
	if (pci)
		return;
	add(a, "--no-pci");
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		add(a, "-d");
		add(a, "librte_%s.so", drivers[i]);
	}
}

int eal_start(const struct config_dataplane *config, const struct port *ports, uint32_t ports_count,
	      uint32_t mbufs)
{
	uint64_t bytes = (uint64_t)mbufs * MBUF_BYTES + ((uint64_t)EAL_RESERVE_MB << 20);
	struct arguments a = {0};
	int rc;

	log_open();
	add(&a, "tandem-dataplane");
	add(&a, "--no-telemetry");
	add_lcores(&a, config->workers);
	add_drivers(&a, ports, ports_count);
	if (config->hugepages && huge_reserve(bytes)) {
		log_info("memory: hugepages, %lu MB wanted", bytes >> 20);
		add(&a, "--in-memory");
	} else {
		uint64_t mb = config->memory_mb > bytes >> 20 ? config->memory_mb : bytes >> 20;

		log_info("memory: %lu MB without hugepages", mb);
		add(&a, "--no-huge"); /* does not go together with --in-memory */
		add(&a, "--no-shconf");
		add(&a, "-m");
		add(&a, "%lu", mb);
	}
	rc = rte_eal_init(a.n, a.v);
	if (rc < 0) {
		rc = -rte_errno;
		log_error("DPDK environment did not start: %s (%s)", rte_strerror(rte_errno),
			  last_message);
	}
	/* The environment keeps pointers into its arguments. */
	return rc < 0 ? rc : 0;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}

struct rte_mempool *eal_pool_create(uint32_t mbufs)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create("packets", mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					SOCKET_ID_ANY);

	if (pool == NULL)
		log_error("packet pool of %u was not created: %s", mbufs, rte_strerror(rte_errno));
	return pool;
}
