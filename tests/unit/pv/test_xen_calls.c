/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls other than events: who may call, identity, memory, vCPUs, timers, console, multicall.
 */
#include "domain.h"

#include "base/endian.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARG = 0x1000, BUF = 0x2000, GFN = 0x100 };

static int open_domain(void **state)
{
    struct domain *d = malloc(sizeof(*d));

    domain_open(d, 2, NULL);
    *state = d;
    return 0;
}

static int close_domain(void **state)
{
    domain_close(*state);
    free(*state);
    return 0;
}

static void test_caller(void **state)
{
    struct domain *d = *state;
    u64 gpr[16] = {[RAX] = HYPERVISOR_xen_version};
    struct pv_call p = {.vcpu = d->vm.vcpu, .gpr = gpr, .cpl = 3, .long_mode = true};

    assert_int_equal(xen_hypercall(d->x, &p), PV_DONE);
    assert_int_equal(gpr[RAX], -XEN_EPERM);
    p.cpl = 0;
    p.long_mode = false;
    xen_hypercall(d->x, &p);
    assert_int_equal(gpr[RAX], (u32)-XEN_ENOSYS);
    for (unsigned n = HYPERCALLS; n; n <<= 1)
        assert_int_equal(domain_call(d, n, 0, 0, 0), -XEN_ENOSYS);
    assert_int_equal(domain_call(d, HYPERVISOR_domctl, 0, 0, 0), -XEN_EPERM);
}

static void test_identity(void **state)
{
    struct domain *d = *state;
    u32 r[4];

    assert_true(xen_cpuid(d->x, &d->vm.vcpu[1], 0x40000000, 0, r));
    assert_memory_equal(&r[1], "XenVMMXenVMM", 12);
    assert_true(r[0] >= 0x40000002);
    assert_true(xen_cpuid(d->x, &d->vm.vcpu[1], 0x40000004, 0, r));
    assert_int_equal(r[1], 1);
    assert_false(xen_cpuid(d->x, &d->vm.vcpu[1], 0x40000100, 0, r));
    assert_int_equal(domain_call(d, HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17);
    assert_int_equal(domain_call(d, HYPERVISOR_xen_version, XENVER_extraversion, ARG, 0), 0);
    assert_string_equal((char *)d->vm.mem.hva + ARG, ".7");
    PUT(d, ARG, (u64)0);
    assert_int_equal(domain_call(d, HYPERVISOR_xen_version, XENVER_get_features, ARG, 0), 0);
    assert_int_equal(domain_u32(d, ARG + 4), 0x12305);
    d->readonly_page = ARG >> PAGE_SHIFT;
    assert_int_equal(domain_call(d, HYPERVISOR_xen_version, XENVER_get_features, ARG, 0),
                     -XEN_EFAULT);
    assert_int_equal(
        domain_call(d, HYPERVISOR_xen_version, XENVER_capabilities, DOMAIN_RAM - 100, 0),
        -XEN_EFAULT);
}

static void test_hypercall_page(void **state)
{
    struct domain *d = *state;
    const u8 *slot = d->vm.mem.hva + BUF + 32 * HYPERVISOR_vcpu_op;
    static const u8 want[] = {0xb8, HYPERVISOR_vcpu_op, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3};

    assert_true(xen_wrmsr(d->x, d->vm.vcpu, 0x40000000, BUF));
    assert_memory_equal(slot, want, sizeof(want));
    assert_false(xen_wrmsr(d->x, d->vm.vcpu, 0x40000000, BUF + 1)); /* there is no second page */
    assert_false(xen_wrmsr(d->x, d->vm.vcpu, 0x40000000, DOMAIN_RAM));
    assert_false(xen_wrmsr(d->x, d->vm.vcpu, 0x40000000, UINT64_MAX & ~0xfffull));
    assert_false(xen_wrmsr(d->x, d->vm.vcpu, 0x40000001, BUF));
}

struct physmap {
    u16 domid, size;
    u32 space;
    u64 idx, gpfn;
};

static s64 add_to_physmap(struct domain *d, u32 space, u64 idx, u64 gfn)
{
    struct physmap a = {DOMID_SELF, 0, space, idx, gfn};

    domain_put(d, ARG, &a, sizeof(a));
    return domain_call(d, HYPERVISOR_memory_op, XENMEM_add_to_physmap, ARG, 0);
}

static void test_shared_info(void **state)
{
    struct domain *d = *state;
    u32 wc = d->x->shared->wc_version;

    /* over RAM, to another page of RAM, to a hole, and back */
    static const u64 gfns[] = {GFN, GFN + 1, 0x9000, GFN};
    for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++) {
        assert_int_equal(add_to_physmap(d, XENMAPSPACE_shared_info, 0, gfns[i]), 0);
        u8 *p = guest_page(d->x, gfns[i]);
        assert_ptr_equal(p, d->x->shared);
        assert_int_equal(d->x->shared->wc_version, wc);
    }
    assert_int_equal(add_to_physmap(d, XENMAPSPACE_shared_info, 1, GFN), -XEN_EINVAL);
    assert_int_equal(add_to_physmap(d, XENMAPSPACE_shared_info, 0, UINT64_MAX), -XEN_EINVAL);
    /* over the APIC or the special pages there is no room */
    assert_int_equal(add_to_physmap(d, XENMAPSPACE_shared_info, 0, DOMAIN_SPECIAL), -XEN_EINVAL);
    assert_int_equal(add_to_physmap(d, 9, 0, GFN), -XEN_ENOSYS);
}

