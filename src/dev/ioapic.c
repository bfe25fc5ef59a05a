/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82093AA I/O APIC (data sheet 290566) with the EOI register of the ICHs' (version 0x20).
 *
 * An interrupt leaves as the message that an MSI would be: the redirection entry's fields are put
 * in an MSI's places.  A level-triggered entry sets Remote IRR when it is sent and waits for the
 * EOI of its vector; if the line is still high then, it is sent again.  Edges on a masked pin are
 * lost, as the data sheet has it.  Polarity is kept and ignored: lines carry "asserted", not volts.
 */
#include "dev/ioapic.h"

#include <string.h>

enum {
    IOAPIC_VERSION = 0x20,

    IOREGSEL = 0x00,
    IOWIN = 0x10,
    IOEOI = 0x40,

    REG_ID = 0x00,
    REG_VERSION = 0x01,
    REG_ARB = 0x02,
    REG_REDIR = 0x10,

    REDIR_LOGICAL = 1 << 11,
    REDIR_STATUS = 1 << 12,     /* read-only; a message is never under way for long: 0 */
    REDIR_REMOTE_IRR = 1 << 14, /* read-only */
    REDIR_LEVEL = 1 << 15,
    REDIR_MASKED = 1 << 16,
    REDIR_LOW_BITS = 0x1afff, /* writable bits of the low half */

    MSI_LOGICAL = 1 << 2,
    MSI_ASSERT = 1 << 14,
};

static u64 message_address(u64 r)
{
    u64 ext = r >> 49 & 0x7f; /* extended destination ID */

    return 0xfee00000u | (r >> 56) << 12 | ext << 5 | (r & REDIR_LOGICAL ? MSI_LOGICAL : 0);
}

static u32 message_data(u64 r)
{
    return (r & 0x7ff) | MSI_ASSERT | (r & REDIR_LEVEL);
}

static void send_message(struct ioapic *p, unsigned n)
{
    u64 r = p->redir[n];

    trace(p->trace, irq, "ioapic pin %u: vector %02x to %02x", n, (u8)r, (u8)(r >> 56));
    msi_send(&p->msi, message_address(r), message_data(r));
}

static void tell_route(struct ioapic *p, unsigned n)
{
    if (p->route)
        p->route(p->route_opaque, n, message_address(p->redir[n]), message_data(p->redir[n]));
}

/* Sends a level-triggered pin's interrupt if it is due. */
static void service_level(struct ioapic *p, unsigned n)
{
    u64 r = p->redir[n];

    if (!(p->lines & BIT(n)) || (r & (REDIR_MASKED | REDIR_REMOTE_IRR)) || !(r & REDIR_LEVEL))
        return;
    p->redir[n] |= REDIR_REMOTE_IRR;
    send_message(p, n);
}

void ioapic_set(void *opaque, unsigned n, bool level)
{
    struct ioapic *p = opaque;
    bool rises;

    if (n >= IOAPIC_PINS)
        return;
    pthread_mutex_lock(&p->lock);
    rises = level && !(p->lines & BIT(n));
    p->lines = level ? p->lines | BIT(n) : p->lines & ~BIT(n);
    if (p->redir[n] & REDIR_LEVEL)
        service_level(p, n);
    else if (rises && !(p->redir[n] & REDIR_MASKED))
        send_message(p, n);
    pthread_mutex_unlock(&p->lock);
}

bool ioapic_unmasked(struct ioapic *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    bool masked = p->redir[n] & REDIR_MASKED;
    pthread_mutex_unlock(&p->lock);
    return !masked;
}

bool ioapic_pending(struct ioapic *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    u64 r = p->redir[n];
    bool is = !(r & REDIR_LEVEL) && msi_pending(&p->msi, message_address(r), message_data(r));
    pthread_mutex_unlock(&p->lock);
    return is;
}

static void end_of_interrupt(struct ioapic *p, u8 vector)
{
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        if ((u8)p->redir[i] != vector || !(p->redir[i] & REDIR_REMOTE_IRR))
            continue;
        p->redir[i] &= ~(u64)REDIR_REMOTE_IRR;
        service_level(p, i);
    }
}

