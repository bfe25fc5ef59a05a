/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's life.  The thread that calls vm_run() is the event loop; each vCPU has a thread that
 * is either inside engine->run() or outside, waiting for `hold` to end.  Reset and pause happen on
 * the loop's thread while every vCPU is outside.
 */
#include "core/vm.h"

#include "core/arch.h"
#include "core/lazymem.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void map_changed(void *opaque, u64 base, u64 size)
{
    struct vm *vm = opaque;

    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_raise(&vm->vcpu[i], VCPU_FLUSH);
    if (vm->e && vm->engine->map)
        vm->engine->map(vm->e, base, size);
}

/* Only engines that know of ports before they are used want to know. */
static void ports_changed(void *opaque, u64 base, u64 size)
{
    struct vm *vm = opaque;

    if (vm->e && vm->engine->map && vm->engine->doorbells)
        vm->engine->map(vm->e, 0, 0);
}

static void watch_before(void *opaque, u64 ram_off, u64 len)
{
    struct vm *vm = opaque;

    if (vm->e && vm->engine->dirty_log)
        vm->engine->dirty_log(vm->e, ram_off, len);
}

static void watch_armed(void *opaque)
{
    struct vm *vm = opaque;

    for (unsigned i = 0; i < vm->ncpus && !vm->engine->dirty_log; i++)
        vcpu_raise(&vm->vcpu[i], VCPU_CODE);
}

/* ------------------------------------------------------- hold and release -- */

