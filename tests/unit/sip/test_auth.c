/* Digest: RFC 7616's examples, what a client may get wrong, nonces and their counts. */
#include "control/sip/auth.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/evp.h>

#include <cmocka.h>

#define NOW UINT64_C(5000000)

static const uint8_t key[32] = "a key of thirty-two octets .....";
static struct sip_auth *auth;

static int setup(void **state)
{
	(void)state;
	return sip_auth_create(&auth, "tandem", key, 60000, 4);
}

static int teardown(void **state)
{
	(void)state;
	sip_auth_destroy(auth);
	return 0;
}

static const char *hex(const char *algorithm, const char *text, char out[65])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int n;

	EVP_Digest(text, strlen(text), digest, &n, EVP_get_digestbyname(algorithm), NULL);
	for (unsigned int i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return out;
}

/* The nth nonce of a fresh challenge: 0 = MD5, 1 = SHA-256; either serves both. */
static void challenge(uint64_t now_ms, int which, char nonce[64])
{
	struct sip_builder b;
	char out[1024];
	const char *at = out;

	sip_builder_init(&b, out, sizeof(out) - 1);
	sip_auth_put_challenge(auth, &b, SIP_HEADER_WWW_AUTHENTICATE, SIP_AUTH_ALL, false, now_ms);
	out[b.n] = '\0';
	for (int i = 0; i <= which; i++)
		at = strstr(at, "nonce=\"") + 7;
	snprintf(nonce, 64, "%.*s", (int)strcspn(at, "\""), at);
}

struct attempt {
	const char *algorithm; /* "MD5", "SHA256" */
	const char *password;
	const char *nonce;
	const char *qop; /* NULL = none */
	uint32_t nc;
	const char *user; /* "1001" = known */
	const char *uri;
};

static enum sip_auth_result attempt_at(const struct attempt *a, uint64_t now_ms)
{
	static const char *const none[SIP_AUTH_ALGORITHMS];
	bool md5 = strcmp(a->algorithm, "MD5") == 0;
	char ha1[65];
	char ha2[65];
	char response[65];
	char stored_md5[65];
	char stored_sha256[65];
	const char *stored[SIP_AUTH_ALGORITHMS] = {
		[SIP_AUTH_MD5] = hex("MD5", "1001:tandem:secret", stored_md5),
		[SIP_AUTH_SHA256] = hex("SHA256", "1001:tandem:secret", stored_sha256),
	};
	char text[1024];
	char message[2048];
	struct sip_message m;
	struct sip_auth_credentials c;
	const char *reason;
	int n;

	snprintf(text, sizeof(text), "%s:tandem:%s", a->user, a->password);
	hex(a->algorithm, text, ha1);
	snprintf(text, sizeof(text), "REGISTER:%s", a->uri);
	hex(a->algorithm, text, ha2);
	if (a->qop)
		snprintf(text, sizeof(text), "%s:%s:%08x:cn:%s:%s", ha1, a->nonce, a->nc, a->qop,
			 ha2);
	else
		snprintf(text, sizeof(text), "%s:%s:%s", ha1, a->nonce, ha2);
	hex(a->algorithm, text, response);
	n = snprintf(message, sizeof(message),
		     "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
		     "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n"
		     "Authorization: Digest username=\"%s\", realm=\"tandem\", nonce=\"%s\",\r\n"
		     "  uri=\"%s\", response=\"%s\", algorithm=%s",
		     a->user, a->nonce, a->uri, response, md5 ? "MD5" : "SHA-256");
	if (a->qop)
		n += snprintf(message + n, sizeof(message) - (size_t)n,
			      ", qop=%s, nc=%08x, cnonce=\"cn\"", a->qop, a->nc);
	n += snprintf(message + n, sizeof(message) - (size_t)n, "\r\n\r\n");
	assert_int_equal(sip_message_parse(&m, message, (uint32_t)n, &reason), 0);
	assert_int_equal(sip_auth_find(auth, &m, SIP_HEADER_AUTHORIZATION, &c), SIP_AUTH_OK);
	return sip_auth_verify(auth, &c, &m, strcmp(a->user, "1001") == 0 ? stored : none, now_ms);
}

