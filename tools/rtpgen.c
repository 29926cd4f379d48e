/*
 * rtpgen: sends RTP and measures what comes back.
 *
 * Flows are pairs of endpoints. Whatever arrives at any local endpoint is counted for the flow it
 * was sent by, so a relay under test may send it back anywhere. --via udp uses sockets and can
 * impair what it sends; --via kernel lets a kernel program make the frames (IPv4 through one
 * device, no sockets), which is several times faster than any device under test.
 */
#include "tools/rtpgen.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

volatile sig_atomic_t rtpgen_stop;

static const char usage[] =
	"usage: rtpgen [OPTION]... --flows FILE | --local ADDRESS:PORT --remote ADDRESS:PORT\n"
	"Sends RTP over many flows and reports what comes back.\n"
	"\n"
	"  --flows FILE        a flow a line: LOCAL REMOTE, each ADDRESS:PORT (- = standard "
	"input)\n"
	"  --local, --remote   endpoints of the first flow; --count N flows, ports rise by --step "
	"2\n"
	"  --via udp|kernel    sockets (default), or frames made in the kernel: IPv4, needs\n"
	"                      --device NAME and --to-mac MAC, and root; if that is a veth, its "
	"other\n"
	"                      end needs an XDP program or GRO (ethtool -K DEVICE gro on)\n"
	"  --pps N             packets a second of all flows together, 0 = as fast as possible\n"
	"                      (default 50 for each flow)\n"
	"  --duration S        seconds to send (default 5)\n"
	"  --drain MS          listen on after the last packet (default 300)\n"
	"  --payload BYTES     after the RTP header, at least 24 (default 160)\n"
	"  --pt N              payload type (default 0); --ts-step N (default 160)\n"
	"  --drop P, --duplicate P, --reorder P\n"
	"                      percent of the packets, udp only (default 0)\n"
	"  --json              the report as one JSON object\n"
	"  --help, --version\n"
	"\n"
	"Exit code: 0 when packets were sent and something came back, 1 when not, 2 for bad "
	"usage.\n";

static void stop(int signal_number)
{
	(void)signal_number;
	rtpgen_stop = 1;
}

void rtpgen_latency(struct result *result, uint64_t ns)
{
	uint32_t bucket = 0;

	for (uint64_t left = ns; left && bucket < RTPGEN_BUCKETS - 1; left >>= 1)
		bucket++;
	result->latency[bucket]++;
	result->stamped++;
	result->latency_sum_ns += ns;
	if (ns > result->latency_max_ns)
		result->latency_max_ns = ns;
}

/* ---- what to send ---- */

