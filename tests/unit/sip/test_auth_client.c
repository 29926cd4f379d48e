/* Digest, the client's side: the RFCs' sums, which challenge is answered, when to give up, and both
 * sides of ours against each other. */
#include "control/sip/auth.h"
#include "control/sip/auth_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sip_digest *digest;

static int setup(void **state)
{
	(void)state;
	return sip_digest_create(&digest);
}

static int teardown(void **state)
{
	(void)state;
	sip_digest_destroy(digest);
	return 0;
}

/* ---- sums ---- */

struct vector {
	enum sip_auth_algorithm algorithm;
	bool session;
	const char *user, *realm, *password, *method, *uri, *nonce, *nc, *cnonce, *qop, *body;
	const char *response;
};

#define RFC7616_NONCE  "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
#define RFC7616_CNONCE "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"

static void sums_are_those_of_the_rfcs(void **state)
{
	static const struct vector vectors[] = {
		/* RFC 2617 3.5 */
		{SIP_AUTH_MD5, false, "Mufasa", "testrealm@host.com", "Circle Of Life", "GET",
		 "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "00000001", "0a4f113b",
		 "auth", "", "6629fae49393a05397450978507c4ef1"},
		/* the same without qop: RFC 2069 2.4 with the sum of its erratum 749 */
		{SIP_AUTH_MD5, false, "Mufasa", "testrealm@host.com", "CircleOfLife", "GET",
		 "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "", "", "", "",
		 "1949323746fe6a43ef61f9606e7febea"},
		/* RFC 7616 3.9.1 */
		{SIP_AUTH_MD5, false, "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
		 "/dir/index.html", RFC7616_NONCE, "00000001", RFC7616_CNONCE, "auth", "",
		 "8ca523f5e9506fed4657c9700eebdbec"},
		{SIP_AUTH_SHA256, false, "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
		 "/dir/index.html", RFC7616_NONCE, "00000001", RFC7616_CNONCE, "auth", "",
		 "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
		/* RFC 7616 3.9.2; its printed sum is known to be wrong, this one is another
		 * program's (Python's hashlib) */
		{SIP_AUTH_SHA512_256, false, "J\xc3\xa4s\xc3\xb8n Doe", "api@example.org",
		 "Secret, or not?", "GET", "/doe.json",
		 "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "00000001",
		 "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm", "auth", "",
		 "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		const struct sip_text a1[] = {sip_text_of(v->user), sip_text_of(v->realm),
					      sip_text_of(v->password)};
		char ha1[SIP_DIGEST_HEX_SIZE], response[SIP_DIGEST_HEX_SIZE];
		struct sip_digest_input input = {.algorithm = v->algorithm,
						 .session = v->session,
						 .method = sip_text_of(v->method),
						 .uri = sip_text_of(v->uri),
						 .nonce = sip_text_of(v->nonce),
						 .qop = sip_text_of(v->qop),
						 .nc_text = sip_text_of(v->nc),
						 .cnonce = sip_text_of(v->cnonce),
						 .body = sip_text_of(v->body)};

		sip_digest_hex(digest, v->algorithm, a1, 3, ha1);
		input.ha1 = sip_text_of(ha1);
		sip_digest_response(digest, &input, response);
		assert_string_equal(response, v->response);
		assert_int_equal(strlen(response), sip_digest_length(v->algorithm));
	}
}

/* RFC 7616 3.9.2, as corrected by erratum 4897: SHA-512/256 of FIPS 180-4, not a SHA-512 cut short.
 */
static void sha_512_256_is_the_one_of_fips_180(void **state)
{
	const struct sip_text user[] = {sip_text_of("J\xc3\xa4s\xc3\xb8n Doe"),
					sip_text_of("api@example.org")};
	char hash[SIP_DIGEST_HEX_SIZE];

	(void)state;
	sip_digest_hex(digest, SIP_AUTH_SHA512_256, user, 2, hash);
	assert_string_equal(hash,
			    "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
}

static void algorithms_are_known_by_name(void **state)
{
	enum sip_auth_algorithm algorithm;
	bool session;

	(void)state;
	assert_true(sip_digest_algorithm_of(sip_text_of("sha-512-256-SESS"), &algorithm, &session));
	assert_int_equal(algorithm, SIP_AUTH_SHA512_256);
	assert_true(session);
	assert_true(sip_digest_algorithm_of(sip_text_of("MD5"), &algorithm, &session));
	assert_false(session);
	assert_false(sip_digest_algorithm_of(sip_text_of("SHA-1"), &algorithm, &session));
	assert_false(sip_digest_algorithm_of(sip_text_of("-sess"), &algorithm, &session));
	assert_false(sip_digest_algorithm_of(sip_text_of(""), &algorithm, &session));
}

/* ---- choosing ---- */

static const struct sip_message *refusal(int status, const char *headers)
{
	static char bytes[8192];
	static struct sip_message m;
	const char *reason;
	int n = snprintf(bytes, sizeof(bytes),
			 "SIP/2.0 %d X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
			 "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\n"
			 "CSeq: 1 REGISTER\r\n%s\r\n",
			 status, headers);

	assert_int_equal(sip_message_parse(&m, bytes, (uint32_t)n, &reason), 0);
	return &m;
}

#define WWW "WWW-Authenticate: "

static void the_strongest_that_can_be_answered_is_chosen(void **state)
{
	static const struct sip_auth_secret password = {.username = "u", .password = "p"};
	static const struct sip_auth_secret md5_only = {
		.username = "u", .realm = "r", .ha1 = {[SIP_AUTH_MD5] = "00"}};
	static const struct sip_auth_secret other_realm = {
		.username = "u", .password = "p", .realm = "elsewhere"};
	static const char all[] = WWW
		"Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n" WWW
		"Digest realm=\"r\", nonce=\"n2\", algorithm=SHA-512-256, "
		"qop=\"auth-int,auth\"\r\n" WWW
		"Digest realm=\"r\", nonce=\"n3\", algorithm=SHA-256-sess, qop=\"auth-int\"\r\n";
	static const struct {
		const struct sip_auth_secret *secret;
		const char *headers;
		int result;
		const char *nonce;
		const char *qop;
	} cases[] = {
		{&password, all, 0, "n2", "auth"},
		{&md5_only, all, 0, "n1", "auth"},
		{&other_realm, all, -ENOTSUP, "", ""},
		{&password, "", -EINVAL, "", ""},
		{&password, WWW "Basic realm=\"r\"\r\n", -EINVAL, "", ""},
		{&password, WWW "Digest realm=\"r\"\r\n", -EINVAL, "", ""},
		{&password, WWW "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-1\r\n", -ENOTSUP,
		 "", ""},
		{&password, WWW "Digest realm=\"r\", nonce=\"n\", qop=\"auth-conf\"\r\n", -ENOTSUP,
		 "", ""},
		{&password, WWW "Digest realm=\"r\", nonce=\"n\"\r\n", 0, "n", ""},
		{&password,
		 WWW "Negotiate abc=, Digest realm=\"r\", nonce=\"n4\", qop=auth, Digest "
		     "realm=\"r\",algorithm=SHA-256 , nonce = \"n5\" , qop = \"auth-int\"\r\n",
		 0, "n5", "auth-int"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_auth_challenge challenge;

		assert_int_equal(sip_auth_choose(&challenge, refusal(401, cases[i].headers),
						 SIP_HEADER_WWW_AUTHENTICATE, cases[i].secret),
				 cases[i].result);
		assert_string_equal(challenge.nonce, cases[i].nonce);
		assert_string_equal(challenge.qop, cases[i].qop);
	}
}

static void a_challenge_too_long_is_left_alone(void **state)
{
	static const struct sip_auth_secret secret = {.username = "u", .password = "p"};
	struct sip_auth_challenge challenge;
	char headers[2048];
	char nonce[1024];

	(void)state;
	memset(nonce, 'n', sizeof(nonce));
	for (int n = SIP_AUTH_TEXT_MAX - 1; n <= SIP_AUTH_TEXT_MAX; n++) {
		snprintf(headers, sizeof(headers), WWW "Digest realm=\"r\", nonce=\"%.*s\"\r\n", n,
			 nonce);
		assert_int_equal(sip_auth_choose(&challenge, refusal(401, headers),
						 SIP_HEADER_WWW_AUTHENTICATE, &secret),
				 n < SIP_AUTH_TEXT_MAX ? 0 : -EINVAL);
	}
}

/* ---- giving up ---- */

static const char *authorize(struct sip_auth_client *client, const struct sip_auth_secret *secret)
{
	static char out[4096];
	struct sip_builder b;

	sip_builder_init(&b, out, sizeof(out) - 1);
	sip_auth_put(client, digest, secret, &b, sip_text_of("REGISTER"), sip_text_of("sip:h"),
		     sip_text_of("body"));
	assert_int_equal(sip_builder_result(&b), 0);
	out[b.n] = '\0';
	return out;
}

static void wrong_credentials_are_not_sent_twice(void **state)
{
	static const struct sip_auth_secret secret = {.username = "u", .password = "p"};
	struct sip_auth_client client = {0};

	(void)state;
	assert_string_equal(authorize(&client, &secret), "");
	assert_int_equal(sip_auth_challenged(
				 &client, refusal(401, WWW "Digest realm=\"r\", nonce=\"1\"\r\n"),
				 &secret),
			 0);
	authorize(&client, &secret);
	assert_int_equal(sip_auth_challenged(
				 &client, refusal(401, WWW "Digest realm=\"r\", nonce=\"2\"\r\n"),
				 &secret),
			 -EACCES);
}

static void an_old_nonce_is_replaced(void **state)
{
	static const struct sip_auth_secret secret = {.username = "u", .password = "p"};
	struct sip_auth_client client = {0};

	(void)state;
	assert_int_equal(sip_auth_challenged(
				 &client, refusal(401, WWW "Digest realm=\"r\", nonce=\"1\"\r\n"),
				 &secret),
			 0);
	authorize(&client, &secret);
	sip_auth_accepted(&client);
	authorize(&client, &secret);
	/* said so, or just asked again */
	assert_int_equal(sip_auth_challenged(
				 &client, refusal(401, WWW "Digest realm=\"r\", nonce=\"2\"\r\n"),
				 &secret),
			 0);
	authorize(&client, &secret);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			sip_auth_challenged(
				&client,
				refusal(401, WWW "Digest realm=\"r\", nonce=\"3\", stale=true\r\n"),
				&secret),
			0);
		authorize(&client, &secret);
	}
	/* but not for ever */
	assert_int_equal(
		sip_auth_challenged(&client,
				    refusal(401,
					    WWW "Digest realm=\"r\", nonce=\"4\", stale=true\r\n"),
				    &secret),
		-EACCES);
}

static void proxy_and_server_may_both_ask(void **state)
{
	static const struct sip_auth_secret secret = {.username = "u", .password = "p"};
	struct sip_auth_client client = {0};
	const char *out;

	(void)state;
	assert_int_equal(sip_auth_challenged(&client,
					     refusal(407,
						     "Proxy-Authenticate: Digest realm=\"p\", "
						     "nonce=\"1\", opaque=\"o\", qop=\"auth\"\r\n"),
					     &secret),
			 0);
	authorize(&client, &secret);
	assert_int_equal(sip_auth_challenged(
				 &client, refusal(401, WWW "Digest realm=\"r\", nonce=\"2\"\r\n"),
				 &secret),
			 0);
	out = authorize(&client, &secret);
	assert_non_null(strstr(out, "Authorization: Digest username=\"u\", realm=\"r\""));
	assert_non_null(strstr(out, "Proxy-Authorization: Digest username=\"u\", realm=\"p\", "
				    "nonce=\"1\", uri=\"sip:h\""));
	assert_non_null(strstr(out, "opaque=\"o\", qop=auth, nc=00000002, cnonce=\""));
}

/* ---- against our own server side ---- */

static enum sip_auth_result meet(struct sip_auth *auth, enum sip_auth_algorithm algorithm,
				 const char *parameters, const char *body)
{
	static const char *const names[] = {"MD5", "SHA-256", "SHA-512-256"};
	struct sip_auth_secret secret = {.username = "1001", .password = "secret"};
	struct sip_auth_client client = {0};
	const struct sip_text a1[] = {sip_text_of("1001"), sip_text_of("tandem"),
				      sip_text_of("secret")};
	const char *stored[SIP_AUTH_ALGORITHMS] = {0};
	char ha1[SIP_DIGEST_HEX_SIZE], headers[1200], bytes[8192], challenge[1024];
	struct sip_auth_credentials c;
	struct sip_builder b;
	struct sip_message m;
	const char *reason;

	sip_builder_init(&b, challenge, sizeof(challenge) - 1);
	sip_auth_put_challenge(auth, &b, SIP_HEADER_WWW_AUTHENTICATE, 1u << SIP_AUTH_MD5, false,
			       1000);
	challenge[b.n] = '\0';
	*strchr(strstr(challenge, "nonce=\"") + 7, '"') = '\0';
	snprintf(headers, sizeof(headers), "%s\", algorithm=%s%s\r\n", challenge, names[algorithm],
		 parameters);
	assert_int_equal(sip_auth_challenged(&client, refusal(401, headers), &secret), 0);
	sip_digest_hex(digest, algorithm, a1, 3, ha1);
	stored[algorithm] = ha1;
	snprintf(bytes, sizeof(bytes),
		 "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
		 "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n"
		 "%sContent-Length: %zu\r\n\r\n%s",
		 authorize(&client, &secret), strlen(body), body);
	assert_int_equal(sip_message_parse(&m, bytes, (uint32_t)strlen(bytes), &reason), 0);
	assert_int_equal(sip_auth_find(auth, &m, SIP_HEADER_AUTHORIZATION, &c), SIP_AUTH_OK);
	return sip_auth_verify(auth, &c, &m, stored, 1000);
}

static void both_sides_agree_on_every_form(void **state)
{
	static const char *const forms[] = {
		", qop=\"auth\"",      ", qop=\"auth-int\"",      "",
		"-sess, qop=\"auth\"", "-sess, qop=\"auth-int\"", "-sess",
	};
	static const uint8_t key[32] = "another key of thirty-two octets";
	struct sip_auth *auth;

	(void)state;
	assert_int_equal(sip_auth_create(&auth, "tandem", key, 60000, 64), 0);
	for (int algorithm = 0; algorithm < SIP_AUTH_ALGORITHMS; algorithm++)
		for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
			assert_int_equal(meet(auth, (enum sip_auth_algorithm)algorithm, forms[i],
					      "body"),
					 SIP_AUTH_OK);
	/* auth-int covers the body; authorize() signs "body" */
	assert_int_equal(meet(auth, SIP_AUTH_SHA256, ", qop=\"auth-int\"", "another"),
			 SIP_AUTH_REFUSED);
	assert_int_equal(meet(auth, SIP_AUTH_SHA256, ", qop=\"auth\"", "another"), SIP_AUTH_OK);
	sip_auth_destroy(auth);
}

#define IT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IT(sums_are_those_of_the_rfcs),
		IT(sha_512_256_is_the_one_of_fips_180),
		IT(algorithms_are_known_by_name),
		IT(the_strongest_that_can_be_answered_is_chosen),
		IT(a_challenge_too_long_is_left_alone),
		IT(wrong_credentials_are_not_sent_twice),
		IT(an_old_nonce_is_replaced),
		IT(proxy_and_server_may_both_ask),
		IT(both_sides_agree_on_every_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
