/*
 * The S3 store, through libs3: path style, AWS v2 signatures. Every request has a context of its
 * own and is driven here, so that it ends when the daemon stops or when nothing moves any more.
 */
#include "recorder/upload/store.h"
#include "dataplane/base/clock.h"

#include <libs3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_IDLE_NS                                                                            \
	(30 * NS_PER_S) /* nothing sent and nothing received for so long: given up */
#define REQUEST_STEP_MS 100

struct store_s3 {
	struct store store;
	char *host;
	char *bucket;
	char *access_key;
	char *secret_key;
	char *scratch;
	S3Protocol protocol;
	S3BucketContext context;
};

/* One request, and what came of it. */
struct request {
	S3Status status;
	bool done;
	uint64_t moved_ns; /* last time bytes went either way */
	int fd;            /* put: read from; get: written to */
	uint64_t left;     /* put */
	uint64_t length;   /* head, get: Content-Length */
	char etag[80];
	char message[128];
};

static S3Status on_properties(const S3ResponseProperties *properties, void *arg)
{
	struct request *request = arg;

	request->length = properties->contentLength;
	if (properties->eTag)
		snprintf(request->etag, sizeof(request->etag), "%s", properties->eTag);
	request->moved_ns = clock_mono_ns();
	return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *arg)
{
	struct request *request = arg;

	request->status = status;
	request->done = true;
	if (details && details->message)
		snprintf(request->message, sizeof(request->message), ": %s", details->message);
}

static int on_put_bytes(int size, char *buffer, void *arg)
{
	struct request *request = arg;
	ssize_t got;

	request->moved_ns = clock_mono_ns();
	if (request->left == 0)
		return 0;
	got = read(request->fd, buffer,
		   (uint64_t)size < request->left ? (size_t)size : request->left);
	if (got <= 0)
		return -1; /* the file became shorter: abort */
	request->left -= (uint64_t)got;
	return (int)got;
}

static S3Status on_get_bytes(int size, const char *buffer, void *arg)
{
	struct request *request = arg;

	request->moved_ns = clock_mono_ns();
	while (size > 0) {
		ssize_t put = write(request->fd, buffer, (size_t)size);

		if (put < 0)
			return S3StatusAbortedByCallback;
		buffer += put;
		size -= (int)put;
	}
	return S3StatusOK;
}

static const S3ResponseHandler response_handler = {on_properties, on_complete};

/* 0 or -errno; error gets a line. */
static int request_outcome(const struct request *request, const char *what, const char *key,
			   char error[STORE_ERROR_MAX])
{
	int code;

	switch (request->status) {
	case S3StatusOK:
		return 0;
	case S3StatusErrorNoSuchKey:
	case S3StatusErrorNoSuchBucket:
	case S3StatusHttpErrorNotFound:
		code = -ENOENT;
		break;
	case S3StatusErrorAccessDenied:
	case S3StatusErrorInvalidAccessKeyId:
	case S3StatusErrorSignatureDoesNotMatch:
	case S3StatusHttpErrorForbidden:
		code = -EACCES;
		break;
	case S3StatusNameLookupError:
	case S3StatusFailedToConnect:
		code = -EHOSTUNREACH;
		break;
	case S3StatusInterrupted:
		code = -ECANCELED;
		break;
	default:
		code = -EIO;
		break;
	}
	snprintf(error, STORE_ERROR_MAX, "%s %.80s: %s%.100s", what, key,
		 S3_get_status_name(request->status), request->message);
	return code;
}

/* Runs the one request of the context to its end. */
static void request_run(struct store_s3 *s3, S3RequestContext *context, struct request *request)
{
	request->moved_ns = clock_mono_ns();
	while (!request->done) {
		fd_set reading, writing, failing;
		int highest = -1, left = 0;
		int64_t timeout_ms = S3_get_request_context_timeout(context);
		struct timeval timeout;

		FD_ZERO(&reading);
		FD_ZERO(&writing);
		FD_ZERO(&failing);
		if (S3_get_request_context_fdsets(context, &reading, &writing, &failing,
						  &highest) != S3StatusOK)
			break;
		if (timeout_ms < 0 || timeout_ms > REQUEST_STEP_MS)
			timeout_ms = REQUEST_STEP_MS;
		if (highest < 0 && timeout_ms > 10)
			timeout_ms = 10; /* name look-up in a thread of curl's */
		timeout = (struct timeval){.tv_usec = timeout_ms * 1000};
		select(highest + 1, &reading, &writing, &failing, &timeout);
		if (S3_runonce_request_context(context, &left) != S3StatusOK)
			break;
		if (left == 0)
			break;
		if (atomic_load_explicit(&s3->store.stopping, memory_order_relaxed) ||
		    clock_mono_ns() - request->moved_ns > REQUEST_IDLE_NS)
			break;
	}
	/* what was given up completes here, as interrupted */
	S3_destroy_request_context(context);
	if (!request->done)
		request->status = S3StatusInterrupted;
}

