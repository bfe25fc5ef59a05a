/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What reaches a processor from outside: interrupts, NMI, INIT, SIPI; HLT; triple faults; MSRs that
 * belong to the interrupt controller; CPUID's topology.  Real mode, with a fake local APIC.
 */
#include "cpu/cpuid.h"
#include "cpu/interp.h"
#include "cpu/msr.h"
#include "fixture.h"

struct env {
    struct fx f;
    int vector; /* what ack() gives, then -1 */
    unsigned inits;
    u64 deadline;
};

static int ack(void *opaque)
{
    struct env *v = opaque;
    int n = v->vector;

    v->vector = -1;
    vcpu_lower(&v->f.vcpu, VCPU_INTR);
    return n;
}

static void on_init(void *opaque)
{
    ((struct env *)opaque)->inits++;
}

static bool rdmsr(void *opaque, u32 msr, u64 *val)
{
    *val = ((struct env *)opaque)->deadline;
    return msr == 0x6e0;
}

static bool wrmsr(void *opaque, u32 msr, u64 val)
{
    ((struct env *)opaque)->deadline = val;
    return msr == 0x6e0;
}

static int setup(void **state)
{
    struct env *v = calloc(1, sizeof(*v));

    fx_open(&v->f);
    v->f.vcpu.intc = (struct vcpu_intc){
        .ack = ack, .init = on_init, .rdmsr = rdmsr, .wrmsr = wrmsr, .opaque = v};
    pthread_mutex_init(&v->f.vcpu.lock, NULL);
    fx_mode(&v->f, FX_REAL);
    v->f.cpu->s.idtr.limit = 0x3ff;
    for (unsigned i = 0; i < 256; i++) {
        v->f.ram[i * 4] = (u8)i; /* vector i: 9000:00i0 */
        v->f.ram[i * 4 + 3] = 0x90;
    }
    *state = v;
    return 0;
}

static int teardown(void **state)
{
    struct env *v = *state;

    fx_close(&v->f);
    free(v);
    return 0;
}

static void code(struct env *v, const char *bytes, size_t n)
{
    memcpy(v->f.ram + FX_CODE, bytes, n);
    v->f.cpu->s.rip = FX_CODE;
}

static void test_interrupt(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    code(v, "\x90\x90", 2);
    v->vector = 0x42;
    vcpu_raise(&v->f.vcpu, VCPU_INTR);
    assert_false(cpu_take_event(c)); /* IF is clear */
    c->s.rflags |= FLAG_IF;
    assert_true(cpu_take_event(c));
    assert_int_equal(c->s.seg[CS].sel, 0x9000);
    assert_int_equal(c->s.rip, 0x42);
    assert_false(c->s.rflags & FLAG_IF);
    assert_int_equal(*(u16 *)(v->f.ram + (u16)c->s.gpr[RSP]), FX_CODE);
    assert_false(cpu_take_event(c));
}

static void test_spurious(void **state)
{
    struct env *v = *state;

    v->f.cpu->s.rflags |= FLAG_IF;
    v->vector = -1;
    vcpu_raise(&v->f.vcpu, VCPU_INTR);
    assert_false(cpu_take_event(v->f.cpu));
}

static void test_sti_shadow(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    code(v, "\xfb\x90\x90", 3); /* sti; nop; nop */
    v->vector = 0x42;
    vcpu_raise(&v->f.vcpu, VCPU_INTR);
    interp_step(c);
    assert_false(cpu_take_event(c));
    interp_step(c);
    assert_true(cpu_take_event(c));
    assert_int_equal(*(u16 *)(v->f.ram + (u16)c->s.gpr[RSP]), FX_CODE + 2);
}

static void test_nmi(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    vcpu_raise(&v->f.vcpu, VCPU_NMI);
    assert_true(cpu_take_event(c));
    assert_int_equal(c->s.rip, 2);
    vcpu_raise(&v->f.vcpu, VCPU_NMI);
    assert_false(cpu_take_event(c)); /* until IRET */
    v->f.ram[0x90002] = 0xcf;
    interp_step(c);
    assert_int_equal(c->s.rip, FX_CODE);
    assert_true(cpu_take_event(c));
}

static void test_init_sipi(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    v->f.vcpu.index = 1;
    c->s.gpr[RBX] = 5;
    c->s.pat = 0x0606060606060606;
    vcpu_raise(&v->f.vcpu, VCPU_INIT);
    assert_true(cpu_take_event(c));
    assert_int_equal(v->inits, 1);
    assert_true(c->s.wait_sipi);
    assert_int_equal(c->s.gpr[RBX], 0);
    assert_true(c->s.pat == 0x0606060606060606);
    v->vector = 0x42;
    c->s.rflags |= FLAG_IF;
    vcpu_raise(&v->f.vcpu, VCPU_INTR | VCPU_NMI);
    assert_false(cpu_take_event(c)); /* nothing but SIPI */
    v->f.vcpu.sipi_vector = 0x9a;
    vcpu_raise(&v->f.vcpu, VCPU_SIPI);
    assert_true(cpu_take_event(c));
    assert_false(c->s.wait_sipi);
    assert_int_equal(c->s.seg[CS].sel, 0x9a00);
    assert_int_equal(c->s.seg[CS].base, 0x9a000);
    assert_int_equal(c->s.rip, 0);
}

static void test_hlt(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    code(v, "\xf4\x90", 2);
    c->s.rflags |= FLAG_IF;
    interp_step(c);
    assert_true(c->s.halted);
    v->vector = 0x42;
    vcpu_raise(&v->f.vcpu, VCPU_INTR);
    assert_true(cpu_sleep(c));
    assert_true(cpu_take_event(c));
    assert_false(c->s.halted);
    assert_int_equal(*(u16 *)(v->f.ram + (u16)c->s.gpr[RSP]), FX_CODE + 1);
    c->s.halted = true;
    vcpu_raise(&v->f.vcpu, VCPU_STOP);
    assert_false(cpu_sleep(c));
}

