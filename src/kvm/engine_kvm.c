/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine `kvm`: the run loop around KVM_RUN, and the engine seam.
 *
 * Interrupt controllers are Wirt's own, or all but the local APICs are (`split`, apic.c).  KVM
 * delivers the vector that the local APIC or the PIC gives (KVM_INTERRUPT), and says when it can
 * (interrupt window).  With local APICs of our own HLT, INIT and SIPI are done here, with the
 * software engines' functions.
 *
 * What KVM cannot run (its emulator does not know an instruction, a mode that the host has no means
 * for, code in a device) the interpreter runs: the state is fetched, some instructions are
 * interpreted, and the state is given back.
 */
#include "kvm/kvm.h"

#include "core/stats.h"
#include "cpu/interp.h"
#include "cpu/mmu.h"
#include "cpu/stops.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    EV_LEAVE = VCPU_LEAVE,
    EV_LOOK = EV_LEAVE | VCPU_NMI | VCPU_INIT | VCPU_SIPI | VCPU_FLUSH | VCPU_CODE | VCPU_CALL,
    STRETCH_MIN = 1,
    STRETCH_MAX = 256,
};

int kvm_kick_signal(void)
{
    return SIGRTMIN;
}

/* ------------------------------------------------------------- entering -- */

static void kick(struct engine_vcpu *k)
{
    if (__atomic_load_n(&k->inside, __ATOMIC_SEQ_CST))
        syscall(SYS_tgkill, getpid(), __atomic_load_n(&k->tid, __ATOMIC_RELAXED),
                kvm_kick_signal());
}

/* Takes the kick that made KVM_RUN come back. */
static void take_kick(struct engine_vcpu *k)
{
    const struct timespec now = {0};
    sigset_t set;

    k->stats.kicks++;
    sigemptyset(&set);
    sigaddset(&set, kvm_kick_signal());
    sigtimedwait(&set, NULL, &now);
}

/* lock held, no vCPU inside KVM_RUN */
static int sync_slots(struct engine *en)
{
    u32 gen = __atomic_load_n(&en->map_gen, __ATOMIC_ACQUIRE);
    int r = en->slots_gen == gen ? 0 : kvm_slots_sync(en);

    __atomic_store_n(&en->slots_gen, gen, __ATOMIC_RELEASE);
    return r;
}

/* The map changed: has every vCPU leave KVM_RUN and makes new slots. */
static int renew_slots(struct engine *en)
{
    const struct timespec nap = {0, 20000};
    int r = 0;

    pthread_mutex_lock(&en->lock);
    if (en->slots_gen != __atomic_load_n(&en->map_gen, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&en->closed, true, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < en->vm->ncpus; i++) {
            struct engine_vcpu *o = en->vm->vcpu[i].e;
            if (!o)
                continue;
            kick(o);
            while (__atomic_load_n(&o->inside, __ATOMIC_SEQ_CST))
                nanosleep(&nap, NULL);
        }
        r = sync_slots(en);
        __atomic_store_n(&en->closed, false, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&en->lock);
    return r;
}

/* Says that this vCPU goes in; false: it must not now. */
static bool go_in(struct engine_vcpu *k)
{
    struct engine *en = k->en;

    __atomic_store_n(&k->inside, 1, __ATOMIC_SEQ_CST);
    u32 ev = vcpu_events(k->c.vcpu);
    if (likely(!(ev & EV_LOOK) && !(ev & VCPU_INTR && !k->run->request_interrupt_window) &&
               !__atomic_load_n(&en->closed, __ATOMIC_SEQ_CST)))
        return true;
    __atomic_store_n(&k->inside, 0, __ATOMIC_SEQ_CST);
    return false;
}

void kvm_set_tsc(struct engine_vcpu *k)
{
    u64 offset = clock_tsc_offset(k->c.vm->clock) + (u64)k->c.s.tsc_offset;
    struct kvm_device_attr a = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (u64)&offset};

    if (likely(k->tsc_known && k->tsc == offset))
        return;
    if (k->en->tsc_offset) {
        ioctl(k->fd, KVM_SET_DEVICE_ATTR, &a);
    } else {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry entry;
        } m = {.head.nmsrs = 1, .entry = {.index = 0x10}};
        m.entry.data = __builtin_ia32_rdtsc() + offset;
        ioctl(k->fd, KVM_SET_MSRS, &m);
    }
    k->tsc = offset;
    k->tsc_known = true;
}

