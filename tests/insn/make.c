/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes cases: encodings from a row's key, and states in which the instruction gets far: addresses
 * that hit the data pages (or miss them by a little), numbers that carry, overflow, are not
 * numbers.
 *
 * An encoding is prefixes, opcode and ModRM as the row asks, then random bytes; decode() says how
 * many of them belong to it, and whether it is this row at all.
 */
#include "insn_test.h"

#include "base/endian.h"

#include <string.h>

u64 rng(u64 *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s * 0x2545f4914f6cdd1dull;
}

static bool one_in(u64 *s, unsigned n)
{
    return (rng(s) >> 32) % n == 0;
}

static unsigned below(u64 *s, unsigned n)
{
    return (rng(s) >> 32) % n;
}

static bool is_sreg(unsigned mode)
{
    return mode == AM_ES || mode == AM_CS || mode == AM_SS || mode == AM_DS || mode == AM_FS ||
           mode == AM_GS;
}

const char *row_skipped(const struct op_row *r)
{
    switch (r->op) {
    case OP_rdtsc:
    case OP_rdtscp:
    case OP_rdrand:
    case OP_rdseed:
    case OP_rdpid:
        return "no two runs are alike";
    case OP_cpuid:
    case OP_xgetbv:
        return "the model is not the host";
    case OP_syscall:
    case OP_sysenter:
    case OP_int:
    case OP_iret:
    case OP_callf:
    case OP_jmpf:
    case OP_retf:
    case OP_vmcall:
    case OP_vmmcall:
        return "leaves to the host's kernel";
    case OP_sgdt:
    case OP_sidt:
    case OP_sldt:
    case OP_smsw:
    case OP_str:
        return "the host's kernel emulates it (UMIP)";
    case OP_movsr:
    case OP_lds:
    case OP_les:
    case OP_lss:
    case OP_lfs:
    case OP_lgs:
    case OP_rdfsbase:
    case OP_rdgsbase:
    case OP_wrfsbase:
    case OP_wrgsbase:
        return "the host's descriptors";
    case OP_xsaveopt:
        return "what it leaves out is the processor's choice";
    case OP_int1:
        return "hypervisors under us report it differently";
    case OP_sysexit:
        return "#GP or #UD in long mode";
    case OP_nop:
        return r->map == 1 && r->opcode == 0x0d ? "undefined with a register on AMD" : NULL;
    case OP_ud1:
        return "whether its operand is read differs";
    case OP_pop:
    case OP_push:
        return is_sreg(r->mode[0]) ? "the host's descriptors" : NULL;
    default:
        return NULL;
    }
}

/* ---------------------------------------------------------------- encoding -- */

struct encoding {
    u8 *b;
    unsigned n;
    unsigned modrm; /* where it is, 0 = none */
    unsigned after_opcode;
};

static void put(struct encoding *e, u8 b)
{
    e->b[e->n++] = b;
}

static void put_vex(struct encoding *e, const struct op_row *r, enum code_mode mode, u64 *s)
{
    static const u8 simd[] = {[OPP_NP] = 0, [OPP_66] = 1, [OPP_F3] = 2, [OPP_F2] = 3};
    u8 inverted = rng(s) >> 56 & 0xe0;
    /* VPEXTRD and VPINSRD with W in 32-bit mode: undefined on AMD, without effect on Intel. */
    bool w_differs = mode != CODE64 && (r->op == OP_vpextrd || r->op == OP_vpinsrd);
    unsigned w = r->w >= 0 ? (unsigned)r->w : w_differs ? 0 : below(s, 2);
    unsigned l = r->l >= 0 ? (unsigned)r->l : below(s, 2);
    unsigned v = r->attr & OPA_VVVV ? below(s, 16) : 0;
    if (mode != CODE64)
        inverted |= 0xc0;
    u8 last = w << 7 | (~v & 15) << 3 | l << 2 | simd[r->prefix];
    if (r->map == 1 && !w && one_in(s, 2)) {
        put(e, 0xc5);
        put(e, (inverted & 0x80) | (last & 0x7f) | (mode != CODE64 ? 0xc0 : 0));
    } else {
        put(e, 0xc4);
        put(e, inverted | r->map);
        put(e, last);
    }
}

