/* A self-signed certificate (RFC 5280) with the names and addresses that this host answers to. */
#include "control/sip/certificate.h"

#include "dataplane/base/address.h"
#include "dataplane/base/clock.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define YEARS_10_S       (3650L * 86400)
#define BACKDATED_S      86400L /* for clocks that are behind ours */
#define ADDRESSES_MAX    64
#define COMMON_NAME_MAX  64 /* RFC 5280 A.1 ub-common-name */
#define HOST_NAME_SIZE   256
#define SERIAL_BYTES     16
#define ALTERNATIVES_MAX 8192

static int extension_add(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	int rc = -ENOMEM;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (extension && X509_add_ext(certificate, extension, -1) == 1)
		rc = 0;
	X509_EXTENSION_free(extension);
	return rc;
}

/* "DNS:host,IP:192.0.2.1,..." */
static void alternatives_write(const char *host, char out[ALTERNATIVES_MAX])
{
	int at = snprintf(out, ALTERNATIVES_MAX, "DNS:%s", host);
	struct ifaddrs *all = NULL;
	uint32_t count = 0;

	if (strcmp(host, "localhost") != 0)
		at += snprintf(out + at, ALTERNATIVES_MAX - (size_t)at, ",DNS:localhost");
	if (getifaddrs(&all) != 0)
		return;
	for (struct ifaddrs *one = all; one && count < ADDRESSES_MAX; one = one->ifa_next) {
		struct endpoint end;
		char text[ADDRESS_TEXT_MAX];

		if (!one->ifa_addr ||
		    (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6))
			continue;
		if (endpoint_from_sockaddr(&end, one->ifa_addr) < 0 ||
		    (end.address.ip[0] == 0xfe && (end.address.ip[1] & 0xc0) == 0x80))
			continue; /* link-local ones are nobody's destination */
		at += snprintf(out + at, ALTERNATIVES_MAX - (size_t)at, ",IP:%s",
			       address_text(&end.address, text));
		count++;
	}
	freeifaddrs(all);
}

static int serial_set(X509 *certificate)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number;
	int rc;

	random_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, full length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	rc = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) ? 0 : -ENOMEM;
	BN_free(number);
	return rc;
}

/* A host name as DNS has them; anything else would break the extension's syntax. */
static void host_name(char out[HOST_NAME_SIZE])
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

	if (gethostname(out, HOST_NAME_SIZE - 1) != 0)
		out[0] = '\0';
	out[HOST_NAME_SIZE - 1] = '\0';
	if (out[0] == '\0' || out[strspn(out, allowed)] != '\0')
		strcpy(out, "localhost");
}

static int certificate_fill(X509 *certificate, EVP_PKEY *key)
{
	char alternatives[ALTERNATIVES_MAX];
	char host[HOST_NAME_SIZE];
	X509_NAME *name = X509_get_subject_name(certificate);
	int rc = 0;

	host_name(host);
	alternatives_write(host, alternatives);
	if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
	    X509_set_pubkey(certificate, key) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATED_S) ||
	    !X509_gmtime_adj(X509_getm_notAfter(certificate), YEARS_10_S) ||
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)host,
				       (int)strnlen(host, COMMON_NAME_MAX), -1, 0) != 1 ||
	    X509_set_issuer_name(certificate, name) != 1)
		return -ENOMEM;
	rc = serial_set(certificate);
	rc = rc ? rc : extension_add(certificate, NID_basic_constraints, "critical,CA:FALSE");
	rc = rc ? rc : extension_add(certificate, NID_key_usage, "critical,digitalSignature");
	rc = rc ? rc : extension_add(certificate, NID_ext_key_usage, "serverAuth,clientAuth");
	rc = rc ? rc : extension_add(certificate, NID_subject_key_identifier, "hash");
	rc = rc ? rc : extension_add(certificate, NID_subject_alt_name, alternatives);
	return rc ? rc : X509_sign(certificate, key, EVP_sha256()) > 0 ? 0 : -EINVAL;
}

/* The whole file or none: written beside and renamed. */
static int pem_write(const char *path, EVP_PKEY *key, X509 *certificate)
{
	char *beside;
	FILE *file;
	int rc = -EIO;
	int fd;

	if (asprintf(&beside, "%s.new", path) < 0)
		return -ENOMEM;
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		free(beside);
		return rc;
	}
	if (key ? PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1
		: PEM_write_X509(file, certificate) == 1)
		rc = fflush(file) != 0 || fsync(fd) != 0 ? -errno : 0;
	if (fclose(file) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(beside, path) != 0)
		rc = -errno;
	if (rc < 0)
		unlink(beside);
	free(beside);
	return rc;
}

static int folder_make(const char *path)
{
	char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	int rc = folder ? 0 : -ENOMEM;

	if (slash && slash != folder) {
		*slash = '\0';
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			rc = -errno;
	}
	free(folder);
	return rc;
}

int sip_certificate_make(const char *certificate_path, const char *key_path)
{
	EVP_PKEY *key;
	X509 *certificate;
	int rc;

	if (access(certificate_path, F_OK) == 0 && access(key_path, F_OK) == 0)
		return 0;
	key = EVP_EC_gen("P-256");
	certificate = X509_new();
	rc = key && certificate ? certificate_fill(certificate, key) : -ENOMEM;
	rc = rc ? rc : folder_make(key_path);
	rc = rc ? rc : folder_make(certificate_path);
	rc = rc ? rc : pem_write(key_path, key, NULL);
	rc = rc ? rc : pem_write(certificate_path, NULL, certificate);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return rc < 0 ? rc : 1;
}
