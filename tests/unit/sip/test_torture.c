/*
 * RFC 4475: each of its messages gets what the RFC says as far as parsing goes. The files are not
 * ours and lie in $TANDEM_SHARED/data/rfc4475 or ../shared/data/rfc4475; without them: skipped.
 */
#include "control/sip/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[512];

static const struct {
	const char *name;
	uint32_t status;    /* 0 = valid */
	const char *reason; /* NULL = any */
} cases[] = {
	/* 3.1.1 valid */
	{"wsinv", 0, NULL},
	{"intmeth", 0, NULL},
	{"esc01", 0, NULL},
	{"escnull", 0, NULL},
	{"esc02", 0, NULL},
	{"lwsdisp", 0, NULL},
	{"longreq", 0, NULL},
	{"dblreq", 0, NULL},
	{"semiuri", 0, NULL},
	{"transports", 0, NULL},
	{"mpart01", 0, NULL},
	{"unreason", 0, NULL},
	{"noreason", 0, NULL},
	/* 3.1.2 invalid */
	{"badinv01", 400, "Bad Via"},
	{"clerr", 400, "Content-Length beyond the end of the message"},
	{"ncl", 400, "Bad Content-Length"},
	{"scalar02", 400, "Bad CSeq"},
	{"scalarlg", 400, "Bad CSeq"},
	{"quotbal", 400, "Bad To"},
	{"ltgtruri", 400, "Bad Request-URI"},
	{"lwsruri", 400, "Bad Request-URI"},
	{"lwsstart", 400, "Bad Request-URI"},
	{"trws", 400, "Bad SIP version in request line"},
	{"escruri", 400, "Headers in Request-URI"},
	{"baddate", 0, NULL},  /* 3.1.2.12: the Date may be ignored */
	{"regbadct", 0, NULL}, /* 3.1.2.13: the Contact is broken; who reads it answers 400 */
	{"badaspec", 0, NULL}, /* 3.1.2.14: white space inside < > may be ignored */
	{"baddn", 400, "Bad From"},
	{"badvers", 505, NULL},
	{"mismatch01", 400, "CSeq method does not match request line"},
	{"mismatch02", 400, "CSeq method does not match request line"},
	{"bigcode", 400, "Bad status line"},
	/* 3.2 and 3.3: for the layers above, but for what is broken */
	{"badbranch", 0, NULL},
	{"insuf", 400, "Missing From"},
	{"unkscm", 416, NULL},
	{"novelsc", 416, NULL},
	{"unksm2", 0, NULL},
	{"bext01", 0, NULL},
	{"invut", 0, NULL},
	{"regaut01", 0, NULL},
	{"multi01", 400, NULL},
	{"mcl01", 400, "Multiple Content-Length"},
	{"bcast", 0, NULL},
	{"zeromf", 0, NULL},
	{"cparam01", 0, NULL},
	{"cparam02", 0, NULL},
	{"regescrt", 0, NULL},
	{"sdp01", 0, NULL},
	{"inv2543", 0, NULL},
};

static char *read_file(const char *name, uint32_t *n)
{
	char path[1024];
	char *bytes = malloc(SIP_MESSAGE_SIZE_MAX);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot read %s", path);
	*n = (uint32_t)fread(bytes, 1, SIP_MESSAGE_SIZE_MAX, f);
	fclose(f);
	return bytes;
}

static void each_torture_message_gets_what_the_rfc_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_message m;
		const char *reason;
		uint32_t n;
		char *bytes = read_file(cases[i].name, &n);
		uint32_t status = sip_message_parse(&m, bytes, n, &reason);

		if (status != cases[i].status ||
		    (cases[i].reason && strcmp(reason, cases[i].reason) != 0))
			fail_msg("%s: %u %s", cases[i].name, status, reason);
		free(bytes);
	}
}

static void short_tortuous_invite_is_read_to_the_end(void **state)
{
	struct sip_message m;
	const char *reason;
	uint32_t n;
	char *bytes = read_file("wsinv", &n);
	struct sip_values values;
	struct sip_text value;
	struct sip_via via;
	int vias = 0;

	(void)state;
	assert_int_equal(sip_message_parse(&m, bytes, n, &reason), 0);
	assert_true(sip_text_is(m.from.tag, "98asjd8"));
	assert_true(sip_text_is(m.to.tag, "1918181833n"));
	assert_int_equal(m.cseq.number, 9);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_MAX_FORWARDS, -1), 68);
	sip_values_begin(&values, &m, SIP_HEADER_VIA);
	while (sip_values_next(&values, &value)) {
		assert_int_equal(sip_via_parse(&via, value), 0);
		vias++;
	}
	assert_int_equal(vias, 3);
	assert_int_equal(m.body.n, 150);
	free(bytes);
}

static void contact_of_regbadct_is_refused(void **state)
{
	struct sip_message m;
	struct sip_address contact;
	const char *reason;
	uint32_t n;
	char *bytes = read_file("regbadct", &n);

	(void)state;
	assert_int_equal(sip_message_parse(&m, bytes, n, &reason), 0);
	assert_true(sip_message_address(&m, SIP_HEADER_CONTACT, &contact) < 0);
	free(bytes);
}

static void every_prefix_of_every_message_is_survived(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t n;
		char *bytes = read_file(cases[i].name, &n);

		for (uint32_t cut = 0; cut < n; cut++) {
			char *exact = malloc(cut > 0 ? cut : 1);
			struct sip_message m;
			const char *reason;

			memcpy(exact, bytes, cut);
			sip_message_parse(&m, exact, cut, &reason);
			free(exact);
		}
		free(bytes);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_torture_message_gets_what_the_rfc_says),
		cmocka_unit_test(short_tortuous_invite_is_read_to_the_end),
		cmocka_unit_test(contact_of_regbadct_is_refused),
		cmocka_unit_test(every_prefix_of_every_message_is_survived),
	};
	const char *shared = getenv("TANDEM_SHARED");

	if (shared)
		snprintf(folder, sizeof(folder), "%s/data/rfc4475", shared);
	else
		snprintf(folder, sizeof(folder), "%s/../shared/data/rfc4475",
			 argc > 1 ? argv[1] : ".");
	if (access(folder, R_OK) != 0) {
		printf("skipped: no RFC 4475 messages in %s\n", folder);
		return 77;
	}
	return cmocka_run_group_tests_name("sip torture", tests, NULL, NULL);
}
