/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An assembler for the instructions that the translator makes up itself, and for guest instructions
 * that are written again with other operands.  Intel SDM volume 2, chapter 2.
 *
 * Code is written through one mapping of the code cache and runs from another (W^X); jumps inside
 * the cache are relative, so only whoever takes an absolute address adds `rx`.
 */
#ifndef WIRT_TRANSLATE_EMIT_H
#define WIRT_TRANSLATE_EMIT_H

#include "base/endian.h"
#include "cpu/insn.h"

struct emit {
    u8 *p;   /* where the next byte goes (writable mapping) */
    u8 *end; /* of the room */
    s64 rx;  /* executable address - writable address */
};

/* Opcodes for the functions below: opcode byte, map, mandatory prefix, operand size. */
enum {
    E_66 = 1 << 8,
    E_F3 = 1 << 9,
    E_F2 = 1 << 10,
    E_0F = 1 << 12,
    E_38 = 2 << 12,
    E_3A = 3 << 12,
    E_W = 1 << 16, /* 64-bit operands */
    E_B = 1 << 17, /* byte registers: REX for SPL, BPL, SIL, DIL */
};

enum { NOREG = 0xff };

/* A host memory operand; gs: the CPU's own state, base NOREG. */
struct ememory {
    u8 base, index; /* NOREG = none */
    u8 scale;       /* shift */
    bool gs;
    s32 disp;
};

static inline struct ememory mem_gs(u32 off)
{
    return (struct ememory){NOREG, NOREG, 0, true, (s32)off};
}

static inline struct ememory mem_gs_index(u8 base, u32 off)
{
    return (struct ememory){base, NOREG, 0, true, (s32)off};
}

static inline struct ememory mem_at(u8 base, s32 disp)
{
    return (struct ememory){base, NOREG, 0, false, disp};
}

static inline struct ememory mem_sum(u8 base, u8 index)
{
    return (struct ememory){base, index, 0, false, 0};
}

/* Whoever emits has made sure that there is room for all of it; `end` is for checking afterwards.
 */
static inline void emit8(struct emit *e, u8 v)
{
    *e->p++ = v;
}

static inline void emit32(struct emit *e, u32 v)
{
    le32_put(e->p, v);
    e->p += 4;
}

static inline void emit64(struct emit *e, u64 v)
{
    le64_put(e->p, v);
    e->p += 8;
}

/* opcode reg, rm and opcode reg, mem; an immediate is emitted by the caller afterwards. */
void emit_rr(struct emit *e, u32 op, u8 reg, u8 rm);
void emit_rm(struct emit *e, u32 op, u8 reg, struct ememory m);

/* mov reg, imm by the shortest form; changes no flags. */
void emit_mov_imm(struct emit *e, u8 reg, u64 v);
/* op reg, imm with op = 0 add, 1 or, 2 adc, 3 sbb, 4 and, 5 sub, 6 xor, 7 cmp. */
void emit_alu_imm(struct emit *e, unsigned op, bool wide, u8 reg, s32 imm);
void emit_alu_mem_imm(struct emit *e, unsigned op, bool wide, struct ememory m, s32 imm);

/* Jumps return where their 32-bit displacement stands; emit_patch() points it at `to`. */
u8 *emit_jmp(struct emit *e);
u8 *emit_jcc(struct emit *e, unsigned cc);
void emit_patch(u8 *rel32, const u8 *to);
void emit_jmp_to(struct emit *e, const u8 *to);
void emit_jcc_to(struct emit *e, unsigned cc, const u8 *to);
/* Short forward jump: emit_jcc8() gives the place, emit_here8() ends it. */
u8 *emit_jcc8(struct emit *e, unsigned cc);
void emit_here8(struct emit *e, u8 *rel8);
/* lea reg, [rip + ...]; the displacement as with jumps. */
u8 *emit_lea_rip(struct emit *e, u8 reg);

/* Where an instruction's parts stand in its bytes. */
struct insn_bytes {
    const u8 *imm; /* what follows ModRM, SIB and displacement */
    u8 imm_len;
};
void insn_split(struct insn_bytes *b, const struct insn *i, const u8 *raw);

/* Writes guest instruction i again as 64-bit code, its memory operand (ModRM.rm) replaced by *m
 * when m is given.  reg: another ModRM.reg, or NOREG.  Address-size, segment and REP prefixes are
 * dropped, also F2 and F3 in the one-byte map.  False: cannot be encoded (AH and the like beside a
 * register that needs REX); nothing was written. */
bool emit_insn(struct emit *e, const struct insn *i, const u8 *raw, const struct ememory *m,
               u8 reg);

/* Condition codes. */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP };

/* Opcodes used by name. */
enum {
    X_MOV_STORE = 0x89,
    X_MOV_LOAD = 0x8b,
    X_MOV8_STORE = 0x88,
    X_MOV_MI = 0xc7,
    X_LEA = 0x8d,
    X_OR_LOAD = 0x0b,
    X_XOR_LOAD = 0x33,
    X_CMP_LOAD = 0x3b,
    X_ADD_LOAD = 0x03,
    X_TEST_MI = 0xf7,
    X_MOVZX16 = E_0F | 0xb7,
    X_JMP_IND = 0xff, /* /4 */
};

#endif
