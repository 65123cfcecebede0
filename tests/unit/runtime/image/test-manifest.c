/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/image.h"
#include "runtime/image/manifest.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OCI "application/vnd.oci.image.manifest.v1+json"
#define DOCKER "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define DESC(type) "{\"mediaType\":\"" type "\",\"digest\":\"" D "\",\"size\":7}"
#define CONFIG "\"config\":" DESC("application/vnd.oci.image.config.v1+json")

static void a_manifest_is_decoded(void **state _unused_)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG
				   ",\"layers\":[" DESC(LAYER) "," DESC(LAYER) "]}";
	_cleanup_(manifest_done) struct manifest m = {};

	assert_int_equal(manifest_decode(OCI "; charset=utf-8", text, strlen(text), &m, NULL), 0);
	assert_false(m.is_index);
	assert_int_equal(m.n_items, 2);
	assert_string_equal(m.config.digest, D);
	assert_int_equal(m.items[1].size, 7);
}

static void bad_manifests_are_named(void **state _unused_)
{
	static const struct {
		const char *type, *text, *complaint;
	} cases[] = {
		{ NULL, "{", "manifest: JSON:" },
		{ NULL, "[]", "manifest: is not an object" },
		{ NULL, "{\"schemaVersion\":1,\"signatures\":[]}", "schema 1" },
		{ "application/vnd.docker.distribution.manifest.v1+prettyjws", "{}", "schema 1" },
		{ NULL, "{\"schemaVersion\":3}", "schemaVersion: 3 is not 2" },
		{ NULL, "{\"schemaVersion\":2}", "neither an image manifest nor an index" },
		{ NULL, "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}",
		  "both an image manifest and an index" },
		{ OCI_INDEX, "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}",
		  "Content-Type '" OCI_INDEX "' does not fit" },
		{ OCI,
		  "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\"," CONFIG ",\"layers\":[]}",
		  "mediaType '" OCI_INDEX "' does not fit" },
		{ DOCKER,
		  "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG ",\"layers\":[]}",
		  "Content-Type '" DOCKER "' does not fit mediaType '" OCI "'" },
		{ OCI, "{\"schemaVersion\":2," CONFIG "}", "layers: missing" },
		{ OCI,
		  "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"" LAYER
		  "\",\"digest\":\"sha256:../../x\",\"size\":1}]}",
		  "layers[0]: digest: 'sha256:../../x' is not" },
		{ OCI,
		  "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"" LAYER
		  "\",\"digest\":\"" D "\",\"size\":-1}]}",
		  "layers[0]: size: -1 is outside" },
		{ OCI,
		  "{\"schemaVersion\":2," CONFIG ",\"layers\":[" DESC(
			  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip") "]}",
		  "outside of the registry" },
		{ OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[" DESC("text/plain") "]}",
		  "is not a layer's" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct manifest m = {};
		_cleanup_(err_done) struct err err = {};

		if (manifest_decode(cases[i].type, cases[i].text, strlen(cases[i].text), &m,
				    &err) != -EPROTO)
			fail_msg("%s was taken", cases[i].text);
		if (!strstr(err_text(&err), cases[i].complaint))
			fail_msg("%s: %s", cases[i].text, err_text(&err));
		assert_null(m.items);
	}
}

static void the_best_platform_is_chosen(void **state _unused_)
{
#define ENTRY(os, arch, variant, digit)                                                            \
	"{\"mediaType\":\"" OCI "\",\"size\":1,\"digest\":\"sha256:" digit                         \
	"123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"platform\":{\"os\":"  \
	"\"" os "\",\"architecture\":\"" arch "\"" variant "}}"
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":[" ENTRY("linux", "amd64", "", "0") "," ENTRY(
			"linux", "arm", ",\"variant\":\"v6\"",
			"1") "," ENTRY("linux", "arm", ",\"variant\":\"v7\"",
				       "2") "," ENTRY("linux", "arm64", ",\"variant\":\"v8\"",
						      "3") "," ENTRY("windows", "amd64", "",
								     "4") "]}";
	static const struct {
		const char *platform;
		char digit; /* of the digest; 0: none */
	} cases[] = {
		{ "linux/amd64", '0' }, { "linux/arm/v7", '2' },   { "linux/arm/v6", '1' },
		{ "linux/arm64", '3' }, { "linux/arm64/v8", '3' }, { "linux/arm/v5", 0 },
		{ "linux/s390x", 0 },   { "windows/amd64", '4' },
	};
	_cleanup_(manifest_done) struct manifest m = {};

	assert_int_equal(manifest_decode(NULL, text, strlen(text), &m, NULL), 0);
	assert_true(m.is_index);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(platform_done) struct platform p = {};
		const struct descriptor *d;

		assert_int_equal(platform_parse(cases[i].platform, &p, NULL), 0);
		d = manifest_choose(&m, &p);
		assert_int_equal(d ? d->digest[7] : 0, cases[i].digit);
	}
}

