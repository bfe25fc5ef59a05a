/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The comparison of decode() with libzydis, and the list of what may differ and why.
 */
#include "zydis_compare.h"

#include "base/endian.h"
#include "cpu/ops.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>

struct zinsn {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const ZydisDecodedOperand *visible[ZYDIS_MAX_OPERAND_COUNT];
    unsigned nvisible;
};

static bool zydis_decode(struct zinsn *z, const u8 *p, size_t avail, enum code_mode mode,
                         ZyanStatus *st)
{
    static ZydisDecoder decoders[3];
    static bool ready;
    if (!ready) {
        ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
        ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
        ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        for (int n = 0; n < 3; n++) {
            ZydisDecoderEnableMode(&decoders[n], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
            ZydisDecoderEnableMode(&decoders[n], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
            ZydisDecoderEnableMode(&decoders[n], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
            ZydisDecoderEnableMode(&decoders[n], ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
            ZydisDecoderEnableMode(&decoders[n], ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
        }
        ready = true;
    }
    const ZydisDecoder *d = &decoders[mode == CODE16 ? 0 : mode == CODE32 ? 1 : 2];
    *st = ZydisDecoderDecodeFull(d, p, avail, &z->i, z->op);
    if (ZYAN_FAILED(*st))
        return false;
    z->nvisible = 0;
    for (unsigned n = 0; n < z->i.operand_count; n++)
        if (z->op[n].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
            z->visible[z->nvisible++] = &z->op[n];
    return true;
}

/* Zydis's name -> ours, where they differ. */
static const struct {
    const char *zydis, *wirt;
} names[] = {
    {"cdqe", "cbw"},
    {"cwde", "cbw"},
    {"cdq", "cwd"},
    {"cqo", "cwd"},
    {"movsb", "movs"},
    {"movsw", "movs"},
    {"movsq", "movs"},
    {"cmpsb", "cmps"},
    {"cmpsw", "cmps"},
    {"cmpsq", "cmps"},
    {"stosb", "stos"},
    {"stosw", "stos"},
    {"stosd", "stos"},
    {"stosq", "stos"},
    {"lodsb", "lods"},
    {"lodsw", "lods"},
    {"lodsd", "lods"},
    {"lodsq", "lods"},
    {"scasb", "scas"},
    {"scasw", "scas"},
    {"scasd", "scas"},
    {"scasq", "scas"},
    {"insb", "ins"},
    {"insw", "ins"},
    {"insd", "ins"},
    {"outsb", "outs"},
    {"outsw", "outs"},
    {"outsd", "outs"},
    {"pushfd", "pushf"},
    {"pushfq", "pushf"},
    {"popfd", "popf"},
    {"popfq", "popf"},
    {"iretd", "iret"},
    {"iretq", "iret"},
    {"pushad", "pusha"},
    {"popad", "popa"},
    {"jcxz", "jcxz"},
    {"jecxz", "jcxz"},
    {"jrcxz", "jcxz"},
    {"cmpxchg16b", "cmpxchg8b"},
    {"fxsave64", "fxsave"},
    {"fxrstor64", "fxrstor"},
    {"xsave64", "xsave"},
    {"xrstor64", "xrstor"},
    {"xsaveopt64", "xsaveopt"},
    {"xsavec64", "xsavec"},
    {"pextrq", "pextrd"},
    {"pinsrq", "pinsrd"},
    {"vpextrq", "vpextrd"},
    {"vpinsrq", "vpinsrd"},
    {"movabs", "mov"},
    {"prefetch", "nop"},
    {"prefetchw", "nop"},
    {"prefetchwt1", "nop"},
    {"prefetchnta", "nop"},
    {"prefetcht0", "nop"},
    {"prefetcht1", "nop"},
    {"prefetcht2", "nop"},
    {"fsetpm287_nop", "fnsetpm"},
    {"feni8087_nop", "fneni"},
    {"fdisi8087_nop", "fndisi"},
    {"fstpnce", "fstp"},
    {"lfence", "lfence"},
    {"sysretq", "sysret"},
    {"sysexitq", "sysexit"},
};

static bool same_name(const struct insn *i, const struct zinsn *z)
{
    const char *zn = ZydisMnemonicGetString(z->i.mnemonic), *wn = op_names[i->op];
    if (!strcmp(zn, wn))
        return true;
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++)
        if (!strcmp(zn, names[n].zydis) && !strcmp(wn, names[n].wirt))
            return true;
    switch (i->op) {
    case OP_xchg: /* F3 with REX.B: processors exchange */
        return i->map == 0 && i->opcode == 0x90 && !strcmp(zn, "pause");
    case OP_jcc:
        return z->i.meta.category == ZYDIS_CATEGORY_COND_BR;
    case OP_cmovcc:
        return z->i.meta.category == ZYDIS_CATEGORY_CMOV;
    case OP_setcc:
        return z->i.meta.category == ZYDIS_CATEGORY_SETCC;
    case OP_movs:
        return i->opsize == 4 && !strcmp(zn, "movsd");
    case OP_cmps:
        return i->opsize == 4 && !strcmp(zn, "cmpsd");
    case OP_movsr:
    case OP_movcr:
    case OP_movdr:
        return !strcmp(zn, "mov");
    case OP_callf:
        return !strcmp(zn, "call");
    case OP_jmpf:
        return !strcmp(zn, "jmp");
    case OP_retf:
        return !strcmp(zn, "ret");
    case OP_movd:
        return !strcmp(zn, "movq");
    case OP_vmovd:
        return !strcmp(zn, "vmovq");
    case OP_fxch:
        return !strncmp(zn, "fxch", 4);
    default:
        return false;
    }
}

/* Instruction sets that Wirt does not offer (ops.tab, last line of its head). */
static bool not_offered(const struct zinsn *z)
{
    switch (z->i.meta.isa_ext) {
    case ZYDIS_ISA_EXT_AMD3DNOW:
    case ZYDIS_ISA_EXT_AMD_INVLPGB:
    case ZYDIS_ISA_EXT_PT:
    case ZYDIS_ISA_EXT_VMFUNC:
    case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_XOP:
    case ZYDIS_ISA_EXT_FMA4:
    case ZYDIS_ISA_EXT_TBM:
    case ZYDIS_ISA_EXT_SSE4A:
    case ZYDIS_ISA_EXT_VTX:
    case ZYDIS_ISA_EXT_SVM:
    case ZYDIS_ISA_EXT_RTM:
    case ZYDIS_ISA_EXT_SGX:
    case ZYDIS_ISA_EXT_SGX_ENCLV:
    case ZYDIS_ISA_EXT_CET:
    case ZYDIS_ISA_EXT_MPX:
    case ZYDIS_ISA_EXT_PKU:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VPCLMULQDQ:
    case ZYDIS_ISA_EXT_XSAVES:
    case ZYDIS_ISA_EXT_SMX:
    case ZYDIS_ISA_EXT_ENQCMD:
    case ZYDIS_ISA_EXT_MOVDIR:
    case ZYDIS_ISA_EXT_WAITPKG:
    case ZYDIS_ISA_EXT_RDPRU:
    case ZYDIS_ISA_EXT_CLZERO:
    case ZYDIS_ISA_EXT_MCOMMIT:
    case ZYDIS_ISA_EXT_SNP:
    case ZYDIS_ISA_EXT_UINTR:
    case ZYDIS_ISA_EXT_AMX_TILE:
    case ZYDIS_ISA_EXT_AMX_BF16:
    case ZYDIS_ISA_EXT_AMX_INT8:
    case ZYDIS_ISA_EXT_SERIALIZE:
    case ZYDIS_ISA_EXT_TSX_LDTRK:
    case ZYDIS_ISA_EXT_HRESET:
    case ZYDIS_ISA_EXT_KEYLOCKER:
    case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
    case ZYDIS_ISA_EXT_PADLOCK:
    case ZYDIS_ISA_EXT_PCONFIG:
    case ZYDIS_ISA_EXT_TDX:
    case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_INVPCID:
    case ZYDIS_ISA_EXT_MONITORX:
    case ZYDIS_ISA_EXT_KNC:
    case ZYDIS_ISA_EXT_KNCE:
    case ZYDIS_ISA_EXT_KNCV:
        return z->i.mnemonic != ZYDIS_MNEMONIC_INVPCID;
    default:
        break;
    }
    return z->i.mnemonic == ZYDIS_MNEMONIC_RSM;
}

static int reg_number(ZydisRegister r)
{
    return ZydisRegisterGetId(r);
}

static bool same_reg(const struct insn *i, const struct operand *o, ZydisRegister r)
{
    unsigned id = reg_number(r);
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
        if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
            return o->kind == OPND_GPR8H && o->reg == r - ZYDIS_REGISTER_AH;
        id = r < ZYDIS_REGISTER_AH ? (unsigned)(r - ZYDIS_REGISTER_AL)
                                   : (unsigned)(r - ZYDIS_REGISTER_SPL) + 4;
        return o->kind == OPND_GPR && o->size == 1 && o->reg == id;
    case ZYDIS_REGCLASS_GPR16:
        return o->kind == OPND_GPR && o->size == 2 && o->reg == id;
    case ZYDIS_REGCLASS_GPR32:
        return o->kind == OPND_GPR && o->size == 4 && o->reg == id;
    case ZYDIS_REGCLASS_GPR64:
        return o->kind == OPND_GPR && o->size == 8 && o->reg == id;
    case ZYDIS_REGCLASS_X87:
        return o->kind == OPND_ST && o->reg == id;
    case ZYDIS_REGCLASS_MMX:
        return o->kind == OPND_MMX && o->reg == id;
    case ZYDIS_REGCLASS_XMM:
        return o->kind == OPND_VEC && o->size <= 16 && o->reg == id;
    case ZYDIS_REGCLASS_YMM:
        return o->kind == OPND_VEC && o->size == 32 && o->reg == id;
    case ZYDIS_REGCLASS_SEGMENT:
        return o->kind == OPND_SREG && o->reg == id;
    case ZYDIS_REGCLASS_CONTROL:
        return o->kind == OPND_CR && o->reg == id;
    case ZYDIS_REGCLASS_DEBUG:
        return o->kind == OPND_DR && o->reg == id;
    default:
        return false;
    }
}

static bool same_mem(const struct insn *i, const struct operand *o, const ZydisDecodedOperand *z)
{
    static const u8 segs[] = {ES, CS, SS, DS, FS, GS};
    unsigned seg = segs[z->mem.segment - ZYDIS_REGISTER_ES];
    if (o->kind == OPND_STR_DST)
        return seg == ES && reg_number(z->mem.base) == RDI;
    if (o->kind == OPND_STR_SRC)
        return seg == i->seg && reg_number(z->mem.base) == RSI;
    if (o->kind != OPND_MEM)
        return false;
    unsigned base = z->mem.base == ZYDIS_REGISTER_NONE ? MEM_NONE
                    : z->mem.base == ZYDIS_REGISTER_RIP || z->mem.base == ZYDIS_REGISTER_EIP
                        ? MEM_RIP
                        : (unsigned)reg_number(z->mem.base);
    unsigned index =
        z->mem.index == ZYDIS_REGISTER_NONE ? MEM_NONE : (unsigned)reg_number(z->mem.index);
    /* SIB with base 5 and mod 0 has no base whatever REX.B says; Zydis forgets that for R13D. */
    if (z->mem.base == ZYDIS_REGISTER_R13D && i->modrm < 0x40 && i->base == MEM_NONE)
        return true;
    if (base != i->base || index != i->index)
        return false;
    if (index != MEM_NONE && z->mem.scale != 1 << i->scale)
        return false;
    if (z->mem.type == ZYDIS_MEMOP_TYPE_MEM && seg != i->seg)
        return false;
    u64 mask = i->addrsize == 8 ? UINT64_MAX : BIT64(8 * i->addrsize) - 1;
    if (((u64)i->disp ^ (u64)z->mem.disp.value) & mask)
        return false;
    if (i->op == OP_clflush || i->op == OP_clflushopt || i->op == OP_clwb)
        return true; /* a byte; Zydis: the line */
    return z->mem.type == ZYDIS_MEMOP_TYPE_AGEN || o->size == 255 || o->size == 0 ||
           z->size == 8 * o->size ||
           i->op == OP_movsxd || /* with 66: 16 bits on Intel, 32 on AMD and for Zydis */
           ZYDIS_MEMOP_TYPE_VSIB == z->mem.type;
}

static bool same_operand(const struct insn *i, const struct operand *o,
                         const ZydisDecodedOperand *z)
{
    u64 mask = o->size == 8 || !o->size ? UINT64_MAX : BIT64(8 * o->size) - 1;
    switch (z->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return same_reg(i, o, z->reg.value);
    case ZYDIS_OPERAND_TYPE_MEMORY:
        return same_mem(i, o, z);
    case ZYDIS_OPERAND_TYPE_POINTER:
        return o->kind == OPND_FAR && i->imm == z->ptr.offset && i->imm2 == z->ptr.segment;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        if (o->kind == OPND_IMM2)
            return i->imm2 == z->imm.value.u;
        return (z->imm.is_relative ? o->kind == OPND_REL : o->kind == OPND_IMM) &&
               !((i->imm ^ z->imm.value.u) & mask);
    default:
        return false;
    }
}

/* Operands that one of the two does not list. */
static bool operands_not_compared(const struct insn *i)
{
    switch (i->op) {
    case OP_xchg:
        return i->map == 0 && i->prefixes & PFX_F3;
    case OP_nop:  /* hint forms: with or without operands */
    case OP_xlat: /* ours has none */
    case OP_ud0:
    case OP_ud1:
    case OP_lar: /* the size of a register source */
    case OP_lsl:
    case OP_monitor:
    case OP_mwait:
        return true;
    default: /* x87 with implied registers */
        return op_rows[i->row].unit == UNIT_x87 && !i->has_mem;
    }
}

static const char *compare(const struct insn *i, const struct zinsn *z, char *why, size_t size)
{
    if (i->len != z->i.length)
        return "length";
    if (!same_name(i, z))
        return "mnemonic";
    if (operands_not_compared(i))
        return NULL;
    unsigned n = 0, m = 0;
    for (; n < i->nops && m < z->nvisible; n++, m++) {
        const ZydisDecodedOperand *zo = z->visible[m];
        if (zo->type == ZYDIS_OPERAND_TYPE_REGISTER && op_rows[i->row].unit == UNIT_x87 &&
            i->opnd[n].kind == OPND_MEM) { /* x87 with memory: ST(0) is not listed in ours */
            n--;
            continue;
        }
        if ((i->opnd[n].kind == OPND_ST && i->has_mem) || op_rows[i->row].mode[n] == AM_DI) {
            m--; /* or not in theirs; nor is what MASKMOV writes to */
            continue;
        }
        if (!same_operand(i, &i->opnd[n], zo)) {
            snprintf(why, size, "operand %u", n);
            return why;
        }
    }
    return NULL;
}

/* Zydis says undefined, the decoder does not, and that is right. */
static bool allowed_valid(const struct insn *i, ZyanStatus st, enum code_mode mode)
{
    return false;
}

/* The decoder says undefined, Zydis does not, and that is right. */
static bool allowed_invalid(const struct zinsn *z, const u8 *p)
{
    return not_offered(z);
}

const char *zydis_compare(const u8 *p, size_t avail, enum code_mode mode, unsigned *len, char *why,
                          size_t size)
{
    struct zinsn z;
    struct insn i;
    ZyanStatus st;
    bool zok = zydis_decode(&z, p, avail, mode, &st);
    enum decode_result res = decode(&i, p, avail, mode);

    *len = zok ? z.i.length : res == DECODE_OK ? i.len : 1;
    if (zok && res == DECODE_OK) {
        char buf[32];
        const char *what = compare(&i, &z, buf, sizeof(buf));
        if (!what || not_offered(&z))
            return NULL;
        snprintf(why, size, "%s (%s, row %s)", what, ZydisMnemonicGetString(z.i.mnemonic),
                 op_names[i.op]);
        return why;
    }
    if (zok && allowed_invalid(&z, p))
        return NULL;
    if (res == DECODE_OK && allowed_valid(&i, st, mode))
        return NULL;
    if (zok) {
        snprintf(why, size, "only Zydis decodes it: %s (result %d)",
                 ZydisMnemonicGetString(z.i.mnemonic), res);
        return why;
    }
    if (res == DECODE_OK) {
        snprintf(why, size, "only decode() does: %s (status %d)", op_names[i.op],
                 ZYAN_STATUS_CODE(st));
        return why;
    }
    return NULL;
}
