/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor of a PV guest: what its kernel sets by hypercalls, and how it is entered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "pv_domain.h"

#include "cpu/interp.h"

enum { ARGS = 0x10000, CODE = 0x61000, HANDLER = 0x62000, STACK = 0x64000, TABLE = 32, LDT };
/* A frame on the kernel's stack, in words. */
enum { F_RCX, F_R11, F_RIP, F_CS, F_FLAGS, F_RSP, F_SS, F_WORDS };
#define DATA_AT(base)                                                                              \
    (0x00cff3000000ffffull | ((base)&0xffffffull) << 16 | ((base) >> 24 & 0xff) << 56)
#define CODE32_FLAT 0x00cffb000000ffffull

static int open_domain(void **state)
{
    struct domain *d = malloc(sizeof(*d));
    struct {
        u8 vector, flags;
        u16 cs;
        u32 pad;
        u64 address;
    } traps[] = {{0x80, 3, FLAT_RING3_CS64, 0, HANDLER},
                 {0x81, 0, FLAT_RING3_CS64, 0, HANDLER},
                 {EXC_GP, 4, FLAT_RING3_CS64, 0, HANDLER + 64},
                 {0}};

    pv_domain_open(d, 1);
    domain_put(d, ARGS, traps, sizeof(traps));
    assert_int_equal(pv_do(d, HYPERVISOR_set_trap_table, ARGS, 0, 0, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_stack_switch, FLAT_RING3_SS64, STACK, 0, 0), 0);
    d->x->vcpu[0].info->evtchn_upcall_mask = 0;
    *state = d;
    return 0;
}

static int close_domain(void **state)
{
    struct domain *d = *state;

    domain_close(d);
    free(d);
    return 0;
}

static s64 ext(struct domain *d, u32 cmd, u64 arg1, u64 arg2)
{
    struct mmuext_op op = {cmd, 0, arg1, arg2};

    domain_put(d, ARGS, &op, sizeof(op));
    return pv_do(d, HYPERVISOR_mmuext_op, ARGS, 1, 0, DOMID_SELF);
}

static s64 callback(struct domain *d, u16 type, u64 address)
{
    struct {
        u16 type, flags, pad[2];
        u64 address;
    } a = {type, CALLBACKF_mask_events, {0}, address};

    domain_put(d, ARGS, &a, sizeof(a));
    return pv_do(d, HYPERVISOR_callback_op, CALLBACKOP_register, ARGS, 0, 0);
}

/* A program runs one instruction. */
static struct cpu *program(struct domain *d, const void *code, size_t n)
{
    struct cpu *c = pv_cpu_of(d, 0);

    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, PV_ROOT, 0), 0);
    domain_put(d, CODE, code, n);
    ring3_switch(c, false, PV_ROOT << PAGE_SHIFT);
    c->s.rip = CODE;
    c->s.gpr[RSP] = 0x1238;
    interp_step(c);
    return c;
}

static u64 word(struct domain *d, unsigned n)
{
    return domain_u64(d, pv_cpu_of(d, 0)->s.gpr[RSP] + n * 8);
}

/* The kernel has been entered, from a program at rip. */
static void entered(struct domain *d, u64 at, u64 rip, u64 cs, u64 rsp)
{
    const struct cpu *c = pv_cpu_of(d, 0);

    assert_int_equal(c->s.rip, at);
    assert_true(c->s.ring3_kernel);
    assert_int_equal(c->s.gpr[RSP], STACK - F_WORDS * 8);
    assert_int_equal(word(d, F_RIP), rip);
    assert_int_equal(word(d, F_CS), cs); /* and above it, that events were not masked */
    assert_int_equal(word(d, F_RSP), rsp);
    assert_int_equal(word(d, F_SS), FLAT_RING3_SS64);
    assert_true(word(d, F_FLAGS) & FLAG_IF);
}

static void test_interrupts(void **state)
{
    struct domain *d = *state;

    program(d, (u8[]){0xcd, 0x80}, 2);
    entered(d, HANDLER, CODE + 2, FLAT_RING3_CS64, 0x1238);
    assert_int_equal(d->x->vcpu[0].info->evtchn_upcall_mask, 0);
    struct cpu *c = program(d, (u8[]){0xcd, 0x81}, 2); /* not for programs: #GP */
    assert_int_equal(c->s.rip, HANDLER + 64);
    assert_int_equal(word(d, 2), 0x81 * 8 + 2);
    assert_int_equal(word(d, 3), CODE);
    assert_int_equal(d->x->vcpu[0].info->evtchn_upcall_mask, 1); /* its flags say so */
}

