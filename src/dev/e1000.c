/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM Gigabit Ethernet controller: registers, interrupts, reset.  Transmission is in
 * e1000_tx.c, reception in e1000_rx.c, EEPROM and PHY in e1000_phy.c.
 * Manual: 317453, PCI/PCI-X Family of Gigabit Ethernet Controllers.
 *
 * Interrupt causes gather in ICR; INTx is raised when one is unmasked, but not sooner after the
 * last time than ITR says.
 *
 * Left out: wake-up and management (registers are kept), flow control frames, the diagnostic
 * windows into the packet buffer, flash memory, receive header split.
 */
#include "dev/e1000_internal.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------ interrupts -- */

static void update_irq(struct e1000 *s)
{
    bool want = *e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS);
    u64 itr = *e1000_reg(s, R_ITR) & 0xffff, now;

    if (!want) {
        timer_del(s->clock, &s->itr_timer);
        s->intr_level = 0;
        pci_set_intx(&s->pci, false);
        return;
    }
    if (s->intr_level)
        return;
    now = clock_now(s->clock);
    if (itr && now < s->itr_next) {
        if (!timer_armed(&s->itr_timer))
            timer_set(s->clock, &s->itr_timer, s->itr_next);
        return;
    }
    s->itr_next = now + itr * 256;
    s->intr_level = 1;
    pci_set_intx(&s->pci, true);
}

void e1000_cause(struct e1000 *s, u32 causes)
{
    *e1000_reg(s, R_ICR) |= causes & ICR_ALL;
    update_irq(s);
}

static void itr_fired(void *opaque)
{
    struct e1000 *s = opaque;

    pthread_mutex_lock(&s->pci.lock);
    update_irq(s);
    pthread_mutex_unlock(&s->pci.lock);
}

static void rx_fired(void *opaque)
{
    struct e1000 *s = opaque;

    pthread_mutex_lock(&s->pci.lock);
    e1000_rx_delayed(s);
    pthread_mutex_unlock(&s->pci.lock);
}

static void tx_fired(void *opaque)
{
    struct e1000 *s = opaque;

    pthread_mutex_lock(&s->pci.lock);
    e1000_tx_delayed(s);
    pthread_mutex_unlock(&s->pci.lock);
}

static void work_fired(void *opaque)
{
    struct e1000 *s = opaque;

    pthread_mutex_lock(&s->pci.lock);
    e1000_tx_kick(s);
    pthread_mutex_unlock(&s->pci.lock);
}

/* Auto-negotiation is over. */
static void link_fired(void *opaque)
{
    struct e1000 *s = opaque;

    pthread_mutex_lock(&s->pci.lock);
    s->link_at = 0;
    e1000_cause(s, ICR_LSC);
    pthread_mutex_unlock(&s->pci.lock);
}

/* ------------------------------------------------------------ statistics -- */

void e1000_count(struct e1000 *s, u32 off, u32 n)
{
    u32 *r = e1000_reg(s, off);

    *r = *r > UINT32_MAX - n ? UINT32_MAX : *r + n;
}

void e1000_count64(struct e1000 *s, u32 off, u64 n)
{
    u32 *r = e1000_reg(s, off);
    u64 v = (u64)r[1] << 32 | r[0];

    v = v > UINT64_MAX - n ? UINT64_MAX : v + n;
    r[0] = v;
    r[1] = v >> 32;
}

void e1000_count_size(struct e1000 *s, u32 off, size_t len)
{
    unsigned i = len <= 64 ? 0 : len < 128 ? 1 : len < 256 ? 2 : len < 512 ? 3 : len < 1024 ? 4 : 5;

    e1000_count(s, off + 4 * i, 1);
}

/* ----------------------------------------------------------------- reset -- */

static void show_link(struct e1000 *s, bool up)
{
    u32 *status = e1000_reg(s, R_STATUS);

    *status = (*status & ~STATUS_LU) | (up ? STATUS_LU : 0);
    e1000_phy_link(s, up);
}

/* The address in the EEPROM goes to the first receive address. */
static void load_mac(struct e1000 *s)
{
    s->reg[R_RA / 4] = s->eeprom[0] | (u32)s->eeprom[1] << 16;
    s->reg[R_RA / 4 + 1] = s->eeprom[2] | BIT(31);
}