/* On the loop's thread: returns when every vCPU thread is outside run(). */
static void hold(struct vm *vm, u32 event)
{
    pthread_mutex_lock(&vm->lock);
    vm->hold = true;
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_raise(&vm->vcpu[i], event);
    pthread_mutex_lock(&vm->lock);
    while (vm->running)
        pthread_cond_wait(&vm->changed, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
}

static void release(struct vm *vm, u32 event)
{
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_lower(&vm->vcpu[i], event);
    pthread_mutex_lock(&vm->lock);
    vm->hold = false;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
}

static void notify(struct vm *vm, enum vm_event ev)
{
    for (struct vm_watcher *w = vm->watchers, *next; w; w = next) {
        next = w->next;
        w->fn(w->opaque, ev);
    }
}

void vm_watch(struct vm *vm, struct vm_watcher *w)
{
    w->next = vm->watchers;
    vm->watchers = w;
}

void vm_unwatch(struct vm *vm, struct vm_watcher *w)
{
    for (struct vm_watcher **p = &vm->watchers; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            return;
        }
}

static void park(struct vm *vm)
{
    if (vm->e && vm->engine->park)
        vm->engine->park(vm->e);
}

void vm_reset_now(struct vm *vm)
{
    park(vm);
    loop_cancel(vm->loop, &vm->reset_job);
    __atomic_store_n(&vm->reset_wanted, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_lower(&vm->vcpu[i], VCPU_RESET);
    /* What was raised before the reset is gone with it; the reset itself may raise anew. */
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_lower(&vm->vcpu[i], VCPU_INTR | VCPU_NMI | VCPU_INIT | VCPU_SIPI);
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_hold(&vm->vcpu[i], false);
    if (vm->reset)
        vm->reset(vm->board);
    for (unsigned i = 0; i < vm->ncpus; i++) {
        struct cpu_state *s = aligned_alloc(64, align_up(sizeof(*s), 64));

        BUG_ON(!s);
        cpu_state_reset(s, i == 0);
        if (i == 0 && vm->boot_state)
            vm->boot_state(vm->board, s);
        vm->engine->set_state(&vm->vcpu[i], s);
        free(s);
        vcpu_raise(&vm->vcpu[i], VCPU_FLUSH);
    }
}

static void on_reset(void *opaque)
{
    struct vm *vm = opaque;

    hold(vm, VCPU_RESET);
    vm_reset_now(vm);
    if (!vm->paused)
        release(vm, VCPU_RESET);
    notify(vm, VM_EVENT_RESET);
}

void vm_request_reset(struct vm *vm)
{
    if (vm->no_reboot) {
        vm_request_end(vm, VM_RESET, 0);
        return;
    }
    if (__atomic_exchange_n(&vm->reset_wanted, true, __ATOMIC_ACQ_REL))
        return;
    trace(&vm->trace, cpu, "machine reset");
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_raise(&vm->vcpu[i], VCPU_RESET);
    loop_post(vm->loop, &vm->reset_job);
}

void vm_request_end(struct vm *vm, enum vm_end why, int exit_code)
{
    enum vm_end expected = VM_RUNNING;

    if (__atomic_compare_exchange_n(&vm->end, &expected, why, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED)) {
        vm->exit_code = exit_code;
        loop_stop(vm->loop);
    }
}

static s64 realtime_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (s64)ts.tv_sec * (s64)NS_PER_SEC + ts.tv_nsec;
}

void vm_pause(struct vm *vm)
{
    if (vm->paused)
        return;
    vm->paused = true;
    hold(vm, VCPU_PAUSE);
    clock_pause(vm->clock);
    park(vm);
    vm->paused_at = realtime_ns();
    notify(vm, VM_EVENT_PAUSE);
}

void vm_resume(struct vm *vm)
{
    if (!vm->paused)
        return;
    s64 stood = realtime_ns() - vm->paused_at;
    if (stood > 0 && vm->stood)
        vm->stood(vm->board, (u64)stood);
    vm->paused = false;
    clock_resume(vm->clock);
    release(vm, VCPU_PAUSE);
    notify(vm, VM_EVENT_RESUME);
}

void vm_set_a20(struct vm *vm, bool on)
{
    u64 mask = on ? UINT64_MAX : ~(1ull << 20);

    if (__atomic_exchange_n(&vm->a20_mask, mask, __ATOMIC_ACQ_REL) != mask)
        map_changed(vm, 0, UINT64_MAX);
}

/* ------------------------------------------------------------ vCPU threads -- */

/* Waits outside run() while the machine or the vCPU is held; false when the thread is to end. */
static bool may_run(struct vcpu *v)
{
    struct vm *vm = v->vm;
    bool go;

    pthread_mutex_lock(&vm->lock);
    while ((vm->hold || v->held || v->debug.stopped) && !vm->stopping)
        pthread_cond_wait(&vm->changed, &vm->lock);
    go = !vm->stopping;
    if (go)
        vm->running++;
    pthread_mutex_unlock(&vm->lock);
    return go;
}

void vcpu_hold(struct vcpu *v, bool held)
{
    pthread_mutex_lock(&v->vm->lock);
    v->held = held;
    pthread_cond_broadcast(&v->vm->changed);
    pthread_mutex_unlock(&v->vm->lock);
    if (held)
        vcpu_raise(v, VCPU_HELD);
    else
        vcpu_lower(v, VCPU_HELD);
}

/* Stays outside until the debugger lets it go on. */
static void debug_stop(struct vcpu *v)
{
    pthread_mutex_lock(&v->vm->lock);
    v->debug.stopped = true;
    pthread_mutex_unlock(&v->vm->lock);
    v->vm->debug.stopped(v->vm->debug.opaque);
}

static void has_left(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->running--;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
}

/* After a triple fault nothing more runs on this vCPU until the reset that it asked for. */
static void shut_down(struct vcpu *v)
{
    trace(&v->vm->trace, cpu, "cpu %u: triple fault", v->index);
    vm_request_reset(v->vm);
    vcpu_wait(v, VCPU_RESET | VCPU_STOP | VCPU_PAUSE);
}

static void *vcpu_thread(void *opaque)
{
    struct vcpu *v = opaque;
    struct vm *vm = v->vm;

    __atomic_store_n(&v->tid, gettid(), __ATOMIC_RELAXED);
    while (may_run(v)) {
        enum run_exit why = vm->engine->run(v);

        if (why == RUN_TRIPLE)
            shut_down(v);
        else if (why == RUN_DEBUG)
            debug_stop(v);
        else if (why != RUN_EVENT)
            vm_request_end(vm, VM_FAILED, 0);
        has_left(vm);
        if (why == RUN_DIFFERS || why == RUN_ERROR)
            break;
    }
    return NULL;
}

static int start_vcpus(struct vm *vm)
{
    sigset_t all, old;
    int ret = 0;

    /* Signals for the program go to the loop's thread; what the engine itself raises is unblocked
     * by the engine. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    for (unsigned i = 0; i < vm->ncpus && !ret; i++) {
        ret = pthread_create(&vm->vcpu[i].thread, NULL, vcpu_thread, &vm->vcpu[i]);
        vm->vcpu[i].started = !ret;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -ret;
}

static void stop_vcpus(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->stopping = true;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_raise(&vm->vcpu[i], VCPU_STOP);
    for (unsigned i = 0; i < vm->ncpus; i++)
        if (vm->vcpu[i].started) {
            pthread_join(vm->vcpu[i].thread, NULL);
            vm->vcpu[i].started = false;
        }
}

bool vm_memory_damaged(const struct vm *vm)
{
    return vm->mem.lazy_owner && lazy_error(&vm->mem)->code;
}

enum vm_end vm_run(struct vm *vm)
{
    if (vm->start_paused)
        vm_pause(vm);
    if (!vm->restored)
        vm_reset_now(vm);
    else if (!vm->start_paused)
        vm_resume(vm);
    if (start_vcpus(vm))
        vm_request_end(vm, VM_FAILED, 0);
    loop_run(vm->loop);
    notify(vm, VM_EVENT_END);
    if (vm_memory_damaged(vm))
        return vm->end; /* vCPUs may wait for what will never come */
    stop_vcpus(vm);
    return vm->end;
}

/* --------------------------------------------------------- making of a vm -- */

int vm_init(struct vm *vm, const char *name, u64 ram_size, struct err *e)
{
    int ret;

    memset(vm, 0, sizeof(*vm));
    vm->name = name;
    vm->a20_mask = UINT64_MAX;
    vm->mem.fd = -1;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);
    trace_init(&vm->trace);
    bus_init(&vm->pio, "port", 16, &vm->trace);
    bus_init(&vm->mmio, "memory", 52, &vm->trace);
    vm->mmio.changed = map_changed;
    vm->mmio.changed_opaque = vm;
    vm->pio.changed = ports_changed;
    vm->pio.changed_opaque = vm;
    vm->dma = (struct dma){&vm->mmio, &vm->mem};
    vm->reset_job = (struct loop_job){.fn = on_reset, .opaque = vm};
    ret = mem_open(&vm->mem, ram_size, e); /* clears all of it */
    if (ret)
        goto fail;
    vm->mem.watch_before = watch_before;
    vm->mem.watch_armed = watch_armed;
    vm->mem.watch_opaque = vm;
    ret = -ENOMEM;
    vm->loop = loop_new(e);
    if (!vm->loop)
        goto fail;
    vm->clock = clock_new(vm->loop, e);
    if (!vm->clock)
        goto fail;
    return 0;
fail:
    vm_destroy(vm);
    return ret;
}

