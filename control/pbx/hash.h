/* FNV-1a (Fowler, Noll, Vo): for tables whose keys come from the configuration or from users that
 * have shown their credentials, so nobody can choose keys that collide at will. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint32_t text_hash(const char *text, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619u;
	return hash;
}
