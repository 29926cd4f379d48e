/*
 * Changing a user's digests in the configuration file without touching anything else. libyaml's
 * events say where in the text each value stands; the text is then cut and joined there.
 *
 *   control: { users: [ { extension: E, md5: X, sha256: Y }, ... ] }     in any style of YAML
 */
#include "tools/tandemctl.h"

#include <yaml.h>

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32
#define VALUE_MAX 128

/* A value in the text: [start, end). end 0 = not there. */
struct span {
	size_t start;
	size_t end;
};

/* What is known of the user entry that is being read. */
struct entry {
	struct span extension;
	struct span md5;
	struct span sha256;
	size_t column; /* of its keys */
	bool flow;     /* { ... } on a line */
	bool matches;
	bool strange; /* a value with anchor or tag, or over several lines: not for us to cut */
};

struct walk {
	const char *extension; /* wanted */
	/* where we are: keys of the mappings around, and whether a level is a sequence */
	uint32_t depth;
	struct {
		bool sequence;
		bool flow;
		bool value_next; /* in a mapping: the next node is a value */
		char key[VALUE_MAX];
		size_t key_column;
	} levels[DEPTH_MAX];
	struct entry entry;
	struct entry found;
	bool done;
};

/* True inside control.users[n], directly. */
static bool in_user(const struct walk *walk)
{
	return walk->depth == 4 && !walk->levels[0].sequence &&
	       strcmp(walk->levels[0].key, "control") == 0 && !walk->levels[1].sequence &&
	       strcmp(walk->levels[1].key, "users") == 0 && walk->levels[2].sequence &&
	       !walk->levels[3].sequence;
}

static bool is_simple(const yaml_event_t *event)
{
	return !event->data.scalar.anchor && !event->data.scalar.tag &&
	       event->data.scalar.style != YAML_LITERAL_SCALAR_STYLE &&
	       event->data.scalar.style != YAML_FOLDED_SCALAR_STYLE &&
	       event->start_mark.line == event->end_mark.line &&
	       event->end_mark.index > event->start_mark.index;
}

static void user_value(struct walk *walk, const yaml_event_t *event, struct span span)
{
	const char *value = (const char *)event->data.scalar.value;
	const char *key = walk->levels[3].key;

	if (strcmp(key, "extension") == 0 || strcmp(key, "md5") == 0 || strcmp(key, "sha256") == 0)
		walk->entry.strange |= !is_simple(event);
	if (strcmp(key, "extension") == 0) {
		walk->entry.extension = span;
		walk->entry.column = walk->levels[3].key_column;
		walk->entry.flow = walk->levels[3].flow;
		walk->entry.matches = strcmp(value, walk->extension) == 0;
	} else if (strcmp(key, "md5") == 0) {
		walk->entry.md5 = span;
	} else if (strcmp(key, "sha256") == 0) {
		walk->entry.sha256 = span;
	}
}

/* A value ended: a mapping's next node is a key again. */
static void node_ended(struct walk *walk)
{
	if (walk->depth > 0)
		walk->levels[walk->depth - 1].value_next = false;
}

static void walk_scalar(struct walk *walk, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;
	struct span span = {event->start_mark.index, event->end_mark.index};
	size_t level = walk->depth - 1;

	if (walk->depth == 0 || walk->levels[level].sequence)
		return;
	if (!walk->levels[level].value_next) {
		snprintf(walk->levels[level].key, VALUE_MAX, "%s", value);
		walk->levels[level].key_column = event->start_mark.column;
		walk->levels[level].value_next = true;
		return;
	}
	if (in_user(walk))
		user_value(walk, event, span);
	node_ended(walk);
}

static bool walk_in(struct walk *walk, bool sequence, bool flow)
{
	if (walk->depth == DEPTH_MAX)
		return false;
	memset(&walk->levels[walk->depth], 0, sizeof(walk->levels[0]));
	walk->levels[walk->depth].sequence = sequence;
	walk->levels[walk->depth].flow = flow;
	walk->depth++;
	if (in_user(walk))
		memset(&walk->entry, 0, sizeof(walk->entry));
	return true;
}

static void walk_out(struct walk *walk)
{
	if (in_user(walk) && walk->entry.matches && !walk->done) {
		walk->found = walk->entry;
		walk->done = true;
	}
	walk->depth--;
	node_ended(walk);
}

static bool walk_event(struct walk *walk, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		walk_scalar(walk, event);
		return true;
	case YAML_ALIAS_EVENT:
		node_ended(walk);
		return true;
	case YAML_MAPPING_START_EVENT:
		return walk_in(walk, false,
			       event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
	case YAML_SEQUENCE_START_EVENT:
		return walk_in(walk, true, false);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		walk_out(walk);
		return true;
	default:
		return true;
	}
}

