/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partition.h"

#include "base/endian.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CPUS = 3, CALLS = 0x3000, TIME = 0x4000, SIMP = 0x5000, BUF = 0x6000, OS_ID = 0x8100 };

static int open_partition(void **state)
{
    struct partition *p = malloc(sizeof(*p));

    partition_open(p, CPUS, NULL);
    *state = p;
    return 0;
}

static int close_partition(void **state)
{
    partition_close(*state);
    free(*state);
    return 0;
}

static u64 get(struct partition *p, unsigned cpu, u32 msr)
{
    u64 v = 0;

    assert_true(partition_rdmsr(p, cpu, msr, &v));
    return v;
}

static void put(struct partition *p, unsigned cpu, u32 msr, u64 v)
{
    assert_true(partition_wrmsr(p, cpu, msr, v));
}

static void enable_calls(struct partition *p)
{
    put(p, 0, HV_X64_MSR_GUEST_OS_ID, OS_ID);
    put(p, 0, HV_X64_MSR_HYPERCALL, CALLS | 1);
}

static int ack(struct partition *p, unsigned cpu)
{
    return p->vm.vcpu[cpu].intc.ack(p->vm.vcpu[cpu].intc.opaque);
}

static u64 word(struct partition *p, u64 gpa)
{
    return le64_get(p->vm.mem.hva + gpa);
}

/* ------------------------------------------------------------------ tests -- */

static void leaves(void **state)
{
    struct partition *p = *state;
    u32 r[4];

    assert_true(hv_cpuid(p->hv, p->vm.vcpu, 0x40000000, 0, r));
    assert_memory_equal(&r[1], "Microsoft Hv", 12);
    u32 top = r[0];
    assert_true(hv_cpuid(p->hv, p->vm.vcpu, 0x40000001, 0, r));
    assert_memory_equal(&r[0], "Hv#1", 4);
    assert_true(hv_cpuid(p->hv, p->vm.vcpu, top, 0, r));
    assert_false(hv_cpuid(p->hv, p->vm.vcpu, top + 1, 0, r));
    assert_false(hv_cpuid(p->hv, p->vm.vcpu, 0x40000100, 0, r));
}

/* What the leaf of features says is there can be read. */
static void features_are_there(void **state)
{
    static const struct {
        u32 bit, msr;
    } by_bit[] = {
        {AccessPartitionReferenceCounter, HV_X64_MSR_TIME_REF_COUNT},
        {AccessSynicRegs, HV_X64_MSR_SCONTROL},
        {AccessSynicRegs, HV_X64_MSR_SINT15},
        {AccessSyntheticTimerRegs, HV_X64_MSR_STIMER3_COUNT},
        {AccessIntrCtrlRegs, HV_X64_MSR_ICR},
        {AccessIntrCtrlRegs, HV_X64_MSR_VP_ASSIST_PAGE},
        {AccessHypercallMsrs, HV_X64_MSR_HYPERCALL},
        {AccessVpIndex, HV_X64_MSR_VP_INDEX},
        {AccessResetReg, HV_X64_MSR_RESET},
        {AccessPartitionReferenceTsc, HV_X64_MSR_REFERENCE_TSC},
        {AccessFrequencyRegs, HV_X64_MSR_APIC_FREQUENCY},
        {AccessTscInvariantControls, HV_X64_MSR_TSC_INVARIANT_CONTROL},
    };
    struct partition *p = *state;
    u32 r[4], known = 0;
    u64 v;

    assert_true(hv_cpuid(p->hv, p->vm.vcpu, 0x40000003, 0, r));
    for (unsigned i = 0; i < ARRAY_SIZE(by_bit); i++) {
        known |= by_bit[i].bit;
        assert_true(r[0] & by_bit[i].bit);
        assert_true(partition_rdmsr(p, 1, by_bit[i].msr, &v));
    }
    assert_int_equal(r[0], known);
    assert_int_equal(get(p, 2, HV_X64_MSR_VP_INDEX), 2);
    assert_true(get(p, 0, HV_X64_MSR_TSC_FREQUENCY) == clock_tsc_hz(p->vm.clock));
    assert_false(partition_wrmsr(p, 0, HV_X64_MSR_VP_INDEX, 1));
    assert_false(partition_wrmsr(p, 0, HV_X64_MSR_TIME_REF_COUNT, 1));
    assert_false(partition_rdmsr(p, 0, HV_X64_MSR_EOI, &v)); /* write-only */
    assert_false(partition_rdmsr(p, 0, 0x40000010, &v));     /* VP_RUNTIME is not offered */
}

