/* Names of the workers' counters. */
#include "dataplane/node/counter.h"

const char *counter_name(enum counter counter)
{
	static const char *const names[COUNTER_COUNT] = {
#define COUNTER_TEXT(name, text) [name] = text,
		COUNTERS(COUNTER_TEXT)
#undef COUNTER_TEXT
	};

	return counter > COUNTER_NONE && counter < COUNTER_COUNT ? names[counter] : NULL;
}
