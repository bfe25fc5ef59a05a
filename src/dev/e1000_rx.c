/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reception of the 82540EM: address and VLAN filters, buffers of all sizes, checksums.
 * Manual 3.2 and 13.4.22 on.
 *
 * A frame that finds too few descriptors is refused, and the back end keeps it until the tail
 * moves: on real hardware the packet buffer does that for a moment.  A frame that no filter
 * accepts, or that comes while the receiver is off, is dropped.
 */
#include "base/endian.h"
#include "dev/e1000_internal.h"

#include <string.h>

enum { RX_DD = 0x01, RX_EOP = 0x02, RX_IXSM = 0x04, RX_VP = 0x08, RX_TCPCS = 0x20, RX_IPCS = 0x40 };
enum { RX_ERR_TCPE = 0x20, RX_ERR_IPE = 0x40 };
enum { HEAD_BYTES = 18, CRC = 4, MAX_PLAIN = 1518, MAX_LONG = 16384 - CRC };

/* Part of a frame, in pieces as it comes. */
struct source {
    const struct iovec *iov;
    int niov;
};

/* Copies [off, off+len) of a frame. */
static void copy_out(const struct source *f, size_t off, void *to, size_t len)
{
    u8 *p = to;

    for (int i = 0; i < f->niov && len; i++) {
        size_t n = f->iov[i].iov_len;

        if (off >= n) {
            off -= n;
            continue;
        }
        n = min(n - off, len);
        memcpy(p, (const u8 *)f->iov[i].iov_base + off, n);
        p += n;
        len -= n;
        off = 0;
    }
    memset(p, 0, len);
}

/* --------------------------------------------------------------- filters -- */

static bool exact_match(struct e1000 *s, const u8 *mac)
{
    for (unsigned i = 0; i < 16; i++) {
        u32 lo = s->reg[R_RA / 4 + 2 * i], hi = s->reg[R_RA / 4 + 2 * i + 1];

        if (hi & BIT(31) && le32_get(mac) == lo && le16_get(mac + 4) == (hi & 0xffff))
            return true;
    }
    return false;
}

static bool multicast_match(struct e1000 *s, const u8 *mac)
{
    static const u8 shifts[4] = {4, 3, 2, 0};
    u32 hash = le16_get(mac + 4) >> shifts[*e1000_reg(s, R_RCTL) >> 12 & 3] & 0xfff;

    return s->reg[R_MTA / 4 + (hash >> 5)] >> (hash & 31) & 1;
}

static bool vlan_match(struct e1000 *s, const u8 *head)
{
    u32 rctl = *e1000_reg(s, R_RCTL);
    u16 tci = be16_get(head + 14);

    if (be16_get(head + 12) != (*e1000_reg(s, R_VET) & 0xffff) || !(rctl & RCTL_VFE))
        return true;
    if (rctl & RCTL_CFIEN && !(tci & 0x1000) != !(rctl & RCTL_CFI))
        return false;
    return s->reg[R_VFTA / 4 + (tci >> 5 & 127)] >> (tci & 31) & 1;
}

static bool accepted(struct e1000 *s, const u8 *head)
{
    static const u8 broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    u32 rctl = *e1000_reg(s, R_RCTL);

    if (!vlan_match(s, head))
        return false;
    if (!memcmp(head, broadcast, 6))
        return rctl & (RCTL_BAM | RCTL_MPE);
    if (head[0] & 1)
        return rctl & RCTL_MPE || exact_match(s, head) || multicast_match(s, head);
    return rctl & RCTL_UPE || exact_match(s, head);
}

/* ------------------------------------------------------------- checksums -- */