static void hypercall_page(void **state)
{
    static const u8 code[] = {0x0d, 0, 0, 0, 0x80, 0x0f, 0x01, 0xd9, 0xc3};
    struct partition *p = *state;

    put(p, 0, HV_X64_MSR_HYPERCALL, CALLS | 1);
    assert_int_equal(get(p, 0, HV_X64_MSR_HYPERCALL), CALLS); /* nobody has said who is there */
    partition_call(p, 0, HvCallNotifyLongSpinWait, 0, 0);
    assert_int_equal(p->result, PV_UD);
    enable_calls(p);
    assert_memory_equal(p->vm.mem.hva + CALLS, code, sizeof(code));
    assert_int_equal(partition_call(p, 0, HvCallNotifyLongSpinWait, 0, 0), 0);
    assert_int_equal(p->result, PV_DONE);

    put(p, 0, HV_X64_MSR_GUEST_OS_ID, 0);
    partition_call(p, 0, HvCallNotifyLongSpinWait, 0, 0);
    assert_int_equal(p->result, PV_UD);

    put(p, 0, HV_X64_MSR_GUEST_OS_ID, OS_ID);
    put(p, 0, HV_X64_MSR_HYPERCALL, CALLS | 3); /* locked */
    put(p, 0, HV_X64_MSR_HYPERCALL, 0);
    assert_int_equal(get(p, 0, HV_X64_MSR_HYPERCALL), CALLS | 3);
    put(p, 0, HV_X64_MSR_REFERENCE_TSC, 0xffffffffff000 | 1); /* no memory: no harm */
    hyperv_reset(p->hv);
    assert_int_equal(get(p, 0, HV_X64_MSR_HYPERCALL), 0);
}

/* The page and the counter tell the same time. */
static void reference_time(void **state)
{
    struct partition *p = *state;

    put(p, 0, HV_X64_MSR_REFERENCE_TSC, TIME | 1);
    for (unsigned n = 0; n < 100; n++) {
        clock_advance(p->vm.clock, 123456789);
        u64 tsc = clock_tsc(p->vm.clock);
        u64 by_page =
            (u64)(((unsigned __int128)tsc * word(p, TIME + 8)) >> 64) + word(p, TIME + 16);
        u64 counter = get(p, 1, HV_X64_MSR_TIME_REF_COUNT);
        assert_int_equal(counter, clock_now(p->vm.clock) / 100);
        assert_in_range(by_page, counter - 1, counter + 1);
    }
    assert_int_equal((u32)word(p, TIME), 1);
}

static void local_apic(void **state)
{
    struct partition *p = *state;
    struct lapic *l = &p->lapics.lapic[1];

    put(p, 1, HV_X64_MSR_TPR, 0x53);
    assert_int_equal(get(p, 1, HV_X64_MSR_TPR), 0x53);
    assert_int_equal(l->tpr, 0x53);
    lapic_inject(l, 0x61, false);
    lapic_inject(l, 0x71, false);
    assert_int_equal(ack(p, 1), 0x71);
    assert_int_equal(ack(p, 1), -1);
    put(p, 1, HV_X64_MSR_EOI, 0);
    assert_int_equal(ack(p, 1), 0x61);
    put(p, 0, HV_X64_MSR_ICR, 2ull << 56 | 0x99); /* to APIC 2 */
    assert_int_equal(ack(p, 2), 0x99);
    assert_true(get(p, 0, HV_X64_MSR_ICR) == (2ull << 56 | 0x99));
}

