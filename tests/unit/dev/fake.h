/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands around one lone device in its test: ports, memory, a clock that only the test moves,
 * interrupt lines that count.
 */
#ifndef WIRT_TESTS_DEV_FAKE_H
#define WIRT_TESTS_DEV_FAKE_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fake_line {
    bool level;
    bool waits; /* an edge has not been taken: what irq_pending() says */
    unsigned rises;
};

struct fake {
    struct trace trace;
    struct bus pio, mmio;
    struct mem mem;
    struct dma dma;
    struct clock *clock;
    struct fake_line line[32];
    struct {
        u64 addr;
        u32 data;
    } msi[64];
    unsigned msis;
};

static inline void fake_set(void *opaque, unsigned n, bool level)
{
    struct fake *f = opaque;

    if (level && !f->line[n].level)
        f->line[n].rises++;
    f->line[n].level = level;
}

static inline bool fake_pending(void *opaque, unsigned n)
{
    struct fake *f = opaque;

    return f->line[n].waits;
}

static inline struct irq fake_line(struct fake *f, unsigned n)
{
    return (struct irq){fake_set, f, n, fake_pending};
}

static inline void fake_msi_send(void *opaque, u64 addr, u32 data)
{
    struct fake *f = opaque;

    f->msi[f->msis % 64].addr = addr;
    f->msi[f->msis++ % 64].data = data;
}

static inline struct msi_sink fake_msi(struct fake *f)
{
    return (struct msi_sink){fake_msi_send, f};
}

static inline struct fake *fake_new(void)
{
    struct fake *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    trace_init(&f->trace);
    bus_init(&f->pio, "pio", 16, &f->trace);
    bus_init(&f->mmio, "mmio", 52, &f->trace);
    assert_int_equal(mem_open(&f->mem, 2 * MIB, NULL), 0);
    f->dma = (struct dma){&f->mmio, &f->mem};
    f->clock = clock_new_manual();
    return f;
}

static inline void fake_free(struct fake *f)
{
    clock_free(f->clock);
    mem_close(&f->mem);
    bus_destroy(&f->mmio);
    bus_destroy(&f->pio);
    trace_destroy(&f->trace);
    free(f);
}

static inline u32 in8(struct fake *f, u16 port)
{
    return bus_read(&f->pio, port, 1);
}

static inline void out8(struct fake *f, u16 port, u8 val)
{
    bus_write(&f->pio, port, 1, val);
}

static inline u32 in32(struct fake *f, u16 port)
{
    return bus_read(&f->pio, port, 4);
}

static inline void out32(struct fake *f, u16 port, u32 val)
{
    bus_write(&f->pio, port, 4, val);
}

#endif
