/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lapic.c and lapic_timer.c know of each other.  All with the APIC's lock held.
 */
#ifndef WIRT_DEV_LAPIC_INTERNAL_H
#define WIRT_DEV_LAPIC_INTERNAL_H

#include "dev/lapic.h"

enum { LVT_MASKED = 1 << 16 };

/* Takes a vector into IRR (or reports it as illegal, or drops it while disabled). */
void lapic_accept(struct lapic *l, u8 vector, bool level);
/* Recomputes VCPU_INTR. */
void lapic_update_intr(struct lapic *l);

void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
void lapic_timer_rearm(struct lapic *l);
u32 lapic_timer_current(struct lapic *l);
void lapic_timer_write_lvt(struct lapic *l, u32 val);
void lapic_timer_write_initial(struct lapic *l, u32 val);
void lapic_timer_write_divide(struct lapic *l, u32 val);
/* Delivers what is due, and stops; timer_left is set. */
void lapic_timer_leave(struct lapic *l);
/* Goes on from timer_left. */
void lapic_timer_enter(struct lapic *l);
u64 lapic_timer_tsc_deadline(struct lapic *l);
void lapic_timer_write_tsc_deadline(struct lapic *l, u64 val);

#endif
