/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { BATCH_MAX = 20, REPLY_MAX = 16 * 1024, DUMP_MAX = 64 * 1024 };

static int open_protocol(int protocol, const char *name, struct err *err)
{
	_cleanup_(closep) int fd = -EBADF;
	int on = 1;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return err_set_errno(err, errno, "open %s socket", name);
	/* Only make errors tell more: an old kernel does without. */
	(void) setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void) setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return TAKE_FD(fd);
}

int rtnl_open(struct err *err)
{
	return open_protocol(NETLINK_ROUTE, "rtnetlink", err);
}

int rtnl_open_netfilter(struct err *err)
{
	return open_protocol(NETLINK_NETFILTER, "netfilter", err);
}

/* What the kernel says beside the number; NULL: nothing. */
static const char *ext_ack_text(const struct nlmsghdr *h)
{
	const struct nlattr *a;
	int head = sizeof(struct nlmsgerr);
	int left = (int) (h->nlmsg_len - NLMSG_HDRLEN) - head;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || !(h->nlmsg_flags & NLM_F_CAPPED) || left <= 0)
		return NULL;
	a = nla_find((const struct nlattr *) ((const char *) NLMSG_DATA(h) + head), left,
		     NLMSGERR_ATTR_MSG);
	if (!a || nla_len(a) < 1 || ((const char *) nla_data(a))[nla_len(a) - 1])
		return NULL;
	return nla_data(a);
}

/* Takes one ack; an error is put into @err unless one is there already. */
static int take_ack(const struct nlmsghdr *h, int first, struct err *err)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);
	const char *text;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
		return first < 0 ? first : err_set(err, EPROTO, "netlink: answer is too short");
	if (e->error == 0 || first < 0)
		return first;
	text = ext_ack_text(h);
	if (text)
		return err_set(err, -e->error, "%s (%s)", strerror(-e->error), text);
	return err_set(err, -e->error, "%s", strerror(-e->error));
}

/* Messages @ack_from up to @ack_to are to be answered. */
static int send_all(int fd, struct nl_msg *const *msgs, size_t n, size_t ack_from, size_t ack_to,
		    struct err *err)
{
	struct iovec iov[BATCH_MAX];
	struct msghdr packet = { .msg_iov = iov };

	for (size_t i = 0; i < n; i++) {
		struct nlmsghdr *h;

		if (!msgs[i])
			return err_set_errno(err, ENOMEM, "build netlink request");
		h = nlmsg_hdr(msgs[i]);
		h->nlmsg_flags |= NLM_F_REQUEST;
		if (i >= ack_from && i < ack_to)
			h->nlmsg_flags |= NLM_F_ACK;
		h->nlmsg_pid = 0;
		h->nlmsg_seq = (uint32_t) i + 1;
		iov[i] = (struct iovec){ h, NLMSG_ALIGN(h->nlmsg_len) };
	}
	packet.msg_iovlen = n;
	if (n > 0 && sendmsg(fd, &packet, 0) < 0)
		return err_set_errno(err, errno, "send netlink request");
	return 0;
}

/* Reads @left acks; the first error of them all is returned. */
static int read_acks(int fd, size_t left, struct err *err)
{
	_Alignas(struct nlmsghdr) char reply[REPLY_MAX];
	int result = 0;

	while (left > 0) {
		ssize_t len = recv(fd, reply, sizeof(reply), MSG_DONTWAIT);
		const struct nlmsghdr *h = (const struct nlmsghdr *) reply;

		if (len < 0)
			return result < 0 ? result
					  : err_set_errno(err, errno, "read netlink answer");
		for (unsigned int rest = (unsigned int) len; left > 0 && NLMSG_OK(h, rest);
		     h = NLMSG_NEXT(h, rest)) {
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			result = take_ack(h, result, err);
			left--;
		}
	}
	return result;
}

/* What an earlier exchange left unread, a failed one say, must not pass for an answer to the next. */
static void drain(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

static int exchange(int fd, struct nl_msg *const *msgs, size_t n, size_t ack_from, size_t ack_to,
		    struct err *err)
{
	int k;

	if (n > BATCH_MAX)
		return err_set(err, E2BIG, "%zu netlink requests at once, at most %d go", n,
			       BATCH_MAX);
	drain(fd);
	k = send_all(fd, msgs, n, ack_from, ack_to, err);
	return k < 0 ? k : read_acks(fd, ack_to - ack_from, err);
}

int rtnl_call(int fd, struct nl_msg *const *msgs, size_t n, struct err *err)
{
	return exchange(fd, msgs, n, 0, n, err);
}

int rtnl_batch(int fd, struct nl_msg *const *msgs, size_t n, struct err *err)
{
	return exchange(fd, msgs, n, 1, n - 1, err);
}

int rtnl_query(int fd, struct nl_msg *msg, void *reply, size_t size, struct err *err)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	ssize_t len;

	h->nlmsg_flags = NLM_F_REQUEST;
	h->nlmsg_pid = 0;
	h->nlmsg_seq = 1;
	drain(fd);
	if (send(fd, h, h->nlmsg_len, 0) < 0)
		return err_set_errno(err, errno, "send netlink request");
	len = recv(fd, reply, size, MSG_DONTWAIT | MSG_TRUNC);
	if (len < 0)
		return err_set_errno(err, errno, "read netlink answer");
	h = reply;
	if ((size_t) len > size || !NLMSG_OK(h, (unsigned int) len))
		return err_set(err, EPROTO, "netlink: answer of %zd bytes is not whole", len);
	return h->nlmsg_type == NLMSG_ERROR ? take_ack(h, 0, err) : 0;
}

/* 1: there is more to come. */
static int take_dumped(struct nlmsghdr *h, unsigned int len,
		       int (*fn)(struct nlmsghdr *h, void *userdata), void *userdata, int *first,
		       struct err *err)
{
	for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		int k = 0;

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return take_ack(h, 0, err);
		if (*first == 0)
			k = fn(h, userdata);
		*first = *first < 0 ? *first : MIN(k, 0);
	}
	return 1;
}

int rtnl_dump(int fd, struct nl_msg *msg, int (*fn)(struct nlmsghdr *h, void *userdata),
	      void *userdata, struct err *err)
{
	_cleanup_(freep) char *reply = malloc(DUMP_MAX);
	struct nlmsghdr *h = nlmsg_hdr(msg);
	int first = 0, k = 1;

	if (!reply)
		return err_set_errno(err, ENOMEM, "read netlink answer");
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_pid = 0;
	h->nlmsg_seq = 1;
	drain(fd);
	if (send(fd, h, h->nlmsg_len, 0) < 0)
		return err_set_errno(err, errno, "send netlink request");
	while (k == 1) {
		ssize_t len = recv(fd, reply, DUMP_MAX, MSG_DONTWAIT);

		if (len < 0)
			return err_set_errno(err, errno, "read netlink answer");
		k = take_dumped((struct nlmsghdr *) (void *) reply, (unsigned int) len, fn,
				userdata, &first, err);
	}
	return k < 0 ? k : first;
}