static void put_prefixes(struct encoding *e, const struct op_row *r, enum code_mode mode, u64 *s)
{
    if (mode == CODE16 ? !one_in(s, 4) : one_in(s, 16))
        put(e, 0x67);
    if (mode == CODE64 && one_in(s, 16))
        put(e, 0x65);
    if (r->vex) {
        put_vex(e, r, mode, s);
        return;
    }
    if (r->attr & OPA_LOCK && one_in(s, 4))
        put(e, 0xf0);
    /* Branches: AMD cuts the target.  MOVSXD: AMD reads 32 bits. */
    bool keeps_66 = !(r->attr & OPA_F64) && r->op != OP_movsxd;
    if (r->prefix == OPP_66 || (r->prefix != OPP_NP && keeps_66 && one_in(s, 4)))
        put(e, 0x66);
    if (r->prefix == OPP_F3 || r->prefix == OPP_F2)
        put(e, r->prefix == OPP_F3 ? 0xf3 : 0xf2);
    else if (r->attr & (OPA_REP | OPA_REPZ) && one_in(s, 2))
        put(e, r->attr & OPA_REPZ && one_in(s, 2) ? 0xf2 : 0xf3);
    if (mode == CODE64 && one_in(s, 2))
        put(e, 0x40 | below(s, 16));
    if (r->map)
        put(e, 0x0f);
    if (r->map > 1)
        put(e, r->map == 2 ? 0x38 : 0x3a);
}

/* Into c->code and c->insn; false: try again. */
static bool encode(struct insn_case *c, const struct op_row *r, enum code_mode mode,
                   struct encoding *e, u64 *s)
{
    *e = (struct encoding){.b = c->code};
    for (unsigned n = 0; n < sizeof(c->code); n += 8)
        le64_put(c->code + n, rng(s));
    put_prefixes(e, r, mode, s);
    put(e, r->opcode + below(s, r->count));
    e->after_opcode = e->n;
    if (r->attr & OPA_MODRM) {
        unsigned mod = r->mod > 0 ? 3 : r->mod == 0 || one_in(s, 2) ? below(s, 3) : 3;
        unsigned reg = r->reg >= 0 ? (unsigned)r->reg : below(s, 8);
        unsigned rm = r->rm >= 0 ? (unsigned)r->rm : below(s, 8);
        e->modrm = e->n;
        put(e, mod << 6 | reg << 3 | rm);
    }
    if (decode(&c->insn, c->code, INSN_MAX, mode) != DECODE_OK || &op_rows[c->insn.row] != r)
        return false;
    return true;
}

/* ------------------------------------------------------------------ values -- */

static u64 interesting(u64 *s)
{
    static const u64 edge[] = {0,     1,          2,          0x7f,      0x80,
                               0xff,  0x7fff,     0x8000,     0xffff,    0x7fffffff,
                               ~0ull, 0x80000000, 0xffffffff, INT64_MAX, (u64)INT64_MIN};
    u64 r = rng(s);
    switch (r >> 60) {
    case 0 ... 4:
        return edge[below(s, ARRAY_SIZE(edge))] + (one_in(s, 4) ? rng(s) % 5 - 2 : 0);
    case 5:
        return r & 0xff;
    case 6:
        return -(u64)(r & 0xff);
    case 7:
        return 1ull << (r & 63);
    default:
        return rng(s);
    }
}

static u32 float_bits(u64 *s)
{
    static const u32 special[] = {0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
                                  0x7f800001, 0xffc12345, 0x00000001, 0x807fffff, 0x00800000,
                                  0x7f7fffff, 0x3f800000, 0xbf800000, 0x4f000000, 0xcf000000};
    return one_in(s, 3)   ? special[below(s, ARRAY_SIZE(special))]
           : one_in(s, 2) ? ((rng(s) >> 32) & 0x83ffffff) + 0x3c000000
                          : rng(s) >> 32;
}

