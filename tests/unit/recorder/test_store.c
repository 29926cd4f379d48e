/*
 * Object stores. The directory always; S3 when TANDEM_TEST_S3 names one as
 * "HOST:PORT BUCKET ACCESS_KEY SECRET_KEY" (plain HTTP), as the end-to-end tests do with Swift.
 */
#include "recorder/upload/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct store_fixture {
	char directory[64];
	char root[96];
	char file[96];
	struct store *store;
	struct digest_sums sums;
	char error[STORE_ERROR_MAX];
};

static void file_make(struct store_fixture *f, size_t n, uint8_t value)
{
	uint8_t *bytes = malloc(n + 1);
	int fd = open(f->file, O_CREAT | O_TRUNC | O_RDWR, 0600);

	memset(bytes, value, n);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(digest_file(fd, &f->sums), 0);
	close(fd);
	free(bytes);
}

static int fixture_setup(void **state)
{
	struct store_fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/tandem-store-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->root, sizeof(f->root), "%s/root", f->directory);
	snprintf(f->file, sizeof(f->file), "%s/file", f->directory);
	*state = f;
	return store_directory_create(&f->store, f->root);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static int fixture_teardown(void **state)
{
	struct store_fixture *f = *state;

	store_destroy(f->store);
	nftw(f->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* The whole contract, for any store. */
static void store_check(struct store_fixture *f, const char *key)
{
	const struct store_ops *ops = f->store->ops;
	struct digest_sums other, found;
	int fd;

	assert_int_equal(ops->prepare(f->store, f->error), 0);
	assert_int_equal(ops->prepare(f->store, f->error), 0);
	assert_int_equal(ops->remove(f->store, key, f->error), 0);
	assert_int_equal(ops->verify(f->store, key, &f->sums, f->error), -ENOENT);
	assert_int_equal(ops->get(f->store, key, &fd, f->error), -ENOENT);
	file_make(f, 300000, 'a');
	other = f->sums;
	assert_int_equal(ops->put(f->store, key, f->file, &f->sums, f->error), 0);
	assert_int_equal(ops->verify(f->store, key, &f->sums, f->error), 0);
	file_make(f, 300000, 'b');
	assert_int_equal(ops->verify(f->store, key, &f->sums, f->error), -EBADMSG);
	assert_int_equal(ops->put(f->store, key, f->file, &f->sums, f->error), 0);
	assert_int_equal(ops->verify(f->store, key, &f->sums, f->error), 0);
	assert_int_equal(ops->verify(f->store, key, &other, f->error), -EBADMSG);
	file_make(f, 10, 'b');
	assert_int_equal(ops->verify(f->store, key, &f->sums, f->error), -EBADMSG);
	assert_int_equal(ops->get(f->store, key, &fd, f->error), 0);
	assert_int_equal(digest_file(fd, &found), 0);
	close(fd);
	assert_int_equal(found.bytes, 300000);
	assert_int_equal(ops->remove(f->store, key, f->error), 0);
	assert_int_equal(ops->get(f->store, key, &fd, f->error), -ENOENT);
	assert_true(strlen(f->error) > 0);
}

static void the_directory_keeps_the_contract(void **state)
{
	struct store_fixture *f = *state;

	file_make(f, 0, 0);
	store_check(f, "2026/01/02/0190-abc.wav");
	store_check(f, "top.wav");
}

static void s3_keeps_the_contract(void **state)
{
	struct store_fixture *f = *state;
	char endpoint[100], bucket[100], access_key[100], secret_key[100];
	struct config_store config = {.kind = CONFIG_STORE_S3,
				      .endpoint = endpoint,
				      .bucket = bucket,
				      .access_key = access_key,
				      .secret_key = secret_key};
	const char *s3 = getenv("TANDEM_TEST_S3");

	if (!s3 || sscanf(s3, "%99s %99s %99s %99s", endpoint, bucket, access_key, secret_key) != 4)
		skip();
	store_destroy(f->store);
	assert_int_equal(store_create(&f->store, &config, f->directory), 0);
	file_make(f, 0, 0);
	store_check(f, "2026/01/02/0190-abc.wav");
	store_destroy(f->store);
	strcpy(secret_key, "wrong");
	assert_int_equal(store_create(&f->store, &config, f->directory), 0);
	assert_int_equal(f->store->ops->prepare(f->store, f->error), -EACCES);
}

static void an_s3_that_is_away_fails_soon_and_says_so(void **state)
{
	struct store_fixture *f = *state;
	struct config_store config = {.kind = CONFIG_STORE_S3,
				      .endpoint = (char[]){"127.0.0.1:1"},
				      .bucket = (char[]){"bucket"},
				      .access_key = (char[]){"key"},
				      .secret_key = (char[]){"secret"}};

	store_destroy(f->store);
	assert_int_equal(store_create(&f->store, &config, f->directory), 0);
	assert_int_equal(f->store->ops->prepare(f->store, f->error), -EHOSTUNREACH);
	file_make(f, 100, 'x');
	assert_int_equal(f->store->ops->put(f->store, "a.wav", f->file, &f->sums, f->error),
			 -EHOSTUNREACH);
	assert_non_null(strstr(f->error, "a.wav"));
	assert_null(strstr(f->error, "secret"));
	atomic_store(&f->store->stopping, true);
	assert_true(f->store->ops->put(f->store, "a.wav", f->file, &f->sums, f->error) < 0);
}

static void keys_stay_inside_the_store(void **state)
{
	static const char *const bad[] = {
		"",      "/",    "/a", "a/",  "a//b", ".",     "..",   "../a",     "a/../b",
		"a/./b", "a/.b", ".a", "a b", "a\\b", "a%2fb", "a\nb", "\xc3\xa4",
	};
	static const char *const good[] = {"a", "a.wav", "2026/01/02/x-y_z.wav", "a..b"};
	struct store_fixture *f = *state;
	char longest[STORE_KEY_MAX + 1];
	int fd;

	assert_int_equal(f->store->ops->prepare(f->store, f->error), 0);
	file_make(f, 3, 'x');
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
		assert_false(store_key_is_valid(bad[k]));
		assert_int_equal(f->store->ops->put(f->store, bad[k], f->file, &f->sums, f->error),
				 -EINVAL);
		assert_int_equal(f->store->ops->get(f->store, bad[k], &fd, f->error), -EINVAL);
		assert_int_equal(f->store->ops->remove(f->store, bad[k], f->error), -EINVAL);
	}
	for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++)
		assert_true(store_key_is_valid(good[k]));
	memset(longest, 'k', sizeof(longest));
	longest[STORE_KEY_MAX] = '\0';
	assert_false(store_key_is_valid(longest));
	longest[STORE_KEY_MAX - 1] = '\0';
	assert_true(store_key_is_valid(longest));
}

