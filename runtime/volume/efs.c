/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/volume/efs.h"

#include <errno.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/macro.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define NFS_OPTIONS "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"

static bool has_text(const char *s)
{
	return s && *s;
}

static int check_text(const char *what, const char *s, const char *allowed, struct err *err)
{
	if (!has_text(s) || (*s != '-' && strspn(s, allowed) == strlen(s)))
		return 0;
	return err_set(err, EINVAL, "%s: '%.100s' has characters that it cannot have", what, s);
}

static int check(const struct efs_params *p, struct err *err)
{
	int k = check_text("fileSystemId", p->file_system_id, LETTERS "-", err);

	if (k == 0 && !has_text(p->file_system_id))
		k = err_set(err, EINVAL, "fileSystemId: missing");
	if (k == 0)
		k = check_text("authorizationConfig: accessPointId", p->access_point, LETTERS "-",
			       err);
	if (k == 0 && has_text(p->root_directory) &&
	    (*p->root_directory != '/' || strpbrk(p->root_directory, "\n\r")))
		k = err_set(err, EINVAL, "rootDirectory: '%.100s' is not absolute",
			    p->root_directory);
	if (k == 0 && (p->tls_port < 0 || p->tls_port > 65535))
		k = err_set(err, EINVAL, "transitEncryptionPort: %d is outside 1..65535",
			    p->tls_port);
	if (k == 0 && p->iam && !has_text(p->credentials_uri))
		k = err_set(err, ENOTSUP,
			    "authorizationConfig: iam: the task has no role whose credentials "
			    "could be used");
	if (k == 0 && p->iam && !p->tls)
		k = err_set(
			err, EINVAL,
			"authorizationConfig: iam: transitEncryption is not ENABLED, and without "
			"it nobody is authorized");
	if (k == 0 && p->iam)
		k = check_text("authorizationConfig: iam: the place of the credentials",
			       p->credentials_uri, LETTERS "-_./", err);
	if (k < 0 || p->helper)
		return k;
	if (p->tls || p->iam || has_text(p->access_point))
		return err_set(err, ENOTSUP,
			       "transitEncryption and authorizationConfig need amazon-efs-utils: "
			       "install it and have efsAuth in ECS_VOLUME_PLUGIN_CAPABILITIES");
	if (!has_text(p->server))
		return err_set(err, EINVAL, "the region of the file system is not known");
	return check_text("server", p->server, LETTERS "-.", err);
}

/* Takes @value over. */
static int add(struct json_pair *to, size_t *n, const char *key, char *value)
{
	to[*n] = (struct json_pair){ strdup(key), value };
	(*n)++;
	return to[*n - 1].key && value ? 0 : -ENOMEM;
}

static void write_helper_options(const struct efs_params *p, struct buf *o)
{
	if (p->tls)
		(void) buf_printf(o, ",tls");
	if (p->tls && p->tls_port > 0)
		(void) buf_printf(o, ",tlsport=%d", p->tls_port);
	if (p->iam)
		(void) buf_printf(o, ",iam,awscredsuri=%s", p->credentials_uri);
	if (has_text(p->access_point))
		(void) buf_printf(o, ",accesspoint=%s", p->access_point);
}

static int list_options(const struct efs_params *p, struct json_pair *list, size_t *n)
{
	const char *root = has_text(p->root_directory) ? p->root_directory : "";
	struct buf o = {};
	int k;

	if (p->helper) {
		k = add(list, n, "type", strdup("efs"));
		k = k ? k
		      : add(list, n, "device",
			    path_join("%s%s%s", p->file_system_id, *root ? ":" : "", root));
		write_helper_options(p, &o);
	} else {
		k = add(list, n, "type", strdup("nfs"));
		k = k ? k : add(list, n, "device", path_join(":%s", *root ? root : "/"));
		(void) buf_printf(&o, ",addr=%s," NFS_OPTIONS, p->server);
	}
	if (o.failed)
		k = -ENOMEM;
	buf_consume(&o, o.len > 0); /* the first comma */
	if (k == 0 && o.len > 0)
		k = add(list, n, "o", buf_take(&o));
	buf_done(&o);
	return k;
}

int efs_options(const struct efs_params *p, const char **ret_driver, struct json_pair **ret_options,
		size_t *ret_n, struct err *err)
{
	struct json_pair *list = NULL;
	size_t n = 0;
	int k = check(p, err);

	if (k < 0)
		return k;
	list = calloc(3, sizeof(*list));
	if (!list || list_options(p, list, &n) < 0) {
		json_pairs_free(list, n);
		return err_set(err, ENOMEM, "list the options of the volume");
	}
	*ret_driver = p->helper ? EFS_PLUGIN : "local";
	*ret_options = list;
	*ret_n = n;
	return 0;
}
