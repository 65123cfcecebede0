# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# metadata - asking 169.254.170.2 as a task's container would, and having answers checked by the schemas.

# Runs a command as a process of a task's container would: with its environment, in its network.
inside() { # arn command...
	local pid env=()
	pid=$(container_pid "$1" main)
	mapfile -d '' -t env <"/proc/$pid/environ"
	shift
	nsenter --net="/proc/$pid/ns/net" env -i "${env[@]}" PATH=/usr/bin:/bin "$@"
}
variable() { inside "$1" printenv "$2"; } # arn name
ask() {                                   # arn path: prints the body, then the status
	inside "$1" curl -sS --max-time 30 -w '\n%{http_code}\n' "http://169.254.170.2$2"
}
# Asks and has the answer checked by a schema: conforms ARN PATH DEFINITION; the body is in $body.
export body=
conforms() {
	ask "$1" "$2" >"$LAB_DIR/answer"
	body=$(head -1 "$LAB_DIR/answer")
	[ "$(tail -1 "$LAB_DIR/answer")" = 200 ] || { cat "$LAB_DIR/answer" && return 1; }
	"$BATS_TEST_DIRNAME/check-schema.py" "$3" <<<"$body"
}
has_credentials() { [ "$(ask "$1" "$2" | tail -1)" = 200 ]; } # arn path
