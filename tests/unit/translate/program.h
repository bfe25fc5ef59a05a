/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs, and how two machines that have run one are compared.
 *
 * A program is a few hundred random instructions from the op table.  Memory operands are made to
 * point into a data area, now and then across a page.
 */
#ifndef WIRT_TESTS_TRANSLATE_PROGRAM_H
#define WIRT_TESTS_TRANSLATE_PROGRAM_H

#include "machine.h"

enum {
    DATA = 0x200000,
    DATA_SIZE = 0x10000,
    STACK = 0x300000,
};

static u64 seed;
static u64 data_at = DATA;                     /* its linear address */
static const struct cpuid_model *only_offered; /* NULL: whatever can be decoded */

/* On the host's processor what the guest's has not got runs all the same; and AMD's does not look
 * at the alignment of SHA's operands. */
static bool offered_there(const struct insn *i)
{
    u16 f = op_rows[i->row].feature;

    return !only_offered || f == OP_ANY_CPU || (cpuid_has(only_offered, f) && f != FEAT_sha);
}

static u64 rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ------------------------------------------------------------ programs -- */

struct prog {
    u8 *p;
    bool long_mode;
};

static void put(struct prog *g, const void *p, size_t n)
{
    memcpy(g->p, p, n);
    g->p += n;
}

static void put_mov(struct prog *g, unsigned reg, u64 v)
{
    if (g->long_mode)
        *g->p++ = (u8)(0x48 | reg >> 3);
    *g->p++ = (u8)(0xb8 | (reg & 7));
    put(g, &v, g->long_mode ? 8 : 4);
}

/* Which instructions a program may have: no faults of their own, no privilege, no control flow. */
static bool wanted(const struct insn *i)
{
    const struct op_row *r = &op_rows[i->row];

    if (r->attr & (OPA_CPL0 | OPA_IOPL | OPA_END | OPA_VSIB))
        return false;
    if (i->addrsize == 2 || (i->has_mem && i->seg >= FS))
        return false;
    if (i->has_mem && i->addrsize != (i->mode == CODE64 ? 8 : 4))
        return false;
    switch (i->op) {
    case OP_none:
    case OP_rdrand:
    case OP_rdseed:
    case OP_rdtsc:
    case OP_rdtscp:
    case OP_cpuid:
    case OP_std:
    case OP_fxrstor:
    case OP_xrstor:
    case OP_xsave:
    case OP_xsaveopt:
    case OP_xsavec:
    case OP_fxsave:
    case OP_ldmxcsr:
    case OP_fldcw:
    case OP_fldenv:
    case OP_fnstenv:
    case OP_fnsave:
    case OP_frstor:
    case OP_movsr:
    case OP_enter:
    case OP_leave:
    case OP_popa:
    case OP_pusha:
    case OP_bound:
    case OP_les:
    case OP_lds:
    case OP_lss:
    case OP_lfs:
    case OP_lgs:
    case OP_xlat:
    case OP_wrfsbase:
    case OP_wrgsbase:
        return false;
    default:
        break;
    }
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        u8 k = o->kind;
        if (k == OPND_SREG || k == OPND_CR || k == OPND_DR || k == OPND_STR_SRC ||
            k == OPND_STR_DST || r->mode[n] == AM_DI || o->size == 255)
            return false;
        if (k == OPND_GPR && o->reg == RSP && r->access[n] & OPN_W)
            return false;
        if (k == OPND_GPR8H || (k == OPND_GPR && o->size == 1)) {
            if (o->reg == RSP && k == OPND_GPR)
                return false;
        }
    }
    if (i->base == MEM_RIP || (i->has_mem && !i->has_modrm))
        return false;
    return true;
}

