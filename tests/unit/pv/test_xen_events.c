/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: two-level and FIFO, binding, masks, queues, upcalls, and a guest that lies.
 */
#include "domain.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { EVT = HYPERVISOR_event_channel_op, ARG = 0x1000, INFO = 0x2000, CONTROL = 0x3000 };
enum { WORDS = 0x4000, VECTOR = 0xf3 };

static int open_domain(void **state)
{
    struct domain *d = malloc(sizeof(*d));

    domain_open(d, 2, NULL);
    /* the console's port came up pending */
    memset(d->x->shared->evtchn_pending, 0, sizeof(d->x->shared->evtchn_pending));
    d->x->shared->vcpu_info[0].evtchn_pending_sel = 0;
    d->x->shared->vcpu_info[0].evtchn_upcall_pending = 0;
    *state = d;
    return 0;
}

static int close_domain(void **state)
{
    domain_close(*state);
    free(*state);
    return 0;
}

static s64 evt(struct domain *d, u32 op)
{
    return domain_call(d, EVT, op, ARG, 0);
}

static s64 evt_port(struct domain *d, u32 op, u32 port)
{
    PUT(d, ARG, (u32)port);
    return evt(d, op);
}

static u32 alloc_ipi(struct domain *d, u32 vcpu)
{
    u32 a[2] = {vcpu, 0};

    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_bind_ipi), 0);
    return domain_u32(d, ARG + 4);
}

static void set_vector(struct domain *d, u32 vcpu)
{
    u32 a[2] = {vcpu, VECTOR};

    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(domain_call(d, HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, ARG, 0), 0);
}

/* The vector that the vCPU would take now, or -1. */
static int taken(struct domain *d, unsigned cpu)
{
    struct vcpu *v = &d->vm.vcpu[cpu];

    if (!(vcpu_events(v) & VCPU_INTR))
        return -1;
    int vector = v->intc.ack(v->intc.opaque);
    if (v->intc.wrmsr && vector >= 0) { /* the end of interrupt, as xAPIC would write it */
        d->lapics.lapic[cpu].isr[vector / 32] = 0;
    }
    return vector;
}

static void test_two_level(void **state)
{
    struct domain *d = *state;
    struct xen_shared_info *s = d->x->shared;
    u32 port = alloc_ipi(d, 1);

    set_vector(d, 1);
    assert_int_equal(taken(d, 1), -1);
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_true(s->evtchn_pending[port / 64] >> (port % 64) & 1);
    assert_int_equal(s->vcpu_info[1].evtchn_upcall_pending, 1);
    assert_int_equal(s->vcpu_info[1].evtchn_pending_sel, 1ull << (port / 64));
    assert_int_equal(s->vcpu_info[0].evtchn_upcall_pending, 0);
    assert_int_equal(taken(d, 1), VECTOR);
    /* pending already: no second upcall */
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_int_equal(taken(d, 1), -1);
    /* masked: pending, but no upcall until it is unmasked */
    s->evtchn_pending[port / 64] = 0;
    s->vcpu_info[1].evtchn_pending_sel = 0;
    s->vcpu_info[1].evtchn_upcall_pending = 0;
    s->evtchn_mask[port / 64] |= 1ull << (port % 64);
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_int_equal(s->vcpu_info[1].evtchn_upcall_pending, 0);
    assert_int_equal(evt_port(d, EVTCHNOP_unmask, port), 0);
    assert_int_equal(s->vcpu_info[1].evtchn_upcall_pending, 1);
    assert_int_equal(taken(d, 1), VECTOR);
}

static void test_bad_ports(void **state)
{
    struct domain *d = *state;
    static const u32 ops[] = {EVTCHNOP_close, EVTCHNOP_send, EVTCHNOP_unmask};

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        assert_int_equal(evt_port(d, ops[i], 0), -XEN_EINVAL);
        assert_int_equal(evt_port(d, ops[i], 77), -XEN_EINVAL);
        assert_int_equal(evt_port(d, ops[i], XEN_PORTS_MAX), -XEN_EINVAL);
        assert_int_equal(evt_port(d, ops[i], UINT32_MAX), -XEN_EINVAL);
        assert_int_equal(domain_call(d, EVT, ops[i], DOMAIN_RAM - 2, 0), -XEN_EFAULT);
    }
    u32 ipi[2] = {2, 0}, virq[3] = {NR_VIRQS, 0, 0};
    domain_put(d, ARG, ipi, sizeof(ipi));
    assert_int_equal(evt(d, EVTCHNOP_bind_ipi), -XEN_ENOENT);
    domain_put(d, ARG, virq, sizeof(virq));
    assert_int_equal(evt(d, EVTCHNOP_bind_virq), -XEN_EINVAL);
    assert_int_equal(evt(d, 99), -XEN_ENOSYS);
}

