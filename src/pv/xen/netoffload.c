/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Xen's network protocol leaves to be found out from the frame: it says "checksum blank" and
 * not where, so headers are read here.  All lengths are checked; the frame is hostile.
 */
#include "pv/xen/netback.h"

#include "base/endian.h"

enum {
    ETH_P_IP = 0x0800,
    ETH_P_IPV6 = 0x86dd,
    ETH_P_8021Q = 0x8100,
    PROTO_TCP = 6,
    PROTO_UDP = 17
};
enum { TCP_CSUM = 16, UDP_CSUM = 6, IPV6_HEADER = 40, EXT_MAX = 8 };

/* Finds the transport header: its offset and protocol; false: none that we know. */
static bool transport(const u8 *p, u32 len, u32 *off, u8 *proto, u32 *ip)
{
    u32 at = 14;

    if (len < at)
        return false;
    u16 type = be16_get(p + 12);
    for (unsigned i = 0; i < 2 && type == ETH_P_8021Q; i++, at += 4) {
        if (len < at + 4)
            return false;
        type = be16_get(p + at + 2);
    }
    *ip = at;
    if (type == ETH_P_IP) {
        if (len < at + 20 || p[at] >> 4 != 4 || (p[at] & 15) < 5)
            return false;
        *proto = p[at + 9];
        *off = at + (p[at] & 15) * 4u;
        return !(be16_get(p + at + 6) & 0x1fff); /* not a later fragment */
    }
    if (type != ETH_P_IPV6 || len < at + IPV6_HEADER)
        return false;
    u8 next = p[at + 6];
    at += IPV6_HEADER;
    for (unsigned i = 0; i < EXT_MAX; i++) {
        if (next != 0 && next != 43 && next != 60) { /* hop-by-hop, routing, destination */
            *proto = next;
            *off = at;
            return true;
        }
        if (len < at + 8)
            return false;
        next = p[at];
        at += p[at + 1] * 8u + 8;
    }
    return false;
}

bool netback_csum_place(const u8 *frame, u32 len, struct nic_offload *o)
{
    u32 off, ip;
    u8 proto;

    if (!transport(frame, len, &off, &proto, &ip) || off > UINT16_MAX - 64)
        return false;
    if (proto == PROTO_TCP && len >= off + 20) {
        o->csum_offset = TCP_CSUM;
        o->hdr_len = (u16)(off + (frame[off + 12] >> 4) * 4u);
    } else if (proto == PROTO_UDP && len >= off + 8 && !o->gso_type) {
        o->csum_offset = UDP_CSUM;
        o->hdr_len = (u16)(off + 8);
    } else {
        return false;
    }
    o->flags = 1;
    o->csum_start = (u16)off;
    return o->hdr_len <= len;
}

unsigned netback_hash(const u8 *frame, u32 len)
{
    u32 off, ip, h = 2166136261u;
    u8 proto;

    if (!transport(frame, len, &off, &proto, &ip))
        return 0;
    bool six = frame[ip] >> 4 == 6;
    u32 first = ip + (six ? 8 : 12), n = six ? 32 : 8;
    for (u32 i = first; i < first + n && i < len; i++)
        h = (h ^ frame[i]) * 16777619u;
    if (proto == PROTO_TCP || proto == PROTO_UDP)
        for (u32 i = off; i < off + 4 && i < len; i++)
            h = (h ^ frame[i]) * 16777619u;
    return h ^ h >> 16;
}