void ioapic_eoi(void *opaque, u8 vector)
{
    struct ioapic *p = opaque;

    pthread_mutex_lock(&p->lock);
    end_of_interrupt(p, vector);
    pthread_mutex_unlock(&p->lock);
}

/* -------------------------------------------------------------- registers -- */

static u32 read_register(const struct ioapic *p)
{
    unsigned n = (p->select - REG_REDIR) / 2;

    switch (p->select) {
    case REG_ID:
    case REG_ARB:
        return (u32)p->id << 24;
    case REG_VERSION:
        return IOAPIC_VERSION | (IOAPIC_PINS - 1) << 16;
    default:
        if (p->select < REG_REDIR || n >= IOAPIC_PINS)
            return 0;
        return p->select & 1 ? p->redir[n] >> 32 : p->redir[n];
    }
}

static void write_register(struct ioapic *p, u32 val)
{
    unsigned n = (p->select - REG_REDIR) / 2;
    u64 *r = &p->redir[n % IOAPIC_PINS];

    if (p->select == REG_ID) {
        p->id = val >> 24 & 0xf;
        return;
    }
    if (p->select < REG_REDIR || n >= IOAPIC_PINS)
        return;
    if (p->select & 1) {
        *r = (u32)*r | (u64)val << 32;
        tell_route(p, n);
        return;
    }
    *r = (*r & ~(u64)REDIR_LOW_BITS) | (val & REDIR_LOW_BITS);
    /* Guests for chips without an EOI register end an interrupt by a turn to edge and back. */
    if (!(*r & REDIR_LEVEL))
        *r &= ~(u64)REDIR_REMOTE_IRR;
    tell_route(p, n);
    service_level(p, n);
}

static u64 ioapic_read(void *opaque, u64 off, unsigned size)
{
    struct ioapic *p = opaque;

    switch (off & 0xff) {
    case IOREGSEL:
        return p->select;
    case IOWIN:
        return read_register(p);
    default:
        return 0;
    }
}

static void ioapic_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct ioapic *p = opaque;

    switch (off & 0xff) {
    case IOREGSEL:
        p->select = val;
        break;
    case IOWIN:
        trace(p->trace, irq, "ioapic register %02x = %08x", p->select, (u32)val);
        write_register(p, val);
        break;
    case IOEOI:
        end_of_interrupt(p, val);
        break;
    }
}

static const struct region_ops ioapic_ops = {
    .read = ioapic_read, .write = ioapic_write, .min_width = 4, .max_width = 4, .aligned = true};

/* ------------------------------------------------------------------ life -- */

void ioapic_reset(struct ioapic *p)
{
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        p->redir[i] = REDIR_MASKED;
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        tell_route(p, i);
    p->select = 0;
    p->id = p->initial_id;
    pthread_mutex_unlock(&p->lock);
}

void ioapic_init(struct ioapic *p, u8 id, struct msi_sink msi, struct trace *t)
{
    memset(p, 0, sizeof(*p));
    p->initial_id = id;
    p->msi = msi;
    p->trace = t;
    pthread_mutex_init(&p->lock, NULL);
    p->region = (struct region){
        .name = "ioapic", .size = 0x1000, .ops = &ioapic_ops, .opaque = p, .lock = &p->lock};
    ioapic_reset(p);
}

static const struct field ioapic_fields[] = {
    FIELD_ARRAY(struct ioapic, redir),
    FIELD(struct ioapic, lines),
    FIELD(struct ioapic, id),
    FIELD(struct ioapic, select),
};

static int ioapic_loaded(void *obj, struct err *e)
{
    struct ioapic *p = obj;

    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        tell_route(p, i);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

const struct state_desc ioapic_state = {
    .name = "ioapic",
    .version = 1,
    .fields = ioapic_fields,
    .nfields = ARRAY_SIZE(ioapic_fields),
    .loaded = ioapic_loaded,
};
