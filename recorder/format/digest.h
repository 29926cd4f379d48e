/* SHA-256 and MD5 of a byte stream in one pass: SHA-256 is what the receipt proves, MD5 is what S3
 * stores answer with (ETag). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_TEXT 65 /* lower-case hex and NUL */
#define DIGEST_MD5_TEXT    33

struct digest; /* one of each under way */

struct digest_sums {
	uint64_t bytes;
	char sha256[DIGEST_SHA256_TEXT];
	char md5[DIGEST_MD5_TEXT];
};

/* -ENOMEM when the library refuses. */
int digest_create(struct digest **digest);
int digest_add(struct digest *digest, const void *bytes, size_t n);
/* Ends the stream; the digest can only be destroyed afterwards. */
int digest_finish(struct digest *digest, struct digest_sums *sums);
void digest_destroy(struct digest *digest);

/* Reads the whole file at `fd` from its start. -errno. */
int digest_file(int fd, struct digest_sums *sums);