static int flow_add(struct plan *plan, const struct flow *flow)
{
	struct flow *grown;

	if (plan->flows_count >= RTPGEN_FLOWS_MAX) {
		fprintf(stderr, "rtpgen: more than %d flows\n", RTPGEN_FLOWS_MAX);
		return -E2BIG;
	}
	grown = realloc(plan->flows, (plan->flows_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	plan->flows = grown;
	plan->flows[plan->flows_count++] = *flow;
	return 0;
}

static int flows_read(struct plan *plan, const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	char line[256], local[128], remote[128];
	unsigned int number = 0;
	int rc = 0;

	if (!file) {
		fprintf(stderr, "rtpgen: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	while (rc == 0 && fgets(line, sizeof(line), file)) {
		struct flow flow;

		number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (sscanf(line, "%127s %127s", local, remote) != 2 ||
		    endpoint_parse(&flow.local, local, strlen(local)) < 0 ||
		    endpoint_parse(&flow.remote, remote, strlen(remote)) < 0) {
			fprintf(stderr, "rtpgen: %s:%u: LOCAL REMOTE expected, ADDRESS:PORT each\n",
				path, number);
			rc = -EINVAL;
			break;
		}
		rc = flow_add(plan, &flow);
	}
	if (file != stdin)
		fclose(file);
	return rc;
}

static int flows_count_up(struct plan *plan, struct flow flow, uint32_t count, uint32_t step)
{
	int rc = 0;

	for (uint32_t i = 0; i < count && rc == 0; i++) {
		rc = flow_add(plan, &flow);
		flow.local.port = (uint16_t)(flow.local.port + step);
		flow.remote.port = (uint16_t)(flow.remote.port + step);
	}
	return rc;
}

/* ---- options ---- */

/* Options whose argument is a number within bounds. */
enum number {
	COUNT,
	STEP,
	PPS,
	DURATION_S,
	DRAIN_MS,
	PAYLOAD,
	PT,
	TS_STEP,
	DROP_PERCENT,
	DUPLICATE_PERCENT,
	REORDER_PERCENT,
	NUMBERS
};

static const struct {
	const char *name;
	double low, high, fallback;
} numbers[NUMBERS] = {
	[COUNT] = {"count", 1, RTPGEN_FLOWS_MAX, 1},
	[STEP] = {"step", 0, 1000, 2},
	[PPS] = {"pps", 0, 1e9, -1}, /* 50 a flow */
	[DURATION_S] = {"duration", 0.001, 1e6, 5},
	[DRAIN_MS] = {"drain", 0, 60000, 300},
	[PAYLOAD] = {"payload", sizeof(struct rtpgen_mark), 1400, 160},
	[PT] = {"pt", 0, 127, 0},
	[TS_STEP] = {"ts-step", 0, 100000, 160},
	[DROP_PERCENT] = {"drop", 0, 100, 0},
	[DUPLICATE_PERCENT] = {"duplicate", 0, 100, 0},
	[REORDER_PERCENT] = {"reorder", 0, 100, 0},
};

struct options {
	struct plan plan;
	struct flow first;
	const char *flows_path;
	bool first_local, first_remote, to_mac_given;
	bool kernel, json;
	double numbers[NUMBERS];
};

static bool number_read(const char *text, double low, double high, double *number)
{
	char *end;

	*number = strtod(text, &end);
	return end != text && *end == '\0' && *number >= low && *number <= high;
}

static bool mac_read(const char *text, uint8_t mac[6])
{
	char rest;

	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%c", &mac[0], &mac[1], &mac[2], &mac[3],
		      &mac[4], &mac[5], &rest) == 6;
}

enum option_code {
	OPTION_FLOWS = 256,
	OPTION_LOCAL,
	OPTION_REMOTE,
	OPTION_VIA,
	OPTION_DEVICE,
	OPTION_TO_MAC,
	OPTION_JSON,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_NUMBERS, /* + enum number */
};
#define OPTION_WORDS (OPTION_NUMBERS - OPTION_FLOWS)

/* One option. False when its argument makes no sense. */
static bool option_take(struct options *options, int option, const char *argument)
{
	int which = option - OPTION_NUMBERS;

	switch (option) {
	case OPTION_FLOWS:
		options->flows_path = argument;
		return true;
	case OPTION_LOCAL:
		options->first_local = true;
		return endpoint_parse(&options->first.local, argument, strlen(argument)) == 0;
	case OPTION_REMOTE:
		options->first_remote = true;
		return endpoint_parse(&options->first.remote, argument, strlen(argument)) == 0;
	case OPTION_VIA:
		options->kernel = strcmp(argument, "kernel") == 0;
		return options->kernel || strcmp(argument, "udp") == 0;
	case OPTION_DEVICE:
		options->plan.device = argument;
		return true;
	case OPTION_TO_MAC:
		options->to_mac_given = true;
		return mac_read(argument, options->plan.to_mac);
	case OPTION_JSON:
		options->json = true;
		return true;
	}
	return which >= 0 && which < NUMBERS &&
	       number_read(argument, numbers[which].low, numbers[which].high,
			   &options->numbers[which]);
}

static void plan_numbers(struct plan *plan, const double value[NUMBERS])
{
	plan->pps = value[PPS] < 0 ? 50 * (uint64_t)plan->flows_count : (uint64_t)value[PPS];
	plan->duration_ns = (uint64_t)(value[DURATION_S] * 1e9);
	plan->drain_ns = (uint64_t)(value[DRAIN_MS] * 1e6);
	plan->payload = (uint32_t)value[PAYLOAD];
	plan->pt = (uint8_t)value[PT];
	plan->ts_step = (uint32_t)value[TS_STEP];
	plan->drop_ppm = (uint32_t)(value[DROP_PERCENT] * 10000);
	plan->duplicate_ppm = (uint32_t)(value[DUPLICATE_PERCENT] * 10000);
	plan->reorder_ppm = (uint32_t)(value[REORDER_PERCENT] * 10000);
}

static const char *options_check(const struct options *options)
{
	const struct plan *plan = &options->plan;
	const double *value = options->numbers;

	if (!options->flows_path && !(options->first_local && options->first_remote))
		return "--flows, or --local and --remote";
	if (options->kernel && (!plan->device || !options->to_mac_given))
		return "--device and --to-mac with --via kernel";
	if (options->kernel &&
	    value[DROP_PERCENT] + value[DUPLICATE_PERCENT] + value[REORDER_PERCENT] > 0)
		return "--via udp with --drop, --duplicate or --reorder";
	return NULL;
}

/* 0 = go on; else the exit code + 1. */
static int options_read(struct options *options, int argc, char **argv)
{
	struct option longs[OPTION_WORDS + NUMBERS + 1] = {
		{"flows", required_argument, NULL, OPTION_FLOWS},
		{"local", required_argument, NULL, OPTION_LOCAL},
		{"remote", required_argument, NULL, OPTION_REMOTE},
		{"via", required_argument, NULL, OPTION_VIA},
		{"device", required_argument, NULL, OPTION_DEVICE},
		{"to-mac", required_argument, NULL, OPTION_TO_MAC},
		{"json", no_argument, NULL, OPTION_JSON},
		{"help", no_argument, NULL, OPTION_HELP},
		{"version", no_argument, NULL, OPTION_VERSION},
	};
	const char *missing;
	int option, index;

	for (int i = 0; i < NUMBERS; i++) {
		longs[OPTION_WORDS + i] = (struct option){numbers[i].name, required_argument, NULL,
							  OPTION_NUMBERS + i};
		options->numbers[i] = numbers[i].fallback;
	}
	while ((option = getopt_long(argc, argv, "", longs, &index)) != -1) {
		if (option == OPTION_HELP) {
			fputs(usage, stdout);
			return 1;
		}
		if (option == OPTION_VERSION) {
			puts("rtpgen " TANDEM_VERSION);
			return 1;
		}
		if (option == '?') {
			fputs("Try rtpgen --help\n", stderr);
			return 3;
		}
		if (!option_take(options, option, optarg)) {
			fprintf(stderr, "rtpgen: --%s %s makes no sense here; try --help\n",
				longs[index].name, optarg);
			return 3;
		}
	}
	missing = optind < argc ? "no other arguments" : options_check(options);
	if (missing) {
		fprintf(stderr, "rtpgen: %s expected; try --help\n", missing);
		return 3;
	}
	return 0;
}

/* ---- the report ---- */

/* The upper bound of the bucket in which the share of all stamped packets is reached. */
static uint64_t latency_share_ns(const struct result *result, double share)
{
	uint64_t below = 0;

	for (uint32_t i = 0; i < RTPGEN_BUCKETS; i++) {
		below += result->latency[i];
		if (result->stamped && (double)below >= share * (double)result->stamped) {
			uint64_t bound = UINT64_C(1) << i;

			return bound < result->latency_max_ns ? bound : result->latency_max_ns;
		}
	}
	return 0;
}

static void report(const struct options *options, const struct result *r)
{
	double seconds = (double)r->elapsed_ns / 1e9;
	uint64_t expected = r->sent - r->duplicated;
	uint64_t seen = r->received - r->repeated;
	uint64_t lost = expected > seen ? expected - seen : 0;
	double loss = expected ? 100.0 * (double)lost / (double)expected : 0;
	double mean_us = r->stamped ? (double)r->latency_sum_ns / (double)r->stamped / 1000 : 0;
	const char *format =
		"flows        %u via %s, %.3f s\n"
		"sent         %" PRIu64 " packets, %.0f/s (failed %" PRIu64 ")\n"
		"impaired     %" PRIu64 " dropped, %" PRIu64 " duplicated, %" PRIu64 " held back\n"
		"received     %" PRIu64 " packets, %.0f/s, %" PRIu64 " bytes\n"
		"lost         %" PRIu64 " (%.3f %%)\n"
		"repeated     %" PRIu64 ", late %" PRIu64 ", foreign %" PRIu64
		", flows silent %" PRIu64 "\n"
		"latency      mean %.1f us, half below %.1f, 99 %% below %.1f, most %.1f\n"
		"cpu          %.2f s of this process\n";

	if (options->json)
		format = "{\"flows\":%u,\"via\":\"%s\",\"seconds\":%.3f,\"sent\":%" PRIu64
			 ",\"sent_pps\":%.0f,\"send_failed\":%" PRIu64
			 ",\"impaired\":{\"dropped\":%" PRIu64 ",\"duplicated\":%" PRIu64
			 ",\"held\":%" PRIu64 "},\"received\":%" PRIu64
			 ",\"received_pps\":%.0f,\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64
			 ",\"loss_percent\":%.3f,\"repeated\":%" PRIu64 ",\"late\":%" PRIu64
			 ",\"foreign\":%" PRIu64 ",\"flows_silent\":%" PRIu64
			 ",\"latency_us\":{\"mean\":%.1f,\"p50\":%.1f,\"p99\":%.1f,"
			 "\"max\":%.1f},\"cpu_s\":%.2f}\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(format, options->plan.flows_count, options->kernel ? "kernel" : "udp", seconds,
	       r->sent, (double)r->sent / seconds, r->send_failed, r->dropped, r->duplicated,
	       r->held, r->received, (double)r->received / seconds, r->bytes, lost, loss,
	       r->repeated, r->late, r->foreign, r->flows_silent, mean_us,
	       (double)latency_share_ns(r, 0.5) / 1000, (double)latency_share_ns(r, 0.99) / 1000,
	       (double)r->latency_max_ns / 1000, r->cpu_s);
#pragma GCC diagnostic pop
}

static double cpu_used_s(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct plan *plan = &options.plan;
	struct result result = {0};
	int rc = options_read(&options, argc, argv);

	if (rc)
		return rc - 1;
	rc = options.flows_path
		     ? flows_read(plan, options.flows_path)
		     : flows_count_up(plan, options.first, (uint32_t)options.numbers[COUNT],
				      (uint32_t)options.numbers[STEP]);
	if (rc == 0 && plan->flows_count == 0) {
		fprintf(stderr, "rtpgen: %s: no flows\n", options.flows_path);
		rc = -EINVAL;
	}
	if (rc < 0) {
		free(plan->flows);
		return 2;
	}
	plan_numbers(plan, options.numbers);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	rc = options.kernel ? rtpgen_kernel(plan, &result) : rtpgen_udp(plan, &result);
	free(plan->flows);
	if (rc < 0)
		return 1;
	result.cpu_s = cpu_used_s();
	report(&options, &result);
	return result.sent > 0 && result.received > 0 ? 0 : 1;
}