static void open_synic(struct partition *p, unsigned cpu, u64 sint)
{
    put(p, cpu, HV_X64_MSR_SCONTROL, 1);
    put(p, cpu, HV_X64_MSR_SIMP, SIMP | 1);
    put(p, cpu, HV_X64_MSR_SINT0 + 2, sint);
}

#define ms(n) ((n)*10000ull) /* in reference time */

static void timer_sends_messages(void **state)
{
    struct partition *p = *state;
    const u64 slot = SIMP + 2 * 256;

    assert_int_equal(get(p, 1, HV_X64_MSR_SINT0 + 2), SINT_MASKED);
    assert_false(partition_wrmsr(p, 1, HV_X64_MSR_SINT0 + 2, 5)); /* no such vector */
    open_synic(p, 1, 0x52);
    put(p, 1, HV_X64_MSR_STIMER0_CONFIG + 1, ms(3));
    put(p, 1, HV_X64_MSR_STIMER0_CONFIG, 2 << STIMER_SINT_SHIFT | STIMER_ENABLE);
    clock_advance(p->vm.clock, 2999999);
    assert_int_equal(word(p, slot), 0);
    clock_advance(p->vm.clock, 1);
    assert_true(word(p, slot) == (HV_MESSAGE_TIMER_EXPIRED | 24ull << 32));
    assert_int_equal(word(p, slot + 16), 0);     /* timer 0 */
    assert_int_equal(word(p, slot + 24), ms(3)); /* when it was to be, */
    assert_int_equal(word(p, slot + 32), ms(3)); /* and was */
    assert_int_equal(ack(p, 1), 0x52);
    put(p, 1, HV_X64_MSR_EOI, 0);
    assert_false(get(p, 1, HV_X64_MSR_STIMER0_CONFIG) & STIMER_ENABLE);

    /* The slot is full: the message waits for EOM, and one is all that comes of many periods. */
    put(p, 1, HV_X64_MSR_STIMER0_CONFIG,
        2 << STIMER_SINT_SHIFT | STIMER_PERIODIC | STIMER_AUTO_ENABLE);
    put(p, 1, HV_X64_MSR_STIMER0_CONFIG + 1, ms(1));
    clock_advance(p->vm.clock, 5500000);
    assert_int_equal(p->vm.mem.hva[slot + 5] & HV_MESSAGE_PENDING, HV_MESSAGE_PENDING);
    assert_int_equal(ack(p, 1), -1);
    memset(p->vm.mem.hva + slot, 0, 256);
    put(p, 1, HV_X64_MSR_EOM, 0);
    assert_int_equal(ack(p, 1), 0x52);
    put(p, 1, HV_X64_MSR_EOI, 0);
    assert_int_equal(word(p, slot + 24), ms(4)); /* the first that was due */
    memset(p->vm.mem.hva + slot, 0, 256);
    clock_advance(p->vm.clock, 500000); /* 9 ms: in step again */
    assert_int_equal(word(p, slot + 24), ms(9));

    put(p, 1, HV_X64_MSR_STIMER0_CONFIG + 1, 0); /* a count of 0 stops it */
    memset(p->vm.mem.hva + slot, 0, 256);
    clock_advance(p->vm.clock, 50000000);
    assert_int_equal(word(p, slot), 0);
}