static int open_engine(struct vm *vm, const struct engine_ops *engine, struct err *e)
{
    vm->engine = engine;
    vm->e = engine->open(vm, e);
    return vm->e ? 0 : e && e->code ? -e->code : -EIO;
}

int vm_open_cpus(struct vm *vm, const struct engine_ops *engine, const struct cpu_config *cfg,
                 struct err *e)
{
    BUG_ON(!cfg->count || cfg->count > VM_CPUS_MAX);
    vm->cpu = *cfg;
    vm->vcpu = calloc(cfg->count, sizeof(*vm->vcpu));
    char *features = cfg->features ? malloc(cfg->features_len + 1) : NULL;
    vm->cpu.features = features;
    if (features)
        memcpy(features, cfg->features, cfg->features_len);
    if (!vm->vcpu || (cfg->features && !features))
        return err_set(e, ENOMEM, "%u processors: out of memory", cfg->count);
    int rc = open_engine(vm, engine, e);
    if (rc)
        return rc;
    for (unsigned i = 0; i < cfg->count; i++) {
        struct vcpu *v = &vm->vcpu[i];
        int ret;

        v->vm = vm;
        v->index = i;
        pthread_mutex_init(&v->lock, NULL);
        pthread_cond_init(&v->wake, NULL);
        ret = engine->vcpu_open(vm->e, v, e);
        if (ret)
            return ret;
        vm->ncpus = i + 1;
    }
    return 0;
}

int vm_switch_engine(struct vm *vm, const struct engine_ops *engine, struct err *e)
{
    size_t size = align_up(vm->ncpus * sizeof(struct cpu_state), 64);
    struct cpu_state *s = aligned_alloc(64, size);
    int rc = s ? 0 : err_set(e, ENOMEM, "engine %s: out of memory", engine->name);

    BUG_ON(vm->running);
    if (rc)
        return rc;
    for (unsigned i = 0; i < vm->ncpus; i++) {
        vm->engine->get_state(&vm->vcpu[i], &s[i]);
        vm->engine->vcpu_close(&vm->vcpu[i]);
    }
    vm->engine->close(vm->e);
    rc = open_engine(vm, engine, e);
    for (unsigned i = 0; !rc && i < vm->ncpus; i++)
        rc = engine->vcpu_open(vm->e, &vm->vcpu[i], e);
    for (unsigned i = 0; !rc && i < vm->ncpus; i++)
        engine->set_state(&vm->vcpu[i], &s[i]);
    free(s);
    return rc;
}

void vm_destroy(struct vm *vm)
{
    for (unsigned i = 0; i < vm->ncpus; i++) {
        vm->engine->vcpu_close(&vm->vcpu[i]);
        pthread_cond_destroy(&vm->vcpu[i].wake);
        pthread_mutex_destroy(&vm->vcpu[i].lock);
    }
    vm->ncpus = 0;
    if (vm->e)
        vm->engine->close(vm->e);
    vm->e = NULL;
    free(vm->vcpu);
    free((char *)vm->cpu.features);
    vm->vcpu = NULL;
    clock_free(vm->clock);
    loop_free(vm->loop);
    vm->clock = NULL;
    vm->loop = NULL;
    lazy_close(&vm->mem);
    mem_close(&vm->mem);
    bus_destroy(&vm->pio);
    bus_destroy(&vm->mmio);
    trace_destroy(&vm->trace);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
}
