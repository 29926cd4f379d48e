/*
 * G.711 (ITU-T G.711, 11/88): 8-bit µ-law and A-law to and from linear PCM of 16 bits.
 *
 * One byte is one sample at 8000 Hz. The linear side uses the full 16-bit scale: the 14-bit (µ-law)
 * and 13-bit (A-law) values of the Recommendation shifted to the left.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* n samples; in and out do not overlap. */
void g711_ulaw_decode(int16_t *out, const uint8_t *in, size_t n);
void g711_alaw_decode(int16_t *out, const uint8_t *in, size_t n);
void g711_ulaw_encode(uint8_t *out, const int16_t *in, size_t n);
void g711_alaw_encode(uint8_t *out, const int16_t *in, size_t n);
