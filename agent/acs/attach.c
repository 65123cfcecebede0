/* SPDX-License-Identifier: Apache-2.0 */
/* Announcements of network interfaces and of volumes: what comes before the tasks that use them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs/private.h"
#include "agent/engine/payload.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"

enum { WAIT_DEFAULT_MS = 300000, PROPERTIES_MAX = 100 };

static const int64_t WAIT_MAX_MS = 7 * 24 * 3600 * 1000LL;

/* ---- network interfaces ---- */

struct enis {
	struct task_eni *items; /* owned */
	size_t n;
};

static void enis_done(struct enis *e)
{
	for (size_t i = 0; i < e->n; i++)
		task_eni_done(&e->items[i]);
	free(e->items);
	*e = (struct enis){};
}

static int decode_enis(const json_t *m, struct enis *ret, struct err *err)
{
	static const struct json_field fields[] = {
		{ "elasticNetworkInterfaces", json_decode_array, 0, true, &payload_enis }, {}
	};
	int k = json_decode(m, fields, ret, err);

	if (k == 0 && ret->n == 0)
		k = err_set(err, EPROTO, "elasticNetworkInterfaces: is empty");
	/* Without it nothing could be reported. */
	for (size_t i = 0; k == 0 && i < ret->n; i++)
		if (!ret->items[i].attachment_arn || !*ret->items[i].attachment_arn)
			k = err_set(err, EPROTO,
				    "elasticNetworkInterfaces[%zu]: attachmentArn: missing", i);
	return k;
}

static int decode_wait(const json_t *m, int64_t fallback, int64_t *ret, struct err *err)
{
	int64_t wait_ms = json_get_int(m, "waitTimeoutMs", 0);

	if (wait_ms == 0)
		wait_ms = fallback;
	if (wait_ms < 1 || wait_ms > WAIT_MAX_MS)
		return err_set(err, EPROTO, "waitTimeoutMs: %lld is outside 1..%lld",
			       (long long) wait_ms, (long long) WAIT_MAX_MS);
	*ret = wait_ms;
	return 0;
}

static int announce(struct acs *a, const json_t *m, const char *task_arn, struct err *err)
{
	_cleanup_(enis_done) struct enis enis = {};
	int64_t wait_ms = 0;
	int k = decode_wait(m, 0, &wait_ms, err);

	if (k == 0)
		k = decode_enis(m, &enis, err);
	if (k == 0 && !a->p.handlers->on_interface)
		k = err_set(err, ENOSYS, "nobody takes network interfaces");
	for (size_t i = 0; k == 0 && i < enis.n; i++)
		k = a->p.handlers->on_interface(a->p.userdata, task_arn, &enis.items[i], wait_ms,
						err);
	return k < 0 ? k : acs_send_ack(a, m, err);
}

int acs_on_attach_task(struct acs *a, const json_t *m, struct err *err)
{
	static const char *const members[] = { "messageId", "clusterArn", "containerInstanceArn",
					       "taskArn", NULL };
	int k = acs_require(m, members, err);

	return k < 0 ? k : announce(a, m, json_get_string(m, "taskArn", ""), err);
}

int acs_on_attach_instance(struct acs *a, const json_t *m, struct err *err)
{
	int k = acs_require(m, acs_common_members, err);

	return k < 0 ? k : announce(a, m, NULL, err);
}

/* ---- volumes ---- */

static const char *property(const json_t *list, const char *name)
{
	const json_t *p;
	size_t i;

	json_array_foreach((json_t *) list, i, p)
		if (strcmp(json_get_string(p, "name", ""), name) == 0)
			return json_get_string(p, "value", "");
	return "";
}

static int check_properties(const json_t *list, struct err *err)
{
	const json_t *p;
	size_t i;

	if (json_array_size(list) > PROPERTIES_MAX)
		return err_set(err, EPROTO,
			       "attachmentProperties: has %zu elements, at most %d "
			       "are taken",
			       json_array_size(list), PROPERTIES_MAX);
	json_array_foreach((json_t *) list, i, p) {
		if (!*json_get_string(p, "name", ""))
			return err_set(err, EPROTO, "attachmentProperties[%zu]: name: missing", i);
		if (!*json_get_string(p, "value", ""))
			return err_set(err, EPROTO, "attachmentProperties[%zu]: value: missing", i);
	}
	return 0;
}

static int check_ebs(const json_t *list, struct err *err)
{
	static const char *const needed[] = { "volumeId", "volumeSizeGib", "deviceName",
					      "sourceVolumeHostPath", "volumeName" };
	static const char *const kinds[] = { "", "xfs", "ext2", "ext3", "ext4", "ntfs" };
	const char *fs = property(list, "fileSystem");

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!*property(list, needed[i]))
			return err_set(err, EPROTO, "attachmentProperties: %s: missing", needed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(fs, kinds[i]) == 0)
			return 0;
	return err_set(err, EPROTO,
		       "attachmentProperties: fileSystem: '%.32s' is none of xfs, ext2, ext3, ext4 "
		       "and ntfs",
		       fs);
}

static int check_arn(const char *field, const char *arn, struct err *err)
{
	size_t colons = 0;

	for (const char *p = arn; *p; p++)
		colons += *p == ':';
	if (strncmp(arn, "arn:", 4) == 0 && colons >= 5)
		return 0;
	return err_set(err, EPROTO, "%s: '%.100s' is no ARN", field, arn);
}

static int check_volume(const json_t *m, const json_t *attachment, struct err *err)
{
	const json_t *list = json_object_get(attachment, "attachmentProperties");
	int k = check_arn("clusterArn", json_get_string(m, "clusterArn", ""), err);

	if (k == 0)
		k = check_arn("containerInstanceArn",
			      json_get_string(m, "containerInstanceArn", ""), err);
	if (k < 0)
		return k;
	k = check_arn("attachmentArn", json_get_string(attachment, "attachmentArn", ""), err);
	if (k == 0)
		k = check_properties(list, err);
	if (k == 0 && strcmp(json_get_string(attachment, "attachmentType", ""), "amazonebs") == 0)
		k = check_ebs(list, err);
	return k < 0 ? err_wrap(err, "attachment") : 0;
}

/*
 * The acknowledgement says that the message came, and no more. The capability of such volumes is not
 * registered, nothing mounts one, and so ATTACHED is never reported: the service gives it up after the
 * time it names, as when the device of a volume does not appear.
 */
int acs_on_attach_volume(struct acs *a, const json_t *m, struct err *err)
{
	static const char *const members[] = { "messageId", NULL };
	const json_t *attachment = json_object_get(m, "attachment");
	int64_t wait_ms = 0;
	int k = acs_require(m, members, err);

	if (k == 0)
		k = decode_wait(m, WAIT_DEFAULT_MS, &wait_ms, err);
	if (k == 0)
		k = check_volume(m, attachment, err);
	if (k < 0)
		return k;
	log_error("Attachment '%.300s' of type '%.64s' will not be confirmed, the service gives it "
		  "up in %lld s: this build has no such volumes",
		  json_get_string(attachment, "attachmentArn", ""),
		  json_get_string(attachment, "attachmentType", ""), (long long) wait_ms / 1000);
	return acs_send_ack(a, m, err);
}
