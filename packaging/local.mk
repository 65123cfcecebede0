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

# ---- packages, made from the tarball ----
EXTRA_DIST += packaging/ecs.config \
	packaging/cloud-init/apt.yaml packaging/cloud-init/attributes.yaml packaging/cloud-init/dnf.yaml \
	packaging/cloud-init/one-line.sh packaging/cloud-init/proxy.yaml packaging/cloud-init/spot.yaml
EXTRA_DIST += packaging/make-deb.sh packaging/make-rpm.sh packaging/rpm/ecs-agent.spec packaging/rpm/rpmlint.toml \
	packaging/deb/changelog packaging/deb/control packaging/deb/copyright packaging/deb/rules \
	packaging/deb/source/format packaging/deb/ecs-agent.docs packaging/deb/ecs-agent.examples packaging/deb/ecs-agent.install \
	packaging/deb/ecs-agent.lintian-overrides packaging/deb/ecs-agent.manpages \
	packaging/deb/ecs-agent.postinst packaging/deb/ecs-agent.postrm packaging/deb/ecs-agent.prerm \
	packaging/deb/ecs-controlplane.install packaging/deb/ecs-controlplane.lintian-overrides packaging/deb/ecs-controlplane.manpages \
	packaging/deb/ecs-controlplane.postrm
.PHONY: deb rpm
deb: dist
	$(SHELL) $(top_srcdir)/packaging/make-deb.sh $(distdir).tar.xz packages
rpm: dist
	$(SHELL) $(top_srcdir)/packaging/make-rpm.sh $(distdir).tar.xz packages
