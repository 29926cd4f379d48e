/* Registrar: a chained hash of AORs, each with its few bindings. */
#include "control/pbx/registrar.h"
#include "control/b2bua/board.h"
#include "control/pbx/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct registrar_aor {
	struct registrar_aor *next; /* in its bucket */
	struct list bindings;
	uint32_t count;
	char name[];
};

struct registrar {
	struct registrar_aor **bucket;
	uint32_t mask;
	uint32_t count;
	uint32_t limit;
	struct list all;
	struct registrar_observer *observer;
};

int registrar_create(struct registrar **registrar, uint32_t bindings,
		     struct registrar_observer *observer)
{
	struct registrar *r = calloc(1, sizeof(*r));
	uint32_t buckets = 64;

	if (!r)
		return -ENOMEM;
	while (buckets < bindings && buckets < (1u << 24))
		buckets *= 2;
	r->bucket = calloc(buckets, sizeof(struct registrar_aor *));
	if (!r->bucket) {
		free(r);
		return -ENOMEM;
	}
	r->mask = buckets - 1;
	r->limit = bindings;
	r->observer = observer;
	list_init(&r->all);
	*registrar = r;
	return 0;
}

static void binding_free(struct binding *binding)
{
	free(binding->contact);
	free(binding->key);
	free(binding->call_id);
	free(binding->instance);
	free(binding->user_agent);
	free(binding);
}

void registrar_destroy(struct registrar *registrar)
{
	struct list *node, *after;

	if (!registrar)
		return;
	list_each_safe (node, after, &registrar->all)
		binding_free(list_entry(node, struct binding, in_all));
	for (uint32_t i = 0; i <= registrar->mask; i++) {
		struct registrar_aor *aor = registrar->bucket[i];

		while (aor) {
			struct registrar_aor *next = aor->next;

			free(aor);
			aor = next;
		}
	}
	free(registrar->bucket);
	free(registrar);
}

static struct registrar_aor **aor_place(struct registrar *registrar, const char *name, size_t len)
{
	struct registrar_aor **at = &registrar->bucket[text_hash(name, len) & registrar->mask];

	while (*at && (strlen((*at)->name) != len || memcmp((*at)->name, name, len) != 0))
		at = &(*at)->next;
	return at;
}

static struct registrar_aor *aor_get(struct registrar *registrar, const char *name)
{
	size_t len = strlen(name);
	struct registrar_aor **at = aor_place(registrar, name, len);

	if (*at)
		return *at;
	*at = calloc(1, sizeof(**at) + len + 1);
	if (!*at)
		return NULL;
	list_init(&(*at)->bindings);
	memcpy((*at)->name, name, len + 1);
	return *at;
}

/* An AOR without bindings goes. */
static void aor_put(struct registrar *registrar, struct registrar_aor *aor)
{
	struct registrar_aor **at;

	if (aor->count)
		return;
	at = aor_place(registrar, aor->name, strlen(aor->name));
	assert(*at == aor);
	*at = aor->next;
	free(aor);
}

/* Leaves the AOR in place, even when it has become empty. */
static void binding_remove(struct registrar *registrar, struct binding *binding)
{
	if (registrar->observer)
		registrar->observer->removed(registrar->observer, binding);
	list_remove(&binding->in_aor);
	list_remove(&binding->in_all);
	binding->aor->count--;
	registrar->count--;
	binding_free(binding);
}