struct extents {
    u64 start, nr;
    u32 order, flags;
    u16 domid, pad[3];
};

static s64 reservation(struct domain *d, u32 op, u64 nr, u32 order)
{
    struct extents a = {BUF, nr, order, 0, DOMID_SELF, {0}};

    domain_put(d, ARG, &a, sizeof(a));
    return domain_call(d, HYPERVISOR_memory_op, op, ARG, 0);
}

static s64 current(struct domain *d)
{
    PUT(d, ARG, (u16)DOMID_SELF);
    return domain_call(d, HYPERVISOR_memory_op, XENMEM_current_reservation, ARG, 0);
}

static void test_balloon(void **state)
{
    struct domain *d = *state;
    u64 gfn[4] = {GFN, GFN + 1, GFN + 1, 5};
    s64 all = current(d);

    assert_int_equal(all, DOMAIN_RAM >> PAGE_SHIFT);
    memset(d->vm.mem.hva + (GFN << PAGE_SHIFT), 0x55, 2 * PAGE_SIZE);
    domain_put(d, BUF, gfn, sizeof(gfn));
    /* the third names a page that is gone already: two are done */
    assert_int_equal(reservation(d, XENMEM_decrease_reservation, 4, 0), 2);
    assert_int_equal(current(d), all - 2);
    assert_int_equal(d->vm.mem.hva[GFN << PAGE_SHIFT], 0);
    assert_int_equal(reservation(d, XENMEM_populate_physmap, 3, 0), 2);
    assert_int_equal(current(d), all);
    /* nonsense: no RAM, far off, an order too large, a list that cannot be read */
    gfn[0] = DOMAIN_RAM >> PAGE_SHIFT;
    domain_put(d, BUF, gfn, sizeof(gfn));
    assert_int_equal(reservation(d, XENMEM_decrease_reservation, 1, 0), 0);
    gfn[0] = UINT64_MAX;
    domain_put(d, BUF, gfn, sizeof(gfn));
    assert_int_equal(reservation(d, XENMEM_decrease_reservation, 1, 0), 0);
    assert_int_equal(reservation(d, XENMEM_decrease_reservation, 1, 63), 0);
    assert_int_equal(reservation(d, XENMEM_decrease_reservation, UINT64_MAX, 0), 0);
    /* extents of more than a page, and more of them than one turn takes */
    for (unsigned i = 0; i < 64; i++)
        PUT(d, BUF + 8 * i, (u64)(512 + 8 * i));
    assert_int_equal(reservation(d, XENMEM_decrease_reservation, 64, 3), 64);
    assert_int_equal(current(d), all - 512);
    assert_int_equal(reservation(d, XENMEM_populate_physmap, 64, 3), 64);
    assert_int_equal(current(d), all);
}