static u64 double_bits(u64 *s)
{
    static const u64 special[] = {
        0,
        1ull << 63,
        0x7ff0000000000000ull,
        0xfff0000000000000ull,
        0x7ff8000000000000ull,
        0x7ff0000000000001ull,
        1,
        0x800fffffffffffffull,
        0x0010000000000000ull,
        0x7fefffffffffffffull,
        0x3ff0000000000000ull,
        0xbff0000000000000ull,
        0x41e0000000000000ull,
        0xc3e0000000000000ull,
    };
    return one_in(s, 3)   ? special[below(s, ARRAY_SIZE(special))]
           : one_in(s, 2) ? (rng(s) & 0x807fffffffffffffull) + 0x3fc0000000000000ull
                          : rng(s);
}

static void x87_bits(u8 st[16], u64 *s)
{
    static const u16 exponents[] = {0, 1, 0x3fff, 0x3ffe, 0x4000, 0x7ffe, 0x7fff, 0x401e, 0x403e};
    u64 m = one_in(s, 3) ? 0x8000000000000000ull : one_in(s, 4) ? rng(s) : rng(s) | 1ull << 63;
    u16 ex = one_in(s, 2)   ? 0x3fe0 + below(s, 64)
             : one_in(s, 2) ? exponents[below(s, ARRAY_SIZE(exponents))]
                            : rng(s) >> 49;
    if (one_in(s, 8))
        m = 0, ex = 0;
    memset(st, 0, 16);
    le64_put(st, m);
    le16_put(st + 8, ex | (one_in(s, 2) ? 0x8000 : 0));
}

static void fill(u8 *p, unsigned len, u64 *s)
{
    unsigned kind = below(s, 5);
    for (unsigned n = 0; n < len; n += 8) {
        u64 v = kind == 0   ? double_bits(s)
                : kind == 1 ? float_bits(s) | (u64)float_bits(s) << 32
                : kind == 2 ? interesting(s)
                : kind == 3 ? rng(s) & rng(s)
                            : rng(s);
        le64_put(p + n, v);
    }
    if (kind == 3 && len >= 16)
        x87_bits(p, s);
}

static void make_vectors(struct insn_case *c, u64 *s)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned reg = below(s, 16);
        fill(c->x.xmm[reg], 16, s);
        fill(c->x.ymmh[reg], 16, s);
    }
    /* round, denormals, and mostly all exceptions masked */
    c->x.mxcsr = 0x1f80 | (one_in(s, 2) ? below(s, 4) << 13 : 0) | (one_in(s, 8) ? 0x8000 : 0) |
                 (one_in(s, 8) ? 0x40 : 0);
    if (one_in(s, 16))
        c->x.mxcsr &= ~(1u << (7 + below(s, 6)));
    c->x.mxcsr_mask = 0xffff;
}

static void make_x87(struct insn_case *c, const struct op_row *r, u64 *s)
{
    c->x.fcw = 0x37f;
    if (one_in(s, 2))
        c->x.fcw = 0x7f | below(s, 4) << 10 | (below(s, 3) + (one_in(s, 2) ? 1 : 0)) % 4 << 8;
    if (one_in(s, 16))
        c->x.fcw &= ~(1u << below(s, 6));
    c->x.fsw = below(s, 8) << 11 | (rng(s) & 0x4700);
    c->x.ftw = one_in(s, 2) ? 0xff : rng(s) >> 56;
    if (r->unit != UNIT_x87 && r->unit != UNIT_mmx && one_in(s, 2))
        c->x.ftw = 0;
    for (unsigned n = 0; n < 8; n++)
        if (one_in(s, 3))
            x87_bits(c->x.st[n], s);
    c->x.fop = 0;
    c->x.fip = c->x.fdp = 0;
}