/* One random instruction, after what makes its operands right. */
static void random_insn(struct prog *g)
{
    static const u8 common[] = {0x01, 0x03, 0x29, 0x2b, 0x39, 0x3b, 0x89, 0x8b, 0x88, 0x8a,
                                0x83, 0x81, 0xc1, 0xd3, 0x8d, 0xff, 0xf7, 0x85, 0x50, 0x58,
                                0x31, 0x11, 0x19, 0x21, 0x09, 0x87, 0xc7, 0x69, 0x63, 0xd1};
    u8 b[16];
    struct insn i;

    for (;;) {
        unsigned n = 0;
        u64 r = rnd();
        for (unsigned k = 0; k < 16; k++)
            b[k] = (u8)rnd();
        if ((r & 7) == 0)
            b[n++] = 0x66;
        if (g->long_mode && (r & 0x30))
            b[n++] = 0x40 | (r >> 8 & 15);
        if (r & 0x800)
            b[n++] = 0x0f;
        else if (r & 0x7000)
            b[n++] = common[rnd() % sizeof(common)];
        if (r >> 20 & 1 && b[n] < 0xc0 && (b[n] & 7) != 5)
            b[n] = (b[n] & 7) | 0x80 | (b[n] & 0x38); /* more memory operands */
        if (decode(&i, b, 16, g->long_mode ? CODE64 : CODE32) == DECODE_OK && wanted(&i) &&
            offered_there(&i))
            break;
    }
    if (i.has_mem && i.op != OP_lea && i.op != OP_nop) {
        u64 at = data_at + 256 + rnd() % (DATA_SIZE - 1024);
        if (rnd() & 3)
            at &= ~63ull;
        else if (!(rnd() & 7))
            at = (at & ~0xfffull) | (0xff0 + (rnd() & 15));
        u64 index = rnd() & 31;
        if (i.index == i.base)
            i.index = MEM_NONE; /* base + index: solved below */
        if (i.base == RSP || i.base == MEM_NONE || (i.index != MEM_NONE && i.index == RSP))
            return;
        const struct operand *bit = &i.opnd[1];
        if ((i.op == OP_bt || i.op == OP_bts || i.op == OP_btr || i.op == OP_btc) &&
            bit->kind == OPND_GPR) {
            if (bit->reg == i.base || bit->reg == i.index)
                return;
            put_mov(g, bit->reg, rnd() & 1023);
        }
        u8 sib_index = 0;
        struct insn again;
        decode(&again, b, 16, g->long_mode ? CODE64 : CODE32);
        if (again.index != MEM_NONE && again.index == again.base)
            return;
        (void)sib_index;
        if (i.index != MEM_NONE) {
            put_mov(g, i.index, index);
            put_mov(g, i.base, at - (u64)i.disp - (index << i.scale));
        } else {
            put_mov(g, i.base, at - (u64)i.disp);
        }
    }
    if (i.op == OP_div || i.op == OP_idiv) {
        if (rnd() & 3) {
            put_mov(g, RDX, rnd() & 1 ? 0 : rnd() & 15);
        }
        if (i.has_mem && (i.base == RDX || i.index == RDX))
            return;
    }
    put(g, b, i.len);
    if (op_rows[i.row].flags_undefined) /* cmp eax, ebx: what is not defined is not compared */
        put(g, "\x39\xd8", 2);
}

/* One instruction with [base + disp8], which leaves the base alone; false: none was found. */
static bool random_field(struct prog *g, u8 base, u64 at)
{
    for (unsigned try = 0; try < 10000; try++) {
        u8 b[16];
        struct insn i;
        bool lost = false;
        unsigned k = 0;

        for (unsigned x = 0; x < 16; x++)
            b[x] = (u8)rnd();
        if (g->long_mode && (b[15] & 3))
            b[k++] = 0x40 | (b[14] & 12);
        if (b[15] & 0x10)
            b[k++] = 0x0f;
        b[k + 1] = (u8)(0x40 | (b[k + 1] & 0x38) | base);
        b[k + 2] &= 0xbf;
        if (decode(&i, b, 16, g->long_mode ? CODE64 : CODE32) != DECODE_OK || !wanted(&i) ||
            !i.has_mem || i.base != base || i.index != MEM_NONE || i.op == OP_div ||
            i.op == OP_idiv || !offered_there(&i) ||
            (i.op >= OP_bt && i.op <= OP_bts && i.opnd[1].kind != OPND_IMM))
            continue;
        if (op_rows[i.row].attr & OPA_ALIGN && rnd() & 63) { /* aligned, but now and then */
            if (at & 15)
                continue;
            b[k + 2] &= 0xf0;
        }
        for (unsigned n = 0; n < i.nops; n++)
            lost |= op_rows[i.row].access[n] & OPN_W &&
                    (i.opnd[n].kind == OPND_GPR || i.opnd[n].kind == OPND_GPR8H) &&
                    (i.opnd[n].reg == base || i.opnd[n].reg == RSP ||
                     (i.opnd[n].size == 1 && i.opnd[n].reg + 4 == base));
        if (lost)
            continue;
        put(g, b, i.len);
        if (op_rows[i.row].flags_undefined)
            put(g, "\x39\xd8", 2);
        return true;
    }
    return false;
}