static enum kvm_after enter(struct engine_vcpu *k)
{
    const struct vcpu_intc *ic = &k->c.vcpu->intc;
    struct kvm_run *run = k->run;
    bool own = !k->en->split && ic->get_tpr;
    u8 tpr = own ? ic->get_tpr(ic->opaque) : 0;

    if (unlikely(__atomic_load_n(&k->en->slots_gen, __ATOMIC_ACQUIRE) !=
                 __atomic_load_n(&k->en->map_gen, __ATOMIC_ACQUIRE)) &&
        renew_slots(k->en))
        return FAILED;
    kvm_set_tsc(k);
    run->cr8 = tpr;
    if (!go_in(k))
        return GO_ON;
    int r = ioctl(k->fd, KVM_RUN, 0), code = errno;
    __atomic_store_n(&k->inside, 0, __ATOMIC_SEQ_CST);
    k->stats.runs++;
    kvm_late_drain(k->en);
    k->ready = run->ready_for_interrupt_injection;
    if (own && run->cr8 != tpr)
        ic->set_tpr(ic->opaque, (u8)run->cr8);
    if (!r)
        return kvm_after_exit(k);
    k->completes = false;
    if (code == EINTR) {
        take_kick(k);
        return GO_ON;
    }
    if (code == EAGAIN)
        return GO_ON;
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR || code == ENOSYS)
        return kvm_on_failure(k);
    fprintf(stderr, "wirt: vCPU %u: KVM_RUN: %s\n", k->c.vcpu->index, strerror(code));
    return FAILED;
}

/* --------------------------------------------------------------- events -- */

static void serve_requests(struct engine_vcpu *k, u32 ev)
{
    struct cpu *c = &k->c;

    if (ev & VCPU_CODE)
        mmu_sync_code(c);
    if (ev & VCPU_FLUSH) {
        vcpu_lower(c->vcpu, VCPU_FLUSH);
        mmu_flush_all(c);
    }
    if (ev & VCPU_CALL)
        vcpu_lower(c->vcpu, VCPU_CALL);
}

/* Sleeps in HLT or until a SIPI; false: leave run(). */
static bool sleep_on(struct engine_vcpu *k)
{
    struct cpu_state *s = &k->c.s;

    if (!k->here) { /* what cpu_sleep() looks at; a blocked NMI is found out afterwards */
        s->rflags = (s->rflags & ~(u64)FLAG_IF) | (k->run->if_flag ? FLAG_IF : 0);
        s->nmi_blocked = false;
    }
    return cpu_sleep(&k->c);
}

/* Gives an interrupt to KVM, or asks to be told when it takes one. */
static void inject(struct engine_vcpu *k)
{
    const struct vcpu_intc *ic = &k->c.vcpu->intc;

    if (k->ready && k->run->if_flag) { /* split: and the APIC lets the PIC's through */
        int vector = ic->ack(ic->opaque);
        if (vector >= 0) {
            struct kvm_interrupt i = {.irq = (u32)vector};
            k->c.s.halted = false;
            k->ready = false;
            ioctl(k->fd, KVM_INTERRUPT, &i);
        }
    }
    k->run->request_interrupt_window = !!(vcpu_events(k->c.vcpu) & VCPU_INTR);
}

static int take_events(struct engine_vcpu *k)
{
    struct vcpu *v = k->c.vcpu;
    u32 ev = vcpu_events(v);
    bool sleeping = k->c.s.halted || k->c.s.wait_sipi;
    int r = 0;

    k->run->request_interrupt_window = 0;
    if (unlikely(k->c.debug & CPU_STEP) && !sleeping && !v->debug.step_irqs)
        return 0; /* a debugger's step goes first */
    if (!k->en->split &&
        (ev & (VCPU_INIT | VCPU_SIPI) || (sleeping && (ev & VCPU_NMI || !k->ready))))
        r = kvm_fetch(k);
    if (r)
        return r;
    if (k->here && !k->en->split) {
        cpu_take_event(&k->c);
        k->run->request_interrupt_window = !!(vcpu_events(v) & VCPU_INTR);
        return 0;
    }
    if (ev & VCPU_NMI) {
        vcpu_lower(v, VCPU_NMI);
        ioctl(k->fd, KVM_NMI);
    }
    if (ev & VCPU_INTR)
        inject(k);
    return 0;
}

