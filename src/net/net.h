/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands behind a network card: user-mode NAT (libslirp) or a tap interface, and in front of
 * either a filter that captures frames to a pcap file.
 *
 * Frames reach the card on the loop's thread only; what it has no buffer for waits in a bounded
 * queue.  Frames from the card may come from any thread.
 */
#ifndef WIRT_NET_NET_H
#define WIRT_NET_NET_H

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/trace.h"
#include "core/backend.h"

enum net_mode { NET_NONE, NET_USER, NET_TAP };
enum { NET_HOSTFWD_MAX = 64, NET_QUEUE_MAX = 512 };

/* A port of the host that leads to one of the guest. */
struct net_hostfwd {
    bool udp;
    u32 host_addr; /* IPv4, host byte order; 0 = every address of the host */
    u16 host_port;
    u32 guest_addr; /* 0 = the guest's address by DHCP, 10.0.2.15 */
    u16 guest_port;
};

struct net_config {
    enum net_mode mode;
    char model[16]; /* "virtio", "e1000"; empty = not given */
    u8 mac[6];      /* all zero = not given */
    /* NET_USER */
    bool restricted; /* the guest reaches nothing but forwarded ports */
    unsigned nfwd;
    struct net_hostfwd fwd[NET_HOSTFWD_MAX];
    /* NET_TAP */
    char ifname[16];
    /* any */
    char capture[256]; /* pcap file, empty = none */
};

/*
 * Parses what --net takes: `user`, `tap=IF` or `none`, then options behind commas:
 * model=virtio|e1000, mac=xx:xx:xx:xx:xx:xx, hostfwd=tcp|udp:[ADDR:]PORT-[ADDR]:PORT (repeated),
 * restrict, capture=FILE.  -EINVAL with a message that quotes the bad part.
 */
int net_parse(struct net_config *c, const char *spec, struct err *e);
int net_parse_hostfwd(struct net_hostfwd *f, const char *spec, struct err *e);

/*
 * Opens the back end; *out is NULL for NET_NONE.  The card then sets (*out)->front.  On the loop's
 * thread or before the loop runs; so is ops->close().  -errno when a port is taken, a tap cannot
 * be had, the capture file cannot be written.
 */
int net_open(struct nic_backend **out, const struct net_config *c, struct loop *l,
             struct clock *clock, struct trace *t, struct err *e);

/* The parts, each usable alone. */
int net_user_open(struct nic_backend **out, const struct net_config *c, struct loop *l,
                  struct clock *clock, struct trace *t, struct err *e);
int net_tap_open(struct nic_backend **out, const char *ifname, struct loop *l, struct trace *t,
                 struct err *e);
/* Takes over `inner`; closing the filter closes it.  On error inner stays the caller's. */
int net_capture_open(struct nic_backend **out, struct nic_backend *inner, const char *file,
                     struct clock *clock, struct trace *t, struct err *e);

#endif
