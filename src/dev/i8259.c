/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of Intel 8259A interrupt controllers (data sheet 231468), and PIIX3's ELCR, which makes
 * single inputs level-triggered.
 *
 * The slave's INT drives IR2 of the master as a level: the master's IRR bit 2 always shows whether
 * the slave has something to deliver, so nothing is lost when a second slave input waits behind an
 * acknowledged one.  An edge input that falls before it was acknowledged stays in IRR, where the
 * real chip forgets it and answers with a spurious IR7; guests cannot rely on either, and devices
 * that pulse their line can rely on this.
 *
 * Left out: the 8080 call mode (ICW4.uPM = 0 works as 8086 mode), buffered mode, cascades with
 * another wiring than the PC's (ICW3 is taken and ignored).
 */
#include "dev/i8259.h"

#include <string.h>

enum {
    CASCADE = 2,

    ICW1 = 1 << 4,
    ICW1_IC4 = 1 << 0,
    ICW1_SNGL = 1 << 1,
    ICW1_LTIM = 1 << 3,
    ICW4_AEOI = 1 << 1,
    ICW4_SFNM = 1 << 4,
    OCW3 = 1 << 3,
    OCW3_RIS = 1 << 0,
    OCW3_RR = 1 << 1,
    OCW3_P = 1 << 2,
    OCW3_SMM = 1 << 5,
    OCW3_ESMM = 1 << 6,
    SPURIOUS = 7,
    NO_PENDING = 8,
};

/* Which inputs of each chip ELCR can make level-triggered: not 0, 1, 2, 8 and 13. */
static const u8 elcr_mask[2] = {0xf8, 0xde};

static u8 level_inputs(const struct i8259_chip *c)
{
    return c->ltim ? 0xff : c->elcr;
}

/* 0 = highest priority ... 7; NO_PENDING if no bit is set. */
static unsigned priority(const struct i8259_chip *c, u8 bits)
{
    unsigned shift = (c->lowest + 1) & 7;
    u8 rotated = bits >> shift | bits << (8 - shift);

    return rotated ? __builtin_ctz(rotated) : NO_PENDING;
}

static unsigned input_of(const struct i8259_chip *c, unsigned prio)
{
    return (prio + c->lowest + 1) & 7;
}

/* The input to deliver now, or -1. */
static int pending_input(const struct i8259_chip *c)
{
    u8 in_service = c->isr;
    unsigned prio = priority(c, c->irr & ~c->imr);

    if (prio == NO_PENDING || c->icw)
        return -1;
    if (c->mask_special)
        in_service &= ~c->imr;
    if (c->nested && !c->slave)
        in_service &= ~BIT(CASCADE);
    return prio < priority(c, in_service) ? (int)input_of(c, prio) : -1;
}

/* Recomputes both INT outputs. */
static void update(struct i8259 *p)
{
    bool level;

    if (pending_input(&p->slave) >= 0)
        p->master.irr |= BIT(CASCADE);
    else
        p->master.irr &= ~BIT(CASCADE);
    level = pending_input(&p->master) >= 0;
    if (level == p->intr_level)
        return;
    p->intr_level = level;
    irq_set(&p->intr, level);
}

static void chip_set(struct i8259_chip *c, unsigned n, bool level)
{
    u8 bit = BIT(n);

    if (level_inputs(c) & bit)
        c->irr = level ? c->irr | bit : c->irr & ~bit;
    else if (level && !(c->lines & bit))
        c->irr |= bit;
    c->lines = level ? c->lines | bit : c->lines & ~bit;
}

void i8259_set(void *opaque, unsigned n, bool level)
{
    struct i8259 *p = opaque;

    if (n == CASCADE || n > 15)
        return;
    pthread_mutex_lock(&p->lock);
    trace(p->trace, irq, "pic input %u %s", n, level ? "high" : "low");
    chip_set(n < 8 ? &p->master : &p->slave, n & 7, level);
    update(p);
    pthread_mutex_unlock(&p->lock);
}