static void test_virq(void **state)
{
    struct domain *d = *state;
    u32 a[3] = {VIRQ_TIMER, 1, 0};

    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_bind_virq), 0);
    u32 port = domain_u32(d, ARG + 8);
    assert_int_equal(evt(d, EVTCHNOP_bind_virq), -XEN_EEXIST);
    evtchn_virq(&d->x->vcpu[1], VIRQ_TIMER);
    assert_true(evtchn_is_pending(d->x, port));
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), -XEN_EINVAL);
    assert_int_equal(evt_port(d, EVTCHNOP_close, port), 0);
    assert_false(evtchn_is_pending(d->x, port));
    evtchn_virq(&d->x->vcpu[1], VIRQ_TIMER); /* nobody is bound: nothing */
    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_bind_virq), 0);
}

static void test_ports_run_out(void **state)
{
    struct domain *d = *state;
    u32 a[2] = {0, 0}, n = 0;

    for (;;) {
        domain_put(d, ARG, a, sizeof(a));
        s64 r = evt(d, EVTCHNOP_bind_ipi);
        if (r) {
            assert_int_equal(r, -XEN_ENOSPC);
            break;
        }
        n++;
    }
    assert_in_range(n, XEN_PORTS_MAX - 10, XEN_PORTS_MAX - 1);
    assert_int_equal(evt_port(d, EVTCHNOP_close, 100), 0);
    assert_int_equal(alloc_ipi(d, 0), 100);
}

static unsigned handled;

static void handler(void *opaque)
{
    handled++;
}

static void test_backend(void **state)
{
    struct domain *d = *state;
    u16 a[4] = {DOMID_SELF, XEN_DOMID_BACKEND};

    handled = 0;
    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_alloc_unbound), 0);
    u32 port = domain_u32(d, ARG + 4);
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_int_equal(handled, 0);
    evtchn_notify(d->x, port); /* not connected: nothing */
    assert_false(evtchn_is_pending(d->x, port));
    assert_true(evtchn_bind(d->x, port, handler, d));
    assert_false(evtchn_bind(d->x, port, handler, d));
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_int_equal(handled, 1);
    evtchn_notify(d->x, port);
    assert_true(evtchn_is_pending(d->x, port));
    evtchn_unbind(d->x, port);
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_int_equal(handled, 1);
    /* a channel to somebody else is none of the back end's */
    a[1] = 5;
    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_alloc_unbound), 0);
    assert_false(evtchn_bind(d->x, domain_u32(d, ARG + 4), handler, d));
    a[0] = 7;
    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_alloc_unbound), -XEN_EPERM);
}

static void go_fifo(struct domain *d)
{
    struct {
        u64 gfn;
        u32 offset, vcpu;
        u64 bits;
    } a = {CONTROL >> PAGE_SHIFT, 0, 0, 0};

    for (u32 i = 0; i < 2; i++) {
        a.offset = 128 * i;
        a.vcpu = i;
        domain_put(d, ARG, &a, sizeof(a));
        assert_int_equal(evt(d, EVTCHNOP_init_control), 0);
        assert_int_equal((u8)domain_u32(d, ARG + 16), 17);
    }
    PUT(d, ARG, (u64)(WORDS >> PAGE_SHIFT));
    assert_int_equal(evt(d, EVTCHNOP_expand_array), 0);
}

/* Takes the queue's first event as a guest does; 0 = none. */
static u32 consume(struct domain *d, unsigned cpu, unsigned priority)
{
    u64 head = CONTROL + 128 * cpu + 8 + 4 * priority;
    u32 port = domain_u32(d, head);
    u32 *w = (u32 *)(d->vm.mem.hva + WORDS + 4 * port);

    if (!port)
        return 0;
    u32 link = *w & EVTCHN_FIFO_LINK_MASK;
    *w &= ~(EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK | EVTCHN_FIFO_PENDING);
    PUT(d, head, (u32)link);
    return port;
}

static void test_fifo(void **state)
{
    struct domain *d = *state;
    u32 p[4];

    go_fifo(d);
    for (unsigned i = 0; i < 4; i++)
        p[i] = alloc_ipi(d, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(evt_port(d, EVTCHNOP_send, p[i]), 0);
    assert_int_equal(evt_port(d, EVTCHNOP_send, p[1]), 0);   /* once is enough */
    assert_int_equal(domain_u32(d, CONTROL + 128), 1u << 7); /* ready, at default priority */
    assert_int_equal(d->x->shared->vcpu_info[1].evtchn_upcall_pending, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(consume(d, 1, 7), p[i]);
    assert_int_equal(consume(d, 1, 7), 0);
    /* the queue is empty: what comes now is at its head again */
    assert_int_equal(evt_port(d, EVTCHNOP_send, p[3]), 0);
    assert_int_equal(consume(d, 1, 7), p[3]);
    /* priorities */
    u32 a[2] = {p[0], 3};
    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_set_priority), 0);
    assert_int_equal(evt_port(d, EVTCHNOP_send, p[0]), 0);
    assert_int_equal(consume(d, 1, 3), p[0]);
    a[1] = 16;
    domain_put(d, ARG, a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_set_priority), -XEN_EINVAL);
    /* masked */
    u32 *w = (u32 *)(d->vm.mem.hva + WORDS + 4 * p[2]);
    *w = EVTCHN_FIFO_MASKED;
    assert_int_equal(evt_port(d, EVTCHNOP_send, p[2]), 0);
    assert_int_equal(consume(d, 1, 7), 0);
    assert_int_equal(evt_port(d, EVTCHNOP_unmask, p[2]), 0);
    assert_int_equal(consume(d, 1, 7), p[2]);
}