static void timer_interrupts_directly(void **state)
{
    struct partition *p = *state;

    assert_false(partition_wrmsr(p, 2, HV_X64_MSR_STIMER0_CONFIG + 2, STIMER_DIRECT | 1));
    assert_false(partition_wrmsr(p, 2, HV_X64_MSR_STIMER0_CONFIG + 2, 1 << 13));
    put(p, 2, HV_X64_MSR_STIMER0_CONFIG + 2,
        STIMER_DIRECT | 0xed << STIMER_VECTOR_SHIFT | STIMER_AUTO_ENABLE);
    put(p, 2, HV_X64_MSR_STIMER0_CONFIG + 3, ms(2));
    clock_advance(p->vm.clock, 2000000);
    assert_int_equal(ack(p, 2), 0xed);
    put(p, 2, HV_X64_MSR_EOI, 0);
    put(p, 2, HV_X64_MSR_STIMER0_CONFIG + 3, ms(1)); /* past: at once */
    clock_advance(p->vm.clock, 1);
    assert_int_equal(ack(p, 2), 0xed);
    /* Neither direct nor with a source: no timer */
    put(p, 2, HV_X64_MSR_STIMER0_CONFIG + 2, STIMER_ENABLE);
    assert_int_equal(get(p, 2, HV_X64_MSR_STIMER0_CONFIG + 2), 0);
    /* Periods that no clock can hold */
    put(p, 2, HV_X64_MSR_STIMER0_CONFIG + 3, UINT64_MAX);
    put(p, 2, HV_X64_MSR_STIMER0_CONFIG + 2,
        STIMER_DIRECT | 0xed << STIMER_VECTOR_SHIFT | STIMER_PERIODIC | STIMER_ENABLE);
    put(p, 2, HV_X64_MSR_EOI, 0);
    clock_advance(p->vm.clock, NS_PER_SEC);
    assert_int_equal(ack(p, 2), -1);
}

static void auto_eoi(void **state)
{
    struct partition *p = *state;

    open_synic(p, 0, 0x52 | SINT_AUTO_EOI);
    put(p, 0, HV_X64_MSR_STIMER0_CONFIG + 1, ms(1));
    put(p, 0, HV_X64_MSR_STIMER0_CONFIG, 2 << STIMER_SINT_SHIFT | STIMER_ENABLE);
    clock_advance(p->vm.clock, 1000000);
    assert_int_equal(ack(p, 0), 0x52);
    lapic_inject(&p->lapics.lapic[0], 0x41, false);
    assert_int_equal(ack(p, 0), 0x41); /* nothing is in service */
    put(p, 0, HV_X64_MSR_SINT0 + 2, 0x52);
    lapic_inject(&p->lapics.lapic[0], 0x52, false);
    assert_int_equal(ack(p, 0), 0x52);
    lapic_inject(&p->lapics.lapic[0], 0x42, false);
    assert_int_equal(ack(p, 0), -1);
}