static void mac_reset(struct e1000 *s)
{
    u32 up = *e1000_reg(s, R_STATUS) & STATUS_LU;
    struct timer *timers[] = {&s->rx_timer,     &s->rx_abs_timer, &s->tx_timer,
                              &s->tx_abs_timer, &s->itr_timer,    &s->work_timer};

    for (unsigned i = 0; i < ARRAY_SIZE(timers); i++)
        timer_del(s->clock, timers[i]);
    memset(s->reg, 0, sizeof(s->reg));
    *e1000_reg(s, R_CTRL) = CTRL_FD | 0x200; /* speed 1000 */
    *e1000_reg(s, R_STATUS) = STATUS_FD | STATUS_1000 | STATUS_MTXCKOK | up;
    *e1000_reg(s, R_PBA) = 0x00100030;
    *e1000_reg(s, R_LEDCTL) = 0x07068302;
    *e1000_reg(s, R_MANC) = 0;
    *e1000_reg(s, R_TXDCTL) = 0;
    *e1000_reg(s, R_RXDCTL) = 0x00010000;
    s->rx_held = 0;
    s->itr_next = 0;
    s->eecd_old = 0;
    s->ee_reading = s->ee_bits_in = s->ee_bits_out = s->ee_in = 0;
    e1000_tx_reset(s);
    load_mac(s);
    update_irq(s);
}

/* ------------------------------------------------------------- registers -- */

static void write_ctrl(struct e1000 *s, u32 v)
{
    if (v & CTRL_RST) {
        mac_reset(s);
        return;
    }
    if (v & CTRL_PHY_RST)
        e1000_phy_reset(s);
    *e1000_reg(s, R_CTRL) = v & ~(CTRL_RST | CTRL_PHY_RST);
}

static void backend_ready(struct e1000 *s)
{
    if (s->backend && *e1000_reg(s, R_RCTL) & RCTL_EN)
        s->backend->ops->ready(s->backend);
}

/* Registers that keep what is written to them: which bits; 0 = read-only or not there. */
static u32 plain_mask(u32 off)
{
    switch (off) {
    case R_CTRL_EXT:
    case R_FCAL:
    case R_FCTTV:
    case R_TXCW:
    case R_TIPG:
    case R_LEDCTL:
    case R_PBA:
    case R_FCRTL:
    case R_FCRTH:
    case R_RDBAH:
    case R_TDBAH:
    case R_RXDCTL:
    case R_TXDCTL:
    case R_TSPMT:
    case R_TXDMAC:
    case R_RXCSUM:
    case R_RSRPD:
        return UINT32_MAX;
    case R_FCAH:
    case R_FCT:
    case R_VET:
    case R_ITR:
    case R_AIFS:
    case R_RDH:
    case R_TDH:
    case R_RADV:
    case R_TADV:
        return 0xffff;
    case R_RDBAL:
    case R_TDBAL:
        return ~15u;
    case R_RDLEN:
    case R_TDLEN:
        return 0xfff80;
    }
    if ((off >= R_MTA && off < R_MTA + 512) || (off >= R_RA && off < R_RA + 128) ||
        (off >= R_VFTA && off < R_VFTA + 512) || (off >= R_WUC && off < R_WAKE_END) ||
        (off >= R_STATS && off < R_STATS_END))
        return UINT32_MAX;
    return 0;
}

static void write_reg(struct e1000 *s, u32 off, u32 v)
{
    u32 mask;

    trace(s->trace, nic, "e1000: %05x <- %08x", off, v);
    switch (off) {
    case R_CTRL:
    case R_CTRL_DUP:
        write_ctrl(s, v);
        return;
    case R_EECD:
        e1000_write_eecd(s, v);
        return;
    case R_EERD:
        e1000_write_eerd(s, v);
        return;
    case R_MDIC:
        e1000_write_mdic(s, v);
        return;
    case R_ICR: /* bits written as one are cleared */
        *e1000_reg(s, R_ICR) &= ~v;
        update_irq(s);
        return;
    case R_ICS:
        e1000_cause(s, v);
        return;
    case R_IMS:
        *e1000_reg(s, R_IMS) |= v & ICR_ALL;
        update_irq(s);
        return;
    case R_IMC:
        *e1000_reg(s, R_IMS) &= ~v;
        update_irq(s);
        return;
    case R_RCTL:
        *e1000_reg(s, R_RCTL) = v;
        backend_ready(s);
        return;
    case R_TCTL:
        *e1000_reg(s, R_TCTL) = v;
        e1000_tx_kick(s);
        return;
    case R_RDT:
        *e1000_reg(s, R_RDT) = v & 0xffff;
        backend_ready(s);
        return;
    case R_TDT:
        *e1000_reg(s, R_TDT) = v & 0xffff;
        e1000_tx_kick(s);
        return;
    case R_RDTR: /* bit 31: flush what is held */
        *e1000_reg(s, R_RDTR) = v & 0xffff;
        if (v & BIT(31))
            e1000_rx_delayed(s);
        return;
    case R_TIDV:
        *e1000_reg(s, R_TIDV) = v & 0xffff;
        if (v & BIT(31))
            e1000_tx_delayed(s);
        return;
    }
    mask = plain_mask(off);
    if (off == R_CTRL_EXT && v & CTRL_EXT_EE_RST) {
        load_mac(s);
        mask &= ~CTRL_EXT_EE_RST;
    }
    if (mask)
        *e1000_reg(s, off) = v & mask;
}

