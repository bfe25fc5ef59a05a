/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums (RFC 1071) and TCP segmentation in software, after virtio 1.1, 5.1.6.2.
 *
 * The parameters come from a guest or from the wire: each position is checked against the frame.
 * A segment is built in a buffer of its own, headers first; only TCP over IPv4 and IPv6 is cut,
 * with the IP header found by csum_start (where TCP's begins) rather than by parsing extensions.
 */
#include "net/offload.h"

#include "base/endian.h"

#include <string.h>

enum { ETH_HEAD = 14, TCP_FIN_PSH = 0x09, TCP_CWR = 0x80, HEADERS_MAX = 256 };

u16 net_sum(const u8 *p, size_t len, u32 start)
{
    u64 sum = start;

    for (; len >= 2; p += 2, len -= 2)
        sum += be16_get(p);
    if (len)
        sum += *p << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

bool net_checksum(u8 *frame, size_t len, const struct nic_offload *o)
{
    size_t at = (size_t)o->csum_start + o->csum_offset;
    u16 sum;

    if (o->csum_start >= len || at + 2 > len)
        return false;
    sum = ~net_sum(frame + o->csum_start, len - o->csum_start, 0);
    be16_put(frame + at, sum ? sum : 0xffff);
    return true;
}

/* The headers of a frame that is to be cut: where IP and TCP begin and end. */
struct headers {
    size_t ip, tcp, payload;
    bool v6;
};

static bool find_headers(const u8 *frame, size_t len, const struct nic_offload *o,
                         struct headers *h)
{
    u8 type = o->gso_type & ~NIC_GSO_ECN;
    size_t at = ETH_HEAD;

    if (type != NIC_GSO_TCPV4 && type != NIC_GSO_TCPV6)
        return false;
    if (!(o->flags & NIC_CSUM_NEEDED) || !o->gso_size || len < ETH_HEAD + 40)
        return false;
    while (at + 4 < len &&
           (be16_get(frame + at - 2) == 0x8100 || be16_get(frame + at - 2) == 0x88a8))
        at += 4;
    h->v6 = type == NIC_GSO_TCPV6;
    h->ip = at;
    h->tcp = o->csum_start;
    if (h->tcp < h->ip + (h->v6 ? 40 : 20) || h->tcp + 20 > len)
        return false;
    h->payload = h->tcp + (frame[h->tcp + 12] >> 4) * 4;
    return h->payload >= h->tcp + 20 && h->payload <= len && h->payload <= HEADERS_MAX;
}

/* The TCP checksum field's start value: source and destination, protocol, length. */
static u16 pseudo_sum(const u8 *seg, const struct headers *h, size_t tcp_len)
{
    if (h->v6)
        return net_sum(seg + h->ip + 8, 32, 6 + tcp_len);
    return net_sum(seg + h->ip + 12, 8, 6 + tcp_len);
}

static void fix_ip(u8 *seg, const struct headers *h, size_t len, u16 n)
{
    u8 *ip = seg + h->ip;

    if (h->v6) {
        be16_put(ip + 4, len - h->ip - 40);
        return;
    }
    be16_put(ip + 2, len - h->ip);
    be16_put(ip + 4, be16_get(ip + 4) + n);
    be16_put(ip + 10, 0);
    be16_put(ip + 10, ~net_sum(ip, h->tcp - h->ip, 0));
}

static void segment(const u8 *frame, size_t len, const struct nic_offload *o,
                    const struct headers *h, void (*emit)(void *, const u8 *, size_t), void *opaque)
{
    u8 seg[HEADERS_MAX + 65536];
    struct nic_offload csum = {.csum_start = h->tcp, .csum_offset = 16};
    size_t left = len - h->payload;
    u32 seq = be32_get(frame + h->tcp + 4);
    u16 n = 0;

    do {
        size_t part = min(left, (size_t)o->gso_size), total = h->payload + part;

        memcpy(seg, frame, h->payload);
        memcpy(seg + h->payload, frame + len - left, part);
        left -= part;
        fix_ip(seg, h, total, n);
        be32_put(seg + h->tcp + 4, seq);
        if (left)
            seg[h->tcp + 13] &= ~TCP_FIN_PSH;
        if (n)
            seg[h->tcp + 13] &= ~TCP_CWR;
        be16_put(seg + h->tcp + 16, pseudo_sum(seg, h, total - h->tcp));
        net_checksum(seg, total, &csum);
        emit(opaque, seg, total);
        seq += part;
        n++;
    } while (left);
}

void net_offload_finish(const u8 *frame, size_t len, const struct nic_offload *o,
                        void (*emit)(void *opaque, const u8 *frame, size_t len), void *opaque)
{
    struct headers h;

    if (o->gso_type) {
        if (len <= NIC_FRAME_MAX && find_headers(frame, len, o, &h))
            segment(frame, len, o, &h, emit, opaque);
        return;
    }
    if (o->flags & NIC_CSUM_NEEDED) {
        u8 whole[NIC_FRAME_MAX];

        if (len > sizeof(whole))
            return;
        memcpy(whole, frame, len);
        if (net_checksum(whole, len, o))
            emit(opaque, whole, len);
        return;
    }
    emit(opaque, frame, len);
}