static int text_set(char **field, const char *text)
{
	char *copy = strdup(text ? text : "");

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* Copies all that can fail before anything else is touched. */
static int binding_fill(struct binding *binding, const struct exchange_register *request,
			const struct exchange_contact *contact)
{
	if (text_set(&binding->contact, contact->uri) || text_set(&binding->key, contact->key) ||
	    text_set(&binding->call_id, request->call_id) ||
	    text_set(&binding->instance, contact->instance) ||
	    text_set(&binding->user_agent, request->user_agent))
		return -ENOMEM;
	binding->cseq = request->cseq;
	binding->q_permille = contact->q_permille;
	binding->path = request->path;
	return 0;
}

static struct binding *binding_make(struct registrar *registrar, struct registrar_aor *aor,
				    const struct exchange_register *request,
				    const struct exchange_contact *contact)
{
	struct binding *binding = calloc(1, sizeof(*binding));

	if (!binding)
		return NULL;
	binding->board_slot = BOARD_NO_SLOT;
	if (binding_fill(binding, request, contact)) {
		binding_free(binding);
		return NULL;
	}
	binding->aor = aor;
	list_append(&aor->bindings, &binding->in_aor);
	list_append(&registrar->all, &binding->in_all);
	aor->count++;
	registrar->count++;
	return binding;
}

static struct binding *binding_find(struct registrar_aor *aor, const char *key)
{
	struct list *node;

	list_each (node, &aor->bindings) {
		struct binding *binding = list_entry(node, struct binding, in_aor);

		if (strcmp(binding->key, key) == 0)
			return binding;
	}
	return NULL;
}

/* A phone that lost its power comes back with another Contact; what is left of its earlier life
 * would fill the AOR up. When there is no room the oldest binding of the same instance (RFC 5626
 * 4.1) makes place. */
static struct binding *binding_of_instance(struct registrar_aor *aor, const char *instance)
{
	struct list *node;

	if (!instance || !instance[0])
		return NULL;
	list_each (node, &aor->bindings) {
		struct binding *binding = list_entry(node, struct binding, in_aor);

		if (strcmp(binding->instance, instance) == 0)
			return binding;
	}
	return NULL;
}

static void expire(struct registrar *registrar, struct registrar_aor *aor, uint64_t now_ns)
{
	struct list *node, *after;

	list_each_safe (node, after, &aor->bindings) {
		struct binding *binding = list_entry(node, struct binding, in_aor);

		if (binding->expires_ns <= now_ns)
			binding_remove(registrar, binding);
	}
}

static void refuse(struct exchange_registered *answer, int status, const char *reason)
{
	answer->status = status;
	answer->reason = reason;
}

/* RFC 3261 10.3 step 7: seconds that this contact asks for, before limits. */
static int64_t asked_s(const struct exchange_register *request,
		       const struct exchange_contact *contact)
{
	if (contact->expires_s >= 0)
		return contact->expires_s;
	if (request->expires_s >= 0)
		return request->expires_s;
	return REGISTRAR_EXPIRES_DEFAULT_S;
}

/* Out of order: the same Call-ID with a CSeq that is not higher (10.3 steps 6 and 7). */
static bool is_stale(const struct binding *binding, const struct exchange_register *request)
{
	return strcmp(binding->call_id, request->call_id) == 0 && request->cseq <= binding->cseq;
}

/* First pass: would every contact be taken? */
static bool contacts_check(struct registrar *registrar, struct registrar_aor *aor,
			   const struct exchange_register *request,
			   struct exchange_registered *answer)
{
	uint32_t more = 0, replaceable = 0;

	for (uint32_t i = 0; i < request->contacts_count; i++) {
		const struct exchange_contact *contact = &request->contacts[i];
		struct binding *binding = binding_find(aor, contact->key);
		int64_t expires_s = asked_s(request, contact);

		if (expires_s > 0 && expires_s < REGISTRAR_EXPIRES_MIN_S) {
			answer->min_expires_s = REGISTRAR_EXPIRES_MIN_S;
			refuse(answer, 423, "Interval Too Brief");
			return false;
		}
		if (binding && is_stale(binding, request)) {
			refuse(answer, 500, "CSeq Out Of Order");
			return false;
		}
		if (!binding && expires_s > 0) {
			more++;
			if (binding_of_instance(aor, contact->instance))
				replaceable++;
		}
	}
	if (replaceable && aor->count + more > EXCHANGE_CONTACTS_MAX)
		more -= replaceable > more ? more : replaceable;
	if (aor->count + more > EXCHANGE_CONTACTS_MAX) {
		refuse(answer, 403, "Too Many Contacts");
		return false;
	}
	if (registrar->count + more > registrar->limit) {
		answer->retry_after_s = 60;
		refuse(answer, 503, "Too Many Registrations");
		return false;
	}
	return true;
}

static bool contact_apply(struct registrar *registrar, struct registrar_aor *aor,
			  const struct exchange_register *request,
			  const struct exchange_contact *contact, uint64_t now_ns)
{
	struct binding *binding = binding_find(aor, contact->key);
	int64_t expires_s = asked_s(request, contact);

	if (expires_s == 0) {
		if (binding)
			binding_remove(registrar, binding);
		return true;
	}
	if (expires_s > REGISTRAR_EXPIRES_MAX_S)
		expires_s = REGISTRAR_EXPIRES_MAX_S;
	if (!binding) {
		struct binding *oldest = binding_of_instance(aor, contact->instance);

		if (aor->count >= EXCHANGE_CONTACTS_MAX && oldest)
			binding_remove(registrar, oldest);
		binding = binding_make(registrar, aor, request, contact);
		if (binding)
			binding->registered_ns = now_ns;
	} else {
		/* Spelt in another way: the observer knows it by its text. */
		if (registrar->observer && strcmp(binding->contact, contact->uri) != 0)
			registrar->observer->removed(registrar->observer, binding);
		if (binding_fill(binding, request, contact))
			return false;
	}
	if (!binding)
		return false;
	binding->expires_ns = now_ns + (uint64_t)expires_s * NS_PER_S;
	if (registrar->observer)
		registrar->observer->added(registrar->observer, binding);
	return true;
}

/* RFC 3261 10.3 step 6: `Contact: *` alone and with Expires: 0. */
static void apply_all(struct registrar *registrar, struct registrar_aor *aor,
		      const struct exchange_register *request, struct exchange_registered *answer)
{
	struct list *node, *after;

	if (request->contacts_count || request->expires_s != 0) {
		refuse(answer, 400, "Contact * Needs Expires 0 And No Other Contact");
		return;
	}
	list_each (node, &aor->bindings) {
		if (is_stale(list_entry(node, struct binding, in_aor), request)) {
			refuse(answer, 500, "CSeq Out Of Order");
			return;
		}
	}
	list_each_safe (node, after, &aor->bindings)
		binding_remove(registrar, list_entry(node, struct binding, in_aor));
}

/* RFC 3261 10.3 step 8: all bindings in force with the time they have left. */
static void answer_bound(struct registrar_aor *aor, uint64_t now_ns,
			 struct exchange_registered *answer)
{
	struct list *node;

	list_each (node, &aor->bindings) {
		struct binding *binding = list_entry(node, struct binding, in_aor);
		struct exchange_bound *bound = &answer->bound[answer->bound_count++];

		assert(answer->bound_count <= EXCHANGE_CONTACTS_MAX);
		bound->uri = binding->contact;
		bound->q_permille = binding->q_permille;
		bound->expires_s =
			(uint32_t)((binding->expires_ns - now_ns + NS_PER_S - 1) / NS_PER_S);
	}
}

void registrar_apply(struct registrar *registrar, const struct exchange_register *request,
		     uint64_t now_ns, struct exchange_registered *answer)
{
	struct registrar_aor *aor = aor_get(registrar, request->extension);

	*answer = (struct exchange_registered){.status = 200, .reason = "OK"};
	if (!aor) {
		refuse(answer, 500, "Out Of Memory");
		return;
	}
	expire(registrar, aor, now_ns);
	if (request->all) {
		apply_all(registrar, aor, request, answer);
	} else if (contacts_check(registrar, aor, request, answer)) {
		for (uint32_t i = 0; i < request->contacts_count; i++) {
			if (!contact_apply(registrar, aor, request, &request->contacts[i],
					   now_ns)) {
				refuse(answer, 500, "Out Of Memory");
				break;
			}
		}
	}
	if (answer->status == 200)
		answer_bound(aor, now_ns, answer);
	aor_put(registrar, aor);
}

int registrar_restore(struct registrar *registrar, const struct exchange_register *request,
		      uint64_t registered_ns, uint64_t expires_ns, struct binding **restored)
{
	struct registrar_aor *aor = aor_get(registrar, request->extension);
	struct binding *binding = NULL;
	int err = 0;

	if (!aor)
		return -ENOMEM;
	if (binding_find(aor, request->contacts[0].key))
		err = -EEXIST;
	else if (aor->count >= EXCHANGE_CONTACTS_MAX || registrar->count >= registrar->limit)
		err = -ENOSPC;
	else if (!(binding = binding_make(registrar, aor, request, &request->contacts[0])))
		err = -ENOMEM;
	if (binding) {
		binding->registered_ns = registered_ns;
		binding->expires_ns = expires_ns;
		*restored = binding;
	}
	aor_put(registrar, aor);
	return err;
}

uint32_t registrar_lookup(struct registrar *registrar, const char *aor, size_t len, uint64_t now_ns,
			  const struct binding *found[EXCHANGE_CONTACTS_MAX])
{
	struct registrar_aor *at = *aor_place(registrar, aor, len);
	struct list *node;
	uint32_t count = 0;

	if (!at)
		return 0;
	list_each (node, &at->bindings) {
		const struct binding *binding = list_entry(node, struct binding, in_aor);
		uint32_t place = count;

		if (binding->expires_ns <= now_ns)
			continue;
		assert(count < EXCHANGE_CONTACTS_MAX);
		for (; place > 0 && found[place - 1]->q_permille <= binding->q_permille &&
		       (found[place - 1]->q_permille < binding->q_permille ||
			found[place - 1]->registered_ns < binding->registered_ns);
		     place--)
			found[place] = found[place - 1];
		found[place] = binding;
		count++;
	}
	return count;
}

void registrar_sweep(struct registrar *registrar, uint64_t now_ns)
{
	struct list *node, *after;

	list_each_safe (node, after, &registrar->all) {
		struct binding *binding = list_entry(node, struct binding, in_all);
		struct registrar_aor *aor = binding->aor;

		if (binding->expires_ns > now_ns)
			continue;
		binding_remove(registrar, binding);
		aor_put(registrar, aor);
	}
}

uint32_t registrar_count(const struct registrar *registrar)
{
	return registrar->count;
}

const char *binding_aor(const struct binding *binding)
{
	return binding->aor->name;
}