static void test_fifo_refuses(void **state)
{
    struct domain *d = *state;
    struct {
        u64 gfn;
        u32 offset, vcpu;
        u64 bits;
    } a = {CONTROL >> PAGE_SHIFT, PAGE_SIZE - 8, 0, 0};

    PUT(d, ARG, (u64)1);
    assert_int_equal(evt(d, EVTCHNOP_expand_array), -XEN_ENOSYS);
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_init_control), -XEN_EINVAL);
    a.offset = 4;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_init_control), -XEN_EINVAL);
    a.offset = 0;
    a.vcpu = 2;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_init_control), -XEN_ENOENT);
    a.vcpu = 0;
    a.gfn = DOMAIN_RAM >> PAGE_SHIFT;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_init_control), -XEN_EINVAL);
    a.gfn = UINT64_MAX;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_init_control), -XEN_EINVAL);
    go_fifo(d);
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(evt(d, EVTCHNOP_init_control), -XEN_EINVAL); /* a second time */
    for (unsigned i = 1; i < XEN_FIFO_PAGES; i++) {
        PUT(d, ARG, (u64)((WORDS >> PAGE_SHIFT) + i));
        assert_int_equal(evt(d, EVTCHNOP_expand_array), 0);
    }
    assert_int_equal(evt(d, EVTCHNOP_expand_array), -XEN_ENOSPC);
}

/* Words full of nonsense cost the guest its events, and nobody else anything. */
static void test_fifo_nonsense(void **state)
{
    struct domain *d = *state;
    u32 p[8];
    u64 rnd = 1;

    go_fifo(d);
    for (unsigned i = 0; i < 8; i++)
        p[i] = alloc_ipi(d, i & 1);
    for (unsigned n = 0; n < 20000; n++) {
        rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
        u32 at = rnd >> 40 & 63;
        memcpy(d->vm.mem.hva + (rnd & 1 ? WORDS : CONTROL) + 4 * at, (u8 *)&rnd + 4, 4);
        u32 a[2] = {p[rnd >> 50 & 7], rnd >> 60};
        domain_put(d, ARG, a, sizeof(a));
        s64 r = evt(d, n % 3 ? EVTCHNOP_send : n & 1 ? EVTCHNOP_unmask : EVTCHNOP_set_priority);
        assert_int_equal(r, 0);
    }
    PUT(d, ARG, (u16)DOMID_SELF);
    assert_int_equal(evt(d, EVTCHNOP_reset), 0);
    assert_false(d->x->fifo);
}

/* A vCPU that gets INIT after its upcall was raised must see it once it runs. */
static void test_init_keeps_upcall(void **state)
{
    struct domain *d = *state;
    struct vcpu_intc *ic = &d->vm.vcpu[1].intc;
    u32 port = alloc_ipi(d, 1);

    set_vector(d, 1);
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    ic->init(ic->opaque);
    assert_int_equal(taken(d, 1), VECTOR);
}

/* HVM_PARAM_CALLBACK_IRQ of type vector: without the APIC's priorities and without an EOI. */
static void test_callback_vector(void **state)
{
    struct domain *d = *state;
    struct {
        u16 dom, pad;
        u32 index;
        u64 value;
    } a = {DOMID_SELF, 0, HVM_PARAM_CALLBACK_IRQ, 2ull << 56 | 0x30};
    u32 port = alloc_ipi(d, 0);

    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(domain_call(d, HYPERVISOR_hvm_op, HVMOP_set_param, ARG, 0), 0);
    assert_int_equal(evt_port(d, EVTCHNOP_send, port), 0);
    assert_int_equal(taken(d, 0), 0x30);
    assert_int_equal(d->lapics.lapic[0].isr[1], 0);
    a.value = 9ull << 56;
    domain_put(d, ARG, &a, sizeof(a));
    assert_int_equal(domain_call(d, HYPERVISOR_hvm_op, HVMOP_set_param, ARG, 0), -XEN_EINVAL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_domain, close_domain)
    const struct CMUnitTest tests[] = {
        TEST(test_two_level),       TEST(test_bad_ports),     TEST(test_virq),
        TEST(test_ports_run_out),   TEST(test_backend),       TEST(test_fifo),
        TEST(test_fifo_refuses),    TEST(test_fifo_nonsense), TEST(test_init_keeps_upcall),
        TEST(test_callback_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
