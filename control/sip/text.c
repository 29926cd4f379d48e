/* Pieces of text: comparison, numbers, parameters, quoted strings. */
#include "control/sip/text.h"

#include "control/sip/chars.h"

#include <errno.h>

bool sip_text_equal_nocase(struct sip_text a, struct sip_text b)
{
	if (a.n != b.n)
		return false;
	for (uint32_t i = 0; i < a.n; i++) {
		if (sip_lower(a.at[i]) != sip_lower(b.at[i]))
			return false;
	}
	return true;
}

bool sip_text_is(struct sip_text t, const char *word)
{
	return sip_text_equal_nocase(t, sip_text_of(word));
}

struct sip_text sip_text_trim(struct sip_text t)
{
	while (t.n > 0 && sip_is_space(t.at[0])) {
		t.at++;
		t.n--;
	}
	while (t.n > 0 && sip_is_space(t.at[t.n - 1]))
		t.n--;
	return t;
}

int sip_text_number(struct sip_text t, uint64_t max, uint64_t *value)
{
	uint64_t number = 0;

	if (t.n == 0)
		return -EINVAL;
	for (uint32_t i = 0; i < t.n; i++) {
		if (t.at[i] < '0' || t.at[i] > '9')
			return -EINVAL;
	}
	for (uint32_t i = 0; i < t.n; i++) {
		uint64_t digit = (uint64_t)(t.at[i] - '0');

		if (digit > max || number > (max - digit) / 10) {
			*value = max;
			return -ERANGE;
		}
		number = number * 10 + digit;
	}
	*value = number;
	return 0;
}

size_t sip_text_copy(struct sip_text t, char *out, size_t size)
{
	if (size > 0) {
		size_t n = t.n < size ? t.n : size - 1;

		if (n > 0)
			memcpy(out, t.at, n);
		out[n] = '\0';
	}
	return t.n;
}

static void skip_space(struct sip_text *rest)
{
	while (rest->n > 0 && sip_is_space(rest->at[0])) {
		rest->at++;
		rest->n--;
	}
}

static void skip(struct sip_text *rest, uint32_t n)
{
	rest->at += n;
	rest->n -= n;
}

/* Length of the quoted string that t begins with, quotes included; 0 if it does not end. */
static uint32_t quoted_length(struct sip_text t)
{
	for (uint32_t i = 1; i < t.n; i++) {
		if (t.at[i] == '\\')
			i++;
		else if (t.at[i] == '"')
			return i + 1;
	}
	return 0;
}

/* The value behind '='. */
static int parameter_value(struct sip_text *rest, struct sip_text *value)
{
	uint32_t n = 0;

	skip_space(rest);
	if (rest->n > 0 && rest->at[0] == '"') {
		n = quoted_length(*rest);
		if (n == 0)
			return -EINVAL;
	} else {
		while (n < rest->n && rest->at[n] != ';' && !sip_is_space(rest->at[n])) {
			if (rest->at[n] == '"' || rest->at[n] == ',')
				return -EINVAL;
			n++;
		}
	}
	*value = (struct sip_text){rest->at, n};
	skip(rest, n);
	skip_space(rest);
	return 0;
}

int sip_parameter_next(struct sip_text *rest, struct sip_text *name, struct sip_text *value)
{
	uint32_t n = 0;

	skip_space(rest);
	if (rest->n == 0)
		return 0;
	if (rest->at[0] != ';')
		return -EINVAL;
	skip(rest, 1);
	skip_space(rest);
	while (n < rest->n && sip_is_parameter(rest->at[n]))
		n++;
	if (n == 0)
		return -EINVAL;
	*name = (struct sip_text){rest->at, n};
	*value = (struct sip_text){NULL, 0};
	skip(rest, n);
	skip_space(rest);
	if (rest->n > 0 && rest->at[0] == '=') {
		int rc;

		skip(rest, 1);
		rc = parameter_value(rest, value);
		if (rc < 0)
			return rc;
	}
	if (rest->n > 0 && rest->at[0] != ';')
		return -EINVAL;
	return 1;
}

bool sip_parameter_find(struct sip_text list, const char *name, struct sip_text *value)
{
	struct sip_text found;
	struct sip_text its_value;

	while (sip_parameter_next(&list, &found, &its_value) > 0) {
		if (sip_text_is(found, name)) {
			if (value)
				*value = its_value;
			return true;
		}
	}
	return false;
}

int sip_unquote(struct sip_text t, char *out, size_t size)
{
	size_t n = 0;
	uint32_t i = 0;
	uint32_t end = t.n;

	t = sip_text_trim(t);
	end = t.n;
	if (t.n > 0 && t.at[0] == '"') {
		if (quoted_length(t) != t.n)
			return -EINVAL;
		i = 1;
		end = t.n - 1;
	}
	for (; i < end; i++) {
		if (t.at[0] == '"' && t.at[i] == '\\')
			i++;
		if (n + 1 >= size)
			return -ENOSPC;
		out[n++] = t.at[i];
	}
	if (size == 0)
		return -ENOSPC;
	out[n] = '\0';
	return (int)n;
}
