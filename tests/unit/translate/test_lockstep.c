/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --check reports what it is for: a translated block that does the right thing passes, and one that
 * leaves a wrong register, flag, byte of memory, vector or address is told.
 */
#include "machine.h"

#include <unistd.h>

enum { DATA = 0x200000, NEXT = CODE + 22 };

/* The first block ends with its jump, and the second one reads its zero flag. */
static const u8 program[] = {
    0x48, 0xbb, 0,    0,    0x20, 0, 0, 0, 0, 0, /* mov rbx, DATA */
    0x48, 0x01, 0xc8,                            /* add rax, rcx */
    0x48, 0x89, 0x03,                            /* mov [rbx], rax */
    0x66, 0x0f, 0xfe, 0xc1,                      /* paddd xmm0, xmm1 */
    0xeb, 0x00,                                  /* jmp NEXT */
    0x74, 0x00,                                  /* NEXT: jz */
    0xf4,                                        /* hlt */
};

static void (*real_enter)(struct soft *sc, const void *host);
static void (*spoil)(struct soft *sc);

static void spoiling_enter(struct soft *sc, const void *host)
{
    real_enter(sc, host);
    if (sc->c.s.rip == NEXT)
        spoil(sc);
}

static void nothing(struct soft *sc)
{
}

static void a_register(struct soft *sc)
{
    sc->c.s.gpr[RAX]++;
}

static void the_stack_pointer(struct soft *sc)
{
    sc->c.s.gpr[RSP] -= 8;
}

static void a_flag(struct soft *sc)
{
    sc->c.s.rflags ^= FLAG_ZF;
}

static void a_flag_that_nobody_reads(struct soft *sc)
{
    sc->c.s.rflags ^= FLAG_PF;
}

static void memory(struct soft *sc)
{
    sc->c.vm->mem.hva[DATA + 7] ^= 1;
}

static void a_vector(struct soft *sc)
{
    sc->c.s.x.xmm[0][15] ^= 0x80;
}

static void the_address(struct soft *sc)
{
    sc->c.s.rip += 2;
}

/* Runs the program with each run of its first block spoiled: whether the check tells, and what it
 * says on stderr. */
static bool told(struct machine *m, void (*how)(struct soft *), char *text, size_t size)
{
    struct soft *sc = (struct soft *)m->c;
    struct cpu_state start = {.gpr = {[RAX] = 5, [RCX] = 7, [RSP] = 0x300000}};
    FILE *f = tmpfile();
    int was = dup(2);

    start.x.fcw = 0x37f;
    start.x.mxcsr = 0x1f80;
    start.x.xstate_bv = 7;
    memset(start.x.xmm[1], 0x11, 16);
    memset(m->vm.mem.hva + DATA, 0, 8);
    set_state(m, true, &start);
    sc->differs = false;
    spoil = how;

    assert_non_null(f);
    fflush(stderr);
    dup2(fileno(f), 2);
    for (unsigned n = 0; n < 100 && !sc->c.s.halted && !sc->differs; n++)
        soft_turn(sc);
    fflush(stderr);
    dup2(was, 2);
    close(was);
    rewind(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
    if (!sc->differs) {
        assert_true(sc->c.s.halted);
        assert_int_equal(sc->c.s.gpr[RAX], 12);
        assert_string_equal(text, "");
    }
    return sc->differs;
}

static void differences_are_told(void **state)
{
    struct machine *m = calloc(1, sizeof(*m));
    struct soft *sc;
    char text[4096];

    open_machine(m, &engine_soft, true);
    sc = (struct soft *)m->c;
    memcpy(m->vm.mem.hva + CODE, program, sizeof(program));
    soft_bind(sc);
    real_enter = sc->thunks[1].enter;
    sc->thunks[1].enter = spoiling_enter;

    assert_false(told(m, nothing, text, sizeof(text)));
    assert_false(told(m, a_flag_that_nobody_reads, text, sizeof(text)));

    assert_true(told(m, a_register, text, sizeof(text)));
    assert_non_null(strstr(text, "the engines differ in the block at 100000 (5 instructions)"));
    assert_non_null(strstr(text, "rax                   5                c                d  <"));
    assert_non_null(strstr(text, "add rax, rcx")); /* the block is listed */
    assert_true(told(m, the_stack_pointer, text, sizeof(text)));
    assert_true(told(m, a_flag, text, sizeof(text)));
    assert_true(told(m, memory, text, sizeof(text)));
    assert_non_null(strstr(text, "memory differs"));
    assert_true(told(m, a_vector, text, sizeof(text)));
    assert_non_null(strstr(text, "vector or x87 state differs"));
    assert_true(told(m, the_address, text, sizeof(text)));

    vec_save(sc);
    vm_destroy(&m->vm);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(differences_are_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