bool i8259_unmasked(struct i8259 *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    bool masked =
        (n < 8 ? p->master.imr : p->slave.imr | (p->master.imr & BIT(CASCADE) ? 0xff : 0)) &
        BIT(n & 7);
    pthread_mutex_unlock(&p->lock);
    return !masked;
}

bool i8259_pending(struct i8259 *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    bool is = (n < 8 ? p->master.irr : p->slave.irr) & BIT(n & 7);
    pthread_mutex_unlock(&p->lock);
    return is;
}

/* ------------------------------------------------------------ acknowledge -- */

static void acknowledge(struct i8259_chip *c, unsigned n)
{
    if (!(level_inputs(c) & BIT(n)))
        c->irr &= ~BIT(n);
    if (!c->auto_eoi)
        c->isr |= BIT(n);
    else if (c->rotate)
        c->lowest = n;
}

int i8259_ack(struct i8259 *p)
{
    int n, m, vector;

    pthread_mutex_lock(&p->lock);
    n = pending_input(&p->master);
    if (n == CASCADE) {
        acknowledge(&p->master, n);
        m = pending_input(&p->slave);
        if (m >= 0)
            acknowledge(&p->slave, m);
        vector = p->slave.vector | (m >= 0 ? m : SPURIOUS);
    } else {
        if (n >= 0)
            acknowledge(&p->master, n);
        vector = p->master.vector | (n >= 0 ? n : SPURIOUS);
    }
    update(p);
    trace(p->trace, irq, "pic acknowledge: vector %02x", vector);
    pthread_mutex_unlock(&p->lock);
    return vector;
}

/* -------------------------------------------------------------- registers -- */

static void end_of_interrupt(struct i8259_chip *c, u8 val)
{
    u8 in_service = c->mask_special ? c->isr & ~c->imr : c->isr;
    unsigned prio = priority(c, in_service);
    bool rotate = val & 0x80;

    if (val & 0x40) { /* specific */
        c->isr &= ~BIT(val & 7);
        if (rotate)
            c->lowest = val & 7;
    } else if (prio != NO_PENDING) {
        unsigned n = input_of(c, prio);
        c->isr &= ~BIT(n);
        if (rotate)
            c->lowest = n;
    }
}

static void write_ocw2(struct i8259_chip *c, u8 val)
{
    switch (val >> 5) {
    case 0: /* clear, */
    case 4: /* set: rotate in automatic EOI mode */
        c->rotate = val & 0x80;
        break;
    case 1: /* end of interrupt: non-specific, */
    case 3: /* specific, */
    case 5: /* both with rotation */
    case 7:
        end_of_interrupt(c, val);
        break;
    case 6:
        c->lowest = val & 7;
        break;
    case 2: /* no operation */
        break;
    }
}

static void write_ocw3(struct i8259_chip *c, u8 val)
{
    if (val & OCW3_P)
        c->poll = true;
    if (val & OCW3_RR)
        c->read_isr = val & OCW3_RIS;
    if (val & OCW3_ESMM)
        c->mask_special = val & OCW3_SMM;
}

static void write_icw1(struct i8259_chip *c, u8 val)
{
    c->ltim = val & ICW1_LTIM;
    c->single = val & ICW1_SNGL;
    c->icw4_due = val & ICW1_IC4;
    c->icw = 2;
    c->irr = c->lines & level_inputs(c); /* edges before are forgotten */
    c->imr = 0;
    c->isr = 0;
    c->lowest = 7;
    c->mask_special = false;
    c->read_isr = false;
    c->poll = false;
    c->auto_eoi = false;
    c->nested = false;
    c->rotate = false;
}

static void write_icw(struct i8259_chip *c, u8 val)
{
    switch (c->icw) {
    case 2:
        c->vector = val & 0xf8;
        c->icw = !c->single ? 3 : c->icw4_due ? 4 : 0;
        break;
    case 3:
        c->icw = c->icw4_due ? 4 : 0;
        break;
    case 4:
        c->auto_eoi = val & ICW4_AEOI;
        c->nested = val & ICW4_SFNM;
        c->icw = 0;
        break;
    }
}