/* The documents of a registry, by the last digit of their digest. */
struct shelf {
	const char *documents[10];
	int asked;
};

static int get_from_shelf(void *userdata, const struct descriptor *d, struct manifest *ret,
			  struct err *err)
{
	struct shelf *s = userdata;
	const char *text = s->documents[d->digest[70] - '0'];

	s->asked++;
	return text ? manifest_decode(NULL, text, strlen(text), ret, err)
		    : err_set(err, ENOENT, "asked for %s", d->digest);
}

#define ON_SHELF(type, digit, rest)                                                                \
	"{\"mediaType\":\"" type "\",\"size\":1,\"digest\":\"sha256:"                              \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde" digit "\"" rest "}"
#define FOR(arch) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define INDEX(entries)                                                                             \
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[" entries "]}"
#define IMAGE                                                                                      \
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG ",\"layers\":[" DESC(LAYER) "]}"

static void indexes_are_followed_to_an_end(void **state _unused_)
{
	static const struct {
		struct shelf shelf;
		int result, asked;
		const char *complaint;
	} cases[] = {
		{ { { INDEX(ON_SHELF(OCI, "1", FOR("amd64"))), IMAGE } }, 0, 1, NULL },
		/* the platform is only said further in; the first one in has another */
		{ { { INDEX(ON_SHELF(OCI_INDEX, "1", "") "," ON_SHELF(OCI_INDEX, "2", "")),
		      INDEX(ON_SHELF(OCI, "4", FOR("arm64"))),
		      INDEX(ON_SHELF(OCI_INDEX, "3", FOR("amd64"))),
		      INDEX(ON_SHELF(OCI, "5", FOR("amd64"))), NULL, IMAGE } },
		  0,
		  4,
		  NULL },
		{ { { INDEX(ON_SHELF(OCI_INDEX, "1", "")),
		      INDEX(ON_SHELF(OCI, "2", FOR("arm64"))) } },
		  MANIFEST_E_NONE,
		  1,
		  NULL },
		{ { { INDEX(ON_SHELF(OCI, "1", FOR("arm64"))) } }, MANIFEST_E_NONE, 0, NULL },
		{ { { INDEX(ON_SHELF(OCI_INDEX, "1", "")), INDEX(ON_SHELF(OCI_INDEX, "2", "")),
		      INDEX(ON_SHELF(OCI_INDEX, "1", "")) } },
		  -EPROTO,
		  2,
		  "leads to itself" },
		{ { { INDEX(ON_SHELF(OCI_INDEX, "1", "")), INDEX(ON_SHELF(OCI_INDEX, "2", "")),
		      INDEX(ON_SHELF(OCI_INDEX, "3", "")), INDEX(ON_SHELF(OCI_INDEX, "4", "")),
		      INDEX(ON_SHELF(OCI_INDEX, "5", "")), INDEX(ON_SHELF(OCI, "6", FOR("amd64"))),
		      IMAGE } },
		  -EPROTO,
		  5,
		  "deeper than 4" },
		{ { { INDEX(ON_SHELF(DOCKER, "1", FOR("amd64"))), IMAGE } },
		  -EPROTO,
		  1,
		  "where its index says '" DOCKER "'" },
		{ { { INDEX(ON_SHELF(OCI, "1", FOR("amd64"))),
		      INDEX(ON_SHELF(OCI, "2", FOR("amd64"))) } },
		  -EPROTO,
		  1,
		  "where its index says '" OCI "'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(platform_done) struct platform p = {};
		_cleanup_(manifest_done) struct manifest m = {};
		_cleanup_(err_done) struct err err = {};
		struct shelf s = cases[i].shelf;

		assert_int_equal(platform_parse("linux/amd64", &p, NULL), 0);
		assert_int_equal(
			manifest_decode(NULL, s.documents[0], strlen(s.documents[0]), &m, NULL), 0);
		if (manifest_follow(&m, &p, get_from_shelf, &s, &err) != cases[i].result)
			fail_msg("case %zu: %s", i, err_text(&err));
		assert_int_equal(m.is_index, cases[i].result != 0);
		assert_int_equal(s.asked, cases[i].asked);
		if (cases[i].complaint && !strstr(err_text(&err), cases[i].complaint))
			fail_msg("case %zu: %s", i, err_text(&err));
	}
}

/* A wide one: each of many inner indexes has nothing. */
static void documents_are_counted(void **state _unused_)
{
	static const char empty[] = INDEX(ON_SHELF(OCI, "2", FOR("arm64")));
	_cleanup_(platform_done) struct platform p = {};
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(err_done) struct err err = {};
	struct shelf s = { { NULL, empty } };
	char text[64 * 1024] = "{\"schemaVersion\":2,\"manifests\":[";

	for (int i = 0; i < 40; i++)
		(void) strcat(text,
			      i ? "," ON_SHELF(OCI_INDEX, "1", "") : ON_SHELF(OCI_INDEX, "1", ""));
	(void) strcat(text, "]}");
	assert_int_equal(platform_parse("linux/amd64", &p, NULL), 0);
	assert_int_equal(manifest_decode(NULL, text, strlen(text), &m, NULL), 0);
	assert_int_equal(manifest_follow(&m, &p, get_from_shelf, &s, &err), -EPROTO);
	assert_non_null(strstr(err_text(&err), "more than 16 documents"));
	assert_int_equal(s.asked, 16);
}

static void image_configurations_are_checked(void **state _unused_)
{
#define BASE "\"os\":\"linux\",\"architecture\":\"amd64\""
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}"
	static const struct {
		const char *text, *complaint; /* NULL: fine */
	} cases[] = {
		{ "{" BASE "," ROOTFS "}", NULL },
		{ "{" BASE "," ROOTFS ",\"config\":null}", NULL },
		{ "{" BASE "," ROOTFS
		  ",\"config\":{\"Cmd\":[\"a\"],\"ExposedPorts\":{\"80/tcp\":{}},"
		  "\"Entrypoint\":null,\"Labels\":null}}",
		  NULL },
		{ "{" ROOTFS "}", "os: missing" },
		{ "{" BASE "}", "rootfs: type" },
		{ "{" BASE ",\"rootfs\":{\"type\":\"layers\"}}", "rootfs: diff_ids: missing" },
		{ "{" BASE ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}",
		  "diff_ids[0]: 'x'" },
		{ "{" BASE "," ROOTFS ",\"config\":{\"Cmd\":\"a\"}}", "config: Cmd: is a string" },
		{ "{" BASE "," ROOTFS ",\"config\":{\"Env\":[1]}}",
		  "config: Env[0]: is an integer" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(image_document_done) struct image_document d = {};
		_cleanup_(err_done) struct err err = {};
		int k = image_document_decode(cases[i].text, strlen(cases[i].text), &d, &err);

		if (!cases[i].complaint && k < 0)
			fail_msg("%s: %s", cases[i].text, err_text(&err));
		if (cases[i].complaint && (k == 0 || !strstr(err_text(&err), cases[i].complaint)))
			fail_msg("%s: %s", cases[i].text, err_text(&err));
	}
}