static void test_syscalls(void **state)
{
    struct domain *d = *state;
    struct cpu *c = pv_cpu_of(d, 0);

    assert_int_equal(callback(d, CALLBACKTYPE_syscall, HANDLER), 0);
    assert_int_equal(callback(d, CALLBACKTYPE_syscall32, HANDLER + 128), 0);
    assert_int_equal(callback(d, CALLBACKTYPE_syscall32, BIT64(47)), -XEN_EINVAL);
    program(d, (u8[]){0x0f, 0x05}, 2);
    entered(d, HANDLER, CODE + 2, FLAT_RING3_CS64, 0x1238);
    assert_int_equal(c->s.gpr[RCX], CODE + 2);
    d->x->vcpu[0].info->evtchn_upcall_mask = 0;
    assert_true(ring3_load_cs_ss(c, FLAT_RING3_CS32, FLAT_RING3_SS64));
    program(d, (u8[]){0x0f, 0x05}, 2);
    entered(d, HANDLER + 128, CODE + 2, FLAT_RING3_CS32, 0x1238);
    assert_int_equal(c->code, CODE64);
}

/* Where the processor has it in long mode, as Intel's do. */
static void test_sysenter(void **state)
{
    struct domain *d = *state;
    struct cpu *c = pv_cpu_of(d, 0);
    __typeof__(c->model) own = c->model;
    struct cpuid_model intel = *own;

    intel.vendor = "GenuineIntel";
    c->model = &intel;
    program(d, (u8[]){0x0f, 0x34}, 2);
    assert_int_equal(c->s.rip, HANDLER + 64); /* #GP: the kernel wants none */
    d->x->vcpu[0].info->evtchn_upcall_mask = 0;
    assert_int_equal(callback(d, CALLBACKTYPE_sysenter, HANDLER), 0);
    program(d, (u8[]){0x0f, 0x34}, 2);
    entered(d, HANDLER, 0, 3, 0);
    assert_int_equal(d->x->vcpu[0].info->evtchn_upcall_mask, 1);
    c->model = own;
}

/* A GDT of the guest's and an LDT, and segments out of both. */
static void test_tables(void **state)
{
    struct domain *d = *state;
    struct cpu *c = pv_cpu_of(d, 0);
    u64 *gdt = pv_table_of(d, TABLE), *ldt = pv_table_of(d, LDT);

    gdt[4] = DATA_AT(0x12345000ull);
    gdt[5] = CODE32_FLAT;
    ldt[2] = DATA_AT(0x55000ull);
    ldt[3] = 0x0000ec0000100000ull; /* a gate */
    domain_put(d, ARGS, &(u64){TABLE}, 8);
    const u64 readonly = TABLE << PAGE_SHIFT | PTE_PRESENT | PTE_USER | PTE_ACCESSED;
    assert_int_equal(
        pv_do(d, HYPERVISOR_update_va_mapping, TABLE << PAGE_SHIFT, readonly, UVMF_INVLPG, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, ARGS, 512, 0, 0), 0);
    assert_int_equal(ext(d, MMUEXT_SET_LDT, LDT << PAGE_SHIFT, 16), 0);

    assert_true(ring3_load_cs_ss(c, 5 * 8 + 3, 4 * 8 + 3));
    assert_int_equal(c->code, CODE32);
    assert_int_equal(c->s.seg[SS].base, 0x12345000);
    assert_true(ring3_load_cs_ss(c, FLAT_RING3_CS64, 2 * 8 + 4 + 3));
    assert_int_equal(c->s.seg[SS].base, 0x55000);
    assert_false(ring3_load_cs_ss(c, FLAT_RING3_CS64, 3 * 8 + 4 + 3));
    assert_false(ring3_load_cs_ss(c, FLAT_RING3_CS64, 16 * 8 + 4 + 3)); /* behind its end */
    assert_false(ring3_load_cs_ss(c, FLAT_RING3_CS64, 600 * 8 + 3));
    const u64 entry = (u64)TABLE << PAGE_SHIFT | 4 * 8;
    assert_int_equal(pv_do(d, HYPERVISOR_update_descriptor, entry, DATA_AT(0x777000ull), 0, 0), 0);
    assert_true(ring3_load_cs_ss(c, FLAT_RING3_CS64, 4 * 8 + 3));
    assert_int_equal(c->s.seg[SS].base, 0x777000);
    assert_true(ring3_load_cs_ss(c, FLAT_RING3_CS64, FLAT_RING3_SS64));

    assert_int_equal(pv_do(d, HYPERVISOR_set_segment_base, SEGBASE_FS, 0x1111000, 0, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_set_segment_base, SEGBASE_GS_KERNEL, 0x2222000, 0, 0), 0);
    assert_int_equal(c->s.seg[FS].base, 0x1111000);
    assert_int_equal(pv_do(d, HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 4 * 8 + 3, 0, 0),
                     0);
    assert_int_equal(c->s.kernel_gs_base, 0x777000); /* the program's */
    assert_int_equal(c->s.seg[GS].base, 0x2222000);
    assert_int_equal(pv_do(d, HYPERVISOR_set_segment_base, 4, 0, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, 0, 0, 0, 0), 0);
    assert_int_equal(ext(d, MMUEXT_SET_LDT, 0, 0), 0);
}

