/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A software processor with 2 MiB of RAM and no board, for tests of single instructions: modes are
 * set up by hand, code is decoded and run one instruction at a time.
 *
 * Layout of RAM: 0x1000-0x3fff page tables (long mode: the first 2 MiB are mapped to themselves,
 * for the user too), FX_CODE code, the rest is the test's.
 */
#ifndef WIRT_TESTS_CPU_FIXTURE_H
#define WIRT_TESTS_CPU_FIXTURE_H

#include "core/mem.h"
#include "cpu/cpu.h"
#include "cpu/mmu.h"
#include "cpu/ops.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
/* cmocka wants these first. */
#include <cmocka.h>

enum { FX_RAM = 2 << 20, FX_CODE = 0x8000, FX_STACK = 0x20000 };
enum fx_mode { FX_REAL, FX_PROT32, FX_LONG, FX_LONG_USER };

struct fx {
    struct vm vm;
    struct vcpu vcpu;
    struct cpu *cpu;
    struct region region;
    u8 *ram;
};

static inline void fx_segment(struct cpu *c, unsigned seg, u16 sel, u32 limit, u32 attr)
{
    c->s.seg[seg] = (struct segment){.sel = sel, .limit = limit, .attr = (u16)attr};
}

/* Flat segments, all features on, no pending exception; RSP = FX_STACK, rip = FX_CODE. */
static inline void fx_mode(struct fx *f, enum fx_mode mode)
{
    struct cpu *c = f->cpu;
    memset(&c->s, 0, sizeof(c->s));
    cpu_state_reset(&c->s, true);
    bool user = mode == FX_LONG_USER;
    u32 dpl = user ? 3 << 5 : 0, big = mode == FX_REAL ? 0 : SEG_DB;
    u32 limit = mode == FX_REAL ? 0xffff : UINT32_MAX;
    for (unsigned n = 0; n < SEG_COUNT; n++)
        fx_segment(c, n, user ? 0x1b : 0x10, limit, 0x93 | dpl | big);
    fx_segment(c, CS, user ? 0x23 : 8, limit, 0x9b | dpl | (mode >= FX_LONG ? SEG_L : big));
    if (mode == FX_REAL)
        for (unsigned n = 0; n < SEG_COUNT; n++)
            c->s.seg[n].sel = 0;
    c->s.cr0 = CR0_ET | CR0_NE | CR0_MP | (mode == FX_REAL ? 0 : CR0_PE);
    c->s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    c->s.xcr0 = 7;
    if (mode >= FX_LONG) {
        u64 *pt = (u64 *)(f->ram + 0x1000);
        pt[0] = 0x2000 | 7;
        pt[512] = 0x3000 | 7;
        pt[1024] = 0 | 0x87;
        c->s.cr0 |= CR0_PG | CR0_WP;
        c->s.cr3 = 0x1000;
        c->s.cr4 |= CR4_PAE;
        c->s.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    }
    c->s.rflags = FLAG_1;
    c->s.rip = FX_CODE;
    c->s.gpr[RSP] = FX_STACK;
    cpu_derive(c);
    mmu_flush(c, true);
    c->leave = false;
}

static inline void fx_open(struct fx *f)
{
    struct err e = {0};
    memset(f, 0, sizeof(*f));
    if (vm_init(&f->vm, "test", FX_RAM, &e))
        fail_msg("%s", e.msg);
    f->vm.cpu.model = "max";
    f->vcpu.vm = &f->vm;
    f->ram = f->vm.mem.hva;
    f->region = (struct region){.name = "ram", .size = FX_RAM, .hva = f->ram, .whva = f->ram};
    assert_int_equal(bus_map(&f->vm.mmio, &f->region, 0), 0);
    f->cpu = aligned_alloc(64, align_up(sizeof(*f->cpu), 64));
    assert_non_null(f->cpu);
    if (cpu_open(f->cpu, &f->vcpu, &e))
        fail_msg("%s", e.msg);
    vcpu_lower(&f->vcpu, UINT32_MAX);
    fx_mode(f, FX_LONG);
}

static inline void fx_close(struct fx *f)
{
    cpu_close(f->cpu);
    free(f->cpu);
    vm_destroy(&f->vm);
}

/* Runs one instruction that has been decoded; -1, or the vector of the exception it raised (then
 * rip stays, and the error code is in cpu->exc.error). */
static int __attribute__((noinline, unused)) fx_run(struct fx *f, const struct insn *i)
{
    struct cpu *c = f->cpu;
    if (__builtin_setjmp(c->unwind))
        return c->exc.vector;
    c->next_rip = c->s.rip + i->len;
    op_exec[i->op](c, i);
    c->s.rip = c->next_rip;
    return -1;
}

/* Decodes and runs the len bytes at p as if they stood at rip. */
static inline int fx_bytes(struct fx *f, const u8 *p, size_t len)
{
    struct insn i;
    enum decode_result r = decode(&i, p, len, (enum code_mode)f->cpu->code);
    if (r == DECODE_UD)
        return EXC_UD;
    assert_int_equal(r, DECODE_OK);
    assert_int_equal(i.len, len);
    return fx_run(f, &i);
}

#define FX(f, ...) fx_bytes(f, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

#endif
