/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same instruction in a machine without devices: long mode, four-level paging, user mode.
 * Every gate of the IDT leads to an OUT that makes the engine leave run(); what the instruction did
 * is in the registers then, and its exception in the frame on the kernel's stack.
 */
#include "insn_test.h"

#include "base/endian.h"
#include "core/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guest-physical; the supervisor sees the first 2 MiB at KERNEL_BASE. */
#define KERNEL_BASE 0xffffff8000000000ull
enum {
    GPA_PML4 = 0x10000,
    GPA_PDPT = 0x11000,
    GPA_PD0 = 0x12000, /* 0-1 GiB */
    GPA_PD_KERNEL = 0x15000,
    GPA_PDPT_KERNEL = 0x16000,
    GPA_PT_DATA = 0x13000,
    GPA_PT_CODE = 0x14000,
    GPA_GDT = 0x20000,
    GPA_IDT = 0x21000,
    GPA_TSS = 0x22000,
    GPA_STUBS = 0x23000, /* 16 bytes a vector */
    GPA_STACK = 0x28000, /* its top */
    GPA_DATA = 0x400000,
    GPA_CODE = 0x410000,
    RAM_SIZE = 16 << 20,
    EXIT_PORT = 0xf4,
    SEL_KCODE = 0x10,
    SEL_KDATA = 0x18,
    SEL_TSS = 0x40,
};
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80 };

struct guest {
    struct vm vm;
    struct region ram, port;
    struct cpu_state start;
    struct cpuid_model model; /* what the engine offers of it */
};

static u64 port_read(void *opaque, u64 off, unsigned size)
{
    return ~0ull;
}

static void port_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct guest *g = opaque;
    vcpu_raise(&g->vm.vcpu[0], VCPU_PAUSE);
}

static const struct region_ops port_ops = {.read = port_read, .write = port_write};

static void put64(struct guest *g, u64 gpa, u64 v)
{
    le64_put(g->vm.mem.hva + gpa, v);
}

static void make_page_tables(struct guest *g)
{
    u64 rights = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
    put64(g, GPA_PML4, GPA_PDPT | rights);
    put64(g, GPA_PDPT, GPA_PD0 | rights);
    put64(g, GPA_PML4 + 8 * 511, GPA_PDPT_KERNEL | rights);
    put64(g, GPA_PDPT_KERNEL, GPA_PD_KERNEL | rights);
    put64(g, GPA_PD_KERNEL, PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS);
    put64(g, GPA_PD0 + 8 * (DATA_BASE >> 21), GPA_PT_DATA | rights);
    put64(g, GPA_PD0 + 8 * (CODE_BASE >> 21), GPA_PT_CODE | rights);
    for (unsigned n = 0; n < DATA_SIZE / 4096; n++)
        put64(g, GPA_PT_DATA + 8 * n,
              (GPA_DATA + 4096 * n) | (n < DATA_RW / 4096 ? rights : rights & ~(u64)PTE_W));
    put64(g, GPA_PT_CODE, GPA_CODE | rights);
}

static void make_tables(struct guest *g)
{
    static const u64 gdt[] = {
        [SEL_KCODE / 8] = 0x00af9b000000ffffull,
        [SEL_KDATA / 8] = 0x00cf93000000ffffull,
        [SEL_CODE32 / 8] = 0x00cffb000000ffffull,
        [SEL_DATA / 8] = 0x00cff3000000ffffull,
        [SEL_CODE64 / 8] = 0x00affb000000ffffull,
        [SEL_TSS / 8] = 0x80008b0000000067ull | (u64)GPA_TSS << 16,
        [SEL_TSS / 8 + 1] = KERNEL_BASE >> 32,
    };
    memcpy(g->vm.mem.hva + GPA_GDT, gdt, sizeof(gdt));
    put64(g, GPA_TSS + 4, KERNEL_BASE + GPA_STACK); /* RSP0 */
    le16_put(g->vm.mem.hva + GPA_TSS + 0x66, 0x68); /* no I/O map */
    for (unsigned v = 0; v < 256; v++) {
        u64 at = KERNEL_BASE + GPA_STUBS + 16 * v;
        u64 dpl = v == EXC_BP || v == EXC_OF ? 3 : 0;
        put64(g, GPA_IDT + 16 * v,
              (at & 0xffff) | (u64)SEL_KCODE << 16 | (0x8e00 | dpl << 13) << 32 |
                  (at >> 16 & 0xffff) << 48);
        put64(g, GPA_IDT + 16 * v + 8, at >> 32);
        memcpy(g->vm.mem.hva + GPA_STUBS + 16 * v, (u8[]){0xe6, EXIT_PORT, 0xeb, 0xfe},
               4); /* OUT; JMP itself */
    }
}

static void set_segment(struct segment *s, u16 sel, u16 attr)
{
    *s = (struct segment){.sel = sel, .limit = 0xffffffff, .attr = attr};
}

