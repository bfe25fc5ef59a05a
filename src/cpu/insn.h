/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One decoded instruction: what the decoder gives and what interpreter, translator, tracer and
 * instruction tests take.  64 bytes, no pointers into guest memory, valid for as long as the bytes
 * it was decoded from and the mode it was decoded in.
 */
#ifndef WIRT_CPU_INSN_H
#define WIRT_CPU_INSN_H

#include "base/types.h"
#include "core/arch.h"

#include <stdio.h>

enum { INSN_MAX = 15 }; /* bytes */

/* The mode in which code is decoded: the CS descriptor's D and L bits with EFER.LMA. */
enum code_mode { CODE16 = 2, CODE32 = 4, CODE64 = 8 };

enum opnd_kind {
    OPND_NONE,
    OPND_GPR,   /* reg 0-15, size 1, 2, 4 or 8 */
    OPND_GPR8H, /* reg 0-3: AH, CH, DH, BH */
    OPND_MEM,   /* the memory operand described by insn.seg/base/index/scale/disp */
    OPND_IMM,   /* insn.imm, sign-extended to 64 bits (or zero-extended where the manual says) */
    OPND_IMM2,  /* insn.imm2 (ENTER's second byte, EXTRQ) */
    OPND_REL,   /* branch target = next rip + (s64)insn.imm, cut to the operand size */
    OPND_FAR,   /* direct far pointer: offset insn.imm, selector insn.imm2 */
    OPND_SREG,  /* enum seg_reg */
    OPND_CR,
    OPND_DR,
    OPND_ST,      /* x87 register ST(reg) */
    OPND_MMX,     /* reg 0-7 */
    OPND_VEC,     /* xmm (size 16 or less: scalar) or ymm (size 32) register 0-15 */
    OPND_STR_SRC, /* implied [seg:rSI] */
    OPND_STR_DST, /* implied [ES:rDI] */
};

struct operand {
    u8 kind; /* enum opnd_kind */
    u8 reg;
    u8 size; /* bytes; 0 = has none (LEA's memory, FAR); 255 = larger (FXSAVE and the like) */
};

/* insn.prefixes */
enum {
    PFX_LOCK = 1 << 0,
    PFX_REP = 1 << 1,   /* F3, where it is a repeat prefix */
    PFX_REPNE = 1 << 2, /* F2, where it is a repeat prefix */
    PFX_66 = 1 << 3,
    PFX_67 = 1 << 4,
    PFX_SEG = 1 << 5, /* a segment override that has effect */
    PFX_F3 = 1 << 6,  /* F3 is there, in whatever role */
    PFX_F2 = 1 << 7,
};

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, REX = 0x40 };

enum { MEM_NONE = 0xff, MEM_RIP = 0x10 }; /* insn.base, insn.index: none; RIP-relative */

struct insn {
    u16 op;      /* enum op_id: the mnemonic */
    u16 row;     /* index into op_rows[] */
    u8 len;      /* bytes, 1-15 */
    u8 mode;     /* enum code_mode */
    u8 opsize;   /* effective operand size: 2, 4 or 8 (byte forms: see the operands) */
    u8 addrsize; /* effective address size: 2, 4 or 8 */
    u8 prefixes; /* PFX_* */
    u8 rex;      /* REX_* from REX or VEX; REX itself set when a REX prefix is there */
    bool vex;
    u8 vex_l;  /* 0 = 128 bits, 1 = 256 */
    u8 vex_v;  /* VEX.vvvv, not inverted */
    u8 map;    /* 0 = one byte, 1 = 0F, 2 = 0F38, 3 = 0F3A */
    u8 opcode; /* last opcode byte; low nibble is the condition for jcc, setcc, cmovcc */
    u8 modrm;  /* 0 when there is none (has_modrm) */
    bool has_modrm;
    bool has_mem;
    u8 seg;   /* enum seg_reg of the memory operand, default or override */
    u8 base;  /* GPR, MEM_RIP or MEM_NONE */
    u8 index; /* GPR or MEM_NONE */
    u8 scale; /* 0-3: shift of index */
    s64 disp; /* sign-extended; moffs: the whole address; RIP: relative to the next instruction */
    u64 imm;
    u16 imm2;
    u8 nops;
    struct operand opnd[4];
};
_Static_assert(sizeof(struct insn) <= 72, "one cache line and a bit");

enum decode_result {
    DECODE_OK,
    DECODE_UD,       /* #UD: undefined, or wrong in this mode; i->len is how much was looked at */
    DECODE_TOO_LONG, /* #GP: more than 15 bytes */
    DECODE_MORE,     /* the bytes given end inside the instruction */
};

/* Decodes from avail bytes at p.  Pure: no CPU state but the mode; CPUID and privilege are not
 * looked at (see op_rows[].cpuid).  LOCK where it is not allowed gives DECODE_UD. */
enum decode_result decode(struct insn *i, const u8 *p, size_t avail, enum code_mode mode);

/* Intel syntax for traces, from the op table, e.g. "add qword [rax+rcx*4+0x10], rbx". */
void insn_print(const struct insn *i, u64 rip, char *buf, size_t size);

static inline bool insn_is_mem(const struct insn *i, unsigned n)
{
    return i->opnd[n].kind == OPND_MEM;
}

#endif
