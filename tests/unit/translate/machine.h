/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor with flat memory and nothing around it, on any engine: programs start at CODE, in
 * protected or long mode, in ring 0.
 */
#ifndef WIRT_TESTS_TRANSLATE_MACHINE_H
#define WIRT_TESTS_TRANSLATE_MACHINE_H

#include "core/mem.h"
#include "cpu/interp.h"
#include "cpu/ops.h"
#include "translate/soft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these first. */
#include <cmocka.h>

enum { RAM = 4 << 20, CODE = 0x100000 };

struct machine {
    struct vm vm;
    struct region region;
    struct cpu *c;
};

static void no_change(void *opaque, u64 base, u64 size)
{
}

/* More of it: how. */
static void open_machine_as(struct machine *m, const struct engine_ops *engine,
                            const struct cpu_config *how)
{
    struct cpu_config cfg = *how;
    struct err e = {0};

    cfg.count = 1;
    cfg.model = "max";
    memset(m, 0, sizeof(*m));
    if (vm_init(&m->vm, "random", RAM, &e))
        fail_msg("%s", e.msg);
    m->region =
        (struct region){.name = "ram", .size = RAM, .hva = m->vm.mem.hva, .whva = m->vm.mem.hva};
    m->vm.mmio.changed = no_change;
    assert_int_equal(bus_map(&m->vm.mmio, &m->region, 0), 0);
    if (vm_open_cpus(&m->vm, engine, &cfg, &e))
        fail_msg("%s", e.msg);
    m->c = (struct cpu *)m->vm.vcpu[0].e; /* first in both engines' structures */
}

/* check: as `wirt run --check` does. */
static void open_machine(struct machine *m, const struct engine_ops *engine, bool check)
{
    open_machine_as(m, engine, &(struct cpu_config){.check = check});
}

static inline void segment(struct cpu *c, unsigned n, u16 sel, u16 attr)
{
    c->s.seg[n] = (struct segment){.sel = sel, .limit = UINT32_MAX, .attr = attr};
}

static inline void set_state(struct machine *m, bool long_mode, const struct cpu_state *start)
{
    struct cpu *c = m->c;
    u64 *pt = (u64 *)(m->vm.mem.hva + 0x1000);

    cpu_state_reset(&c->s, true);
    for (unsigned n = 0; n < SEG_COUNT; n++)
        segment(c, n, 0x10, 0x93 | SEG_DB | SEG_G);
    segment(c, CS, 8, 0x9b | SEG_G | (long_mode ? SEG_L : SEG_DB));
    c->s.cr0 = CR0_ET | CR0_NE | CR0_MP | CR0_PE;
    c->s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    c->s.xcr0 = 7;
    c->s.idtr.limit = 0;
    if (long_mode) {
        memset(pt, 0, 0x5000);
        pt[0] = 0x2000 | 7;
        pt[512] = 0x3000 | 7;
        for (unsigned i = 0; i < RAM >> 21; i++)
            pt[1024 + i] = (u64)i << 21 | 0x87;
        c->s.cr0 |= CR0_PG | CR0_WP;
        c->s.cr3 = 0x1000;
        c->s.cr4 |= CR4_PAE;
        c->s.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    }
    memcpy(c->s.gpr, start->gpr, sizeof(c->s.gpr));
    c->s.x = start->x;
    c->s.rflags = FLAG_1 | start->rflags;
    c->s.rip = CODE;
    c->triple_fault = false;
    cpu_derive(c);
    mmu_flush_all(c);
    c->leave = false;
}

#endif