static bool walk_text(struct walk *walk, const char *text, size_t len, char error[256])
{
	yaml_parser_t parser;
	bool end = false, ok = true;

	if (!yaml_parser_initialize(&parser)) {
		snprintf(error, 256, "out of memory");
		return false;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (ok && !end) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			snprintf(error, 256, "line %zu: %s", parser.problem_mark.line + 1,
				 parser.problem ? parser.problem : "no YAML");
			ok = false;
			break;
		}
		ok = walk_event(walk, &event);
		if (!ok)
			snprintf(error, 256, "nested too deeply");
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return ok;
}

/* ---- the new text ---- */

struct edit {
	struct span span; /* is replaced; start == end: inserted there */
	char text[256];
};

static int edit_order(const void *a, const void *b)
{
	const struct edit *first = a, *second = b;

	return (first->span.start > second->span.start) - (first->span.start < second->span.start);
}

/* Replaces the value, in quotes if it was, or adds the key behind the extension. */
static void make_edit(struct edit *edit, const char *text, const struct entry *entry,
		      const struct span *value, const char *key, const char *hex)
{
	if (value->end > 0) {
		char quote = text[value->start];

		edit->span = *value;
		if (quote == '"' || quote == '\'')
			snprintf(edit->text, sizeof(edit->text), "%c%s%c", quote, hex, quote);
		else
			snprintf(edit->text, sizeof(edit->text), "%s", hex);
		return;
	}
	edit->span.start = edit->span.end = entry->extension.end;
	if (entry->flow)
		snprintf(edit->text, sizeof(edit->text), ", %s: %s", key, hex);
	else
		snprintf(edit->text, sizeof(edit->text), "\n%*s%s: %s", (int)entry->column, "", key,
			 hex);
}

static char *apply_edits(const char *text, size_t len, struct edit *edits, size_t count,
			 size_t *out_len)
{
	size_t used = 0, at = 0, size = len + 1;
	char *out;

	for (size_t i = 0; i < count; i++)
		size += strlen(edits[i].text);
	out = malloc(size);
	if (!out)
		return NULL;
	qsort(edits, count, sizeof(edits[0]), edit_order);
	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(edits[i].text);

		memcpy(out + used, text + at, edits[i].span.start - at);
		used += edits[i].span.start - at;
		memcpy(out + used, edits[i].text, n);
		used += n;
		at = edits[i].span.end;
	}
	memcpy(out + used, text + at, len - at);
	used += len - at;
	out[used] = '\0';
	*out_len = used;
	return out;
}

/* libyaml counts characters. */
static size_t byte_offset(const char *text, size_t len, size_t characters)
{
	size_t at;

	for (at = 0; at < len; at++) {
		if (((unsigned char)text[at] & 0xc0) != 0x80 && characters-- == 0)
			break;
	}
	return at;
}

static void to_bytes(struct span *span, const char *text, size_t len)
{
	if (span->end == 0)
		return;
	span->start = byte_offset(text, len, span->start);
	span->end = byte_offset(text, len, span->end);
}

/* A key added in block style goes behind the rest of the extension's line, where a comment may
 * be. */
static void move_to_line_end(struct edit *edit, const char *text, size_t len)
{
	if (edit->text[0] != '\n')
		return;
	while (edit->span.start < len && !strchr("\r\n", text[edit->span.start]))
		edit->span.start++;
	edit->span.end = edit->span.start;
}

char *yaml_set_digests(const char *text, size_t len, const char *extension, const char *md5,
		       const char *sha256, size_t *out_len, bool *missing, char error[256])
{
	struct walk walk = {.extension = extension};
	struct edit edits[2];
	char *out;

	*missing = false;
	if (!walk_text(&walk, text, len, error))
		return NULL;
	if (!walk.done) {
		*missing = true;
		snprintf(error, 256, "there is no user %s", extension);
		return NULL;
	}
	if (walk.found.strange) {
		snprintf(error, 256, "the digests of user %s are not written on one line each",
			 extension);
		return NULL;
	}
	to_bytes(&walk.found.extension, text, len);
	to_bytes(&walk.found.md5, text, len);
	to_bytes(&walk.found.sha256, text, len);
	make_edit(&edits[0], text, &walk.found, &walk.found.md5, "md5", md5);
	make_edit(&edits[1], text, &walk.found, &walk.found.sha256, "sha256", sha256);
	move_to_line_end(&edits[0], text, len);
	move_to_line_end(&edits[1], text, len);
	out = apply_edits(text, len, edits, 2, out_len);
	if (!out)
		snprintf(error, 256, "out of memory");
	return out;
}
