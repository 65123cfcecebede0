/* SPDX-License-Identifier: Apache-2.0 */
/* The file of --subnets; what it declares is made into what agents are told. */
#include <stdint.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/subnets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(json_decrefp) json_t *list = NULL;
	_cleanup_(err_done) struct err err = {};
	const json_t *s, *e;
	size_t i, j;

	if (subnets_parse((const char *) data, size, &list, &err) < 0) {
		if (list || !err.msg)
			abort();
		return 0;
	}
	json_array_foreach(list, i, s)
		json_array_foreach(json_object_get(s, "networkInterfaces"), j, e) {
			_cleanup_(json_decrefp) json_t *acs =
				subnets_acs_interface(s, e, "us-east-1");

			if (!json_get_string(acs, "ec2Id", NULL) ||
			    !json_get_string(acs, "macAddress", NULL))
				abort();
		}
	return 0;
}
