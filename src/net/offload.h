/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a card or the host's kernel left to the other side: checksums and TCP segmentation, in
 * software, for frames that go to somebody who does neither.
 */
#ifndef WIRT_NET_OFFLOAD_H
#define WIRT_NET_OFFLOAD_H

#include "core/backend.h"

#include <sys/types.h>

enum { NIC_CSUM_NEEDED = 1 };
enum {
    NIC_GSO_NONE = 0,
    NIC_GSO_TCPV4 = 1,
    NIC_GSO_UDP = 3,
    NIC_GSO_TCPV6 = 4,
    NIC_GSO_ECN = 0x80
};

/* The Internet checksum's sum over len bytes, folded to 16 bits, host byte order; not inverted. */
u16 net_sum(const u8 *p, size_t len, u32 start);

/* Completes the checksum that o describes; the field holds the pseudo header's sum.  False when
 * its positions lie outside of the frame. */
bool net_checksum(u8 *frame, size_t len, const struct nic_offload *o);

/* Calls emit for each frame on the wire that `frame` stands for.  Frames whose offload makes no
 * sense (wrong positions, UDP fragmentation, gso_size 0) are dropped. */
void net_offload_finish(const u8 *frame, size_t len, const struct nic_offload *o,
                        void (*emit)(void *opaque, const u8 *frame, size_t len), void *opaque);

#endif
