/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * National Semiconductor PC16550D (data sheet TL/C/8652).
 *
 * The transmitter takes no time: what is written to THR goes out at once, THRE and TEMT stay set,
 * and the THRE interrupt is due again after each byte.  As in the chip it also comes when IER
 * enables it while THR is empty, and reading IIR takes it back; Linux' driver tests for both.
 * Received bytes wait in the back end while the FIFO is full, so there are no overruns but in
 * loopback.  A character timeout comes four character times after the last arrival or read, at the
 * programmed rate.  Error bits are not queued with their byte, as only loopback can cause them.
 *
 * MCR.OUT2 gates the interrupt line, as the PC wires it.
 */
#include "dev/ns16550.h"

#include <string.h>

enum {
    IER_RDA = 1 << 0,
    IER_THRE = 1 << 1,
    IER_LSR = 1 << 2,
    IER_MSR = 1 << 3,
    IIR_NONE = 0x01,
    IIR_MSR = 0x00,
    IIR_THRE = 0x02,
    IIR_RDA = 0x04,
    IIR_LSR = 0x06,
    IIR_TIME = 0x0c,
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 1 << 0,
    FCR_CLEAR = 1 << 1,
    FCR_KEPT = 0xc9,
    LCR_BREAK = 1 << 6,
    LCR_DLAB = 1 << 7,
    MCR_DTR = 1 << 0,
    MCR_RTS = 1 << 1,
    MCR_OUT1 = 1 << 2,
    MCR_OUT2 = 1 << 3,
    MCR_LOOP = 1 << 4,
    LSR_DR = 1 << 0,
    LSR_OE = 1 << 1,
    LSR_BI = 1 << 4,
    LSR_THRE = 1 << 5,
    LSR_TEMT = 1 << 6,
    LSR_ERRORS = 0x1e,
    MSR_DCTS = 1 << 0,
    MSR_TERI = 1 << 2,
    MSR_CTS = 1 << 4,
    MSR_DSR = 1 << 5,
    MSR_RI = 1 << 6,
    MSR_DCD = 1 << 7,

    XTAL_HZ = 1843200,
};

static bool fifo_on(const struct ns16550 *u)
{
    return u->fcr & FCR_ENABLE;
}

static unsigned capacity(const struct ns16550 *u)
{
    return fifo_on(u) ? NS16550_FIFO : 1;
}

static unsigned trigger(const struct ns16550 *u)
{
    static const u8 level[4] = {1, 4, 8, 14};

    return fifo_on(u) ? level[u->fcr >> 6] : 1;
}

/* ------------------------------------------------------------- interrupts -- */

static u8 interrupt_id(const struct ns16550 *u)
{
    if ((u->ier & IER_LSR) && (u->lsr & LSR_ERRORS))
        return IIR_LSR;
    if ((u->ier & IER_RDA) && u->rx_count >= trigger(u))
        return IIR_RDA;
    if ((u->ier & IER_RDA) && u->timeout)
        return IIR_TIME;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MSR) && u->msr)
        return IIR_MSR;
    return IIR_NONE;
}

