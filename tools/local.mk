# tools/: what make check and CI run over the sources
TOOL_CHECKS = tools/check-includes.sh tools/check-man.sh tools/check-task-definition.py
EXTRA_DIST += $(TOOL_CHECKS) tools/check-format.sh
TESTS += $(TOOL_CHECKS)

.PHONY: format check-format
format:
	$(top_srcdir)/tools/check-format.sh --fix
check-format:
	$(top_srcdir)/tools/check-format.sh