static void calls(void **state)
{
    struct partition *p = *state;
    const u64 fast = HV_HYPERCALL_FAST;

    enable_calls(p);
    assert_int_equal(partition_call(p, 0, 0x7777, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
    assert_int_equal(partition_call(p, 0, HvCallPostMessage, BUF, 0),
                     HV_STATUS_INVALID_CONNECTION_ID);
    /* IPI: a vector and a set of processors */
    assert_int_equal(partition_call(p, 0, HvCallSendSyntheticClusterIpi | fast, 0x77, 6), 0);
    assert_int_equal(ack(p, 0), -1);
    assert_int_equal(ack(p, 1), 0x77);
    assert_int_equal(ack(p, 2), 0x77);
    assert_int_equal(partition_call(p, 0, HvCallSendSyntheticClusterIpi | fast, 15, 6),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(partition_call(p, 0, HvCallSendSyntheticClusterIpi | fast | 1ull << 32, 99, 6),
                     HV_STATUS_INVALID_HYPERCALL_INPUT); /* takes no list */
    assert_int_equal(partition_call(p, 0, HvCallSendSyntheticClusterIpi | fast | 1 << 27, 99, 6),
                     HV_STATUS_INVALID_HYPERCALL_INPUT); /* reserved */
    assert_int_equal(partition_call(p, 0, HvCallSendSyntheticClusterIpi | fast | 1 << 17, 99, 6),
                     HV_STATUS_INVALID_HYPERCALL_INPUT); /* a header that it has not */
    /* Flushes; input in memory */
    le64_put(p->vm.mem.hva + BUF + 8, 0);
    le64_put(p->vm.mem.hva + BUF + 16, 2);
    for (unsigned i = 0; i < CPUS; i++)
        p->vm.vcpu[i].events = 0;
    assert_int_equal(partition_call(p, 0, HvCallFlushVirtualAddressSpace, BUF, 0), 0);
    assert_false(p->vm.vcpu[0].events & VCPU_FLUSH);
    assert_true(p->vm.vcpu[1].events & VCPU_FLUSH);
    assert_false(p->vm.vcpu[2].events & VCPU_FLUSH);
    le64_put(p->vm.mem.hva + BUF + 8, HV_FLUSH_ALL_PROCESSORS);
    assert_true(partition_call(p, 0, HvCallFlushVirtualAddressList | 5ull << 32, BUF, 0) ==
                5ull << 32);
    assert_true(p->vm.vcpu[0].events & p->vm.vcpu[2].events & VCPU_FLUSH);
    assert_int_equal(partition_call(p, 0, HvCallFlushVirtualAddressList, BUF, 0),
                     HV_STATUS_INVALID_HYPERCALL_INPUT); /* an empty list */
    assert_int_equal(partition_call(p, 0, HvCallFlushVirtualAddressSpace, BUF + 4, 0),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(partition_call(p, 0, HvCallFlushVirtualAddressSpace, BUF - 8, 0),
                     HV_STATUS_INVALID_ALIGNMENT); /* crosses a page */
    assert_int_equal(partition_call(p, 0, HvCallFlushVirtualAddressSpace, PARTITION_RAM, 0),
                     HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(partition_call(p, 0, HvCallFlushVirtualAddressSpace | fast, 0, 0),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* 32-bit code has its values in pairs of registers, and ring 3 none at all. */
static void callers(void **state)
{
    struct partition *p = *state;
    u64 gpr[16] = {[RDX] = 0, [RAX] = BIT(31) | HvCallSendSyntheticClusterIpi | HV_HYPERCALL_FAST,
                   [RBX] = 0, [RCX] = 0x88,
                   [RDI] = 0, [RSI] = 2};
    struct pv_call k = {.vcpu = p->vm.vcpu, .gpr = gpr};

    enable_calls(p);
    assert_int_equal(hv_hypercall(p->hv, &k), PV_DONE);
    assert_int_equal(gpr[RAX], 0);
    assert_int_equal(gpr[RDX], 0);
    assert_int_equal(ack(p, 1), 0x88);
    k.cpl = 3;
    assert_int_equal(hv_hypercall(p->hv, &k), PV_UD);
}

static void crash_is_taken_down(void **state)
{
    struct partition *p = *state;

    for (unsigned i = 0; i < HV_CRASH_PARAMS; i++)
        put(p, 0, HV_X64_MSR_CRASH_P0 + i, i + 100);
    put(p, 0, HV_X64_MSR_CRASH_CTL, HV_CRASH_NOTIFY);
    for (unsigned i = 0; i < HV_CRASH_PARAMS; i++)
        assert_int_equal(get(p, 1, HV_X64_MSR_CRASH_P0 + i), i + 100);
    assert_true(get(p, 0, HV_X64_MSR_CRASH_CTL) & HV_CRASH_NOTIFY);
    assert_false(partition_wrmsr(p, 0, HV_X64_MSR_TSC_INVARIANT_CONTROL, 2));
    put(p, 0, HV_X64_MSR_TSC_INVARIANT_CONTROL, 1);
    put(p, 0, HV_X64_MSR_TSC_INVARIANT_CONTROL, 0);
    assert_int_equal(get(p, 0, HV_X64_MSR_TSC_INVARIANT_CONTROL), 1);
}

static void is_saved(void **state)
{
    struct partition *p = *state;
    size_t size = state_size(&hyperv_vcpu_state);
    u8 *buf = malloc(size), *partition = malloc(state_size(&hyperv_state));
    struct err e;

    enable_calls(p);
    put(p, 0, HV_X64_MSR_REFERENCE_TSC, TIME | 1);
    open_synic(p, 1, 0x52);
    put(p, 1, HV_X64_MSR_STIMER0_CONFIG + 1, ms(3));
    put(p, 1, HV_X64_MSR_STIMER0_CONFIG, 2 << STIMER_SINT_SHIFT | STIMER_ENABLE);
    state_save(&hyperv_vcpu_state, &p->hv->vcpu[1], buf);
    state_save(&hyperv_state, p->hv, partition);
    hyperv_reset(p->hv);
    memset(p->vm.mem.hva + TIME, 0, 64);
    clock_advance(p->vm.clock, 4000000);
    assert_int_equal(word(p, SIMP + 2 * 256), 0);

    assert_int_equal(state_load(&hyperv_state, p->hv, partition, state_size(&hyperv_state), &e), 0);
    assert_int_equal(get(p, 0, HV_X64_MSR_HYPERCALL), CALLS | 1);
    assert_true(word(p, TIME + 8)); /* for this host's TSC */
    assert_int_equal(state_load(&hyperv_vcpu_state, &p->hv->vcpu[1], buf, size, &e), 0);
    clock_advance(p->vm.clock, 1000000);
    assert_true(word(p, SIMP + 2 * 256)); /* the timer went on, and was late */
    assert_int_equal(ack(p, 1), 0x52);

    p->hv->vcpu[2].sint[3] = 7;
    state_save(&hyperv_vcpu_state, &p->hv->vcpu[2], buf);
    assert_int_equal(state_load(&hyperv_vcpu_state, &p->hv->vcpu[2], buf, size, &e), -EINVAL);
    free(buf);
    free(partition);
}

/* ------------------------------------------------- beside another interface -- */

static bool below_cpuid(void *opaque, struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    r[0] = leaf == 0x40000000 ? 0x40000005 : 1;
    r[1] = 0x40000000;
    return leaf < 0x40000006;
}

static bool below_rdmsr(void *opaque, struct vcpu *v, u32 msr, u64 *val)
{
    *val = msr;
    return msr == 0x40000000;
}

static bool below_wrmsr(void *opaque, struct vcpu *v, u32 msr, u64 val)
{
    return false;
}

static enum pv_result below_call(void *opaque, struct pv_call *p)
{
    p->gpr[RAX] = 4711;
    return PV_HALT;
}

static void beside_another(void **state)
{
    static const struct pv_ops ops = {below_cpuid, below_rdmsr, below_wrmsr, below_call};
    const struct pv below = {.ops = &ops, .paged = true};
    struct partition *p = malloc(sizeof(*p));
    u64 gpr[16] = {[RAX] = 12}, v;
    struct pv_call k = {.gpr = gpr, .long_mode = true};
    u32 r[4];

    partition_open(p, 1, &below);
    k.vcpu = p->vm.vcpu;
    assert_true(hv_cpuid(p->hv, p->vm.vcpu, 0x40000000, 0, r));
    assert_memory_equal(&r[1], "Micr", 4);
    assert_true(hv_cpuid(p->hv, p->vm.vcpu, 0x40000100, 0, r));
    assert_int_equal(r[0], 0x40000105);
    assert_true(hv_cpuid(p->hv, p->vm.vcpu, 0x40000102, 0, r));
    assert_int_equal(r[1], 0x40000200); /* its MSR has moved as well, */
    assert_true(partition_rdmsr(p, 0, 0x40000200, &v));
    assert_int_equal(v, 0x40000000); /* which it does not know */
    assert_false(partition_rdmsr(p, 0, 0x40000201, &v));
    assert_false(partition_wrmsr(p, 0, 0x40000200, 1));
    assert_int_equal(p->vm.pv.ops->hypercall(p->vm.pv.opaque, &k), PV_HALT);
    assert_int_equal(gpr[RAX], 4711);
    enable_calls(p);
    assert_int_equal(partition_call(p, 0, HvCallNotifyLongSpinWait, 0, 0), 0);
    assert_true(p->vm.pv.paged);
    partition_close(p);
    free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_partition, close_partition)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leaves),
        TEST(features_are_there),
        TEST(hypercall_page),
        TEST(reference_time),
        TEST(local_apic),
        TEST(timer_sends_messages),
        TEST(timer_interrupts_directly),
        TEST(auto_eoi),
        TEST(calls),
        TEST(callers),
        TEST(crash_is_taken_down),
        TEST(is_saved),
        cmocka_unit_test(beside_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