static void a_runtime_configuration_is_decoded(void **state _unused_)
{
	_cleanup_(image_config_done) struct image_config c = {};
	_cleanup_(json_decrefp) json_t *obj =
		json_loads("{\"Entrypoint\":[\"/e\"],\"Cmd\":[],\"Env\":[\"A=b\"],\"User\":\"1:2\","
			   "\"WorkingDir\":\"\",\"StopSignal\":\"SIGQUIT\",\"Volumes\":{\"/v\":{}},"
			   "\"ExposedPorts\":{\"80/tcp\":{}},\"Labels\":{\"k\":\"v\"},"
			   "\"Healthcheck\":{\"Test\":[\"NONE\"]}}",
			   0, NULL);

	assert_int_equal(image_config_decode(obj, &c, NULL), 0);
	assert_string_equal(c.entrypoint[0], "/e");
	assert_non_null(c.cmd); /* an empty command is not an absent one */
	assert_string_equal(c.env[0], "A=b");
	assert_null(c.working_dir);
	assert_string_equal(c.stop_signal, "SIGQUIT");
	assert_string_equal(c.volumes[0], "/v");
	assert_string_equal(c.exposed_ports[0], "80/tcp");
	assert_int_equal(c.n_labels, 1);
	assert_non_null(c.healthcheck);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manifest_is_decoded),
		cmocka_unit_test(bad_manifests_are_named),
		cmocka_unit_test(the_best_platform_is_chosen),
		cmocka_unit_test(indexes_are_followed_to_an_end),
		cmocka_unit_test(documents_are_counted),
		cmocka_unit_test(image_configurations_are_checked),
		cmocka_unit_test(a_runtime_configuration_is_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
