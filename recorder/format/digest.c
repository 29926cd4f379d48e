/* SHA-256 and MD5 in one pass over a byte stream. */
#include "recorder/format/digest.h"

#include <openssl/evp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct digest {
	EVP_MD_CTX *sha256;
	EVP_MD_CTX *md5;
	uint64_t bytes;
};

int digest_create(struct digest **out)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	*out = NULL;
	if (!digest)
		return -ENOMEM;
	digest->sha256 = EVP_MD_CTX_new();
	digest->md5 = EVP_MD_CTX_new();
	if (!digest->sha256 || !digest->md5 ||
	    EVP_DigestInit_ex(digest->sha256, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex(digest->md5, EVP_md5(), NULL) != 1) {
		digest_destroy(digest);
		return -ENOMEM;
	}
	*out = digest;
	return 0;
}

int digest_add(struct digest *digest, const void *bytes, size_t n)
{
	if (EVP_DigestUpdate(digest->sha256, bytes, n) != 1 ||
	    EVP_DigestUpdate(digest->md5, bytes, n) != 1)
		return -EIO;
	digest->bytes += n;
	return 0;
}

static void hex_write(char *out, const uint8_t *bytes, size_t n)
{
	for (size_t k = 0; k < n; k++)
		snprintf(out + 2 * k, 3, "%02x", bytes[k]);
}

int digest_finish(struct digest *digest, struct digest_sums *sums)
{
	uint8_t sha256[32], md5[16];

	if (EVP_DigestFinal_ex(digest->sha256, sha256, NULL) != 1 ||
	    EVP_DigestFinal_ex(digest->md5, md5, NULL) != 1)
		return -EIO;
	sums->bytes = digest->bytes;
	hex_write(sums->sha256, sha256, sizeof(sha256));
	hex_write(sums->md5, md5, sizeof(md5));
	return 0;
}

void digest_destroy(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->sha256);
	EVP_MD_CTX_free(digest->md5);
	free(digest);
}

int digest_file(int fd, struct digest_sums *sums)
{
	uint8_t *bytes = malloc(256 * 1024);
	struct digest *digest = NULL;
	int error = bytes ? digest_create(&digest) : -ENOMEM;
	off_t offset = 0;

	while (!error) {
		ssize_t got = pread(fd, bytes, 256 * 1024, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			error = -errno;
		if (got <= 0)
			break;
		error = digest_add(digest, bytes, (size_t)got);
		offset += got;
	}
	if (!error)
		error = digest_finish(digest, sums);
	digest_destroy(digest);
	free(bytes);
	return error;
}