static u16 sum16(const u8 *p, size_t len, u32 sum)
{
    u64 total = sum;

    for (; len >= 2; p += 2, len -= 2)
        total += be16_get(p);
    if (len)
        total += *p << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

/* Looks at IPv4 with TCP or UDP, the checksums the hardware knows (manual 3.2.9). */
static void check_sums(struct e1000 *s, const u8 *p, size_t len, u8 *status, u8 *errors)
{
    u32 rxcsum = *e1000_reg(s, R_RXCSUM);
    size_t ihl, total;
    u8 proto;

    if (!(rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL)) || len < 34 || be16_get(p + 12) != 0x0800 ||
        p[14] >> 4 != 4) {
        *status |= RX_IXSM;
        return;
    }
    p += 14;
    len -= 14;
    ihl = (p[0] & 15) * 4;
    total = be16_get(p + 2);
    if (ihl < 20 || total < ihl || total > len) {
        *status |= RX_IXSM;
        return;
    }
    if (rxcsum & RXCSUM_IPOFL) {
        *status |= RX_IPCS;
        if (sum16(p, ihl, 0) != 0xffff)
            *errors |= RX_ERR_IPE;
    }
    proto = p[9];
    if (!(rxcsum & RXCSUM_TUOFL) || be16_get(p + 6) & 0x3fff) /* fragments are left alone */
        return;
    if ((proto == 6 && total - ihl >= 20) ||
        (proto == 17 && total - ihl >= 8 && be16_get(p + ihl + 6))) {
        u16 pseudo = sum16(p + 12, 8, proto + (total - ihl));

        *status |= RX_TCPCS;
        if (sum16(p + ihl, total - ihl, pseudo) != 0xffff)
            *errors |= RX_ERR_TCPE;
    }
}

/* ------------------------------------------------------------ descriptors -- */

static u32 buffer_size(u32 rctl)
{
    u32 size = 2048u >> (rctl >> 16 & 3);

    return rctl & RCTL_BSEX && size < 2048 ? size * 16 : size;
}

/* Descriptors the guest has given; 0 when the ring makes no sense. */
static u32 available(struct e1000 *s)
{
    u32 head = *e1000_reg(s, R_RDH), tail = *e1000_reg(s, R_RDT);
    u32 count = *e1000_reg(s, R_RDLEN) / E1000_DESC;

    if (head >= count || tail >= count)
        return 0;
    return head <= tail ? tail - head : count - head + tail;
}

struct rx_info {
    u8 status, errors;
    u16 csum, vlan;
};

/* Fills one buffer and its descriptor; the status byte last, since the driver polls it. */
static void put_piece(struct e1000 *s, const u8 *data, size_t len, const struct rx_info *i,
                      bool last)
{
    u32 *head = e1000_reg(s, R_RDH), count = *e1000_reg(s, R_RDLEN) / E1000_DESC;
    u64 gpa = ((u64)*e1000_reg(s, R_RDBAH) << 32 | *e1000_reg(s, R_RDBAL)) + *head * E1000_DESC;
    u8 desc[E1000_DESC];

    if (pci_dma_read(&s->pci, gpa, desc, sizeof(desc))) {
        u64 addr = le64_get(desc);

        if (addr)
            pci_dma_write(&s->pci, addr, data, len);
        le16_put(desc + 8, len);
        le16_put(desc + 10, i->csum);
        desc[12] = RX_DD | (last ? RX_EOP | i->status : i->status & RX_VP);
        desc[13] = last ? i->errors : 0;
        le16_put(desc + 14, i->vlan);
        pci_dma_write(&s->pci, gpa + 14, desc + 14, 2);
        pci_dma_write(&s->pci, gpa + 8, desc + 8, 4);
        pci_dma_write(&s->pci, gpa + 12, desc + 12, 2);
    }
    *head = *head + 1 == count ? 0 : *head + 1;
}

