/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's pair of 8259A programmable interrupt controllers, the slave on the master's IR2, with
 * the PIIX3's edge/level control registers.  Inputs are 0-15, ISA's numbering.
 */
#ifndef WIRT_DEV_I8259_H
#define WIRT_DEV_I8259_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

struct i8259_chip {
    struct i8259 *pair;
    bool slave;
    u8 lines; /* input levels */
    u8 irr, isr, imr;
    u8 elcr;       /* 1 = level-triggered */
    u8 vector;     /* ICW2, bits 7-3 */
    u8 lowest;     /* the input with the lowest priority, 7 after initialization */
    u8 icw;        /* the next ICW that port 1 takes: 0 (none), 2, 3 or 4 */
    bool icw4_due; /* ICW1.IC4 */
    bool single;   /* ICW1.SNGL */
    bool ltim;     /* ICW1.LTIM: all inputs level-triggered */
    bool auto_eoi; /* ICW4.AEOI */
    bool nested;   /* ICW4.SFNM */
    bool rotate;   /* rotate in automatic EOI mode */
    bool mask_special;
    bool read_isr; /* OCW3: port 0 reads ISR, not IRR */
    bool poll;     /* OCW3.P: the next read polls */
};

struct i8259 {
    struct i8259_chip master, slave;
    struct region region[2]; /* master, slave: 2 ports each (0x20, 0xa0) */
    struct region elcr;      /* 2 ports (0x4d0) */
    struct irq intr;         /* INTR, to the local APICs' LINT0 */
    bool intr_level;
    struct trace *trace;
    pthread_mutex_t lock; /* after device locks, before the local APICs' */
};

void i8259_init(struct i8259 *p, struct irq intr, struct trace *t);
void i8259_reset(struct i8259 *p);
/* An input, for struct irq: opaque is the pair, n 0-15 (2 is the cascade and ignored). */
void i8259_set(void *opaque, unsigned n, bool level);
/* Whether input n lets interrupts through, and whether an edge on it waits to be acknowledged. */
bool i8259_unmasked(struct i8259 *p, unsigned n);
bool i8259_pending(struct i8259 *p, unsigned n);
/* INTA: takes the vector; a spurious one (IR7) when nothing is pending.  Any thread, no APIC lock
 * held. */
int i8259_ack(struct i8259 *p);

extern const struct state_desc i8259_state;

#endif