static u32 read_reg(struct e1000 *s, u32 off)
{
    u32 v = *e1000_reg(s, off);

    switch (off) {
    case R_CTRL_DUP:
        return *e1000_reg(s, R_CTRL);
    case R_EECD:
        return e1000_read_eecd(s);
    case R_ICR: /* reading clears */
        *e1000_reg(s, R_ICR) = 0;
        update_irq(s);
        break;
    case R_ICS:
    case R_IMC:
        return 0;
    }
    if (off >= R_STATS && off < R_STATS_END)
        *e1000_reg(s, off) = 0;
    trace(s->trace, nic, "e1000: %05x -> %08x", off, v);
    return v;
}

static u64 mmio_read(void *opaque, u64 off, unsigned size)
{
    struct e1000 *s = opaque;

    return off / 4 < E1000_REGS ? read_reg(s, off) : 0;
}

static void mmio_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct e1000 *s = opaque;

    if (off / 4 < E1000_REGS)
        write_reg(s, off, val);
}

/* IOADDR and IODATA (manual 13.3): the registers for software that has no memory access yet. */
static u64 io_read(void *opaque, u64 off, unsigned size)
{
    struct e1000 *s = opaque;

    if (off == 0)
        return s->io_addr;
    return off == 4 ? mmio_read(s, s->io_addr & ~3u, 4) : 0;
}

static void io_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct e1000 *s = opaque;

    if (off == 0)
        s->io_addr = val;
    else if (off == 4)
        mmio_write(s, s->io_addr & ~3u, 4, val);
}

static const struct region_ops mmio_ops = {mmio_read, mmio_write, 4, 4, .aligned = true};
static const struct region_ops io_ops = {io_read, io_write, 4, 4, .aligned = true};

/* ---------------------------------------------------------------- set-up -- */

static bool front_receive(void *opaque, const struct iovec *iov, int niov,
                          const struct nic_offload *o)
{
    struct e1000 *s = opaque;
    bool taken = true;

    pthread_mutex_lock(&s->pci.lock);
    if (*e1000_reg(s, R_STATUS) & STATUS_LU)
        taken = e1000_rx_frame(s, iov, niov);
    pthread_mutex_unlock(&s->pci.lock);
    return taken;
}

static void e1000_reset(struct pci_dev *d)
{
    struct e1000 *s = container_of(d, struct e1000, pci);

    pthread_mutex_lock(&d->lock);
    timer_del(s->clock, &s->link_timer);
    s->link_at = 0;
    s->io_addr = 0;
    mac_reset(s);
    e1000_phy_reset(s);
    pthread_mutex_unlock(&d->lock);
}

void e1000_set_link(struct e1000 *s, bool up)
{
    pthread_mutex_lock(&s->pci.lock);
    if (!(*e1000_reg(s, R_STATUS) & STATUS_LU) != !up) {
        show_link(s, up);
        e1000_cause(s, ICR_LSC);
    }
    pthread_mutex_unlock(&s->pci.lock);
}

int e1000_init(struct e1000 *s, struct pci_bus *b, unsigned devfn, const struct e1000_config *cfg,
               struct clock *clock)
{
    int rc;