static void count_received(struct e1000 *s, const u8 *head, size_t len)
{
    static const u8 broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    e1000_count(s, R_TPR, 1);
    e1000_count(s, R_GPRC, 1);
    e1000_count64(s, R_TORC, len + CRC);
    e1000_count64(s, R_GORC, len + CRC);
    e1000_count_size(s, R_PRC64, len + CRC);
    if (!memcmp(head, broadcast, 6))
        e1000_count(s, R_BPRC, 1);
    else if (head[0] & 1)
        e1000_count(s, R_MPRC, 1);
}

void e1000_rx_delayed(struct e1000 *s)
{
    u32 causes = s->rx_held;

    timer_del(s->clock, &s->rx_timer);
    timer_del(s->clock, &s->rx_abs_timer);
    s->rx_held = 0;
    e1000_cause(s, causes);
}

/* RXT0 now, or after RDTR from the last frame, at the latest RADV from the first. */
static void received(struct e1000 *s)
{
    static const u8 fraction[4] = {2, 4, 8, 8};
    u32 rdtr = *e1000_reg(s, R_RDTR) & 0xffff, radv = *e1000_reg(s, R_RADV) & 0xffff;
    u32 count = *e1000_reg(s, R_RDLEN) / E1000_DESC, causes = 0;
    u64 now = clock_now(s->clock);

    if (available(s) <= count / fraction[*e1000_reg(s, R_RCTL) >> 8 & 3])
        causes |= ICR_RXDMT0;
    if (!rdtr) {
        e1000_cause(s, causes | ICR_RXT0);
        return;
    }
    s->rx_held |= ICR_RXT0;
    timer_set(s->clock, &s->rx_timer, now + rdtr * 1024);
    if (radv && !timer_armed(&s->rx_abs_timer))
        timer_set(s->clock, &s->rx_abs_timer, now + radv * 1024);
    e1000_cause(s, causes);
}

bool e1000_rx_frame(struct e1000 *s, const struct iovec *iov, int niov)
{
    struct source f = {iov, niov};
    u32 rctl = *e1000_reg(s, R_RCTL), size = buffer_size(rctl), limit;
    size_t len = 0, off = 0;
    struct rx_info info = {0};
    u8 frame[MAX_LONG + CRC];

    for (int i = 0; i < niov; i++)
        len += iov[i].iov_len;
    limit = rctl & RCTL_LPE ? MAX_LONG : MAX_PLAIN;
    if (!(rctl & RCTL_EN) || len < 14)
        return true;
    if (len > limit) {
        e1000_count(s, R_ROC, 1);
        return true;
    }
    copy_out(&f, 0, frame, len);
    if (len < E1000_MIN_FRAME) {
        memset(frame + len, 0, E1000_MIN_FRAME - len);
        len = E1000_MIN_FRAME;
    }
    if (!accepted(s, frame))
        return true;
    memset(frame + len, 0, CRC);
    if (available(s) < (len + CRC + size - 1) / size) {
        e1000_count(s, R_RNBC, 1);
        e1000_cause(s, ICR_RXO);
        return false;
    }
    count_received(s, frame, len);
    if (*e1000_reg(s, R_CTRL) & CTRL_VME &&
        be16_get(frame + 12) == (*e1000_reg(s, R_VET) & 0xffff)) {
        info.status |= RX_VP;
        info.vlan = be16_get(frame + 14);
        memmove(frame + 12, frame + 16, len + CRC - 16);
        len -= 4;
    }
    if ((*e1000_reg(s, R_RXCSUM) & 0xff) < len)
        info.csum = ~sum16(frame + (*e1000_reg(s, R_RXCSUM) & 0xff),
                           len - (*e1000_reg(s, R_RXCSUM) & 0xff), 0);
    info.csum = __builtin_bswap16(info.csum);
    check_sums(s, frame, len, &info.status, &info.errors);
    if (!(rctl & RCTL_SECRC))
        len += CRC;
    while (off < len) {
        size_t n = min(len - off, (size_t)size);

        put_piece(s, frame + off, n, &info, off + n == len);
        off += n;
    }
    received(s);
    return true;
}
