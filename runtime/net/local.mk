# runtime/net/: bridge, namespaces, veth pairs, addresses, host ports, /etc files
libruntime_a_SOURCES += \
	runtime/net/addrpool.c runtime/net/addrpool.h runtime/net/conntrack.c runtime/net/conntrack.h \
	runtime/net/etcfiles.c runtime/net/etcfiles.h runtime/net/internal.h runtime/net/link.c \
	runtime/net/link.h runtime/net/net.c runtime/net/net.h runtime/net/netns.c runtime/net/netns.h \
	runtime/net/nft.c runtime/net/nft.h runtime/net/nftelem.c \
	runtime/net/nftelem.h runtime/net/ports.c runtime/net/porttab.c \
	runtime/net/porttab.h runtime/net/published.c runtime/net/published.h runtime/net/redirect.c \
	runtime/net/redirect.h runtime/net/resolvconf.c runtime/net/resolvconf.h runtime/net/rtnl.c \
	runtime/net/rtnl.h runtime/net/sysctl.c runtime/net/sysctl.h
libruntime_a_SOURCES += runtime/net/firewall.c runtime/net/firewall.h runtime/net/firewall-rule.c runtime/net/firewall-rule.h
libruntime_a_SOURCES += runtime/net/guard.c runtime/net/guard.h runtime/net/portpool.c runtime/net/portpool.h runtime/net/ruleset.c runtime/net/ruleset.h
libruntime_a_SOURCES += runtime/net/eni.c runtime/net/eni.h runtime/net/linkinfo.c runtime/net/linkinfo.h \
	runtime/net/linkwatch.c runtime/net/linkwatch.h runtime/net/rtmsg.c runtime/net/rtmsg.h
libruntime_a_SOURCES += runtime/net/locallink.c runtime/net/locallink.h
libruntime_a_SOURCES += runtime/net/defroute.c runtime/net/defroute.h runtime/net/host6.c runtime/net/host6.h runtime/net/link6.c runtime/net/link6.h runtime/net/linkmsg.h runtime/net/net6.c runtime/net/net6.h