static void chip_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8259_chip *c = opaque;

    if (off == 0) {
        if (val & ICW1)
            write_icw1(c, val);
        else if (val & OCW3)
            write_ocw3(c, val);
        else
            write_ocw2(c, val);
    } else if (c->icw) {
        write_icw(c, val);
    } else {
        c->imr = val;
    }
    update(c->pair);
}

static u64 chip_read(void *opaque, u64 off, unsigned size)
{
    struct i8259_chip *c = opaque;
    int n;

    if (c->poll) {
        c->poll = false;
        n = pending_input(c);
        if (n < 0)
            return 0;
        acknowledge(c, n);
        update(c->pair);
        return 0x80 | n;
    }
    if (off)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

static u64 elcr_read(void *opaque, u64 off, unsigned size)
{
    struct i8259 *p = opaque;

    return off ? p->slave.elcr : p->master.elcr;
}

static void elcr_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8259 *p = opaque;
    struct i8259_chip *c = off ? &p->slave : &p->master;

    c->elcr = val & elcr_mask[off];
    c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
    update(p);
}

static const struct region_ops chip_ops = {
    .read = chip_read, .write = chip_write, .min_width = 1, .max_width = 1};
static const struct region_ops elcr_ops = {
    .read = elcr_read, .write = elcr_write, .min_width = 1, .max_width = 1};

/* ------------------------------------------------------------------ life -- */

static void chip_reset(struct i8259_chip *c)
{
    u8 lines = c->lines;

    *c = (struct i8259_chip){.pair = c->pair, .slave = c->slave};
    c->lines = lines;
    c->lowest = 7;
    c->imr = 0xff; /* not initialized: nothing is to be delivered */
}

void i8259_reset(struct i8259 *p)
{
    pthread_mutex_lock(&p->lock);
    chip_reset(&p->master);
    chip_reset(&p->slave);
    update(p);
    pthread_mutex_unlock(&p->lock);
}

void i8259_init(struct i8259 *p, struct irq intr, struct trace *t)
{
    memset(p, 0, sizeof(*p));
    p->intr = intr;
    p->trace = t;
    p->master.pair = p;
    p->slave.pair = p;
    p->slave.slave = true;
    pthread_mutex_init(&p->lock, NULL);
    p->region[0] = (struct region){
        .name = "pic1", .size = 2, .ops = &chip_ops, .opaque = &p->master, .lock = &p->lock};
    p->region[1] = (struct region){
        .name = "pic2", .size = 2, .ops = &chip_ops, .opaque = &p->slave, .lock = &p->lock};
    p->elcr =
        (struct region){.name = "elcr", .size = 2, .ops = &elcr_ops, .opaque = p, .lock = &p->lock};
    chip_reset(&p->master);
    chip_reset(&p->slave);
}

#define CHIP_FIELDS(c)                                                                             \
    FIELD(struct i8259, c.lines), FIELD(struct i8259, c.irr), FIELD(struct i8259, c.isr),          \
        FIELD(struct i8259, c.imr), FIELD(struct i8259, c.elcr), FIELD(struct i8259, c.vector),    \
        FIELD_MAX(struct i8259, c.lowest, 7), FIELD_MAX(struct i8259, c.icw, 4),                   \
        FIELD_MAX(struct i8259, c.icw4_due, 1), FIELD_MAX(struct i8259, c.single, 1),              \
        FIELD_MAX(struct i8259, c.ltim, 1), FIELD_MAX(struct i8259, c.auto_eoi, 1),                \
        FIELD_MAX(struct i8259, c.nested, 1), FIELD_MAX(struct i8259, c.rotate, 1),                \
        FIELD_MAX(struct i8259, c.mask_special, 1), FIELD_MAX(struct i8259, c.read_isr, 1),        \
        FIELD_MAX(struct i8259, c.poll, 1)

static const struct field i8259_fields[] = {
    CHIP_FIELDS(master),
    CHIP_FIELDS(slave),
    FIELD_MAX(struct i8259, intr_level, 1),
};
const struct state_desc i8259_state = STATE_DESC("i8259", 1, i8259_fields);