static void test_registers(void **state)
{
    struct domain *d = *state;
    struct cpu *c = pv_cpu_of(d, 0);

    for (u64 n = 0; n < 4; n++) {
        assert_int_equal(pv_do(d, HYPERVISOR_set_debugreg, n, 0x1000 * n, 0, 0), 0);
        assert_int_equal(pv_do(d, HYPERVISOR_get_debugreg, n, 0, 0, 0), 0x1000 * n);
    }
    assert_int_equal(pv_do(d, HYPERVISOR_set_debugreg, 7, BIT(13), 0, 0), -XEN_EPERM);
    assert_int_equal(pv_do(d, HYPERVISOR_set_debugreg, 7, 0xd0101, 0, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_get_debugreg, 7, 0, 0, 0), 0xd0501);
    assert_int_equal(pv_do(d, HYPERVISOR_set_debugreg, 4, 0, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_get_debugreg, 5, 0, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_set_debugreg, 7, 0, 0, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0), 0);
    assert_true(c->s.cr0 & CR0_TS);
    assert_int_equal(pv_do(d, HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0), 0);
    assert_false(c->s.cr0 & CR0_TS);
    domain_put(d, ARGS, &(u32){1}, 4);
    assert_int_equal(pv_do(d, HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, ARGS, 0, 0), 0);
    assert_int_equal(d->x->pv->vcpu[0].iopl, 1);
    domain_put(d, ARGS, &(u32){4}, 4);
    assert_int_equal(pv_do(d, HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, ARGS, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_vm_assist, 0, 2, 0, 0), 0); /* writable page tables */
    assert_int_equal(pv_do(d, HYPERVISOR_vm_assist, 0, 40, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_vm_assist, 2, 2, 0, 0), -XEN_ENOSYS);
}

/* The timer of old kernels, what a vCPU has run, and an NMI. */
static void test_vcpu(void **state)
{
    struct domain *d = *state;
    struct cpu *c = pv_cpu_of(d, 0);
    struct xen_runstate_info r;

    assert_int_equal(pv_do(d, HYPERVISOR_set_timer_op, UINT64_MAX / 4, 0, 0, 0), 0);
    assert_int_equal(d->x->vcpu[0].single_at, UINT64_MAX / 4);
    assert_int_equal(pv_do(d, HYPERVISOR_set_timer_op, 0, 0, 0, 0), 0);
    assert_int_equal(d->x->vcpu[0].single_at, 0);
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, ARGS, 0), 0);
    memcpy(&r, d->vm.mem.hva + ARGS, sizeof(r));
    assert_int_equal(r.state, 0); /* running */
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 9, ARGS, 0),
                     -XEN_ENOENT);
    assert_int_equal(callback(d, CALLBACKTYPE_nmi, HANDLER), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_send_nmi, 0, 0, 0), 0);
    c->s.rip = CODE;
    c->s.gpr[RSP] = STACK;
    assert_true(cpu_take_event(c));
    assert_int_equal(c->s.rip, HANDLER);
    assert_int_equal(word(d, F_RIP), CODE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_domain, close_domain)
    const struct CMUnitTest tests[] = {
        TEST(test_interrupts), TEST(test_syscalls),  TEST(test_sysenter),
        TEST(test_tables),     TEST(test_registers), TEST(test_vcpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