static void links_do_not_lead_out_of_the_directory(void **state)
{
	struct store_fixture *f = *state;
	char path[200];
	int fd;

	assert_int_equal(f->store->ops->prepare(f->store, f->error), 0);
	file_make(f, 3, 'x');
	snprintf(path, sizeof(path), "%s/out", f->root);
	assert_int_equal(symlink("/etc", path), 0);
	assert_true(f->store->ops->get(f->store, "out/passwd", &fd, f->error) < 0);
	assert_true(f->store->ops->put(f->store, "out/x", f->file, &f->sums, f->error) < 0);
	snprintf(path, sizeof(path), "%s/link", f->root);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_true(f->store->ops->get(f->store, "link", &fd, f->error) < 0);
}

static void nothing_is_left_of_a_put_that_failed(void **state)
{
	struct store_fixture *f = *state;
	int fd;

	assert_int_equal(f->store->ops->prepare(f->store, f->error), 0);
	file_make(f, 3, 'x');
	unlink(f->file);
	assert_int_equal(f->store->ops->put(f->store, "d/x", f->file, &f->sums, f->error), -ENOENT);
	assert_int_equal(f->store->ops->get(f->store, "d/x", &fd, f->error), -ENOENT);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(the_directory_keeps_the_contract),
		STORE_TEST(s3_keeps_the_contract),
		STORE_TEST(an_s3_that_is_away_fails_soon_and_says_so),
		STORE_TEST(keys_stay_inside_the_store),
		STORE_TEST(links_do_not_lead_out_of_the_directory),
		STORE_TEST(nothing_is_left_of_a_put_that_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