static void test_vcpu_info(void **state)
{
    struct domain *d = *state;
    struct {
        u64 mfn;
        u32 offset, pad;
    } a = {GFN, 0, 0};
    static const u32 bad[] = {PAGE_SIZE - 56, 4, UINT32_MAX, PAGE_SIZE};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        a.offset = bad[i];
        domain_put(d, ARG, &a, sizeof(a));
        assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG),
                         -XEN_ENXIO);
    }
    a.offset = 64;
    a.mfn = 1ull << 50;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG),
                     -XEN_EINVAL);
    a.mfn = GFN;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 2, ARG),
                     -XEN_ENOENT);
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG), 0);
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG),
                     -XEN_EINVAL);
    const struct xen_vcpu_info *i =
        (struct xen_vcpu_info *)(d->vm.mem.hva + (GFN << PAGE_SHIFT) + 64);
    assert_int_equal(i->evtchn_upcall_pending, 1);
    assert_int_equal(i->evtchn_pending_sel, UINT64_MAX);
    assert_int_equal(i->time.version & 1, 0);
    assert_true(i->time.tsc_to_system_mul >= 1u << 31);
}

/* Nanoseconds by the guest's arithmetic. */
static u64 guest_time(const struct xen_vcpu_time_info *t, u64 tsc)
{
    u64 delta = tsc - t->tsc_timestamp;

    delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
    return t->system_time + (u64)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
}

static void test_clock(void **state)
{
    struct domain *d = *state;
    struct clock *c = d->vm.clock;
    u64 tsc = clock_tsc(c) + clock_tsc_hz(c) * 1000; /* in a thousand seconds */
    u64 want = clock_tsc_to_ns(c, tsc), got = guest_time(&d->x->shared->vcpu_info[0].time, tsc);

    assert_in_range(got, want - 2000, want + 2000);
    static const u64 rates[] = {100000000,  999999999,  1000000001,
                                2000000000, 2600000000, 5100000000};
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        struct xen_vcpu_time_info t = {0};
        time_scale(rates[i], &t.tsc_to_system_mul, &t.tsc_shift);
        got = guest_time(&t, rates[i] * 100);
        assert_in_range(got, 100 * NS_PER_SEC - 100, 100 * NS_PER_SEC + 100);
    }
}

