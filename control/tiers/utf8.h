/* Valid UTF-8 for the databases, out of whatever bytes the network brought (RFC 3629). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Replaces each byte that is no part of a valid sequence, and each control character, by '?';
 * n bytes in place. */
void utf8_repair(char *text, size_t n);
/* The largest length <= most at which text, of at least most + 1 bytes, can be cut without
 * splitting a sequence. */
size_t utf8_cut(const char *text, size_t most);
/* True when all n bytes are valid and no control characters. */
bool utf8_is_clean(const char *text, size_t n);
