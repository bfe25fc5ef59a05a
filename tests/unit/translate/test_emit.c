/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The assembler against the decoder (which has its own oracle): every register and address form,
 * and guest instructions written again with another memory operand.
 */
#include "translate/emit.h"

#include "cpu/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka wants these first. */
#include <cmocka.h>

static u8 buf[64];

static struct emit fresh(void)
{
    memset(buf, 0, sizeof(buf));
    return (struct emit){.p = buf, .end = buf + sizeof(buf)};
}

static struct insn decoded(const struct emit *e)
{
    struct insn i;
    assert_int_equal(decode(&i, buf, sizeof(buf), CODE64), DECODE_OK);
    assert_int_equal(i.len, e->p - buf);
    return i;
}

static void test_registers(void **state)
{
    for (u8 a = 0; a < 16; a++) {
        for (u8 b = 0; b < 16; b++) {
            struct emit e = fresh();
            emit_rr(&e, X_MOV_LOAD | E_W, a, b);
            struct insn i = decoded(&e);
            assert_int_equal(i.op, OP_mov);
            assert_int_equal(i.opnd[0].reg, a);
            assert_int_equal(i.opnd[1].reg, b);
            assert_int_equal(i.opsize, 8);
        }
    }
}

static void check_memory(struct ememory m, u8 reg)
{
    struct emit e = fresh();

    emit_rm(&e, X_MOV_LOAD, reg, m);
    struct insn i = decoded(&e);
    assert_int_equal(i.op, OP_mov);
    assert_int_equal(i.opnd[0].reg, reg);
    assert_int_equal(i.base, m.base);
    assert_int_equal(i.index, m.index);
    if (m.index != NOREG)
        assert_int_equal(i.scale, m.scale);
    assert_int_equal(i.disp, m.disp);
    assert_int_equal(i.seg == GS, m.gs);
}

static void test_memory(void **state)
{
    static const s32 disps[] = {0, 1, -1, 127, -128, 128, -129, 0x12345678, INT32_MIN};

    for (unsigned base = 0; base <= 16; base++) {
        for (unsigned index = 0; index <= 16; index++) {
            if (index == RSP)
                continue;
            for (unsigned d = 0; d < ARRAY_SIZE(disps); d++) {
                struct ememory m = {(u8)(base == 16 ? NOREG : base),
                                    (u8)(index == 16 ? NOREG : index), d & 3, d & 1, disps[d]};
                check_memory(m, (u8)(base ^ index) & 15);
            }
        }
    }
}

static void test_immediates(void **state)
{
    static const u64 values[] = {0,
                                 1,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0xffffffff80000000ull,
                                 0x123456789abcdef0ull,
                                 UINT64_MAX};

    for (unsigned n = 0; n < ARRAY_SIZE(values); n++) {
        for (u8 r = 0; r < 16; r++) {
            struct emit e = fresh();
            emit_mov_imm(&e, r, values[n]);
            struct insn i = decoded(&e);
            u64 v = i.opnd[0].size == 4 ? (u32)i.imm : i.imm;
            assert_int_equal(i.op, OP_mov);
            assert_int_equal(i.opnd[0].reg, r);
            assert_true(v == values[n]);
        }
    }
}

/* The same instruction with [r11 + r10]. */
static void rewrite(const u8 *code, size_t len, enum code_mode mode)
{
    struct insn was, is;
    struct ememory m = mem_sum(R11, R10);
    struct emit e = fresh();
    u8 padded[16] = {0};

    memcpy(padded, code, len);
    assert_int_equal(decode(&was, padded, sizeof(padded), mode), DECODE_OK);
    assert_true(emit_insn(&e, &was, padded, &m, NOREG));
    is = decoded(&e);
    assert_int_equal(is.row, was.row);
    assert_int_equal(is.base, R11);
    assert_int_equal(is.index, R10);
    assert_int_equal(is.disp, 0);
    assert_true(is.imm == was.imm);
    for (unsigned n = 0; n < was.nops; n++) {
        assert_int_equal(is.opnd[n].kind, was.opnd[n].kind);
        assert_int_equal(is.opnd[n].size, was.opnd[n].size);
        if (was.opnd[n].kind != OPND_MEM && was.opnd[n].kind != OPND_IMM)
            assert_int_equal(is.opnd[n].reg, was.opnd[n].reg);
    }
}

#define REWRITE(mode, ...)                                                                         \
    rewrite((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), mode)

static void test_rewrite(void **state)
{
    REWRITE(CODE64, 0x48, 0x03, 0x44, 0x8b, 0x10);                   /* add rax, [..] */
    REWRITE(CODE64, 0x66, 0x81, 0x05, 1, 2, 3, 4, 0x34, 0x12);       /* add word [rip], imm */
    REWRITE(CODE64, 0xf0, 0x0f, 0xb1, 0x0f);                         /* lock cmpxchg */
    REWRITE(CODE64, 0x65, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0);    /* mov rax, gs:[] */
    REWRITE(CODE64, 0xf2, 0x0f, 0x10, 0x4d, 0xf8);                   /* movsd xmm1, [] */
    REWRITE(CODE64, 0x66, 0x44, 0x0f, 0x3a, 0x0f, 0x09, 5);          /* palignr xmm9, [], 5 */
    REWRITE(CODE64, 0xc5, 0xf5, 0x58, 0x10);                         /* vaddpd ymm2, ymm1, [] */
    REWRITE(CODE64, 0xc4, 0xe2, 0xe9, 0xb8, 0x48, 0x20);             /* vfmadd231pd */
    REWRITE(CODE64, 0x40, 0x48, 0x8b, 0x03);                         /* REX twice */
    REWRITE(CODE32, 0x80, 0x3c, 0x9d, 0, 0, 0x10, 0, 7);             /* cmp byte [ebx*4], 7 */
    REWRITE(CODE32, 0xd9, 0x45, 0x08);                               /* fld dword */
    REWRITE(CODE32, 0xc7, 0x83, 1, 0, 0, 0, 0x78, 0x56, 0x34, 0x12); /* mov dword [], imm */
}

static void test_high_byte(void **state)
{
    static const u8 code[16] = {0x88, 0x27}; /* mov [rdi], ah */
    struct ememory m = mem_sum(R11, R10);
    struct emit e = fresh();
    struct insn i;

    assert_int_equal(decode(&i, code, sizeof(code), CODE64), DECODE_OK);
    assert_false(emit_insn(&e, &i, code, &m, NOREG));
    assert_ptr_equal(e.p, buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_immediates), cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_high_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
