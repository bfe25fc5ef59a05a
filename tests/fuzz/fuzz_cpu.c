/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any code on a lone processor in any mode: nothing that a guest executes may crash Wirt.
 *
 * Input: a byte that says the mode and whether blocks or single steps run, eight bytes from which
 * registers, vector state and control bits are made, then code.  Tables (page tables, GDT, IDT,
 * TSS) lie in the same RAM as everything else, so code can wreck them.  Exceptions come back to
 * the code.  It ends after a number of instructions or with a triple fault.
 */
#include "base/err.h"
#include "core/mem.h"
#include "cpu/interp.h"
#include "cpu/mmu.h"
#include "cpu/ops.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RAM = 1 << 20,
    GDT = 0x500,
    TSS = 0x600,
    IDT = 0x4000,
    CODE = 0x8000,
    STACK = 0x20000,
    STEPS = 200,
};

enum mode { REAL, PROT16, PROT32, VM86, LONG, LONG_USER, COMPAT, MODES };

static struct machine {
    struct vm vm;
    struct vcpu vcpu;
    struct cpu *cpu;
    struct region ram, ports;
} m;

static u64 on_read(void *opaque, u64 off, unsigned size)
{
    return off * 0x0101010101010101;
}

static void on_write(void *opaque, u64 off, unsigned size, u64 v)
{
}

static void open_machine(void)
{
    static const struct region_ops ops = {.read = on_read, .write = on_write};
    struct err e;
    BUG_ON(vm_init(&m.vm, "fuzz", RAM, &e));
    m.vcpu.vm = &m.vm;
    m.vm.cpu.model = "max";
    m.ram = (struct region){.name = "ram", .size = RAM, .hva = m.vm.mem.hva, .whva = m.vm.mem.hva};
    m.ports = (struct region){.name = "ports", .size = 0x100, .ops = &ops};
    BUG_ON(bus_map(&m.vm.mmio, &m.ram, 0));
    BUG_ON(bus_map(&m.vm.pio, &m.ports, 0));
    m.cpu = aligned_alloc(64, align_up(sizeof(*m.cpu), 64));
    BUG_ON(!m.cpu || cpu_open(m.cpu, &m.vcpu, &e));
}

static u64 next(u64 *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545f4914f6cdd1dull;
}

static void put64(u64 at, u64 v)
{
    memcpy(m.vm.mem.hva + at, &v, 8);
}

/* Code, data and system segments of every kind; all vectors lead to the code. */
static void make_tables(enum mode mode)
{
    static const u64 gdt[] = {
        0,
        0x00209b0000000000, /* 08: 64-bit code */
        0x00cf9b000000ffff, /* 10: 32-bit code */
        0x00cf93000000ffff, /* 18: data */
        0x00cffb000000ffff, /* 20: user's 32-bit code */
        0x00cff3000000ffff, /* 28: user's data */
        0x0020fb0000000000, /* 30: user's 64-bit code */
        0x00009b000000ffff, /* 38: 16-bit code */
        0x0000890000000067 | (u64)TSS << 16,
    };
    u8 *ram = m.vm.mem.hva;
    memcpy(ram + GDT, gdt, sizeof(gdt));
    put64(TSS + 4, STACK);
    put64(TSS + 8, 0x18);
    put64(TSS + 0x64, 0x68ull << 48);
    put64(0x1000, 0x2007);
    put64(0x2000, 0x3007);
    for (unsigned n = 0; n < 512; n++)
        put64(0x3000 + 8 * n, (u64)n << 21 | 0x87);
    for (unsigned n = 0; n < 256; n++) {
        u64 to = CODE + n % 8;
        if (mode == REAL)
            memcpy(ram + 4 * n, &to, 4);
        else if (mode >= LONG)
            put64(IDT + 16 * n, 0x0000ee0000080000 | to);
        else
            put64(IDT + 8 * n, 0x0000ee0000100000 | to);
    }
}

static struct segment segment(u16 sel, u32 limit, u32 attr)
{
    return (struct segment){.sel = sel, .limit = limit, .attr = (u16)attr};
}