static void right_password_is_accepted_by_either_algorithm(void **state)
{
	char nonce[64];
	struct attempt a = {"SHA256", "secret", nonce, "auth", 1, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 0, nonce);
	assert_int_equal(attempt_at(&a, NOW + 100), SIP_AUTH_OK);
	challenge(NOW, 1, nonce);
	a.algorithm = "MD5";
	assert_int_equal(attempt_at(&a, NOW + 100), SIP_AUTH_OK);
}

static void wrong_password_and_unknown_user_are_refused_alike(void **state)
{
	char nonce[64];
	struct attempt a = {"SHA256", "wrong", nonce, "auth", 1, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 0, nonce);
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_REFUSED);
	a.user = "9999";
	a.password = "secret";
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_REFUSED);
	/* and the right one still works with that nonce */
	a.user = "1001";
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_OK);
}

static void nonce_count_works_once(void **state)
{
	static const struct {
		uint32_t nc;
		enum sip_auth_result result;
	} steps[] = {
		{1, SIP_AUTH_OK},          {1, SIP_AUTH_STALE},   {2, SIP_AUTH_OK},
		{5, SIP_AUTH_OK},          {3, SIP_AUTH_OK},      {3, SIP_AUTH_STALE},
		{4, SIP_AUTH_OK},          {5, SIP_AUTH_STALE},   {100, SIP_AUTH_OK},
		{36, SIP_AUTH_STALE},      {37, SIP_AUTH_OK},     {37, SIP_AUTH_STALE},
		{165, SIP_AUTH_OK},        {101, SIP_AUTH_STALE}, {102, SIP_AUTH_OK},
		{UINT32_MAX, SIP_AUTH_OK},
	};
	char nonce[64];
	struct attempt a = {"SHA256", "secret", nonce, "auth", 1, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 0, nonce);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		a.nc = steps[i].nc;
		assert_int_equal(attempt_at(&a, NOW), steps[i].result);
	}
}

static void old_nonce_is_stale(void **state)
{
	char nonce[64];
	struct attempt a = {"SHA256", "secret", nonce, "auth", 1, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 0, nonce);
	assert_int_equal(attempt_at(&a, NOW + 60001), SIP_AUTH_STALE);
	assert_int_equal(attempt_at(&a, NOW - 1), SIP_AUTH_STALE); /* from the future */
	assert_int_equal(attempt_at(&a, NOW + 60000), SIP_AUTH_OK);
	/* a wrong password with an old nonce is a wrong password */
	a.password = "wrong";
	assert_int_equal(attempt_at(&a, NOW + 60001), SIP_AUTH_REFUSED);
}

static void foreign_nonce_is_stale(void **state)
{
	char nonce[64];
	struct attempt a = {"SHA256", "secret", nonce, "auth", 1, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 0, nonce);
	nonce[20] = nonce[20] == 'A' ? 'B' : 'A';
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_STALE);
	strcpy(nonce, "short");
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_STALE);
	strcpy(nonce, "===========================================");
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_STALE);
}

static void forgotten_nonces_do_not_work_again(void **state)
{
	char nonces[6][64];
	struct attempt a = {"SHA256", "secret", NULL, "auth", 1, "1001", "sip:h"};
	char young[64];

	(void)state;
	/* the table remembers 4 */
	for (int i = 0; i < 6; i++) {
		challenge(NOW + (uint64_t)i, 0, nonces[i]);
		a.nonce = nonces[i];
		assert_int_equal(attempt_at(&a, NOW + 10), SIP_AUTH_OK);
	}
	for (int i = 0; i < 6; i++) {
		a.nonce = nonces[i];
		assert_int_equal(attempt_at(&a, NOW + 10), SIP_AUTH_STALE);
	}
	/* counts of remembered ones go on; of forgotten ones not */
	a.nc = 2;
	a.nonce = nonces[5];
	assert_int_equal(attempt_at(&a, NOW + 10), SIP_AUTH_OK);
	a.nonce = nonces[0];
	assert_int_equal(attempt_at(&a, NOW + 10), SIP_AUTH_STALE);
	challenge(NOW + 20, 0, young);
	a.nonce = young;
	assert_int_equal(attempt_at(&a, NOW + 20), SIP_AUTH_OK);
}