/* ------------------------------------------------------- the interpreter -- */

static void interpret(struct engine_vcpu *k, unsigned n)
{
    struct cpu *c = &k->c;

    while (n-- && !c->triple_fault && !c->s.halted) {
        u32 ev = vcpu_events(c->vcpu);
        if (ev & EV_LEAVE)
            break;
        serve_requests(k, ev);
        if (ev && !k->en->split && !(c->debug & CPU_STEP) && cpu_take_event(c))
            continue;
        if (stops_here(c))
            break;
        interp_step(c);
        k->stats.interpreted++;
        stops_step_done(c);
        if (unlikely(c->debug & CPU_STOPPED))
            break;
    }
}

/* KVM could not go on here. */
static int help_out(struct engine_vcpu *k)
{
    int r = kvm_fetch(k);

    if (r)
        return r;
    interpret(k, k->stretch);
    k->stretch = min(k->stretch * 2, (unsigned)STRETCH_MAX);
    return 0;
}

/* ------------------------------------------------------------ the machine -- */

/* Before the first vCPU runs, whose thread this is; the others wait for the lock. */
static int go_on_all(struct engine *en)
{
    struct err e = {0};

    for (unsigned i = 0; i < en->vm->ncpus; i++) {
        struct engine_vcpu *k = en->vm->vcpu[i].e;
        if (!k->cpuid_set && kvm_model_set(k, &e)) {
            fprintf(stderr, "wirt: %s\n", e.msg);
            return -EINVAL;
        }
        kvm_set_tsc(k);
    }
    kvm_int3_place(en);
    int r = sync_slots(en); /* there is memory where its registers point */
    if (!r && en->split)
        r = kvm_apics_give(en);
    return r ? r : kvm_pv_give(en);
}

static int unpark(struct engine *en)
{
    int r = 0;

    if (__atomic_load_n(&en->running, __ATOMIC_ACQUIRE))
        return 0;
    pthread_mutex_lock(&en->lock);
    if (!en->running) {
        r = go_on_all(en);
        __atomic_store_n(&en->running, !r, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&en->lock);
    return r;
}

static void engine_park(struct engine *en)
{
    if (!__atomic_exchange_n(&en->running, false, __ATOMIC_ACQ_REL))
        return;
    kvm_int3_remove(en);
    kvm_pv_take(en);
    kvm_apics_take(en);
}

/* -------------------------------------------------------------- the loop -- */

static enum run_exit loop(struct engine_vcpu *k)
{
    struct cpu *c = &k->c;

    bool split = k->en->split;

    if (unpark(k->en))
        return RUN_ERROR;
    stops_begin(c);
    for (;;) {
        u32 ev = vcpu_events(c->vcpu);
        if (k->here && c->triple_fault)
            return RUN_TRIPLE;
        if (unlikely(c->debug & CPU_STOPPED))
            return RUN_DEBUG;
        if (ev & EV_LEAVE)
            return RUN_EVENT;
        serve_requests(k, ev);
        if (!split && (c->s.halted || c->s.wait_sipi) && !sleep_on(k))
            return RUN_EVENT;
        if (split && k->here && kvm_put(k))
            return RUN_ERROR;
        if (take_events(k))
            return RUN_ERROR;
        if (!split && (c->s.halted || c->s.wait_sipi))
            continue;
        if (k->here && c->triple_fault)
            continue;
        if (k->here && !(kvm_mode(&c->s) & k->en->modes)) {
            interpret(k, STRETCH_MAX);
            continue;
        }
        if (k->here && kvm_put(k))
            return RUN_ERROR;
        if (unlikely(c->debug || k->guest_debug) && !k->completes && kvm_debug_set(k))
            return RUN_ERROR;
        switch (enter(k)) {
        case STOPPED:
        case GO_ON:
            k->stretch = STRETCH_MIN;
            break;
        case INTERPRET:
            if (help_out(k))
                return RUN_ERROR;
            break;
        case TRIPLE:
            return RUN_TRIPLE;
        case FAILED:
            return RUN_ERROR;
        }
    }
}

static enum run_exit engine_run(struct vcpu *v)
{
    struct engine_vcpu *k = v->e;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, kvm_kick_signal());
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    __atomic_store_n(&k->tid, gettid(), __ATOMIC_RELAXED);
    return loop(k);
}

