/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An interrupt line: what a device holds to say "my output is high (or low)".  The board connects
 * it to an input of an interrupt controller.
 */
#ifndef WIRT_CORE_IRQ_H
#define WIRT_CORE_IRQ_H

#include "base/types.h"

struct irq {
    void (*set)(void *opaque, unsigned n, bool level);
    void *opaque;
    unsigned n;
    bool (*pending)(void *opaque, unsigned n); /* may be NULL */
};

/* An unconnected line (set == NULL) is allowed.  Called with the device's lock held; controllers'
 * locks come after device locks. */
static inline void irq_set(const struct irq *i, bool level)
{
    if (i->set)
        i->set(i->opaque, i->n, level);
}

static inline void irq_pulse(const struct irq *i)
{
    irq_set(i, true);
    irq_set(i, false);
}

/* Whether an edge that the line showed still waits for its processor, so that another one would
 * merge with it; false where nobody knows or listens.  Locks as for irq_set(). */
static inline bool irq_pending(const struct irq *i)
{
    return i->pending && i->pending(i->opaque, i->n);
}

/* Message-signalled interrupts (MSI, MSI-X, HPET FSB): a 32-bit write to the APICs. */
struct msi_sink {
    void (*send)(void *opaque, u64 addr, u32 data);
    void *opaque;
    bool (*pending)(void *opaque, u64 addr, u32 data); /* may be NULL */
};

static inline void msi_send(const struct msi_sink *m, u64 addr, u32 data)
{
    if (m->send)
        m->send(m->opaque, addr, data);
}

/* Whether the same message, sent earlier, still waits at every one of its destinations. */
static inline bool msi_pending(const struct msi_sink *m, u64 addr, u32 data)
{
    return m->pending && m->pending(m->opaque, addr, data);
}

#endif