static void client_without_qop_may_use_a_nonce_once(void **state)
{
	char nonce[64];
	struct attempt a = {"MD5", "secret", nonce, NULL, 0, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 1, nonce);
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_OK);
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_STALE);
}

static void unsupported_qop_is_invalid(void **state)
{
	char nonce[64];
	struct attempt a = {"MD5", "secret", nonce, "auth-conf", 1, "1001", "sip:h"};

	(void)state;
	challenge(NOW, 1, nonce);
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_INVALID);
	a.qop = "auth";
	a.nc = 0;
	assert_int_equal(attempt_at(&a, NOW), SIP_AUTH_INVALID);
}

static void challenge_offers_what_is_asked_for(void **state)
{
	struct sip_builder b;
	char out[1024];
	const char *second;

	(void)state;
	sip_builder_init(&b, out, sizeof(out) - 1);
	sip_auth_put_challenge(auth, &b, SIP_HEADER_PROXY_AUTHENTICATE, SIP_AUTH_ALL, true, NOW);
	out[b.n] = '\0';
	assert_ptr_equal(strstr(out, "Proxy-Authenticate: Digest realm=\"tandem\", nonce=\""), out);
	second = strstr(out + 1, "Proxy-Authenticate: ");
	assert_non_null(second);
	assert_true(strstr(out, "algorithm=MD5, qop=\"auth\", stale=true\r\n") < second);
	assert_non_null(strstr(second, "algorithm=SHA-256, qop=\"auth\", stale=true\r\n"));
	sip_builder_init(&b, out, sizeof(out) - 1);
	sip_auth_put_challenge(auth, &b, SIP_HEADER_WWW_AUTHENTICATE, 1u << SIP_AUTH_SHA256, false,
			       NOW);
	out[b.n] = '\0';
	assert_null(strstr(out, "MD5"));
	assert_null(strstr(out, "stale"));
}

/* RFC 7616 3.9.1, both algorithms (HTTP, so only the parsing and the sums). */
static void credentials_are_taken_apart(void **state)
{
	static const char value[] =
		"Digest username=\"Mufasa\",\r\n realm=\"http-auth@example.org\",\r\n"
		" uri=\"/dir/index.html\",\r\n algorithm=MD5,\r\n"
		" nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\",\r\n nc=00000001,\r\n"
		" cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\",\r\n qop=auth,\r\n"
		" response=\"8ca523f5e9506fed4657c9700eebdbec\",\r\n"
		" opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
	struct sip_auth_credentials c;

	(void)state;
	assert_int_equal(sip_auth_parse(&c, sip_text_of(value)), 0);
	assert_true(sip_text_equal(c.username, sip_text_of("Mufasa")));
	assert_true(sip_text_equal(c.realm, sip_text_of("http-auth@example.org")));
	assert_true(sip_text_equal(c.uri, sip_text_of("/dir/index.html")));
	assert_true(sip_text_equal(c.qop, sip_text_of("auth")));
	assert_int_equal(c.nc, 1);
	assert_int_equal(c.algorithm, SIP_AUTH_MD5);
	for (uint32_t n = 0; n < sizeof(value); n++) {
		char *exact = malloc(n > 0 ? n : 1);

		memcpy(exact, value, n);
		sip_auth_parse(&c, (struct sip_text){exact, n});
		free(exact);
	}
}