static void engine_kick(struct vcpu *v)
{
    if (v->e)
        kick(v->e);
}

/* -------------------------------------------------------------- the seam -- */

static void engine_close(struct engine *en)
{
    kvm_host_close(en);
    pthread_mutex_destroy(&en->ring_lock);
    pthread_mutex_destroy(&en->lock);
    free(en);
}

static struct engine *engine_open(struct vm *vm, struct err *e)
{
    struct engine *en = calloc(1, sizeof(*en));

    if (!en) {
        err_set(e, ENOMEM, "engine kvm: no memory");
        return NULL;
    }
    struct kvm_trial t;
    kvm_trial(&t, false);
    en->vm = vm;
    en->modes = t.modes;
    en->split = vm->cpu.irqchip == IRQCHIP_SPLIT ||
                (vm->cpu.irqchip == IRQCHIP_AUTO && t.whole == MODE_ALL);
    en->map_gen = 1;
    pthread_mutex_init(&en->lock, NULL);
    pthread_mutex_init(&en->ring_lock, NULL);
    if (kvm_host_open(en, e)) { /* it may find that local APICs stay with us */
        engine_close(en);
        return NULL;
    }
    if (en->split) /* the interpreter has no way to these local APICs */
        en->modes = MODE_ALL;
    return en;
}

/* KVM_RUN alone lets the kick through. */
static int set_signal_mask(struct engine_vcpu *k)
{
    u8 block[sizeof(struct kvm_signal_mask) + 8] = {0};
    struct kvm_signal_mask *m = (struct kvm_signal_mask *)block;
    u64 all = ~BIT64(kvm_kick_signal() - 1);

    m->len = 8;
    memcpy(m->sigset, &all, 8);
    return ioctl(k->fd, KVM_SET_SIGNAL_MASK, m) ? -errno : 0;
}