/* The fields of a structure: several accesses by one register that keeps its value or moves a
 * little, here and there one that is jumped over, with pushes and pops in between. */
static void random_fields(struct prog *g)
{
    static const u8 bases[] = {RBX, RBP, RSI, RDI};
    u8 base = bases[rnd() & 3], *jump = NULL;
    u64 at = data_at + 4096 + rnd() % (DATA_SIZE - 8192);

    at = rnd() & 3 ? at & ~63ull : (at & ~0xfffull) | (0xf80 + (rnd() & 127));
    put_mov(g, base, at);
    for (unsigned n = 0; n < 12; n++) {
        u64 r = rnd();
        if (jump && (r & 3) == 0) {
            *jump = (u8)(g->p - jump - 1);
            jump = NULL;
        }
        if ((r & 0x70) == 0) { /* the base moves: add base, imm8 */
            if (g->long_mode)
                *g->p++ = 0x48;
            put(g, (const u8[]){0x83, (u8)(0xc0 | base), (u8)(r >> 8 & 0x30)}, 3);
        } else if ((r & 0x70) == 0x10) { /* push rcx; pop rdx */
            put(g, r & 0x100 ? "\x51\x90\x5a" : "\x51\x51\x5a\x5a", r & 0x100 ? 3 : 4);
        } else if ((r & 0x70) == 0x20 && !jump) {
            *g->p++ = (u8)(0x70 | (r >> 8 & 15));
            jump = g->p++;
        }
        if (!random_field(g, base, at))
            break;
    }
    if (jump)
        *jump = (u8)(g->p - jump - 1);
}

/* ------------------------------------------------------------ comparing -- */

static bool same(const char *what, u64 a, u64 b)
{
    if (a != b)
        printf("%s: %llx interp %llx\n", what, (unsigned long long)a, (unsigned long long)b);
    return a == b;
}

static bool compare_state(struct machine *soft, struct machine *interp, bool flags)
{
    const struct cpu_state *a = &soft->c->s, *b = &interp->c->s;
    bool ok = same("rip", a->rip, b->rip);
    char name[16];

    for (unsigned r = 0; r < 16; r++) {
        snprintf(name, sizeof(name), "gpr%u", r);
        ok &= same(name, a->gpr[r], b->gpr[r]);
    }
    if (flags)
        ok &= same("rflags", a->rflags, b->rflags);
    ok &= same("fcw", a->x.fcw, b->x.fcw);
    ok &= same("fsw", a->x.fsw, b->x.fsw);
    ok &= same("ftw", a->x.ftw, b->x.ftw);
    ok &= same("mxcsr", a->x.mxcsr, b->x.mxcsr);
    for (unsigned r = 0; r < 16; r++) {
        snprintf(name, sizeof(name), "xmm%u", r);
        ok &= same(name, !!memcmp(a->x.xmm[r], b->x.xmm[r], 16), 0);
        ok &= same(name, !!memcmp(a->x.ymmh[r], b->x.ymmh[r], 16), 0);
        if (r < 8)
            ok &= same("st", !!memcmp(a->x.st[r], b->x.st[r], 10), 0);
    }
    return ok;
}

static inline bool compare(struct machine *soft, struct machine *interp, bool flags)
{
    bool ok = compare_state(soft, interp, flags);

    for (u64 n = 0; n < RAM; n += 8) {
        u64 x = *(u64 *)(soft->vm.mem.hva + n), y = *(u64 *)(interp->vm.mem.hva + n);
        if (x != y) {
            printf("memory at %llx\n", (unsigned long long)n);
            ok = same("memory", x, y);
            break;
        }
    }
    return ok;
}

#endif
