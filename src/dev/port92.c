/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A of the PS/2 and its heirs: bit 1 opens the A20 gate, a rising bit 0 resets
 * the processor.  The activity lights and the CMOS lock (bits 3, 6, 7) keep what is written.
 */
#include "dev/port92.h"

#include <string.h>

enum { FAST_RESET = 1 << 0, A20 = 1 << 1, WRITABLE = 0xcb };

static u64 port92_read(void *opaque, u64 off, unsigned size)
{
    struct port92 *p = opaque;

    return p->val;
}

static void port92_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct port92 *p = opaque;
    u8 old = p->val;

    p->val = val & WRITABLE;
    irq_set(&p->a20, p->val & A20);
    if (p->val & ~old & FAST_RESET) {
        trace(p->trace, cpu, "reset by port 0x92");
        irq_pulse(&p->reset);
    }
}

static const struct region_ops port92_ops = {
    .read = port92_read, .write = port92_write, .min_width = 1, .max_width = 1};

void port92_reset(struct port92 *p)
{
    pthread_mutex_lock(&p->lock);
    p->val = 0;
    irq_set(&p->a20, false);
    pthread_mutex_unlock(&p->lock);
}

void port92_init(struct port92 *p, struct irq a20, struct irq reset, struct trace *t)
{
    memset(p, 0, sizeof(*p));
    p->a20 = a20;
    p->reset = reset;
    p->trace = t;
    pthread_mutex_init(&p->lock, NULL);
    p->region = (struct region){
        .name = "port92", .size = 1, .ops = &port92_ops, .opaque = p, .lock = &p->lock};
}

static const struct field port92_fields[] = {FIELD_BITS(struct port92, val, WRITABLE)};
const struct state_desc port92_state = STATE_DESC("port92", 1, port92_fields);