static void set_mode(struct cpu_state *s, enum mode mode)
{
    bool user = mode == LONG_USER || mode == VM86;
    u32 dpl = user ? 3 << 5 : 0, big = mode == REAL || mode == VM86 || mode == PROT16 ? 0 : SEG_DB;
    u32 limit = mode == REAL || mode == VM86 ? 0xffff : UINT32_MAX;
    for (unsigned n = 0; n < SEG_COUNT; n++)
        s->seg[n] = segment(user ? 0x2b : 0x18, limit, 0x93 | dpl | big);
    u16 cs = mode == LONG_USER ? 0x33 : mode == LONG ? 8 : mode == PROT16 ? 0x38 : 0x10;
    s->seg[CS] = segment(cs, limit, 0x9b | dpl | (mode == LONG || mode == LONG_USER ? SEG_L : big));
    if (mode == REAL || mode == VM86)
        for (unsigned n = 0; n < SEG_COUNT; n++)
            s->seg[n].sel = 0;
    s->cr0 |= CR0_ET | CR0_NE;
    s->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s->xcr0 = 7;
    s->tr = (struct segment){.base = TSS, .limit = 0x67, .sel = 0x40, .attr = 0x8b};
    if (mode == REAL)
        return;
    s->cr0 |= CR0_PE;
    s->gdtr = (struct desc_table){GDT, 0x47};
    s->idtr = (struct desc_table){IDT, 0xfff};
    if (mode == VM86)
        s->rflags |= FLAG_VM;
    if (mode < LONG)
        return;
    s->cr0 |= CR0_PG;
    s->cr3 = 0x1000;
    s->cr4 |= CR4_PAE;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
}

static void make_state(struct cpu_state *s, u64 seed)
{
    seed |= 1;
    for (unsigned n = 0; n < 16; n++) {
        u64 v = next(&seed);
        s->gpr[n] = v & 1 ? v : (v >> 8) % RAM;
        v = next(&seed);
        memcpy(s->x.xmm[n], &v, 8);
        memcpy(s->x.ymmh[n], &s->gpr[n], 8);
        memcpy(s->x.st[n % 8], &v, 8);
        memcpy(s->x.st[n % 8] + 8, &s->gpr[n], 2);
    }
    u64 v = next(&seed);
    s->x.fcw = (u16)(v & 0xf7f) | 0x40;
    s->x.fsw = (u16)(v >> 16) & 0x7f00;
    s->x.ftw = (u8)(v >> 32);
    s->x.mxcsr = (u32)(v >> 40) & 0xffff;
    s->rflags = FLAG_1 | (next(&seed) & (FLAGS_ARITH | FLAG_DF | FLAG_IOPL | FLAG_AC));
    s->gpr[RSP] = STACK;
    s->rip = CODE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 10 || size > 2000)
        return 0;
    if (!m.cpu)
        open_machine();
    struct cpu *c = m.cpu;
    enum mode mode = (enum mode)((data[0] & 15) % MODES);
    u64 seed;
    memcpy(&seed, data + 1, 8);
    memset(m.vm.mem.hva, 0, RAM);
    make_tables(mode);
    memcpy(m.vm.mem.hva + CODE, data + 9, size - 9);
    mem_wrote(&m.vm.mem, m.vm.mem.hva, RAM);

    cpu_state_reset(&c->s, true);
    make_state(&c->s, seed);
    set_mode(&c->s, mode);
    c->triple_fault = false;
    c->dr6_pending = 0;
    m.vcpu.events = VCPU_CALL; /* always something to look at: long string instructions pause */
    cpu_derive(c);
    mmu_flush_all(c);
    for (unsigned n = 0; n < STEPS && !c->triple_fault; n++) {
        c->leave = c->code_changed = false;
        c->s.halted = c->s.wait_sipi = false;
        if (data[0] & 0x80)
            interp_block(c);
        else
            interp_step(c);
        BUG_ON(!(c->s.rflags & FLAG_1) || (c->s.x.mxcsr & ~0xffffu));
        BUG_ON(c->split_locked);
    }
    return 0;
}