/* --------------------------------------------------------------- addresses -- */

static u64 make_target(unsigned size, bool plain, u64 *s)
{
    if (size == 255) /* a state image, at most 832 bytes */
        return (DATA_BASE + 64 + below(s, DATA_RW - 1024)) & ~(one_in(s, 8) ? 15ull : 63ull);

    /* plain: aligned and inside. */
    unsigned align = size >= 32 ? 32 : size >= 16 ? 16 : size >= 8 ? 8 : size ? size : 1;
    if (align & (align - 1))
        align = 8;
    switch (plain ? 23 : below(s, 24)) {
    case 0:
        return DATA_BASE + 4096 - below(s, size + 2); /* crosses pages */
    case 1:
        return DATA_BASE + DATA_RW - below(s, size + 2); /* into what is read-only */
    case 2:
        return one_in(s, 2) ? DATA_BASE + DATA_SIZE - below(s, size + 2)
                            : DATA_BASE - below(s, size + 2);
    case 3:
        return DATA_BASE + below(s, DATA_RW - 64);
    case 4:
        return one_in(s, 8) ? 0x900000000000ull + below(s, 16) : DATA_BASE + DATA_RW + 64;
    default:
        break;
    }
    return (DATA_BASE + 64 + below(s, DATA_RW - 1024)) & ~(u64)(align - 1);
}

/* Makes memory operand lie at target, by changing registers or the displacement. */
static void aim(struct insn_case *c, const struct encoding *e, u64 target, u64 *s)
{
    struct insn *i = &c->insn;
    u64 gs = i->mode == CODE64 && i->seg == GS ? GS_BASE : 0;
    u64 ea = target - gs;
    if (op_rows[i->row].attr & OPA_VSIB) {
        u8 *lo = c->x.xmm[i->index], *hi = c->x.ymmh[i->index];
        bool wide = op_rows[i->row].opcode & 1;
        for (unsigned n = 0; n < 16; n += wide ? 8 : 4) {
            u64 a = below(s, 64) - 16ull, b = below(s, 64) - 16ull;
            memcpy(lo + n, &a, wide ? 8 : 4);
            memcpy(hi + n, &b, wide ? 8 : 4);
        }
    } else if (i->index != MEM_NONE && i->index != i->base) {
        c->gpr[i->index] = one_in(s, 4) ? rng(s) : below(s, 512) - 64ull;
        ea -= c->gpr[i->index] << i->scale;
    } else if (i->index != MEM_NONE) {
        c->gpr[i->base] = (ea - i->disp) / (1 + (1u << i->scale));
        return;
    }
    if (i->base == MEM_RIP || i->base == MEM_NONE) {
        if (i->base == MEM_RIP)
            ea -= CODE_BASE + c->offset + i->len;
        unsigned at = e->modrm ? e->modrm + 1 + ((i->modrm & 7) == 4) : e->after_opcode;
        unsigned size = e->modrm ? 4 : i->addrsize;
        if (i->addrsize == 2)
            return;
        memcpy(c->code + at, &ea, size);
        return;
    }
    c->gpr[i->base] = ea - i->disp;
    if (i->addrsize == 4 && one_in(s, 2))
        c->gpr[i->base] = (u32)c->gpr[i->base];
}

/* Where the operand lies in c->data, or NULL; its first 64 bytes may be given. */
static u8 *data_at(struct insn_case *c, u64 target)
{
    return target >= DATA_BASE && target < DATA_BASE + DATA_SIZE - 64 ? c->data + target - DATA_BASE
                                                                      : NULL;
}

static void make_registers(struct insn_case *c, u64 *s)
{
    for (unsigned n = 0; n < 16; n++)
        c->gpr[n] = c->insn.mode == CODE64 || n < 8 ? interesting(s) : 0;
    c->gpr[RSP] = DATA_BASE + 512 + below(s, DATA_RW - 1024);
    if (!one_in(s, 8))
        c->gpr[RSP] &= ~7ull;
    if (one_in(s, 16))
        c->gpr[RSP] = make_target(8, false, s);
    c->rflags = FLAG_1 | FLAG_IF | (rng(s) & FLAGS_ARITH);
}

