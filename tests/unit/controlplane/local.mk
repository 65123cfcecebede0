# tests/unit/controlplane/
include tests/unit/controlplane/wire.mk
include tests/unit/controlplane/api.mk
