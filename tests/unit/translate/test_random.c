/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs, run by the translator and by the interpreter: registers, flags, vector and x87
 * state and memory must agree at the end.
 *
 * A program is a few hundred random instructions from the op table, with conditional jumps forward,
 * calls, loops, and runs of accesses by one register.  Memory operands are made to point into a
 * data area, now and then across a page. Arguments: how many programs, and the first seed (to
 * repeat a failure).
 */
#include "program.h"

enum {
    FUNCS = 0x180000,
    INSNS = 200,
};

static u64 programs = 400, first_seed = 1, insns = INSNS;

static void make_program(struct machine *m, bool long_mode)
{
    struct prog g = {m->vm.mem.hva + CODE, long_mode};

    memset(m->vm.mem.hva + CODE, 0xf4, 0x40000);
    memset(m->vm.mem.hva + FUNCS, 0xf4, 0x1000);
    for (unsigned n = 0; n < insns; n++) {
        u64 r = rnd();
        if ((r & 15) == 0) { /* jcc over a few */
            u8 *at = g.p;
            g.p += 2;
            for (unsigned k = 0; k < 1 + (r >> 8 & 1); k++)
                random_insn(&g);
            at[0] = (u8)(0x70 | (r >> 16 & 15));
            at[1] = (u8)(g.p - at - 2);
            if (g.p - at - 2 > 127)
                g.p = at;
        } else if ((r & 31) == 5) {
            random_fields(&g);
        } else if ((r & 31) == 1) { /* a call over a few and back: call +1; jmp +1...; ret */
            static const u8 code[] = {0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3};
            put(&g, code, sizeof(code));
        } else if ((r & 63) == 2) { /* a loop */
            put_mov(&g, RCX, 1 + (r >> 8 & 7));
            u8 *at = g.p;
            random_insn(&g);
            struct insn i;
            bool bad = g.p == at || g.p - at > 100;
            for (u8 *q = at; q < g.p && !bad; q += i.len) {
                if (decode(&i, q, 16, long_mode ? CODE64 : CODE32) != DECODE_OK)
                    break;
                for (unsigned k = 0; k < i.nops; k++)
                    bad |= i.opnd[k].kind == OPND_GPR8H || i.opnd[k].kind == OPND_GPR;
                bad |= op_rows[i.row].attr & OPA_IMP;
            }
            if (bad) {
                g.p = at;
                continue;
            }
            *g.p = 0xe2;
            g.p[1] = (u8)(at - g.p - 2);
            g.p += 2;
        } else {
            random_insn(&g);
        }
    }
    *g.p = 0xf4; /* hlt */
}

/* ------------------------------------------------------------ comparing -- */

static void dump_program(struct machine *m, u64 rip, bool long_mode)
{
    const u8 *p = m->vm.mem.hva + CODE, *end = p + 0x20000;
    char text[100];
    struct insn i;

    for (u64 at = CODE; p < end; p += i.len, at += i.len) {
        if (decode(&i, p, 16, long_mode ? CODE64 : CODE32) != DECODE_OK || i.op == OP_hlt)
            break;
        insn_print(&i, at, text, sizeof(text));
        printf("%s%llx: %s\n", at == rip ? "*" : " ", (unsigned long long)at, text);
    }
}

static void run_interp(struct machine *m)
{
    for (unsigned n = 0; n < 100000 && !m->c->s.halted && !m->c->triple_fault; n++)
        interp_step(m->c);
}

static void run_soft(struct machine *m)
{
    struct soft *sc = (struct soft *)m->c;

    soft_bind(sc);
    for (unsigned n = 0; n < 100000 && !m->c->s.halted && !m->c->triple_fault; n++)
        soft_turn(sc);
    vec_save(sc);
}

static void one(struct machine *soft, struct machine *interp, u64 n)
{
    struct cpu_state start = {0};
    bool long_mode = n & 1;
    u64 first;

    seed = n * 0x9e3779b97f4a7c15ull + 1;
    for (unsigned k = 0; k < 10; k++)
        rnd();
    first = seed;
    for (unsigned r = 0; r < 16; r++)
        start.gpr[r] = long_mode ? rnd() : (r < 8 ? (u32)rnd() : 0);
    start.gpr[RSP] = STACK + (rnd() & 0xff8);
    start.rflags = rnd() & FLAGS_ARITH;
    start.x.fcw = 0x37f;
    start.x.mxcsr = 0x1f80;
    start.x.xstate_bv = 7;
    for (unsigned r = 0; r < (long_mode ? 16 : 8); r++) {
        for (unsigned k = 0; k < 16; k++) {
            start.x.xmm[r][k] = (u8)rnd();
            start.x.ymmh[r][k] = (u8)rnd();
        }
    }
    for (u64 k = 0; k < DATA_SIZE; k += 8)
        *(u64 *)(soft->vm.mem.hva + DATA + k) = rnd();
    memset(soft->vm.mem.hva + STACK - 0x10000, 0x5a, 0x12000);
    make_program(soft, long_mode);
    set_state(soft, long_mode, &start);
    memcpy(interp->vm.mem.hva, soft->vm.mem.hva, RAM);
    set_state(interp, long_mode, &start);
    cache_wrote((struct soft *)soft->c, 0, RAM);
    for (u64 page = 0; page < RAM >> PAGE_SHIFT; page++) {
        interp->vm.mem.page_gen[page]++;
        soft->vm.mem.page_gen[page]++;
    }
    run_interp(interp);
    run_soft(soft);
    (void)first;
    if (!compare(soft, interp, !interp->c->triple_fault)) {
        dump_program(soft, interp->c->s.rip, long_mode);
        fail_msg("program %llu differs", (unsigned long long)n);
    }
}

static void test_random(void **state)
{
    struct machine *soft = calloc(1, sizeof(*soft)), *interp = calloc(1, sizeof(*interp));

    open_machine(soft, &engine_soft, false);
    open_machine(interp, &engine_interp, false);
    for (u64 n = first_seed; n < first_seed + programs; n++)
        one(soft, interp, n);
    vm_destroy(&soft->vm);
    vm_destroy(&interp->vm);
    free(soft);
    free(interp);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    if (argc > 1)
        programs = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 0);
    if (argc > 3)
        insns = strtoull(argv[3], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
