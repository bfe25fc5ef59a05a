/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transmission of the 82540EM: legacy and extended descriptors, checksum insertion, TCP and UDP
 * segmentation, VLAN tags.  Manual 3.3 to 3.5.
 *
 * A descriptor is copied, then looked at.  Data are gathered in tx_frame until the descriptor with
 * EOP; what does not fit is dropped as one frame.  Segmentation works on the whole then.
 *
 * The guest's ring may be long and its segments tiny: after WORK units the rest waits for a timer,
 * so that no register write keeps a vCPU for long.
 */
#include "base/endian.h"
#include "dev/e1000_internal.h"

#include <string.h>

enum { WORK = 512, DESC_DEXT = 0x20, DESC_EOP = 0x01, DESC_RS = 0x08, DESC_VLE = 0x40 };
enum { DESC_IC = 0x04, DESC_TSE = 0x04, DESC_IDE = 0x80, DESC_RPS = 0x10 };
enum { TUCMD_TCP = 0x01, TUCMD_IP = 0x02, POPTS_IXSM = 0x01, POPTS_TXSM = 0x02 };

/* ------------------------------------------------------------- checksums -- */

static u16 sum16(const u8 *p, size_t len)
{
    u64 sum = 0;

    for (; len >= 2; p += 2, len -= 2)
        sum += be16_get(p);
    if (len)
        sum += *p << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Sums [start, end] (end 0 = the frame's end) and puts the result at `at`; positions that make no
 * sense leave the frame alone, as the hardware leaves it undefined. */
static void insert_sum(u8 *frame, size_t len, u8 start, u8 at, u16 end, bool udp)
{
    u16 sum;

    if (end && end < len)
        len = end + 1u;
    if (start >= len || at + 2u > len)
        return;
    sum = ~sum16(frame + start, len - start);
    be16_put(frame + at, udp && !sum ? 0xffff : sum);
}

/* ---------------------------------------------------------------- frames -- */

static void count_sent(struct e1000 *s, const u8 *frame, size_t len)
{
    static const u8 broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    e1000_count(s, R_TPT, 1);
    e1000_count(s, R_GPTC, 1);
    e1000_count64(s, R_TOTC, len + 4);
    e1000_count64(s, R_GOTC, len + 4);
    e1000_count_size(s, R_PTC64, len + 4);
    if (!memcmp(frame, broadcast, 6))
        e1000_count(s, R_BPTC, 1);
    else if (frame[0] & 1)
        e1000_count(s, R_MPTC, 1);
}

/* A frame leaves: with its tag, padded, to the wire or back to our own receiver. */
static void send_frame(struct e1000 *s, const u8 *frame, size_t len)
{
    static const u8 zeros[E1000_MIN_FRAME];
    struct iovec iov[4];
    u8 tag[4];
    int n = 0;

    if (len < 14)
        return;
    count_sent(s, frame, len);
    if (s->tx_vlan_insert) {
        be16_put(tag, *e1000_reg(s, R_VET));
        be16_put(tag + 2, s->tx_vlan);
        iov[n++] = (struct iovec){(void *)frame, 12};
        iov[n++] = (struct iovec){tag, sizeof(tag)};
        iov[n++] = (struct iovec){(void *)(frame + 12), len - 12};
        len += sizeof(tag);
    } else {
        iov[n++] = (struct iovec){(void *)frame, len};
    }
    if (len < E1000_MIN_FRAME)
        iov[n++] = (struct iovec){(void *)zeros, E1000_MIN_FRAME - len};
    if (*e1000_reg(s, R_RCTL) & RCTL_LBM_MAC || e1000_phy_loopback(s)) {
        e1000_rx_frame(s, iov, n);
        return;
    }
    if (s->backend && *e1000_reg(s, R_STATUS) & STATUS_LU)
        s->backend->ops->send(s->backend, iov, n, NULL);
}

static void send_plain(struct e1000 *s)
{
    const struct e1000_tx_context *c = &s->csum_ctx;

    if (s->tx_popts & POPTS_TXSM)
        insert_sum(s->tx_frame, s->tx_len, c->tucss, c->tucso, c->tucse, !c->tcp);
    if (s->tx_popts & POPTS_IXSM)
        insert_sum(s->tx_frame, s->tx_len, c->ipcss, c->ipcso, c->ipcse, false);
    send_frame(s, s->tx_frame, s->tx_len);
}

/* The headers of segment n, whose payload begins `offset` bytes into the whole. */
static void fix_headers(struct e1000 *s, u8 *seg, size_t len, u32 n, u32 offset, bool last)
{
    const struct e1000_tx_context *c = &s->tso_ctx;
    size_t hdr = c->hdrlen;

    if (c->ip && c->ipcss + 20u <= hdr) {
        be16_put(seg + c->ipcss + 2, len - c->ipcss);
        be16_put(seg + c->ipcss + 4, be16_get(seg + c->ipcss + 4) + n);
    } else if (!c->ip && c->ipcss + 40u <= hdr) {
        be16_put(seg + c->ipcss + 4, len - c->ipcss - 40);
    }
    if (c->tcp && c->tucss + 20u <= hdr) {
        be32_put(seg + c->tucss + 4, be32_get(seg + c->tucss + 4) + offset);
        if (!last)
            seg[c->tucss + 13] &= ~0x09; /* FIN, PSH */
    } else if (!c->tcp && c->tucss + 8u <= hdr) {
        be16_put(seg + c->tucss + 4, len - c->tucss);
    }
    /* The driver left the length out of the pseudo header's sum. */
    if (s->tx_popts & POPTS_TXSM && c->tucso + 2u <= hdr && c->tucss <= len) {
        u32 sum = be16_get(seg + c->tucso) + (u32)(len - c->tucss);

        be16_put(seg + c->tucso, (sum & 0xffff) + (sum >> 16));
    }
}

/* Each segment is built where its payload lies, behind a copy of the headers: the bytes in front of
 * it have been sent already. */
static u32 send_segments(struct e1000 *s)
{
    const struct e1000_tx_context *c = &s->tso_ctx;
    u32 hdr = c->hdrlen, offset = 0, n = 0, total;
    u8 headers[256];

    if (!c->mss || s->tx_len <= hdr || hdr < 14)
        return 1;
    memcpy(headers, s->tx_frame, hdr);
    total = s->tx_len - hdr;
    while (offset < total) {
        u32 part = min((u32)c->mss, total - offset), len = hdr + part;
        u8 *seg = s->tx_frame + offset;

        memcpy(seg, headers, hdr);
        fix_headers(s, seg, len, n, offset, offset + part == total);
        if (s->tx_popts & POPTS_TXSM)
            insert_sum(seg, len, c->tucss, c->tucso, c->tucse, !c->tcp);
        if (s->tx_popts & POPTS_IXSM)
            insert_sum(seg, len, c->ipcss, c->ipcso, c->ipcse, false);
        send_frame(s, seg, len);
        offset += part;
        n++;
    }
    e1000_count(s, R_TSCTC, 1);
    return n;
}

static void new_frame(struct e1000 *s)
{
    s->tx_len = 0;
    s->tx_skip = 0;
    s->tx_data_desc = 0;
    s->tx_vlan_insert = 0;
    s->tx_popts = 0;
    s->tx_tso = 0;
}

static void add_data(struct e1000 *s, u64 addr, u32 len)
{
    if (len > sizeof(s->tx_frame) - s->tx_len) {
        s->tx_skip = 1;
        return;
    }
    if (s->tx_skip || !len)
        return;
    pci_dma_read(&s->pci, addr, s->tx_frame + s->tx_len, len);
    s->tx_len += len;
}

/* ----------------------------------------------------------- descriptors -- */

static void context_desc(struct e1000 *s, const u8 *d)
{
    u32 cmd = le32_get(d + 8);
    struct e1000_tx_context c = {
        .ipcss = d[0],
        .ipcso = d[1],
        .ipcse = le16_get(d + 2),
        .tucss = d[4],
        .tucso = d[5],
        .tucse = le16_get(d + 6),
        .paylen = cmd & 0xfffff,
        .hdrlen = d[13],
        .mss = le16_get(d + 14),
        .tcp = d[11] & TUCMD_TCP,
        .ip = (d[11] & TUCMD_IP) != 0,
    };

    if (d[11] & DESC_TSE)
        s->tso_ctx = c;
    else
        s->csum_ctx = c;
}

static void take_vlan(struct e1000 *s, u8 cmd, u16 special)
{
    s->tx_vlan_insert = cmd & DESC_VLE && *e1000_reg(s, R_CTRL) & CTRL_VME;
    s->tx_vlan = special;
}

/* Returns the work it was. */
static u32 data_desc(struct e1000 *s, const u8 *d)
{
    u32 lower = le32_get(d + 8), work = 1;
    u8 cmd = d[11];

    if (!s->tx_data_desc) { /* the first of a frame says how it is to be sent */
        s->tx_popts = d[13];
        s->tx_tso = cmd & DESC_TSE ? 1 : 0;
        s->tx_data_desc = 1;
    }
    add_data(s, le64_get(d), lower & 0xfffff);
    if (!(cmd & DESC_EOP))
        return work;
    take_vlan(s, cmd, le16_get(d + 14));
    if (!s->tx_skip && s->tx_tso)
        work = send_segments(s);
    else if (!s->tx_skip)
        send_plain(s);
    new_frame(s);
    return work;
}

static void legacy_desc(struct e1000 *s, const u8 *d)
{
    u8 cmd = d[11];

    add_data(s, le64_get(d), le16_get(d + 8));
    if (!(cmd & DESC_EOP))
        return;
    take_vlan(s, cmd, le16_get(d + 14));
    if (!s->tx_skip) {
        if (cmd & DESC_IC)
            insert_sum(s->tx_frame, s->tx_len, d[13], d[10], 0, false);
        send_frame(s, s->tx_frame, s->tx_len);
    }
    new_frame(s);
}

static u32 one_desc(struct e1000 *s, const u8 *d)
{
    if (!(d[11] & DESC_DEXT)) {
        legacy_desc(s, d);
    } else if ((d[10] >> 4) == 1) {
        return data_desc(s, d);
    } else if ((d[10] >> 4) == 0) {
        context_desc(s, d);
    }
    return 1;
}

/* Reports a descriptor that asked for it: DD in its status byte. */
static u32 write_back(struct e1000 *s, u64 gpa, const u8 *d)
{
    u8 status = d[12] | 1;

    if (!(d[11] & (DESC_RS | DESC_RPS)))
        return 0;
    pci_dma_write(&s->pci, gpa + 12, &status, 1);
    if (d[11] & DESC_IDE && *e1000_reg(s, R_TIDV) & 0xffff) {
        s->tx_held |= ICR_TXDW;
        return 0;
    }
    return ICR_TXDW;
}

/* The delay of TIDV begins anew with each descriptor, TADV's with the first. */
static void hold_interrupt(struct e1000 *s)
{
    u64 now = clock_now(s->clock);
    u32 tadv = *e1000_reg(s, R_TADV) & 0xffff;

    timer_set(s->clock, &s->tx_timer, now + (*e1000_reg(s, R_TIDV) & 0xffff) * 1024);
    if (tadv && !timer_armed(&s->tx_abs_timer))
        timer_set(s->clock, &s->tx_abs_timer, now + tadv * 1024);
}

void e1000_tx_delayed(struct e1000 *s)
{
    u32 causes = s->tx_held;

    timer_del(s->clock, &s->tx_timer);
    timer_del(s->clock, &s->tx_abs_timer);
    s->tx_held = 0;
    e1000_cause(s, causes);
}

void e1000_tx_reset(struct e1000 *s)
{
    new_frame(s);
    s->tx_held = 0;
    memset(&s->csum_ctx, 0, sizeof(s->csum_ctx));
    memset(&s->tso_ctx, 0, sizeof(s->tso_ctx));
}

void e1000_tx_kick(struct e1000 *s)
{
    u32 *head = e1000_reg(s, R_TDH), tail = *e1000_reg(s, R_TDT);
    u32 count = *e1000_reg(s, R_TDLEN) / E1000_DESC, work = 0, causes = 0;
    u64 base = (u64)*e1000_reg(s, R_TDBAH) << 32 | *e1000_reg(s, R_TDBAL);

    if (!(*e1000_reg(s, R_TCTL) & TCTL_EN) || *head == tail)
        return;
    if (*head >= count || tail >= count) {
        trace(s->trace, nic, "e1000: head %u and tail %u outside of a ring of %u", *head, tail,
              count);
        return;
    }
    while (*head != tail && work < WORK) {
        u64 gpa = base + *head * E1000_DESC;
        u8 desc[E1000_DESC];

        if (!pci_dma_read(&s->pci, gpa, desc, sizeof(desc)))
            return;
        work += one_desc(s, desc);
        causes |= write_back(s, gpa, desc);
        *head = *head + 1 == count ? 0 : *head + 1;
    }
    if (*head == tail)
        causes |= ICR_TXQE;
    else
        timer_set(s->clock, &s->work_timer, clock_now(s->clock) + 1);
    if (s->tx_held)
        hold_interrupt(s);
    e1000_cause(s, causes);
}