/* State images that can be loaded, mostly. */
static void make_image(struct insn_case *c, const struct op_row *r, u8 *image, u64 *s)
{
    for (unsigned n = 0; n < 8; n++)
        x87_bits(image + 32 + 16 * n, s);
    for (unsigned n = 160; n < 416; n += 16)
        fill(image + n, 16, s);
    le16_put(image, one_in(s, 8) ? rng(s) : 0x37f ^ (rng(s) & rng(s) & 0xf3f));
    if (r->op == OP_fxrstor || r->op == OP_xrstor)
        le32_put(image + 24, one_in(s, 8) ? rng(s) & ~0x20000u : rng(s) & 0xffff);
    if (r->op == OP_xrstor || r->op == OP_xsave) {
        memset(image + 512, 0, 64);
        le64_put(image + 512, below(s, 8) | (one_in(s, 16) ? 1ull << 63 : 0));
        if (one_in(s, 16))
            image[512 + 8 + below(s, 56)] = 1;
    }
    if (r->op == OP_xsave || r->op == OP_xsavec || r->op == OP_xrstor) {
        c->gpr[RAX] = below(s, 8);
        c->gpr[RDX] = 0;
    }
}

/* What some instructions need to get anywhere. */
static void help(struct insn_case *c, const struct op_row *r, u8 *data, u64 *s)
{
    const struct insn *i = &c->insn;
    bool string = false;
    for (unsigned n = 0; n < i->nops; n++)
        string |= i->opnd[n].kind == OPND_STR_SRC || i->opnd[n].kind == OPND_STR_DST;
    if (string) {
        c->gpr[RSI] = make_target(8, false, s) - (i->seg == GS && i->mode == CODE64 ? GS_BASE : 0);
        c->gpr[RDI] = make_target(8, false, s);
        c->gpr[RCX] = one_in(s, 16) ? 0 : below(s, one_in(s, 4) ? 600 : 20);
        c->rflags |= one_in(s, 3) ? FLAG_DF : 0;
    }
    c->target = 0;
    if (data && c->size == 255) {
        c->target = data - c->data;
        make_image(c, r, data, s);
    }
    switch (r->op) {
    case OP_lar:
    case OP_lsl:
    case OP_verr:
    case OP_verw: { /* the entries that guest.c's GDT has as Linux has them */
        static const u16 sels[] = {0, 3, SEL_CODE32, SEL_DATA, SEL_CODE64, 0x10, 0x18, 0x20, 0x28};
        const struct operand *o = &i->opnd[i->nops - 1];
        u16 sel = sels[below(s, ARRAY_SIZE(sels))];
        if (o->kind == OPND_GPR && o->reg != RSP)
            c->gpr[o->reg] = (c->gpr[o->reg] & ~0xffffull) | sel;
        else if (data)
            le16_put(data, sel);
        else
            c->gpr[RSP] &= ~0xffffull;
        break;
    }
    case OP_ldmxcsr:
    case OP_vldmxcsr:
        if (data) /* AMD has one more bit */
            le32_put(data, le32_get(data) & ~0x20000u);
        break;
    case OP_xlat:
        c->gpr[RBX] = make_target(1, false, s) - 64;
        break;
    case OP_enter:
    case OP_leave:
        c->gpr[RBP] = DATA_BASE + 1024 + 8 * below(s, 512);
        break;
    case OP_cmpxchg:
        if (one_in(s, 2) && i->opnd[0].kind == OPND_GPR && i->opnd[0].reg != RSP)
            c->gpr[RAX] = c->gpr[i->opnd[0].reg];
        else if (one_in(s, 2) && data && i->base != RAX && i->index != RAX)
            c->gpr[RAX] = le64_get(data);
        break;
    case OP_cmpxchg8b:
        if (one_in(s, 2) && data && i->base != RAX && i->index != RAX && i->base != RDX &&
            i->index != RDX) {
            unsigned half = i->opnd[0].size / 2;
            c->gpr[RAX] = half == 8 ? le64_get(data) : le32_get(data);
            c->gpr[RDX] = half == 8 ? le64_get(data + 8) : le32_get(data + 4);
        }
        break;
    case OP_bt:
    case OP_bts:
    case OP_btr:
    case OP_btc:
        if (i->has_mem && i->opnd[1].kind == OPND_GPR && i->opnd[1].reg != i->base &&
            i->opnd[1].reg != i->index && i->opnd[1].reg != RSP)
            c->gpr[i->opnd[1].reg] = below(s, 512) - 128ull;
        break;
    case OP_div:
    case OP_idiv:
        if (i->base != RDX && i->index != RDX && one_in(s, 2))
            c->gpr[RDX] = r->op == OP_idiv && (c->gpr[RAX] >> 63) ? ~0ull : below(s, 3);
        break;
    case OP_loop:
    case OP_loope:
    case OP_loopne:
    case OP_jcxz:
        c->gpr[RCX] = below(s, 3);
        break;
    case OP_popf: { /* TF would trap elsewhere, AC would fault elsewhere */
        c->gpr[RSP] = DATA_BASE + 512 + below(s, 1024);
        u8 *top = data_at(c, c->gpr[RSP]);
        if (top)
            le64_put(top, le64_get(top) & ~(u64)(FLAG_TF | FLAG_AC | FLAG_NT | FLAG_ID));
        break;
    }
    default:
        break;
    }
}