static void test_run_leaves(void **state)
{
    struct env *v = *state;

    code(v, "\xeb\xfe", 2);
    vcpu_raise(&v->f.vcpu, VCPU_PAUSE);
    assert_int_equal(interp_run(v->f.cpu), RUN_EVENT);
}

static void test_triple_fault(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    fx_mode(&v->f, FX_PROT32);
    c->s.idtr.limit = 0;
    code(v, "\x0f\x0b", 2);
    assert_int_equal(interp_run(c), RUN_TRIPLE);
}

static void test_code_changed(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    code(v, "\xb0\x11\x90\x90\xeb\xfe", 6); /* mov al, 0x11 */
    interp_block(c);
    assert_int_equal(c->s.gpr[RAX], 0x11);
    v->f.ram[FX_CODE + 1] = 0x22;
    mem_wrote(&v->f.vm.mem, v->f.ram + FX_CODE + 1, 1);
    c->s.rip = FX_CODE;
    interp_block(c);
    assert_int_equal(c->s.gpr[RAX], 0x22);
    v->f.ram[FX_CODE + 100] = 1; /* beside it */
    mem_wrote(&v->f.vm.mem, v->f.ram + FX_CODE + 100, 1);
    c->s.rip = FX_CODE;
    interp_block(c);
    assert_int_equal(c->s.gpr[RAX], 0x22);
}

static void test_msrs(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;
    u64 val;

    assert_true(msr_write(c, 0x6e0, 1234));
    assert_true(msr_read(c, 0x6e0, &val));
    assert_int_equal(val, 1234);
    assert_false(msr_read(c, 0x12345, &val));
    assert_false(msr_write(c, 0x277, 0x0202020202020202)); /* PAT types */
    assert_true(msr_write(c, 0x277, 0x0007040600070406));
    assert_false(msr_write(c, 0xc0000100, 0x800000000000)); /* not canonical */
    assert_false(msr_write(c, 0xc0000080, 1 << 12));
    assert_true(msr_write(c, 0x200, 0xc0000006));
    assert_false(msr_write(c, 0x200, 0xc0000002));
    assert_true(msr_write(c, 0x10, 1000000));
    assert_true(msr_read(c, 0x10, &val));
    assert_in_range(val, 1000000, 1000000 + clock_tsc_hz(v->f.vm.clock) * 10);
    u64 adjust;
    assert_true(msr_read(c, 0x3b, &adjust));
    assert_true(msr_write(c, 0x3b, adjust + 500));
    assert_true(msr_read(c, 0x3b, &val));
    assert_true(val == adjust + 500);
}

static void test_cpuid(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;
    struct cpuid_model m;
    struct err e;

    v->f.vm.ncpus = 3;
    v->f.vcpu.index = 2;
    struct cpuid_regs r = cpuid_query(c, 1, 0);
    assert_int_equal(r.ebx >> 24, 2);
    assert_int_equal(r.ebx >> 16 & 0xff, 3);
    assert_true(r.edx & BIT(28));
    assert_false(r.ecx & BIT(31)); /* no hypervisor here */
    assert_int_equal(!!(r.ecx & BIT(27)), !!(c->s.cr4 & CR4_OSXSAVE));
    r = cpuid_query(c, 0x80000008, 0);
    assert_int_equal(r.ecx & 0xff, 2);
    assert_int_equal(r.ecx >> 12 & 0xf, 2);
    r = cpuid_query(c, 0xb, 1);
    assert_int_equal(r.eax, 2);
    assert_int_equal(r.ebx, 3);
    assert_int_equal(r.edx, 2);
    c->s.xcr0 = 3;
    assert_int_equal(cpuid_query(c, 0xd, 0).ebx, 576);
    assert_int_equal(cpuid_query(c, 0x40000000, 0).eax, 0);
    assert_int_equal(cpuid_query(c, 0x80001234, 0).eax, 0);
    v->f.vm.ncpus = 0;
    assert_int_equal(cpuid_model_find(&m, "qemu64", &e), 0);
    assert_false(cpuid_has(&m, FEAT_avx));
    assert_true(cpuid_has(&m, FEAT_lm));
    assert_true(cpuid_model_find(&m, "nonesuch", &e) < 0);
    assert_non_null(strstr(e.msg, "qemu64"));
}

/* A loaded guest sees no feature that it has not seen before. */
static void features_of_a_saved_machine(void **state)
{
    static const char list[] = "sse2\0nosuch\0fpu\0";
    struct cpuid_model m;

    assert_int_equal(cpuid_model_find(&m, "max", NULL), 0);
    assert_true(cpuid_has(&m, FEAT_fpu) && cpuid_has(&m, FEAT_sse2) && cpuid_has(&m, FEAT_pcid));
    cpuid_model_limit(&m, list, sizeof(list) - 1);
    for (unsigned i = 0; i < FEAT_COUNT; i++)
        assert_int_equal(m.has[i], i == FEAT_fpu || i == FEAT_sse2);
    cpuid_model_limit(&m, list, 0);
    assert_false(cpuid_has(&m, FEAT_fpu));
    assert_string_equal(cpuid_feature_name(FEAT_pcid), "pcid");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_of_a_saved_machine),
        T(test_interrupt),
        T(test_spurious),
        T(test_sti_shadow),
        T(test_nmi),
        T(test_init_sipi),
        T(test_hlt),
        T(test_run_leaves),
        T(test_triple_fault),
        T(test_code_changed),
        T(test_msrs),
        T(test_cpuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
