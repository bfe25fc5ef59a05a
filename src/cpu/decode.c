/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction decoder.  Intel SDM volume 2, chapter 2 and appendix A; AMD APM volume 3,
 * chapter 1.
 *
 * An instruction is: prefixes, opcode (with its map), ModRM with SIB and displacement, immediates.
 * Prefixes and map lead to a root of the trees that gen_ops.py makes (ops_decode.h); the tree leads
 * to a row of the op table; the row's operand letters say what becomes of registers, memory and
 * immediates.  There is no knowledge of single instructions here, save the escapes C4, C5 and 62.
 *
 * Where processors differ:
 * - A 66 prefix on near branches in 64-bit mode has no effect, as on Intel (AMD: 16-bit target).
 * - MOVSXD with 66 reads 16 bits, as on Intel.
 * - F2 and F3 on an instruction that does not know them have no effect; BND and HLE hints neither.
 *   Of several F2 and F3 the last one counts.
 * - In 64-bit mode ES, CS, SS and DS overrides have no effect at all.
 * - VEX is decoded in 16-bit mode too.  In real and virtual-8086 mode these bytes are undefined:
 *   whoever runs insn.vex there raises #UD.  (LES and LDS of a register are undefined as well.)
 * - LOCK with MOV CR0 (AMD's CR8 in 32-bit mode) is undefined.
 *
 * All of it is pure: no processor state, no allocation; the bytes need not be trusted.
 */
#include "base/endian.h"
#include "cpu/ops.h"
#include "cpu/ops_decode.h"

/* What is left of the bytes.  Reading past the end gives zeroes and sets `over`. */
struct cursor {
    const u8 *p, *end;
    bool over;
};

static inline u8 fetch8(struct cursor *c)
{
    if (unlikely(c->p >= c->end)) {
        c->over = true;
        return 0;
    }
    return *c->p++;
}

/* size is 1, 2, 4 or 8. */
static inline u64 fetch(struct cursor *c, unsigned size)
{
    if (unlikely((size_t)(c->end - c->p) < size)) {
        c->p = c->end;
        c->over = true;
        return 0;
    }
    const u8 *p = c->p;
    c->p += size;
    return size == 1 ? *p : size == 2 ? le16_get(p) : size == 4 ? le32_get(p) : le64_get(p);
}

static inline s64 sign_extend(u64 v, unsigned size)
{
    return size == 1 ? (s8)v : size == 2 ? (s16)v : size == 4 ? (s32)v : (s64)v;
}

/* Everything about the prefixes that the insn does not keep. */
struct prefixes {
    u8 simd;     /* the mandatory prefix: OPP_NP, OPP_66, OPP_F3, OPP_F2 */
    u8 override; /* enum seg_reg or SEG_COUNT */
};

enum { PC_NONE, PC_SEG, PC_66, PC_67, PC_LOCK, PC_REP, PC_REPNE, PC_REX };

static const u8 prefix_class[256] = {
    [0x26] = PC_SEG,  [0x2e] = PC_SEG,   [0x36] = PC_SEG, [0x3e] = PC_SEG,
    [0x64] = PC_SEG,  [0x65] = PC_SEG,   [0x66] = PC_66,  [0x67] = PC_67,
    [0xf0] = PC_LOCK, [0xf2] = PC_REPNE, [0xf3] = PC_REP, [0x40 ... 0x4f] = PC_REX,
};

static u8 segment_of_prefix(u8 b)
{
    return b >= 0x64 ? FS + (b - 0x64) : (b >> 3) & 3;
}

/* Reads prefixes; returns the first byte after them. */
static u8 read_prefixes(struct insn *i, struct cursor *c, struct prefixes *pf)
{
    for (;;) {
        u8 b = fetch8(c);
        u8 class = prefix_class[b];
        if (likely(class == PC_NONE) || c->over)
            return b;
        if (class == PC_REX) {
            if (i->mode != CODE64)
                return b;
            i->rex = b; /* counts only when no prefix comes after it */
            continue;
        }
        i->rex = 0;
        switch (class) {
        case PC_SEG:
            if (i->mode != CODE64 || b >= 0x64)
                pf->override = segment_of_prefix(b);
            break;
        case PC_66:
            i->prefixes |= PFX_66;
            break;
        case PC_67:
            i->prefixes |= PFX_67;
            break;
        case PC_LOCK:
            i->prefixes |= PFX_LOCK;
            break;
        case PC_REP:
            i->prefixes |= PFX_F3;
            pf->simd = OPP_F3;
            break;
        default:
            i->prefixes |= PFX_F2;
            pf->simd = OPP_F2;
            break;
        }
    }
}

/* C4 and C5; false: undefined. */
static bool read_vex(struct insn *i, struct cursor *c, struct prefixes *pf, u8 escape)
{
    if (i->rex || i->prefixes & (PFX_66 | PFX_F2 | PFX_F3 | PFX_LOCK))
        return false;
    u8 b = fetch8(c);
    u8 rex = b & 0x80 ? 0 : REX_R;
    i->map = 1;
    if (escape == 0xc4) {
        if (!(b & 0x40))
            rex |= REX_X;
        if (!(b & 0x20))
            rex |= REX_B;
        i->map = b & 0x1f;
        b = fetch8(c);
        if (b & 0x80)
            rex |= REX_W;
    }
    i->vex = true;
    i->vex_v = ~(b >> 3) & 15;
    i->vex_l = b >> 2 & 1;
    static const u8 simd[4] = {OPP_NP, OPP_66, OPP_F3, OPP_F2};
    pf->simd = simd[b & 3];
    i->rex = rex;
    if (i->mode != CODE64)
        i->rex &= REX_W;
    i->opcode = fetch8(c);
    return i->map >= 1 && i->map <= 3;
}

/* The opcode and its map; false: undefined. */
static bool read_opcode(struct insn *i, struct cursor *c, struct prefixes *pf)
{
    u8 b = read_prefixes(i, c, pf);
    if (unlikely(b == 0xc4 || b == 0xc5 || b == 0x62)) {
        if (i->mode == CODE64 || (c->p < c->end && *c->p >= 0xc0))
            return b != 0x62 && read_vex(i, c, pf, b);
        if (c->p >= c->end)
            c->over = true;
    }
    if (b == 0x0f) {
        b = fetch8(c);
        i->map = 1;
        if (b == 0x38 || b == 0x3a) {
            i->map = b == 0x38 ? 2 : 3;
            b = fetch8(c);
        }
    }
    i->opcode = b;
    return true;
}

/* Walks from the root to a row number; 0 = undefined. */
static unsigned find_row(struct insn *i, struct cursor *c, const struct prefixes *pf)
{
    unsigned n = op_root[i->map + (i->vex ? 3 : 0)][i->opcode];
    if (n & TREE_MODRM) {
        i->has_modrm = true;
        i->modrm = fetch8(c);
    }
    n &= ~TREE_MODRM;
    while (!(n & TREE_LEAF)) {
        unsigned branch = 0;
        switch (op_tree[n]) {
        case DIM_MODE64:
            branch = i->mode == CODE64;
            break;
        case DIM_PREFIX:
            branch = pf->simd;
            break;
        case DIM_MOD:
            branch = i->modrm >= 0xc0;
            break;
        case DIM_REG:
            branch = i->modrm >> 3 & 7;
            break;
        case DIM_RM:
            branch = i->modrm & 7;
            break;
        case DIM_REXB:
            branch = i->rex & REX_B;
            break;
        case DIM_W:
            branch = i->rex >> 3 & 1;
            break;
        default:
            branch = i->vex_l;
            break;
        }
        n = op_tree[n + 1 + branch];
    }
    return n & ~TREE_LEAF;
}

static void set_sizes(struct insn *i, u32 attr)
{
    bool p66 = i->prefixes & PFX_66 && !(attr & OPA_P66);
    bool p67 = i->prefixes & PFX_67;
    switch (i->mode) {
    case CODE64:
        i->addrsize = p67 ? 4 : 8;
        if (attr & OPA_F64 || i->rex & REX_W)
            i->opsize = 8;
        else if (p66)
            i->opsize = 2;
        else
            i->opsize = attr & OPA_D64 ? 8 : 4;
        break;
    case CODE32:
        i->addrsize = p67 ? 2 : 4;
        i->opsize = p66 ? 2 : 4;
        break;
    default:
        i->addrsize = p67 ? 4 : 2;
        i->opsize = p66 ? 4 : 2;
        break;
    }
}

/* SDM volume 2, table 2-1. */
static void read_mem16(struct insn *i, struct cursor *c)
{
    static const u8 base[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const u8 index[8] = {RSI, RDI, RSI, RDI, MEM_NONE, MEM_NONE, MEM_NONE, MEM_NONE};
    unsigned mod = i->modrm >> 6, rm = i->modrm & 7;
    i->base = base[rm];
    i->index = index[rm];
    if (mod == 0 && rm == 6) {
        i->base = MEM_NONE;
        i->disp = sign_extend(fetch(c, 2), 2);
    } else if (mod) {
        i->disp = sign_extend(fetch(c, mod), mod);
    }
}

/* SDM volume 2, tables 2-2 and 2-3. */
static void read_mem32(struct insn *i, struct cursor *c, bool vsib)
{
    unsigned mod = i->modrm >> 6, rm = i->modrm & 7;
    unsigned disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (rm == 4) {
        u8 sib = fetch8(c);
        unsigned index = (sib >> 3 & 7) | (i->rex & REX_X) << 2;
        rm = sib & 7;
        if (index != RSP || vsib) {
            i->index = index;
            i->scale = sib >> 6;
        }
        i->base = rm | (i->rex & REX_B) << 3;
        if (rm == 5 && mod == 0) {
            i->base = MEM_NONE;
            disp = 4;
        }
    } else if (rm == 5 && mod == 0) {
        i->base = i->mode == CODE64 ? MEM_RIP : MEM_NONE;
        disp = 4;
    } else {
        i->base = rm | (i->rex & REX_B) << 3;
    }
    if (disp)
        i->disp = sign_extend(fetch(c, disp), disp);
}

/* The column of op_sizes[] for this instruction; has_mem is known. */
static const u8 *operand_sizes(const struct insn *i)
{
    bool is64 = i->mode == CODE64;
    return op_sizes[i->opsize >> 2][is64 && i->rex & REX_W][is64][i->vex_l][i->has_mem];
}

static void set_gpr(const struct insn *i, struct operand *o, unsigned reg)
{
    o->kind = OPND_GPR;
    o->reg = reg;
    if (o->size == 1 && reg >= 4 && reg < 8 && !i->rex && !i->vex) {
        o->kind = OPND_GPR8H;
        o->reg = reg - 4;
    }
}

static void set_reg(struct operand *o, unsigned kind, unsigned reg)
{
    o->kind = kind;
    o->reg = reg;
}

static bool valid_cr(unsigned reg)
{
    return reg == 0 || (reg >= 2 && reg <= 4) || reg == 8;
}

/* An immediate operand; sign-extended and as wide as the first operand, or zero-extended. */
static void read_imm(struct insn *i, struct cursor *c, unsigned n, unsigned size, bool zero)
{
    struct operand *o = &i->opnd[n];
    o->kind = OPND_IMM;
    u64 v = fetch(c, o->size);
    if (zero && n && i->opnd[0].kind == OPND_IMM) { /* ENTER's second */
        o->kind = OPND_IMM2;
        i->imm2 = v;
    } else if (zero) {
        i->imm = v;
    } else {
        i->imm = sign_extend(v, o->size);
        o->size = n ? i->opnd[0].size : i->opsize;
    }
}

/* Operand n of row r; false: there is no such register. */
static bool read_operand(struct insn *i, struct cursor *c, const struct op_row *r, unsigned n,
                         unsigned osize)
{
    struct operand *o = &i->opnd[n];
    unsigned rm = (i->modrm & 7) | (i->rex & REX_B) << 3;
    unsigned reg = (i->modrm >> 3 & 7) | (i->rex & REX_R) << 1;
    unsigned vvvv_mask = i->mode == CODE64 ? 15 : 7;
    unsigned mode = r->mode[n], size = r->size[n];
    o->size = osize;

    switch (mode) {
    case AM_E:
    case AM_M:
    case AM_Q:
    case AM_W:
    case AM_K:
        if (i->has_mem)
            o->kind = OPND_MEM;
        else if (mode == AM_E)
            set_gpr(i, o, rm);
        else if (mode == AM_Q)
            set_reg(o, OPND_MMX, rm & 7);
        else
            set_reg(o, OPND_VEC, rm);
        return true;
    case AM_G:
        set_gpr(i, o, reg);
        return true;
    case AM_F:
    case AM_R:
        set_gpr(i, o, rm);
        return true;
    case AM_Z:
        set_gpr(i, o, (i->opcode & 7) | (i->rex & REX_B) << 3);
        return true;
    case AM_B:
        set_gpr(i, o, i->vex_v & vvvv_mask);
        return true;
    case AM_GPR0:
    case AM_GPR1:
    case AM_GPR2:
        set_reg(o, OPND_GPR, mode - AM_GPR0);
        return true;
    case AM_I:
    case AM_IU:
        read_imm(i, c, n, size, mode == AM_IU);
        return true;
    case AM_ONE:
        set_reg(o, OPND_IMM, 0);
        i->imm = 1;
        return true;
    case AM_J:
        o->kind = OPND_REL;
        if (o->size == 8)
            o->size = 4;
        i->imm = sign_extend(fetch(c, size == SZ_b ? 1 : o->size), size == SZ_b ? 1 : o->size);
        o->size = i->opsize;
        return true;
    case AM_A:
        o->kind = OPND_FAR;
        i->imm = fetch(c, i->opsize);
        i->imm2 = fetch(c, 2);
        return true;
    case AM_O:
        o->kind = OPND_MEM;
        i->has_mem = true;
        i->disp = fetch(c, i->addrsize);
        return true;
    case AM_DI:
        o->kind = OPND_MEM;
        o->size = r->unit == UNIT_mmx ? 8 : 16;
        i->has_mem = true;
        i->base = RDI;
        return true;
    case AM_X:
        o->kind = OPND_STR_SRC;
        return true;
    case AM_Y:
        o->kind = OPND_STR_DST;
        return true;
    case AM_V:
        set_reg(o, OPND_VEC, reg);
        return true;
    case AM_H:
        set_reg(o, OPND_VEC, i->vex_v & vvvv_mask);
        return true;
    case AM_U:
        set_reg(o, OPND_VEC, rm);
        return true;
    case AM_L:
        i->imm = fetch8(c) & (i->mode == CODE64 ? 0xff : 0x7f);
        set_reg(o, OPND_VEC, i->imm >> 4);
        return true;
    case AM_P:
        set_reg(o, OPND_MMX, reg & 7);
        return true;
    case AM_N:
        set_reg(o, OPND_MMX, rm & 7);
        return true;
    case AM_S:
        set_reg(o, OPND_SREG, reg & 7);
        return o->reg < SEG_COUNT && !(r->access[n] & OPN_W && o->reg == CS);
    case AM_C:
        set_reg(o, OPND_CR, reg);
        return valid_cr(reg);
    case AM_D:
        set_reg(o, OPND_DR, reg);
        return reg < 8;
    case AM_ES:
        set_reg(o, OPND_SREG, ES);
        return true;
    case AM_CS:
        set_reg(o, OPND_SREG, CS);
        return true;
    case AM_SS:
        set_reg(o, OPND_SREG, SS);
        return true;
    case AM_DS:
        set_reg(o, OPND_SREG, DS);
        return true;
    case AM_FS:
        set_reg(o, OPND_SREG, FS);
        return true;
    case AM_GS:
        set_reg(o, OPND_SREG, GS);
        return true;
    case AM_ST0:
        set_reg(o, OPND_ST, 0);
        return true;
    default: /* AM_STI */
        set_reg(o, OPND_ST, rm & 7);
        return true;
    }
}

/* A gather needs a SIB byte and three different registers. */
static bool valid_gather(const struct insn *i)
{
    return i->index != MEM_NONE && i->opnd[0].reg != i->index && i->opnd[2].reg != i->index &&
           i->opnd[0].reg != i->opnd[2].reg;
}

static bool read_operands(struct insn *i, struct cursor *c, const struct op_row *r,
                          const struct prefixes *pf)
{
    if (i->has_modrm && i->modrm < 0xc0 && !(r->attr & OPA_MOD3)) {
        bool vsib = r->attr & OPA_VSIB;
        i->has_mem = true;
        if (i->addrsize == 2)
            read_mem16(i, c);
        else
            read_mem32(i, c, vsib);
        i->seg = i->base == RBP || i->base == RSP ? SS : DS;
        if (pf->override != SEG_COUNT)
            i->seg = pf->override;
        if (vsib && (i->addrsize == 2 || (i->modrm & 7) != 4))
            return false;
    }
    i->nops = r->nops;
    const u8 *sizes = operand_sizes(i);
    for (unsigned n = 0; n < r->nops; n++)
        if (!read_operand(i, c, r, n, sizes[r->size[n]]))
            return false;
    return !(r->attr & OPA_VSIB) || valid_gather(i);
}

/* Prefixes against the row; false: undefined. */
static bool check_prefixes(struct insn *i, const struct op_row *r, const struct prefixes *pf)
{
    if (r->attr & (OPA_REP | OPA_REPZ)) {
        if (pf->simd == OPP_F3)
            i->prefixes |= PFX_REP;
        else if (pf->simd == OPP_F2)
            i->prefixes |= PFX_REPNE;
    }
    if (unlikely(i->prefixes & PFX_LOCK) && !(r->attr & OPA_LOCK && i->opnd[0].kind == OPND_MEM))
        return false;
    bool valid = !i->vex || r->attr & OPA_VVVV || i->vex_v == 0;
    if (i->mode != CODE64) { /* what has no effect there */
        i->vex_v &= 7;
        if (r->w < 0)
            i->rex = 0;
    }
    return valid;
}

enum decode_result decode(struct insn *i, const u8 *p, size_t avail, enum code_mode mode)
{
    struct cursor c = {.p = p, .end = p + min(avail, (size_t)INSN_MAX)};
    struct prefixes pf = {.override = SEG_COUNT};
    *i = (struct insn){.mode = mode, .base = MEM_NONE, .index = MEM_NONE, .seg = DS};

    bool valid = read_opcode(i, &c, &pf);
    if (valid && pf.simd == OPP_NP && i->prefixes & PFX_66)
        pf.simd = OPP_66;
    if (valid && !c.over) {
        i->row = find_row(i, &c, &pf);
        const struct op_row *r = &op_rows[i->row];
        i->op = r->op;
        set_sizes(i, r->attr);
        if (pf.override != SEG_COUNT) {
            i->prefixes |= PFX_SEG;
            i->seg = pf.override;
        }
        valid = i->row && read_operands(i, &c, r, &pf) && check_prefixes(i, r, &pf);
    }
    i->len = c.p - p;
    if (unlikely(c.over))
        return avail >= INSN_MAX ? DECODE_TOO_LONG : DECODE_MORE;
    return likely(valid) ? DECODE_OK : DECODE_UD;
}
