/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/gpus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "agent/engine/payload.h"
#include "common/buf.h"
#include "common/strv.h"
#include "runtime/gpu/gpu.h"

/* ---- decoding ---- */

struct association {
	char *name, *type; /* owned */
	char **containers;
};

static void association_done(void *element)
{
	struct association *a = element;

	free(a->name);
	free(a->type);
	(void) strv_free(a->containers);
}

struct associations {
	struct association *items;
	size_t n;
};

static void associations_done(struct associations *a)
{
	for (size_t i = 0; i < a->n; i++)
		association_done(&a->items[i]);
	free(a->items);
}

static struct container *find(struct task *t, const char *name)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (strcmp(t->containers[i].name, name) == 0)
			return &t->containers[i];
	return NULL;
}

static int give(struct task *t, const struct association *a, struct err *err)
{
	struct container *c;

	if (strcmp(a->type, "gpu") != 0)
		return err_set(err, ENOTSUP, "type: '%.64s' is not supported by this build",
			       a->type);
	if (strv_length(a->containers) != 1)
		return err_set(err, EPROTO, "could not associate multiple containers to GPU %s",
			       a->name);
	c = find(t, a->containers[0]);
	if (!c)
		return err_set(err, EPROTO, "containers[0]: there is no container '%.64s'",
			       a->containers[0]);
	return strv_append(&c->docker.gpus, a->name) < 0 ? err_set(err, ENOMEM, "copy id") : 0;
}

int gpus_decode(const json_t *obj, struct task *t, struct err *err)
{
	static const struct json_field item_fields[] = {
		{ "name", json_decode_string, offsetof(struct association, name), true },
		{ "type", json_decode_string, offsetof(struct association, type), true },
		{ "containers", json_decode_strv, offsetof(struct association, containers), false },
		{}
	};
	static const struct json_array items = { .size = sizeof(struct association),
						 .fields = item_fields,
						 .done = association_done,
						 .max = GPU_MAX };
	static const struct json_field fields[] = {
		{ "associations", json_decode_array, 0, false, &items }, {}
	};
	_cleanup_(associations_done) struct associations list = {};
	int k = json_decode(obj, fields, &list, err);

	for (size_t i = 0; k == 0 && i < list.n; i++)
		if (give(t, &list.items[i], err) < 0)
			k = err_wrap(err, "associations[%zu]", i);
	return k;
}

/* ---- to the specification ---- */

char *gpus_visible(const struct container *c)
{
	_cleanup_(buf_done) struct buf b = {};

	if (!c->docker.gpus || !*c->docker.gpus)
		return NULL;
	for (char **s = c->docker.gpus; *s; s++)
		(void) buf_printf(&b, "%s%s", s == c->docker.gpus ? "" : ",", *s);
	return b.failed ? NULL : strdup(buf_str(&b));
}

static const char *root_of(const struct container *c)
{
	const char *root = c->run->engine->config->gpu_root;

	return root ? root : "";
}

int gpus_apply(const struct container *c, struct container_spec *s, struct gpus_scratch *ret,
	       struct err *err)
{
	size_t n = 0, skip = strlen(root_of(c));

	*ret = (struct gpus_scratch){};
	if (!c->docker.gpus || !*c->docker.gpus)
		return 0;
	ret->hook = gpu_find_hook(c->run->engine->config->nvidia_runtime);
	if (!ret->hook)
		return err_set(err, ENOENT,
			       "GPU: nvidia-container-runtime-hook is not installed on this host");
	if (gpu_device_nodes(root_of(c), c->docker.gpus, &ret->nodes, err) < 0)
		return err ? -err->code : -EINVAL;
	n = strv_length(ret->nodes);
	ret->devices = calloc(s->n_devices + n + 1, sizeof(*ret->devices));
	if (!ret->devices)
		return err_set(err, ENOMEM, "add devices of GPUs");
	for (size_t i = 0; i < s->n_devices; i++)
		ret->devices[i] = s->devices[i];
	for (size_t i = 0; i < n; i++)
		ret->devices[s->n_devices + i] =
			(struct spec_device){ ret->nodes[i], ret->nodes[i] + skip, "rw" };
	s->devices = ret->devices;
	s->n_devices += n;
	s->prestart_hook = ret->hook;
	return 0;
}

void gpus_scratch_done(struct gpus_scratch *x)
{
	(void) strv_free(x->nodes);
	free(x->devices);
	free(x->hook);
	*x = (struct gpus_scratch){};
}
