# tests/unit/: one program per module, in the folder that mirrors its own
include tests/unit/agent/config/local.mk
include tests/unit/agent/engine/local.mk
include tests/unit/agent/http/local.mk
include tests/unit/agent/localtask/local.mk
include tests/unit/agent/metadata/local.mk
include tests/unit/agent/sessions/local.mk
include tests/unit/aws/local.mk
include tests/unit/cli/local.mk
include tests/unit/common/local.mk
include tests/unit/controlplane/local.mk
include tests/unit/metrics/local.mk
include tests/unit/runtime/container/local.mk
include tests/unit/runtime/image/local.mk
include tests/unit/runtime/net/local.mk
include tests/unit/runtime/volume/local.mk
