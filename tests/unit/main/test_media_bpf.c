/*
 * The kernel's side of shared ports, run by the kernel on frames by hand (BPF_PROG_TEST_RUN): which
 * of them are media. Needs the right to load programs; skipped without.
 */
#include "dataplane/main/media_bpf.h"
#include "dataplane/main/media_drop_bpf.h"
#include "dataplane/main/port.h"
#include "tests/unit/node/frame.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SKIPPED 77

struct programs {
	struct bpf_object *objects[2];
	int xdp;
	int drop;
};

static struct programs programs;

static int print_nothing(enum libbpf_print_level level, const char *format, va_list list)
{
	(void)level, (void)format, (void)list;
	return 0;
}

/* The loaded program's descriptor, its maps filled; or negative. */
static int load(struct bpf_object **object, const void *bytes, size_t n,
		const struct port_media *media)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd;

	*object = bpf_object__open_mem(bytes, n, NULL);
	if (*object == NULL || bpf_object__load(*object) < 0)
		return -1;
	fd = bpf_program__fd(bpf_object__next_program(*object, NULL));
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -1;
	return media == NULL || media_maps_fill(info.id, media) == 0 ? fd : -1;
}

static int run(int program, const uint8_t *frame, size_t n)
{
	uint8_t out[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)n,
		    .data_out = out, .data_size_out = sizeof(out));

	return bpf_prog_test_run_opts(program, &opts) < 0 ? -1 : (int)opts.retval;
}

/* Both programs must agree; -1 when they do not. Without a socket in its map, the first one passes
 * media on too, so only the second one tells; the first one must not drop. */
static int is_media(const uint8_t *frame, size_t n)
{
	int drop = run(programs.drop, frame, n);

	if (run(programs.xdp, frame, n) != XDP_PASS)
		return -1;
	return drop == TC_ACT_SHOT ? 1 : (drop == TC_ACT_UNSPEC ? 0 : -1);
}

static void media_is_udp_to_our_addresses_and_ports(void **state)
{
	static const struct {
		const char *from, *to;
		int media;
	} cases[] = {
		{"192.0.2.1:9", "10.0.0.1:1000", 1},     {"192.0.2.1:9", "10.0.0.1:1099", 1},
		{"192.0.2.1:9", "10.0.0.1:999", 0},      {"192.0.2.1:9", "10.0.0.1:1100", 0},
		{"192.0.2.1:9", "10.0.0.2:1000", 0},     {"[2001:db8::1]:9", "[fd00::1]:1000", 1},
		{"[2001:db8::1]:9", "[fd00::1]:999", 0}, {"[2001:db8::1]:9", "[fd00::2]:1000", 0},
	};
	struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		frame_udp(&f, cases[i].from, cases[i].to, "payload", 7);
		if (is_media(f.packet.frame, f.packet.frame_len) != cases[i].media)
			fail_msg("%s to %s", cases[i].from, cases[i].to);
	}
}

static void damaged_or_foreign_frames_are_left_to_the_kernel(void **state)
{
	static const struct {
		const char *what;
		bool v6;
		uint16_t at;
		uint8_t byte;
	} cases[] = {
		{"ethertype", false, 13, 6},         {"version", false, 14, 0x55},
		{"header length", false, 14, 0x44},  {"TCP", false, 23, 6},
		{"first fragment", false, 20, 0x20}, {"later fragment", false, 21, 1},
		{"IPv6 version", true, 14, 0x40},    {"IPv6 extension header", true, 20, 0},
		{"IPv6 fragment", true, 20, 44},
	};
	struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		frame_udp(&f, cases[i].v6 ? "[2001:db8::1]:9" : "192.0.2.1:9",
			  cases[i].v6 ? "[fd00::1]:1000" : "10.0.0.1:1000", "payload", 7);
		f.packet.frame[cases[i].at] = cases[i].byte;
		if (is_media(f.packet.frame, f.packet.frame_len) != 0)
			fail_msg("%s", cases[i].what);
	}
}

static void ipv4_options_move_the_ports(void **state)
{
	struct frame f;
	uint8_t bytes[14 + 24 + 8];

	(void)state;
	frame_udp(&f, "192.0.2.1:9", "10.0.0.1:1000", "", 0);
	memcpy(bytes, f.packet.frame, 34);
	memset(bytes + 34, 1, 4);
	memcpy(bytes + 38, f.packet.frame + 34, 8);
	bytes[14] = 0x46;
	assert_int_equal(is_media(bytes, sizeof(bytes)), 1);
	bytes[40] = 0; /* a port below the range, where it is now */
	assert_int_equal(is_media(bytes, sizeof(bytes)), 0);
}

static void every_prefix_is_left_to_the_kernel(void **state)
{
	struct frame f;

	(void)state;
	frame_udp(&f, "192.0.2.1:9", "10.0.0.1:1000", "", 0);
	for (size_t n = 14; n < f.packet.frame_len; n++) /* the kernel runs no shorter ones */
		assert_int_equal(is_media(f.packet.frame, n), 0);
	assert_int_equal(is_media(f.packet.frame, f.packet.frame_len), 1);
}

static void without_filled_maps_nothing_is_media(void **state)
{
	struct bpf_object *object;
	struct frame f;
	int program = load(&object, media_drop_bpf, sizeof(media_drop_bpf), NULL);

	(void)state;
	assert_true(program >= 0);
	frame_udp(&f, "192.0.2.1:9", "10.0.0.1:1000", "payload", 7);
	assert_int_equal(run(program, f.packet.frame, f.packet.frame_len), TC_ACT_UNSPEC);
	bpf_object__close(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(media_is_udp_to_our_addresses_and_ports),
		cmocka_unit_test(damaged_or_foreign_frames_are_left_to_the_kernel),
		cmocka_unit_test(ipv4_options_move_the_ports),
		cmocka_unit_test(every_prefix_is_left_to_the_kernel),
		cmocka_unit_test(without_filled_maps_nothing_is_media),
	};
	struct address addresses[] = {endpoint_of("10.0.0.1:1").address,
				      endpoint_of("[fd00::1]:1").address};
	struct port_media media = {addresses, 2, 1000, 1099};
	int failed;

	libbpf_set_print(print_nothing);
	programs.xdp = load(&programs.objects[0], media_bpf, sizeof(media_bpf), &media);
	programs.drop = load(&programs.objects[1], media_drop_bpf, sizeof(media_drop_bpf), &media);
	if (programs.xdp < 0 || programs.drop < 0)
		return SKIPPED;
	failed = cmocka_run_group_tests_name("media programs", tests, NULL, NULL);
	bpf_object__close(programs.objects[0]);
	bpf_object__close(programs.objects[1]);
	return failed;
}