static enum sip_auth_result verify_example(enum sip_auth_algorithm algorithm, const char *ha1,
					   const char *response)
{
	static const char get[] = "GET sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
				  "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
				  "CSeq: 1 GET\r\n\r\n";
	const char *stored[SIP_AUTH_ALGORITHMS] = {0};
	struct sip_auth_credentials c = {
		.username = sip_text_of("Mufasa"),
		.nonce = sip_text_of("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
		.uri = sip_text_of("/dir/index.html"),
		.response = sip_text_of(response),
		.cnonce = sip_text_of("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
		.qop = sip_text_of("auth"),
		.nc_text = sip_text_of("00000001"),
		.nc = 1,
		.algorithm = algorithm,
	};
	struct sip_message m;
	const char *reason;

	stored[algorithm] = ha1;
	assert_int_equal(sip_message_parse(&m, get, sizeof(get) - 1, &reason), 0);
	return sip_auth_verify(auth, &c, &m, stored, NOW);
}

static void examples_of_rfc_7616_compute(void **state)
{
	char ha1[65];

	(void)state;
	/* right, but the nonce is not ours: stale; a wrong digest would be refused */
	hex("MD5", "Mufasa:http-auth@example.org:Circle of Life", ha1);
	assert_int_equal(verify_example(SIP_AUTH_MD5, ha1, "8ca523f5e9506fed4657c9700eebdbec"),
			 SIP_AUTH_STALE);
	assert_int_equal(verify_example(SIP_AUTH_MD5, ha1, "8ca523f5e9506fed4657c9700eebdbed"),
			 SIP_AUTH_REFUSED);
	hex("SHA256", "Mufasa:http-auth@example.org:Circle of Life", ha1);
	assert_int_equal(
		verify_example(SIP_AUTH_SHA256, ha1,
			       "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
		SIP_AUTH_STALE);
}

static void broken_credentials_are_refused(void **state)
{
	static const struct {
		const char *value;
		int result;
	} cases[] = {
		{"Basic abc", -EPROTONOSUPPORT},
		{"", -EPROTONOSUPPORT},
		{"Digest", -EINVAL},
		{"Digest username", -EINVAL},
		{"Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\"", -EINVAL},
		{"Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x",
		 -EINVAL},
		{"Digest username=\"a\", username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", "
		 "response=\"x\"",
		 -EINVAL},
		{"Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\", nc=1",
		 -EINVAL},
		{"Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\", "
		 "nc=0000000g",
		 -EINVAL},
		{"digest username=a,realm=r,nonce=n,uri=u,response=x,algorithm=sha-256,new=1", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_auth_credentials c;

		if (sip_auth_parse(&c, sip_text_of(cases[i].value)) != cases[i].result)
			fail_msg("%s", cases[i].value);
	}
}

static void credentials_for_our_realm_are_found_among_others(void **state)
{
	static const char bytes[] =
		"GET sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
		"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 GET\r\n"
		"Authorization: NoOneKnowsThisScheme opaque-data=here\r\n"
		"Authorization: Digest "
		"username=\"a\",realm=\"other\",nonce=\"n\",uri=\"u\",response=\"x\"\r\n"
		"Authorization: Digest username=\"b\",realm=\"tandem\",nonce=\"n\",uri=\"u\","
		"response=\"x\",algorithm=SHA-1\r\n"
		"Authorization: Digest "
		"username=\"c\",realm=\"tandem\",nonce=\"n\",uri=\"u\",response=\"x\"\r\n"
		"\r\n";
	struct sip_auth_credentials c;
	struct sip_message m;
	const char *reason;

	(void)state;
	assert_int_equal(sip_message_parse(&m, bytes, sizeof(bytes) - 1, &reason), 0);
	assert_int_equal(sip_auth_find(auth, &m, SIP_HEADER_AUTHORIZATION, &c), SIP_AUTH_OK);
	assert_true(sip_text_equal(c.username, sip_text_of("c")));
	assert_int_equal(sip_auth_find(auth, &m, SIP_HEADER_PROXY_AUTHORIZATION, &c),
			 SIP_AUTH_MISSING);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(right_password_is_accepted_by_either_algorithm),
		T(wrong_password_and_unknown_user_are_refused_alike),
		T(nonce_count_works_once),
		T(old_nonce_is_stale),
		T(foreign_nonce_is_stale),
		T(forgotten_nonces_do_not_work_again),
		T(client_without_qop_may_use_a_nonce_once),
		T(unsupported_qop_is_invalid),
		T(challenge_offers_what_is_asked_for),
		T(credentials_are_taken_apart),
		T(examples_of_rfc_7616_compute),
		T(broken_credentials_are_refused),
		T(credentials_for_our_realm_are_found_among_others),
	};

	return cmocka_run_group_tests_name("sip auth", tests, NULL, NULL);
}
