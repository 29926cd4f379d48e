/* The certificate of a first start: self-signed, so that phones can be given TLS at once. */
#pragma once

/* Makes a key (ECDSA P-256) and a certificate of ten years for this host's name and addresses, both
 * PEM with mode 0600; the folder is made if it is not there (0700). When both files exist nothing
 * is done. 1 = made, 0 = there already, -errno. */
int sip_certificate_make(const char *certificate_path, const char *key_path);
