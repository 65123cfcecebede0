# tests/vm/: the host test, stages of tests/run.sh; see HACKING.md
EXTRA_DIST += tests/vm/helper.bash tests/vm/machine.bash tests/vm/make-image.sh tests/vm/make-root.sh \
	tests/vm/names.py tests/vm/proxy.py tests/vm/run.sh tests/vm/user-data.bats tests/vm/v1.bats tests/vm/v2.bats \
	tests/vm/guest/90-vm.cfg tests/vm/guest/registry.service tests/vm/guest/registry.socket \
	tests/vm/guest/vm-shell tests/vm/guest/vm-shell.service