static void test_timers(void **state)
{
    struct domain *d = *state;
    u32 virq[3] = {VIRQ_TIMER, 0, 0};
    struct {
        u64 at;
        u32 flags, pad;
    } single = {1, VCPU_SSHOTTMR_future, 0};

    domain_put(d, ARG, virq, sizeof(virq));
    assert_int_equal(domain_call(d, HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, ARG, 0), 0);
    u32 port = domain_u32(d, ARG + 8);
    domain_put(d, ARG, &single, sizeof(single));
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARG),
                     -XEN_ETIME);
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 1, ARG),
                     -XEN_EINVAL);
    single.at = clock_now(d->vm.clock) + 3000000;
    domain_put(d, ARG, &single, sizeof(single));
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARG), 0);
    for (unsigned i = 0; i < 1000 && !evtchn_is_pending(d->x, port); i++)
        loop_turn(d->vm.loop, 10);
    assert_true(evtchn_is_pending(d->x, port));
    assert_true(clock_now(d->vm.clock) >= single.at);
    u64 period = 999999;
    domain_put(d, ARG, &period, sizeof(period));
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, ARG),
                     -XEN_EINVAL);
    period = 2000000;
    domain_put(d, ARG, &period, sizeof(period));
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, ARG), 0);
    for (unsigned n = 0; n < 3; n++) {
        d->x->shared->evtchn_pending[port / 64] = 0;
        for (unsigned i = 0; i < 1000 && !evtchn_is_pending(d->x, port); i++)
            loop_turn(d->vm.loop, 10);
        assert_true(evtchn_is_pending(d->x, port));
    }
    assert_int_equal(domain_call(d, HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
}

static void test_sched(void **state)
{
    struct domain *d = *state;
    struct {
        u64 ports;
        u32 nr, pad;
        u64 timeout;
    } poll = {BUF, 1, 0, 1};

    PUT(d, BUF, (u32)5);
    domain_put(d, ARG, &poll, sizeof(poll));
    assert_int_equal(domain_call(d, HYPERVISOR_sched_op, SCHEDOP_poll, ARG, 0), 0);
    poll.nr = 129;
    domain_put(d, ARG, &poll, sizeof(poll));
    assert_int_equal(domain_call(d, HYPERVISOR_sched_op, SCHEDOP_poll, ARG, 0), -XEN_EINVAL);
    poll.nr = 1;
    PUT(d, BUF, (u32)XEN_PORTS_MAX);
    domain_put(d, ARG, &poll, sizeof(poll));
    assert_int_equal(domain_call(d, HYPERVISOR_sched_op, SCHEDOP_poll, ARG, 0), -XEN_EINVAL);
    assert_int_equal(domain_call(d, HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
    assert_int_equal(d->result, PV_HALT);
    PUT(d, ARG, (u32)99);
    assert_int_equal(domain_call(d, HYPERVISOR_sched_op, SCHEDOP_shutdown, ARG, 0), -XEN_EINVAL);
    PUT(d, ARG, (u32)SHUTDOWN_poweroff);
    assert_int_equal(domain_call(d, HYPERVISOR_sched_op, SCHEDOP_shutdown, ARG, 0), 0);
    assert_int_equal(d->vm.end, VM_POWEROFF);
}

static struct xencons_interface *ring(struct domain *d)
{
    return (struct xencons_interface *)guest_page(d->x, DOMAIN_SPECIAL + XEN_SPECIAL_CONSOLE);
}

static void kick_console(struct domain *d)
{
    PUT(d, ARG, (u32)d->x->param[HVM_PARAM_CONSOLE_EVTCHN]);
    assert_int_equal(domain_call(d, HYPERVISOR_event_channel_op, EVTCHNOP_send, ARG, 0), 0);
}

static void test_console(void **state)
{
    struct domain *d = *state;
    struct xencons_interface *r = ring(d);

    memcpy(r->out, "hello", 5);
    r->out_prod = 5;
    kick_console(d);
    assert_int_equal(d->nout, 5);
    assert_memory_equal(d->out, "hello", 5);
    assert_int_equal(r->out_cons, 5);
    /* around the ring's end */
    r->out_cons = r->out_prod = 2046;
    memcpy(r->out + 2046, "ab", 2);
    memcpy(r->out, "cd", 2);
    r->out_prod = 2050;
    kick_console(d);
    assert_memory_equal(d->out, "abcd", 4);
    /* an index from nowhere */
    d->nout = 0;
    r->out_prod = 0x80000000;
    kick_console(d);
    assert_int_equal(d->nout, 0);
    assert_int_equal(r->out_cons, 0x80000000);
    /* input fills the ring and waits */
    u8 many[1500];
    memset(many, 'x', sizeof(many));
    assert_int_equal(d->console.input(d->console.opaque, many, sizeof(many)), 1024);
    assert_int_equal(r->in_prod, 1024);
    r->in_cons = 1000;
    kick_console(d);
    assert_int_equal(d->ready, 1);
    assert_int_equal(d->console.input(d->console.opaque, many, 1500), 1000);
    r->in_cons = r->in_prod + 5; /* a guest that lies gets nothing more */
    assert_int_equal(d->console.input(d->console.opaque, many, 1), 0);
}

static void test_multicall(void **state)
{
    struct domain *d = *state;
    u64 e[200][8];

    memset(e, 0, sizeof(e));
    for (unsigned i = 0; i < 200; i++)
        e[i][0] = i == 7 ? HYPERVISOR_multicall : HYPERVISOR_xen_version;
    domain_put(d, BUF, e, sizeof(e));
    assert_int_equal(domain_call(d, HYPERVISOR_multicall, BUF, 200, 0), 0);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(domain_u64(d, BUF + i * 64 + 8), i == 7 ? -XEN_EINVAL : 4 << 16 | 17);
    assert_int_equal(domain_call(d, HYPERVISOR_multicall, DOMAIN_RAM - 64, 2, 0), -XEN_EFAULT);
}

static void test_reset(void **state)
{
    struct domain *d = *state;

    add_to_physmap(d, XENMAPSPACE_shared_info, 0, 0x9000);
    u16 old = (u16)d->x->param[HVM_PARAM_CONSOLE_EVTCHN];
    xen_reset(d->x);
    assert_null(guest_page(d->x, 0x9000));
    assert_int_equal(d->x->param[HVM_PARAM_CONSOLE_EVTCHN], old);
    test_console(state);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_domain, close_domain)
    const struct CMUnitTest tests[] = {
        TEST(test_caller),  TEST(test_identity),  TEST(test_hypercall_page), TEST(test_shared_info),
        TEST(test_balloon), TEST(test_vcpu_info), TEST(test_clock),          TEST(test_timers),
        TEST(test_sched),   TEST(test_console),   TEST(test_multicall),      TEST(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