static int open_vcpu(struct engine_vcpu *k, struct err *e)
{
    struct engine *en = k->en;
    unsigned n = k->c.vcpu->index;
    struct kvm_device_attr a = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET};

    k->fd = ioctl(en->fd, KVM_CREATE_VCPU, n);
    if (k->fd < 0)
        return err_set(e, errno, "vCPU %u: KVM_CREATE_VCPU: %s", n, strerror(errno));
    void *run = mmap(NULL, en->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (run == MAP_FAILED)
        return err_set(e, errno, "vCPU %u: %s", n, strerror(errno));
    k->run = run;
    int page = ioctl(en->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    if (n == 0 && page > 0 && (u64)(page + 1) * PAGE_SIZE <= en->run_size)
        en->ring = (void *)((u8 *)run + page * PAGE_SIZE);
    int r = set_signal_mask(k);
    if (r)
        return err_set(e, -r, "vCPU %u: KVM_SET_SIGNAL_MASK: %s", n, strerror(-r));
    en->tsc_offset = !ioctl(k->fd, KVM_HAS_DEVICE_ATTR, &a);
    return 0;
}

static int engine_vcpu_open(struct engine *en, struct vcpu *v, struct err *e)
{
    struct engine_vcpu *k = aligned_alloc(64, align_up(sizeof(*k), 64));

    if (!k)
        return err_set(e, ENOMEM, "vCPU %u: no memory", v->index);
    memset(k, 0, sizeof(*k));
    k->fd = -1;
    k->en = en;
    k->here = true;
    k->stretch = STRETCH_MIN;
    int r = v->vm->cpu.check ? err_set(e, EINVAL, "--check compares soft and interp, not kvm") : 0;
    if (!r)
        r = cpu_open(&k->c, v, e);
    if (r) {
        free(k);
        return r;
    }
    v->e = k;
    return open_vcpu(k, e);
}

static void engine_vcpu_close(struct vcpu *v)
{
    struct engine_vcpu *k = v->e;

    if (!k)
        return;
    v->e = NULL;
    if (v->index == 0)
        k->en->ring = NULL;
    if (k->run)
        munmap(k->run, k->en->run_size);
    if (k->fd >= 0)
        close(k->fd);
    cpu_close(&k->c);
    free(k);
}

static void engine_get_state(struct vcpu *v, struct cpu_state *s)
{
    if (!kvm_fetch(v->e))
        *s = v->e->c.s;
}

static void engine_set_state(struct vcpu *v, const struct cpu_state *s)
{
    struct engine_vcpu *k = v->e;

    kvm_complete(k);
    k->c.s = *s;
    k->c.triple_fault = false;
    k->c.dr6_pending = 0;
    k->here = true;
    kvm_pv_reset(k);
    mmu_flush_all(&k->c);
    cpu_derive(&k->c);
}

static bool engine_translate(struct vcpu *v, u64 lin, u64 *gpa)
{
    return !kvm_fetch(v->e) && mmu_debug_translate(&v->e->c, lin, gpa);
}

static void *engine_pv(struct vcpu *v)
{
    return v->e->en->pv ? &v->e->pv : NULL;
}

static void engine_map(struct engine *en, u64 base, u64 size)
{
    __atomic_add_fetch(&en->map_gen, 1, __ATOMIC_ACQ_REL);
    for (unsigned i = 0; i < en->vm->ncpus; i++)
        engine_kick(&en->vm->vcpu[i]);
}

/* Also asked before a picture is drawn: what is late gets there for the next one. */
static void engine_dirty_log(struct engine *en, u64 ram_off, u64 len)
{
    kvm_dirty_log(en, ram_off, len);
    for (unsigned i = 0; kvm_late_any(en) && i < en->vm->ncpus; i++)
        engine_kick(&en->vm->vcpu[i]);
}

static const struct stat_row stat_rows[] = {
    STAT(struct kvm_stats, runs, "times the guest was entered"),
    STAT(struct kvm_stats, pio, "exits for ports"),
    STAT(struct kvm_stats, mmio, "exits for device memory"),
    STAT(struct kvm_stats, msr, "exits for MSRs"),
    STAT(struct kvm_stats, hlt, "exits for HLT"),
    STAT(struct kvm_stats, eoi, "exits for the end of an I/O APIC's interrupt"),
    STAT(struct kvm_stats, window, "exits to deliver an interrupt"),
    STAT(struct kvm_stats, kicks, "exits because another thread wanted something"),
    STAT(struct kvm_stats, other, "other exits"),
    STAT(struct kvm_stats, failures, "times KVM could not go on"),
    STAT(struct kvm_stats, interpreted, "instructions interpreted instead"),
    STAT(struct kvm_stats, fetches, "times the state was fetched from KVM"),
    STAT(struct kvm_stats, puts, "times it was given to KVM"),
};

static void engine_print_stats(struct engine *en, FILE *f)
{
    const void *stats[VM_CPUS_MAX];

    for (unsigned i = 0; i < en->vm->ncpus; i++)
        stats[i] = en->vm->vcpu[i].e ? &en->vm->vcpu[i].e->stats : NULL;
    stats_print(f, stat_rows, ARRAY_SIZE(stat_rows), stats, en->vm->ncpus);
}

const struct engine_ops engine_kvm = {
    .name = "kvm",
    .debug_registers = true,
    .doorbells = true,
    .open = engine_open,
    .close = engine_close,
    .cut_model = kvm_model_cut,
    .vcpu_open = engine_vcpu_open,
    .vcpu_close = engine_vcpu_close,
    .run = engine_run,
    .kick = engine_kick,
    .get_state = engine_get_state,
    .set_state = engine_set_state,
    .translate = engine_translate,
    .park = engine_park,
    .pv_state = &kvm_pv_state,
    .pv = engine_pv,
    .map = engine_map,
    .dirty_log = engine_dirty_log,
    .print_stats = engine_print_stats,
};
