/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC: 24 inputs, 82093AA registers, version 0x20 with the EOI register of later ICHs.
 * Interrupts leave as messages, as MSIs do.
 */
#ifndef WIRT_DEV_IOAPIC_H
#define WIRT_DEV_IOAPIC_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

enum { IOAPIC_PINS = 24 };

struct ioapic {
    u64 redir[IOAPIC_PINS]; /* redirection table */
    u32 lines;              /* input levels */
    u8 id, initial_id;
    u8 select;            /* IOREGSEL */
    struct region region; /* 4 KiB (0xfec00000) */
    struct msi_sink msi;
    /* Told what an input sends, masked or not, whenever that changes; the lock is held.  NULL =
     * nobody wants to know. */
    void (*route)(void *opaque, unsigned n, u64 addr, u32 data);
    void *route_opaque;
    struct trace *trace;
    pthread_mutex_t lock; /* after device locks, before the local APICs' */
};

void ioapic_init(struct ioapic *p, u8 id, struct msi_sink msi, struct trace *t);
void ioapic_reset(struct ioapic *p);
/* An input, for struct irq: opaque is the I/O APIC, n 0-23. */
void ioapic_set(void *opaque, unsigned n, bool level);
/* Whether pin n lets interrupts through, and whether the message of an edge on it still waits. */
bool ioapic_unmasked(struct ioapic *p, unsigned n);
bool ioapic_pending(struct ioapic *p, unsigned n);
/* A local APIC's EOI message; the signature fits lapic_bus.eoi. */
void ioapic_eoi(void *opaque, u8 vector);

extern const struct state_desc ioapic_state;

#endif