static bool ends_elsewhere(const struct op_row *r)
{
    switch (r->op) {
    case OP_jcc:
    case OP_jmp:
    case OP_call:
    case OP_ret:
    case OP_loop:
    case OP_loope:
    case OP_loopne:
    case OP_jcxz:
        return true;
    default:
        return false;
    }
}

bool case_make(struct insn_case *c, const struct op_row *r, enum code_mode mode, u64 *s)
{
    struct encoding e;
    if (!encode(c, r, mode, &e, s))
        return false;
    struct insn *i = &c->insn;
    c->offset = 64 + 32 * below(s, 120);
    /* A gather may be stopped by the trap between two elements. */
    c->step = ends_elsewhere(r) || (one_in(s, 16) && !(r->attr & OPA_VSIB));
    make_registers(c, s);
    make_vectors(c, s);
    make_x87(c, r, s);

    u8 *data = NULL;
    if (i->has_mem) {
        unsigned size = 0;
        for (unsigned n = 0; n < i->nops; n++)
            if (i->opnd[n].kind == OPND_MEM)
                size = i->opnd[n].size;
        /* AMD lets SHA's operands be unaligned; which bytes a masked store may fault on is not
         * laid down. */
        bool plain = r->feature == FEAT_sha || op_exec[r->op] == exec_maskmov;
        if (plain && (i->addrsize == 2 || (i->base == i->index && i->base != MEM_NONE)))
            return false;
        bool takes_rax = r->op == OP_xsave || r->op == OP_xsavec || r->op == OP_xrstor;
        if (takes_rax && (i->base == RAX || i->index == RAX || i->base == RDX || i->index == RDX))
            return false;
        u64 target = make_target(size, plain, s);
        c->size = size;
        data = data_at(c, target);
        if (data)
            fill(data, 64, s);
        aim(c, &e, target, s);
    }
    fill(c->data + below(s, DATA_SIZE / 64) * 64, 64, s);
    help(c, r, data, s);
    for (unsigned n = 0; mode != CODE64 && n < 16; n++)
        c->gpr[n] = n < 8 ? (u32)c->gpr[n] : 0;
    if (decode(i, c->code, INSN_MAX, mode) != DECODE_OK || &op_rows[i->row] != r)
        return false;
    memset(c->code + i->len, 0xcc, sizeof(c->code) - i->len);
    return true;
}
