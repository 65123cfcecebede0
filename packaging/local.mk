# packaging/: what installs, starts and shows the product
EXTRA_DIST += packaging/install-deps.sh packaging/lab.sh packaging/quickstart.sh

# ---- units ----
UNITS_MADE = packaging/systemd/ecs.service packaging/systemd/ecs-drain.service packaging/systemd/ecs-controlplane.service
systemdsystemunit_DATA = $(UNITS_MADE) packaging/systemd/ecs-boot.service
EXTRA_DIST += $(UNITS_MADE:=.in) packaging/systemd/ecs-boot.service packaging/systemd/ecs-controlplane.sysusers
CLEANFILES += $(UNITS_MADE)
$(UNITS_MADE): %: $(top_srcdir)/%.in Makefile
	$(AM_V_GEN)mkdir -p $(@D) && sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' \
		$(top_srcdir)/$@.in >$@.tmp && mv $@.tmp $@
