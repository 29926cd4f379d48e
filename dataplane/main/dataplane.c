/* Start and stop of everything, in order and in reverse. */
#include "dataplane/main/dataplane.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/main/eal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT_REUSE_MS 1000 /* late packets of an ended call do not meet the next one */

#define MBUFS_PER_QUEUE 8192 /* AF_XDP: 2048 each to fill, received, to send, completed */
#define DRAIN_MS        500

/* ---- parts of the start ---- */

/* The sockets belong to the group of the user that the other daemons run as. */
static int group_find(struct dataplane *d)
{
	const struct passwd *user;

	d->gid = (gid_t)-1;
	if (d->config->user == NULL)
		return 0;
	user = getpwnam(d->config->user);
	if (user == NULL) {
		log_error("user %s does not exist", d->config->user);
		return -ENOENT;
	}
	d->gid = user->pw_gid;
	return 0;
}

static int run_dir_make(const struct dataplane *d)
{
	const char *dir = d->config->run_dir;

	if (mkdir(dir, 0775) == 0) {
		if (d->gid != (gid_t)-1 &&
		    (chown(dir, (uid_t)-1, d->gid) < 0 || chmod(dir, 0775) < 0))
			log_warn("directory %s: %s", dir, strerror(errno));
	} else if (errno != EEXIST) {
		log_error("directory %s: %s", dir, strerror(errno));
		return -errno;
	}
	return 0;
}

static void sessions_configure(struct dataplane *d)
{
	const struct config_dataplane *conf = &d->config->dataplane;
	struct session_table_config *c = &d->sessions_config;

	c->addresses_count = d->addresses_count;
	c->port_min = (uint16_t)conf->media_port_min;
	c->port_max = (uint16_t)conf->media_port_max;
	c->workers = conf->workers;
	c->sessions = conf->sessions;
	c->media_timeout_s = conf->media_timeout_s;
	c->port_reuse_ms = PORT_REUSE_MS;
	c->drops = dataplane_drops;
	c->drops_arg = d;
	random_bytes(&c->seed, sizeof(c->seed));
}

static int flows_create(struct dataplane *d)
{
	const struct config_dataplane *conf = &d->config->dataplane;
	struct flow_table_config c = {.addresses_count = d->addresses_count,
				      .port_min = (uint16_t)conf->media_port_min,
				      .port_max = (uint16_t)conf->media_port_max,
				      .workers = conf->workers,
				      .conf_max = session_table_flows_max(&d->sessions_config)};
	int rc;

	memcpy(c.addresses, d->addresses, sizeof(c.addresses));
	rc = flow_table_create(&d->flows, &c);
	if (rc == 0)
		rc = hop_table_create(&d->hops, conf->workers);
	if (rc < 0)
		log_error("flow table was not created: %s", strerror(-rc));
	return rc;
}

static int rings_create(struct dataplane *d)
{
	uint64_t generation = clock_real_ns();
	struct fork_server_config config = {.path = d->config->dataplane.fork_socket,
					    .gid = d->gid,
					    .fds = d->ring_fds,
					    .fds_count = d->config->dataplane.workers,
					    .generation = generation};
	uint64_t bytes = (uint64_t)d->config->dataplane.fork_ring_mb << 20;

	for (uint32_t i = 0; i < config.fds_count; i++) {
		int rc = td_fork_ring_create(&d->rings[i], &d->ring_fds[i], bytes, i, generation);

		if (rc < 0) {
			log_error("fork ring of %u MB was not created: %s",
				  d->config->dataplane.fork_ring_mb, strerror(-rc));
			return rc;
		}
		d->rings_count = i + 1;
	}
	return fork_server_create(&d->fork_server, d->loop, &config);
}