    memset(s, 0, sizeof(*s));
    rc = pci_dev_init(&s->pci, b, devfn, "e1000", 0x8086, 0x100e, 0x020000, 1);
    if (rc)
        return rc;
    pci_set_subsystem(&s->pci, 0x8086, 0x001e);
    s->pci.reset = e1000_reset;
    s->trace = b->trace;
    s->clock = clock;
    s->backend = cfg->backend;
    memcpy(s->mac, cfg->mac, sizeof(s->mac));
    s->front = (struct nic_frontend){.receive = front_receive, .opaque = s};
    s->rx_timer = s->rx_abs_timer = (struct timer){.fn = rx_fired, .opaque = s};
    s->tx_timer = s->tx_abs_timer = (struct timer){.fn = tx_fired, .opaque = s};
    s->itr_timer = (struct timer){.fn = itr_fired, .opaque = s};
    s->link_timer = (struct timer){.fn = link_fired, .opaque = s};
    s->work_timer = (struct timer){.fn = work_fired, .opaque = s};
    s->mmio = (struct region){.name = "e1000",
                              .size = E1000_MMIO_SIZE,
                              .ops = &mmio_ops,
                              .opaque = s,
                              .lock = &s->pci.lock};
    s->io = (struct region){
        .name = "e1000-io", .size = 64, .ops = &io_ops, .opaque = s, .lock = &s->pci.lock};
    pci_bar_init(&s->pci, 0, PCI_BAR_MEM, &s->mmio);
    pci_bar_init(&s->pci, 2, PCI_BAR_IO, &s->io);
    e1000_eeprom_init(s);
    *e1000_reg(s, R_STATUS) = cfg->backend ? STATUS_LU : 0;
    e1000_reset(&s->pci);
    if (s->backend)
        s->backend->front = &s->front;
    return 0;
}

#define CONTEXT_FIELDS(c)                                                                          \
    FIELD(struct e1000, c.ipcss), FIELD(struct e1000, c.ipcso), FIELD(struct e1000, c.ipcse),      \
        FIELD(struct e1000, c.tucss), FIELD(struct e1000, c.tucso), FIELD(struct e1000, c.tucse),  \
        FIELD(struct e1000, c.hdrlen), FIELD(struct e1000, c.mss), FIELD(struct e1000, c.paylen),  \
        FIELD_MAX(struct e1000, c.ip, 1), FIELD_MAX(struct e1000, c.tcp, 1)

static const struct field e1000_fields[] = {
    FIELD_ARRAY(struct e1000, reg),
    FIELD(struct e1000, io_addr),
    FIELD_ARRAY(struct e1000, phy),
    FIELD(struct e1000, eecd_old),
    FIELD(struct e1000, ee_in),
    FIELD_MAX(struct e1000, ee_bits_in, 8),
    FIELD_MAX(struct e1000, ee_bits_out, 16),
    FIELD_MAX(struct e1000, ee_word, E1000_EEPROM_WORDS - 1),
    FIELD_MAX(struct e1000, ee_reading, 1),
    CONTEXT_FIELDS(csum_ctx),
    CONTEXT_FIELDS(tso_ctx),
    FIELD_MAX(struct e1000, tx_len, E1000_TX_MAX),
    FIELD(struct e1000, tx_popts),
    FIELD_MAX(struct e1000, tx_tso, 1),
    FIELD_MAX(struct e1000, tx_skip, 1),
    FIELD(struct e1000, tx_vlan),
    FIELD_MAX(struct e1000, tx_vlan_insert, 1),
    FIELD_MAX(struct e1000, tx_data_desc, 1),
    FIELD_BYTES(struct e1000, tx_frame),
    FIELD(struct e1000, rx_held),
    FIELD(struct e1000, tx_held),
    FIELD_MAX(struct e1000, intr_level, 1),
    FIELD(struct e1000, itr_next),
    FIELD(struct e1000, link_at),
};

/* Held interrupts come at once, and transmission goes on. */
static int e1000_loaded(void *obj, struct err *e)
{
    struct e1000 *s = obj;

    timer_set(s->clock, &s->work_timer, clock_now(s->clock));
    if (s->rx_held)
        timer_set(s->clock, &s->rx_timer, clock_now(s->clock));
    if (s->tx_held)
        timer_set(s->clock, &s->tx_timer, clock_now(s->clock));
    if (s->link_at)
        timer_set(s->clock, &s->link_timer, s->link_at);
    if (!s->intr_level && *e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS))
        timer_set(s->clock, &s->itr_timer, s->itr_next);
    return 0;
}

const struct state_desc e1000_state = {
    .name = "e1000",
    .version = 1,
    .fields = e1000_fields,
    .nfields = ARRAY_SIZE(e1000_fields),
    .loaded = e1000_loaded,
};