static int request_begin(S3RequestContext **context, struct request *request,
			 char error[STORE_ERROR_MAX])
{
	*request = (struct request){.fd = -1, .status = S3StatusInterrupted};
	if (S3_create_request_context(context) == S3StatusOK)
		return 0;
	snprintf(error, STORE_ERROR_MAX, "libs3 has no memory");
	return -ENOMEM;
}

static int s3_prepare(struct store *store, char error[STORE_ERROR_MAX])
{
	struct store_s3 *s3 = (struct store_s3 *)store;
	S3RequestContext *context;
	struct request request;
	char location[64];
	int outcome = request_begin(&context, &request, error);

	if (outcome)
		return outcome;
	S3_test_bucket(s3->protocol, S3UriStylePath, s3->access_key, s3->secret_key, s3->host,
		       s3->bucket, sizeof(location), location, context, &response_handler,
		       &request);
	request_run(s3, context, &request);
	outcome = request_outcome(&request, "bucket", s3->bucket, error);
	if (outcome != -ENOENT)
		return outcome;
	outcome = request_begin(&context, &request, error);
	if (outcome)
		return outcome;
	S3_create_bucket(s3->protocol, s3->access_key, s3->secret_key, s3->host, s3->bucket,
			 S3CannedAclPrivate, NULL, context, &response_handler, &request);
	request_run(s3, context, &request);
	if (request.status == S3StatusErrorBucketAlreadyOwnedByYou)
		return 0;
	return request_outcome(&request, "making bucket", s3->bucket, error);
}

/* Content-MD5 (RFC 1864): base64 of the 16 bytes that the hex text stands for. */
static void md5_base64(const char *hex, char out[25])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t bytes[18] = {0};
	char *at = out;

	for (int k = 0; k < 16; k++) {
		unsigned int byte = 0;

		sscanf(hex + 2 * k, "%2x", &byte);
		bytes[k] = (uint8_t)byte;
	}
	for (int k = 0; k < 18; k += 3) {
		uint32_t three =
			(uint32_t)bytes[k] << 16 | (uint32_t)bytes[k + 1] << 8 | bytes[k + 2];

		*at++ = digits[three >> 18];
		*at++ = digits[three >> 12 & 63];
		*at++ = digits[three >> 6 & 63];
		*at++ = digits[three & 63];
	}
	memcpy(out + 22, "==", 3);
}

static int s3_put(struct store *store, const char *key, const char *path,
		  const struct digest_sums *sums, char error[STORE_ERROR_MAX])
{
	static const S3PutObjectHandler handler = {{on_properties, on_complete}, on_put_bytes};
	struct store_s3 *s3 = (struct store_s3 *)store;
	char md5[25];
	S3PutProperties properties = {
		.contentType = "audio/wav",
		.md5 = md5,
		.expires = -1,
		.cannedAcl = S3CannedAclPrivate,
	};
	S3RequestContext *context;
	struct request request;
	struct stat status;
	int fd, outcome;

	if (!store_key_is_valid(key)) {
		snprintf(error, STORE_ERROR_MAX, "key %.150s: not valid", key);
		return -EINVAL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0 || (uint64_t)status.st_size != sums->bytes) {
		outcome = fd < 0 ? -errno : -EBADMSG;
		snprintf(error, STORE_ERROR_MAX, "file %.150s: %s", path, strerror(-outcome));
		if (fd >= 0)
			close(fd);
		return outcome;
	}
	outcome = request_begin(&context, &request, error);
	if (!outcome) {
		md5_base64(sums->md5, md5);
		request.fd = fd;
		request.left = sums->bytes;
		S3_put_object(&s3->context, key, sums->bytes, &properties, context, &handler,
			      &request);
		request_run(s3, context, &request);
		outcome = request_outcome(&request, "storing", key, error);
		/* the bucket went away, or was never there: the next attempt prepares it */
	}
	close(fd);
	return outcome;
}