static int workers_start(struct dataplane *d)
{
	struct worker_config config = {.flows = d->flows,
				       .hops = d->hops,
				       .ports = d->ports,
				       .ports_count = d->ports_count,
				       .spin = d->config->dataplane.spin};
	uint32_t count = d->config->dataplane.workers;
	uint32_t lcore;
	int rc = 0;

	d->workers = aligned_alloc(64, count * sizeof(*d->workers));
	if (d->workers == NULL)
		return -ENOMEM;
	memset(d->workers, 0, count * sizeof(*d->workers));
	d->workers_count = count;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		rc = worker_init(d->workers, count, i, &config);
		td_fork_writer_init(&d->workers[i].node.fork, d->rings[i]);
		d->workers[i].node.fork_attached = true;
	}
	if (rc < 0) {
		log_error("workers were not set up: %s", strerror(-rc));
		return rc;
	}
	d->workers_running = true;
	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		rc = rte_eal_remote_launch(worker_run, &d->workers[lcore - 1], lcore);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int sessions_create(struct dataplane *d)
{
	struct session_time now;
	struct resolver_config config = {.loop = d->loop,
					 .flows = d->flows,
					 .hops = d->hops,
					 .ports = d->ports,
					 .ports_count = d->ports_count,
					 .workers = d->workers,
					 .workers_count = d->workers_count,
					 .pool = d->pool};
	int rc = resolver_create(&d->resolver, &config);

	session_time_read(&now);
	if (rc == 0)
		rc = session_table_create(&d->sessions, &d->sessions_config, d->flows, &now);
	if (rc < 0)
		log_error("session table was not created: %s", strerror(-rc));
	return rc;
}

static int ng_open(struct dataplane *d)
{
	const struct config_dataplane *conf = &d->config->dataplane;
	struct ng_server_config config = {.unix_path = conf->ng_unix,
					  .unix_gid = d->gid,
					  .udp = conf->ng_udp,
					  .tcp = conf->ng_tcp,
					  .command = ng_command_handle,
					  .arg = &d->commands};

	ng_commands_init(&d->commands, d->sessions);
	return ng_server_create(&d->ng, d->loop, &config);
}

static int eal_and_ports(struct dataplane *d)
{
	uint32_t queues = 0, mbufs;
	int rc;

	for (uint32_t p = 0; p < d->ports_count; p++)
		queues += port_queues_expected(&d->ports[p]);
	mbufs = queues * MBUFS_PER_QUEUE + MBUFS_PER_QUEUE - 1;
	rc = eal_start(&d->config->dataplane, d->ports, d->ports_count, mbufs);
	if (rc < 0)
		return rc;
	d->eal_started = true;
	d->pool = eal_pool_create(mbufs);
	return d->pool == NULL ? -ENOMEM : ports_open(d);
}

int dataplane_start(struct dataplane *d)
{
	static int (*const steps[])(struct dataplane *) = {
		addresses_prepare, eal_and_ports,   flows_create, rings_create,
		workers_start,     sessions_create, ng_open};
	int rc = loop_create(&d->loop);

	if (rc == 0)
		rc = group_find(d);
	if (rc == 0)
		rc = run_dir_make(d);
	if (rc == 0)
		sessions_configure(d);
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
		rc = steps[i](d);
		if (steps[i] == addresses_prepare)
			d->sessions_config.addresses_count = d->addresses_count;
	}
	if (rc == 0)
		housekeeping_start(d);
	return rc;
}

/* ---- stop ---- */

/* Whether a worker has fork commands that it has not written yet. */
static bool commands_wait(const struct flow_table *flows)
{
	for (uint32_t i = 0; i < flows->workers_count; i++) {
		const struct flow_queue *ends = &flows->workers[i].ends;

		if (atomic_load(&ends->head) != atomic_load(&ends->tail))
			return true;
	}
	return false;
}

static void workers_stop(struct dataplane *d)
{
	if (!d->workers_running)
		return;
	/* The recordings' END records go out while the workers still run. */
	for (int ms = 0; ms < DRAIN_MS && commands_wait(d->flows); ms += 10)
		usleep(10000);
	for (uint32_t i = 0; i < d->workers_count; i++)
		worker_stop(&d->workers[i]);
	rte_eal_mp_wait_lcore();
	d->workers_running = false;
}

void dataplane_stop(struct dataplane *d)
{
	struct session_time now;

	session_time_read(&now);
	housekeeping_stop(d);
	ng_server_destroy(d->ng);
	if (d->sessions != NULL)
		session_table_destroy(d->sessions, &now);
	resolver_destroy(d->resolver);
	workers_stop(d);
	fork_server_destroy(d->fork_server);
	for (uint32_t p = 0; p < d->ports_count; p++)
		port_close(&d->ports[p]);
	for (uint32_t i = 0; i < d->workers_count; i++)
		worker_fini(&d->workers[i]);
	free(d->workers);
	for (uint32_t i = 0; i < d->rings_count; i++) {
		td_fork_ring_unmap(d->rings[i]);
		close(d->ring_fds[i]);
	}
	hop_table_destroy(d->hops);
	flow_table_destroy(d->flows);
	rte_mempool_free(d->pool);
	if (d->eal_started)
		eal_stop();
	loop_destroy(d->loop);
}