static void make_state(struct cpu_state *s)
{
    cpu_state_reset(s, true);
    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    s->cr3 = GPA_PML4;
    s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    s->xcr0 = 7;
    s->gdtr = (struct desc_table){KERNEL_BASE + GPA_GDT, 0x4f};
    s->idtr = (struct desc_table){KERNEL_BASE + GPA_IDT, 0xfff};
    s->tr = (struct segment){
        .base = KERNEL_BASE + GPA_TSS, .limit = 0x67, .sel = SEL_TSS, .attr = 0x8b};
    s->ldtr = (struct segment){.attr = 0x2};
    for (unsigned n = 0; n < SEG_COUNT; n++)
        set_segment(&s->seg[n], SEL_DATA, 0xc0f3);
    set_segment(&s->seg[FS], 0, 0);
    set_segment(&s->seg[GS], 0, 0);
    s->seg[GS].base = GS_BASE;
}

struct guest *guest_open(const struct engine_ops *engine)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct err e = {0};
    struct cpu_config cfg = {.count = 1, .model = "max"};
    if (!g || vm_init(&g->vm, "insn", RAM_SIZE, &e))
        goto fail;
    g->ram = (struct region){
        .name = "ram", .size = RAM_SIZE, .hva = g->vm.mem.hva, .whva = g->vm.mem.hva};
    g->port = (struct region){.name = "exit", .size = 1, .ops = &port_ops, .opaque = g};
    if (bus_map(&g->vm.mmio, &g->ram, 0) || bus_map(&g->vm.pio, &g->port, EXIT_PORT))
        goto fail;
    make_page_tables(g);
    make_tables(g);
    make_state(&g->start);
    if (vm_open_cpus(&g->vm, engine, &cfg, &e) || cpuid_model_find(&g->model, cfg.model, &e))
        goto fail;
    if (engine->cut_model)
        engine->cut_model(g->vm.e, &g->model);
    if (!cpuid_has(&g->model, FEAT_xsave)) {
        g->start.cr4 &= ~(u64)CR4_OSXSAVE;
        g->start.xcr0 = 1;
    }
    if (!cpuid_has(&g->model, FEAT_fsgsbase))
        g->start.cr4 &= ~(u64)CR4_FSGSBASE;
    return g;
fail:
    fprintf(stderr, "cannot make a machine: %s\n", e.msg);
    free(g);
    return NULL;
}

bool guest_offers(const struct guest *g, const struct op_row *r)
{
    bool avx = cpuid_has(&g->model, FEAT_avx);

    return (r->feature == OP_ANY_CPU || cpuid_has(&g->model, r->feature)) &&
           (avx || !(r->attr & OPA_VSIB));
}

bool guest_has_avx(const struct guest *g)
{
    return cpuid_has(&g->model, FEAT_avx);
}

void guest_stats(struct guest *g)
{
    if (g->vm.engine->print_stats)
        g->vm.engine->print_stats(g->vm.e, stderr);
}

void guest_close(struct guest *g)
{
    vm_destroy(&g->vm);
    free(g);
}

static void save(struct guest *g, const struct cpu_state *s, struct insn_result *out)
{
    u64 frame[6];
    bool has_error;

    out->vector = (s->rip - KERNEL_BASE - GPA_STUBS) / 16;
    has_error = out->vector == EXC_DF || (out->vector >= EXC_TS && out->vector <= EXC_PF) ||
                out->vector == EXC_AC;
    memcpy(frame, g->vm.mem.hva + (s->gpr[RSP] - KERNEL_BASE), sizeof(frame));
    out->error = has_error ? frame[0] : 0;
    const u64 *f = frame + has_error;
    out->cr2 = s->cr2;
    memcpy(out->gpr, s->gpr, sizeof(out->gpr));
    out->rip = f[0];
    out->rflags = f[2];
    out->gpr[RSP] = f[3];
    out->x = s->x;
    memcpy(out->data, g->vm.mem.hva + GPA_DATA, DATA_SIZE);
}

void guest_run(struct guest *g, const struct insn_case *c, struct insn_result *out)
{
    struct vcpu *v = &g->vm.vcpu[0];
    struct cpu_state s = g->start;

    u8 *code = g->vm.mem.hva + GPA_CODE + c->offset;
    memcpy(code, c->code, sizeof(c->code));
    mem_wrote(&g->vm.mem, code, sizeof(c->code));
    memcpy(g->vm.mem.hva + GPA_DATA, c->data, DATA_SIZE);

    memcpy(s.gpr, c->gpr, sizeof(s.gpr));
    s.rip = case_rip(c);
    s.rflags = c->rflags | (c->step ? FLAG_TF : 0);
    if (c->insn.mode == CODE64)
        set_segment(&s.seg[CS], SEL_CODE64, 0xa0fb);
    else if (c->insn.mode == CODE32)
        set_segment(&s.seg[CS], SEL_CODE32, 0xc0fb);
    else
        s.seg[CS] =
            (struct segment){.base = CODE_BASE, .limit = 0xfff, .sel = SEL_CODE16, .attr = 0x00fb};
    s.x = c->x;
    s.x.xstate_bv = 7;

    g->vm.engine->set_state(v, &s);
    enum run_exit why = g->vm.engine->run(v);
    vcpu_lower(v, VCPU_PAUSE);
    g->vm.engine->get_state(v, &s);
    memset(out, 0, sizeof(*out));
    if (why == RUN_EVENT && s.rip - KERNEL_BASE - GPA_STUBS < 16 * 256)
        save(g, &s, out);
    else
        out->vector = 0xff;
}