static void update_irq(struct ns16550 *u)
{
    bool level = interrupt_id(u) != IIR_NONE && (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    if (level == u->irq_level)
        return;
    u->irq_level = level;
    irq_set(&u->irq, level);
}

/* Four character times, kept within what a timer is good for. */
static u64 timeout_ns(const struct ns16550 *u)
{
    u32 divisor = u->dll | u->dlm << 8;
    u32 bits = 1 + 5 + (u->lcr & 3) + 1 + (u->lcr >> 3 & 1) + (u->lcr >> 2 & 1);
    u64 ns = muldiv64(4ull * bits * 16 * (divisor ? divisor : 1), NS_PER_SEC, XTAL_HZ);

    return min(max(ns, 100000ull), 50000000ull);
}

static void restart_timeout(struct ns16550 *u)
{
    u->timeout = false;
    if (fifo_on(u) && u->rx_count && (u->ier & IER_RDA))
        timer_set(u->clock, &u->timer, clock_now(u->clock) + timeout_ns(u));
    else
        timer_del(u->clock, &u->timer);
}

static void timed_out(void *opaque)
{
    struct ns16550 *u = opaque;

    pthread_mutex_lock(&u->lock);
    if (fifo_on(u) && u->rx_count && clock_now(u->clock) >= u->timer.deadline) {
        u->timeout = true;
        update_irq(u);
    }
    pthread_mutex_unlock(&u->lock);
}

/* --------------------------------------------------------------- receiver -- */

static void receive(struct ns16550 *u, u8 val)
{
    if (u->rx_count >= capacity(u)) {
        u->lsr |= LSR_OE;
        if (fifo_on(u))
            return;
        u->rx_count = 0; /* the new character replaces the old one */
    }
    u->rx[(u->rx_head + u->rx_count++) % NS16550_FIFO] = val;
}

static void clear_receiver(struct ns16550 *u)
{
    u->rx_head = 0;
    u->rx_count = 0;
    u->timeout = false;
    timer_del(u->clock, &u->timer);
}

/* There is room again: what the back end kept may come. */
static void ask_for_more(struct ns16550 *u)
{
    if (!u->refused || u->rx_count >= capacity(u) || (u->mcr & MCR_LOOP))
        return;
    u->refused = false;
    if (u->chr->ops->ready)
        u->chr->ops->ready(u->chr);
}

static size_t on_input(void *opaque, const u8 *buf, size_t len)
{
    struct ns16550 *u = opaque;
    size_t n = 0;

    pthread_mutex_lock(&u->lock);
    while (n < len && u->rx_count < capacity(u) && !(u->mcr & MCR_LOOP))
        receive(u, buf[n++]);
    u->refused = n < len;
    if (n) {
        restart_timeout(u);
        update_irq(u);
    }
    pthread_mutex_unlock(&u->lock);
    return n;
}

static u8 read_rbr(struct ns16550 *u)
{
    u8 val = u->rx[u->rx_head];

    if (u->rx_count) {
        u->rx_count--;
        u->rx_head = (u->rx_head + 1) % NS16550_FIFO;
    }
    restart_timeout(u);
    update_irq(u);
    ask_for_more(u);
    return val;
}

/* ----------------------------------------------------------- modem lines -- */

static u8 modem_levels(const struct ns16550 *u, u8 mcr)
{
    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
           (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct ns16550 *u, u8 val)
{
    u8 old = modem_levels(u, u->mcr);
    u8 now = modem_levels(u, val);
    u8 changed = old ^ now;

    u->mcr = val & 0x1f;
    u->msr |= changed >> 4 & ~MSR_TERI;
    if ((old & MSR_RI) && !(now & MSR_RI))
        u->msr |= MSR_TERI;
    update_irq(u);
    ask_for_more(u);
}

/* -------------------------------------------------------------- registers -- */

static void write_thr(struct ns16550 *u, u8 val)
{
    u->thre_pending = false;
    update_irq(u); /* an edge for each byte */
    if (u->mcr & MCR_LOOP) {
        receive(u, val);
        restart_timeout(u);
    } else if (u->chr) {
        u->chr->ops->write(u->chr, &val, 1);
    }
    u->thre_pending = true;
    update_irq(u);
}

static void write_ier(struct ns16550 *u, u8 val)
{
    u8 old = u->ier;

    u->ier = val & 0x0f;
    if (u->ier & ~old & IER_THRE)
        u->thre_pending = true;
    if ((u->ier ^ old) & IER_RDA)
        restart_timeout(u);
    update_irq(u);
}

static void write_fcr(struct ns16550 *u, u8 val)
{
    bool switched = (val ^ u->fcr) & FCR_ENABLE;

    if (!(val & FCR_ENABLE))
        val = 0; /* the other bits need FIFO mode */
    u->fcr = val & FCR_KEPT;
    if (switched || (val & FCR_CLEAR))
        clear_receiver(u);
    update_irq(u);
    ask_for_more(u);
}

static void write_lcr(struct ns16550 *u, u8 val)
{
    if ((val & ~u->lcr & LCR_BREAK) && (u->mcr & MCR_LOOP)) {
        receive(u, 0);
        u->lsr |= LSR_BI;
    }
    u->lcr = val;
    update_irq(u);
}

static u8 read_iir(struct ns16550 *u)
{
    u8 id = interrupt_id(u);

    if (id == IIR_THRE) {
        u->thre_pending = false;
        update_irq(u);
    }
    return id | (fifo_on(u) ? IIR_FIFO : 0);
}

static u8 read_lsr(struct ns16550 *u)
{
    u8 v = u->lsr | LSR_THRE | LSR_TEMT | (u->rx_count ? LSR_DR : 0);

    u->lsr = 0;
    update_irq(u);
    return v;
}

static u8 read_msr(struct ns16550 *u)
{
    u8 v = u->msr | modem_levels(u, u->mcr);

    u->msr = 0;
    update_irq(u);
    return v;
}

static u64 uart_read(void *opaque, u64 off, unsigned size)
{
    struct ns16550 *u = opaque;
    bool dlab = u->lcr & LCR_DLAB;

    switch (off) {
    case 0:
        return dlab ? u->dll : read_rbr(u);
    case 1:
        return dlab ? u->dlm : u->ier;
    case 2:
        return read_iir(u);
    case 3:
        return u->lcr;
    case 4:
        return u->mcr;
    case 5:
        return read_lsr(u);
    case 6:
        return read_msr(u);
    default:
        return u->scr;
    }
}

static void uart_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct ns16550 *u = opaque;
    bool dlab = u->lcr & LCR_DLAB;

    trace(u->trace, serial, "register %u = %02x", (unsigned)off, (u8)val);
    switch (off) {
    case 0:
        if (dlab)
            u->dll = val;
        else
            write_thr(u, val);
        break;
    case 1:
        if (dlab)
            u->dlm = val;
        else
            write_ier(u, val);
        break;
    case 2:
        write_fcr(u, val);
        break;
    case 3:
        write_lcr(u, val);
        break;
    case 4:
        write_mcr(u, val);
        break;
    case 7:
        u->scr = val;
        break;
    default: /* LSR and MSR: factory test only */
        break;
    }
}

static const struct region_ops uart_ops = {
    .read = uart_read, .write = uart_write, .min_width = 1, .max_width = 1};

/* ------------------------------------------------------------------ life -- */

void ns16550_reset(struct ns16550 *u)
{
    pthread_mutex_lock(&u->lock);
    clear_receiver(u);
    u->ier = 0;
    u->lcr = 0;
    u->mcr = 0;
    u->fcr = 0;
    u->lsr = 0;
    u->msr = 0;
    u->dll = 0;
    u->dlm = 0;
    u->thre_pending = false;
    update_irq(u);
    ask_for_more(u);
    pthread_mutex_unlock(&u->lock);
}

void ns16550_init(struct ns16550 *u, struct chardev *chr, struct clock *c, struct irq irq,
                  struct trace *t)
{
    memset(u, 0, sizeof(*u));
    u->chr = chr;
    u->clock = c;
    u->irq = irq;
    u->trace = t;
    u->timer = (struct timer){.fn = timed_out, .opaque = u};
    pthread_mutex_init(&u->lock, NULL);
    u->region =
        (struct region){.name = "uart", .size = 8, .ops = &uart_ops, .opaque = u, .lock = &u->lock};
    if (chr) {
        chr->opaque = u;
        chr->input = on_input;
    }
}

static const struct field ns16550_fields[] = {
    FIELD_BYTES(struct ns16550, rx),
    FIELD_MAX(struct ns16550, rx_head, NS16550_FIFO - 1),
    FIELD_MAX(struct ns16550, rx_count, NS16550_FIFO),
    FIELD_BITS(struct ns16550, ier, 0x0f),
    FIELD(struct ns16550, lcr),
    FIELD_BITS(struct ns16550, mcr, 0x1f),
    FIELD(struct ns16550, scr),
    FIELD(struct ns16550, fcr),
    FIELD_BITS(struct ns16550, lsr, LSR_ERRORS),
    FIELD_BITS(struct ns16550, msr, 0x0f),
    FIELD(struct ns16550, dll),
    FIELD(struct ns16550, dlm),
    FIELD_MAX(struct ns16550, thre_pending, 1),
    FIELD_MAX(struct ns16550, timeout, 1),
    FIELD_MAX(struct ns16550, irq_level, 1),
};

static int ns16550_loaded(void *obj, struct err *e)
{
    struct ns16550 *u = obj;
    bool timeout = u->timeout;

    pthread_mutex_lock(&u->lock);
    restart_timeout(u);
    u->timeout = timeout;
    u->refused = u->chr;
    ask_for_more(u);
    pthread_mutex_unlock(&u->lock);
    return 0;
}

const struct state_desc ns16550_state = {
    .name = "ns16550",
    .version = 1,
    .fields = ns16550_fields,
    .nfields = ARRAY_SIZE(ns16550_fields),
    .loaded = ns16550_loaded,
};