static int s3_get(struct store *store, const char *key, int *fd, char error[STORE_ERROR_MAX])
{
	static const S3GetObjectHandler handler = {{on_properties, on_complete}, on_get_bytes};
	static const S3GetConditions any = {.ifModifiedSince = -1, .ifNotModifiedSince = -1};
	struct store_s3 *s3 = (struct store_s3 *)store;
	S3RequestContext *context;
	struct request request;
	int outcome;

	*fd = -1;
	if (!store_key_is_valid(key)) {
		snprintf(error, STORE_ERROR_MAX, "key %.150s: not valid", key);
		return -EINVAL;
	}
	outcome = request_begin(&context, &request, error);
	if (outcome)
		return outcome;
	request.fd = open(s3->scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (request.fd < 0) {
		outcome = -errno;
		snprintf(error, STORE_ERROR_MAX, "scratch file: %s", strerror(-outcome));
		S3_destroy_request_context(context);
		return outcome;
	}
	S3_get_object(&s3->context, key, &any, 0, 0, context, &handler, &request);
	request_run(s3, context, &request);
	outcome = request_outcome(&request, "fetching", key, error);
	if (outcome) {
		close(request.fd);
		return outcome;
	}
	lseek(request.fd, 0, SEEK_SET);
	*fd = request.fd;
	return 0;
}

/* For stores whose ETag is no MD5: read it all back. */
static int s3_verify_bytes(struct store *store, const char *key, const struct digest_sums *sums,
			   char error[STORE_ERROR_MAX])
{
	struct digest_sums found;
	int fd, outcome = s3_get(store, key, &fd, error);

	if (outcome)
		return outcome;
	outcome = digest_file(fd, &found);
	close(fd);
	if (!outcome && (found.bytes != sums->bytes || strcmp(found.sha256, sums->sha256) != 0))
		outcome = -EBADMSG;
	if (outcome)
		snprintf(error, STORE_ERROR_MAX, "comparing %.150s: %s", key, strerror(-outcome));
	return outcome;
}

static int s3_verify(struct store *store, const char *key, const struct digest_sums *sums,
		     char error[STORE_ERROR_MAX])
{
	struct store_s3 *s3 = (struct store_s3 *)store;
	S3RequestContext *context;
	struct request request;
	const char *etag = request.etag;
	int outcome = request_begin(&context, &request, error);

	if (outcome)
		return outcome;
	S3_head_object(&s3->context, key, context, &response_handler, &request);
	request_run(s3, context, &request);
	outcome = request_outcome(&request, "looking at", key, error);
	if (outcome)
		return outcome;
	if (request.length != sums->bytes) {
		snprintf(error, STORE_ERROR_MAX, "comparing %.150s: another size", key);
		return -EBADMSG;
	}
	if (*etag == '"')
		etag++;
	if (strncmp(etag, sums->md5, strlen(sums->md5)) == 0)
		return 0;
	return s3_verify_bytes(store, key, sums, error);
}

static int s3_remove(struct store *store, const char *key, char error[STORE_ERROR_MAX])
{
	struct store_s3 *s3 = (struct store_s3 *)store;
	S3RequestContext *context;
	struct request request;
	int outcome = request_begin(&context, &request, error);

	if (outcome)
		return outcome;
	S3_delete_object(&s3->context, key, context, &response_handler, &request);
	request_run(s3, context, &request);
	outcome = request_outcome(&request, "deleting", key, error);
	return outcome == -ENOENT ? 0 : outcome;
}

static void s3_destroy(struct store *store)
{
	struct store_s3 *s3 = (struct store_s3 *)store;

	S3_deinitialize();
	free(s3->host);
	free(s3->bucket);
	free(s3->access_key);
	free(s3->secret_key);
	free(s3->scratch);
	free(s3);
}

int store_s3_create(struct store **store, const struct config_store *config, const char *scratch)
{
	static const struct store_ops ops = {
		.prepare = s3_prepare,
		.put = s3_put,
		.verify = s3_verify,
		.get = s3_get,
		.remove = s3_remove,
		.destroy = s3_destroy,
	};
	struct store_s3 *s3 = calloc(1, sizeof(*s3));

	*store = NULL;
	if (!s3)
		return -ENOMEM;
	if (S3_initialize("tandem-recorder", S3_INIT_ALL, config->endpoint) != S3StatusOK) {
		free(s3);
		return -EINVAL;
	}
	s3->store.ops = &ops;
	s3->host = strdup(config->endpoint);
	s3->bucket = strdup(config->bucket);
	s3->access_key = strdup(config->access_key);
	s3->secret_key = strdup(config->secret_key);
	s3->scratch = strdup(scratch);
	s3->protocol = config->tls ? S3ProtocolHTTPS : S3ProtocolHTTP;
	if (!s3->host || !s3->bucket || !s3->access_key || !s3->secret_key || !s3->scratch) {
		s3_destroy(&s3->store);
		return -ENOMEM;
	}
	s3->context = (S3BucketContext){
		.hostName = s3->host,
		.bucketName = s3->bucket,
		.protocol = s3->protocol,
		.uriStyle = S3UriStylePath,
		.accessKeyId = s3->access_key,
		.secretAccessKey = s3->secret_key,
	};
	*store = &s3->store;
	return 0;
}
