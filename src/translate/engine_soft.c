/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine `soft`: the run loop around translated code, and the engine seam.
 *
 * The run loop looks at events, takes interrupts, sleeps in HLT, and gives to the interpreter what
 * the translator does not do: 16-bit and real mode, segments that are not flat, single-stepping.
 */
#include "core/stats.h"
#include "cpu/exception.h"
#include "cpu/interp.h"
#include "cpu/stops.h"
#include "direct/direct.h"
#include "translate/soft.h"
#include "translate/trans.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HWCAP2_FSGSBASE_BIT = 1 << 1 };

/* Signals that only a bug raises on the thread itself. */
static const int own_faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};

struct engine {
    struct vm *vm;
    struct shared_code shared;
    struct soft_stats stats;
    struct direct_stats direct;
    u64 ops[OP_COUNT];
};

struct engine_vcpu {
    struct soft soft;
};

/* ------------------------------------------------------------ running -- */

void soft_bind(struct soft *sc)
{
    sigset_t all;

    /* a handler would run on the guest's stack pointer */
    sigfillset(&all);
    for (unsigned i = 0; i < ARRAY_SIZE(own_faults); i++)
        sigdelset(&all, own_faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
        asm volatile("wrgsbase %0" : : "r"(sc));
    else
        syscall(SYS_arch_prctl, ARCH_SET_GS, sc);
    sc->thread = pthread_self();
    sc->running = true;
}

/* Drops translations of code that other threads wrote. */
static void take_writes(struct soft *sc)
{
    if (likely(!__atomic_load_n(&sc->nwrites, __ATOMIC_ACQUIRE)))
        return;
    pthread_mutex_lock(&sc->lock);
    if (sc->nwrites > WRITES_MAX) {
        cache_flush(sc);
    } else {
        for (u32 i = 0; i < sc->nwrites; i++)
            cache_wrote(sc, sc->writes[i].off, sc->writes[i].len);
    }
    __atomic_store_n(&sc->nwrites, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&sc->lock);
}

/* mem.code_written: from any thread. */
static void code_written(void *opaque, u64 ram_off, u64 len)
{
    struct engine *en = opaque;

    for (unsigned i = 0; i < en->vm->ncpus; i++) {
        struct vcpu *v = &en->vm->vcpu[i];
        if (!v->e)
            continue;
        struct soft *sc = &v->e->soft;
        if (sc->running && pthread_equal(sc->thread, pthread_self())) {
            cache_wrote(sc, ram_off, len);
            continue;
        }
        pthread_mutex_lock(&sc->lock);
        if (sc->nwrites < WRITES_MAX) {
            sc->writes[sc->nwrites].off = ram_off;
            sc->writes[sc->nwrites].len = len;
            __atomic_store_n(&sc->nwrites, sc->nwrites + 1, __ATOMIC_RELEASE);
        } else {
            __atomic_store_n(&sc->nwrites, WRITES_MAX + 1, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&sc->lock);
        vcpu_raise(v, VCPU_CALL);
    }
}

/* Between instructions.  False: leave run(). */
static bool look_around(struct soft *sc, enum run_exit *why)
{
    struct cpu *c = &sc->c;

    __atomic_store_n(&sc->kick, 0, __ATOMIC_SEQ_CST);
    c->leave = false;
    c->code_changed = false;
    if (unlikely(c->triple_fault)) {
        *why = RUN_TRIPLE;
        return false;
    }
    u32 ev = vcpu_events(c->vcpu);
    if (likely(!ev && !c->s.halted && !c->s.wait_sipi))
        return true;
    if (ev & VCPU_LEAVE) {
        *why = RUN_EVENT;
        return false;
    }
    if (ev & VCPU_CODE)
        mmu_sync_code(c);
    if (ev & VCPU_FLUSH) {
        vcpu_lower(c->vcpu, VCPU_FLUSH);
        mmu_flush_all(c);
    }
    if (ev & VCPU_CALL)
        vcpu_lower(c->vcpu, VCPU_CALL);
    bool slept = c->s.halted || c->s.wait_sipi;
    if (slept && sc->direct)
        direct_slept(sc->direct);
    if (slept && !cpu_sleep(c)) {
        *why = RUN_EVENT;
        return false;
    }
    /* a debugger's step goes before events, but for what wakes the processor */
    if (unlikely(c->debug & CPU_STEP) && !slept && !c->vcpu->debug.step_irqs)
        return true;
    if (cpu_take_event(c) || slept)
        stops_step_done(c);
    return true;
}

/* With a debugger's points or steps; true: the vCPU is to leave. */
static bool debug_turn(struct soft *sc)
{
    struct cpu *c = &sc->c;

    if (c->debug & CPU_STOPPED)
        return true;
    if (c->s.halted || c->s.wait_sipi)
        return false;
    if (c->debug & CPU_STEP) {
        interp_step(c);
        stops_step_done(c);
    } else if (stops_here(c)) {
        return true;
    } else if (stops_in_page(c, cpu_code_linear(c))) {
        interp_step(c);
    } else {
        soft_turn(sc);
    }
    return c->debug & CPU_STOPPED;
}

/* A 64-bit program with all its registers at hand. */
static bool is_program(const struct soft *sc)
{
    u16 key = KEY_64 | KEY_USER | KEY_VEC | (sc->vec_avx ? KEY_AVX : 0);

    return (sc->key & (key | KEY_BAD)) == key;
}

/* A turn of the program on the host's processor; false: it is the translator's. */
static bool run_directly(struct soft *sc)
{
    switch (direct_turn(sc->direct)) {
    case DIRECT_BROKEN:
        sc->broken = true;
        return true;
    case DIRECT_STEP:
        sc->stats.interp_insns++;
        interp_step(&sc->c);
        return true;
    case DIRECT_DONE:
        return true;
    case DIRECT_SOON: /* so leave the translator when it has gone a little way */
        __atomic_store_n(&sc->kick, 1, __ATOMIC_SEQ_CST);
        sc->nudged = true;
        return false;
    default:
        return false;
    }
}

void soft_turn(struct soft *sc)
{
    struct cpu *c = &sc->c;

    soft_refresh(sc);
    sc->tsc_offset = clock_tsc_offset(c->vm->clock) + (u64)c->s.tsc_offset;
    sc->nudged = false;
    if (sc->direct && direct_wanted(sc->direct, is_program(sc)) && run_directly(sc))
        return;
    if (unlikely(sc->key & KEY_BAD || cpu_must_step(c))) {
        sc->stats.interp_blocks++;
        interp_block(c);
        return;
    }
    const struct block *b = soft_block(sc, c->s.rip);
    if (unlikely(!b)) {
        sc->stats.interp_insns++;
        interp_step(c);
        return;
    }
    sc->stats.enters++;
    if (unlikely(sc->lockstep)) {
        sc->differs |= !lockstep_turn(sc->lockstep, sc, b);
        return;
    }
    flags_in(sc);
    sc->thunks[sc->key & KEY_64 ? 1 : 0].enter(sc, sc->rx + b->entry);
}

static enum run_exit soft_loop(struct soft *sc)
{
    struct cpu *c = &sc->c;
    enum run_exit why = RUN_EVENT;

    for (;;) {
        if (!look_around(sc, &why))
            return why;
        take_writes(sc);
        if (unlikely(c->debug)) {
            if (debug_turn(sc))
                return RUN_DEBUG;
        } else if (!c->s.halted && !c->s.wait_sipi) {
            soft_turn(sc);
        }
        if (unlikely(sc->differs))
            return RUN_DIFFERS;
        if (unlikely(sc->broken))
            return RUN_ERROR;
    }
}

static enum run_exit engine_run(struct vcpu *v)
{
    struct soft *sc = &v->e->soft;

    soft_bind(sc);
    stops_begin(&sc->c);
    enum run_exit why = soft_loop(sc);
    sc->running = false;
    return why;
}

static void engine_kick(struct vcpu *v)
{
    if (!v->e)
        return;
    __atomic_store_n(&v->e->soft.kick, 1, __ATOMIC_SEQ_CST);
    if (v->e->soft.direct)
        direct_kick(v->e->soft.direct);
}

/* ------------------------------------------------------------ the seam -- */

static struct engine *engine_open(struct vm *vm, struct err *e)
{
    struct engine *en = calloc(1, sizeof(*en));

    if (en)
        en->shared.holders = calloc(vm->mem.size >> PAGE_SHIFT, sizeof(u16));
    if (!en || !en->shared.holders) {
        free(en);
        err_set(e, ENOMEM, "engine soft: no memory");
        return NULL;
    }
    pthread_mutex_init(&en->shared.lock, NULL);
    en->vm = vm;
    vm->mem.code_written = code_written;
    vm->mem.code_opaque = en;
    return en;
}

static void engine_close(struct engine *en)
{
    en->vm->mem.code_written = NULL;
    pthread_mutex_destroy(&en->shared.lock);
    free(en->shared.holders);
    free(en);
}

static bool host_has_avx(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
        return false;
    asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & 6) == 6;
}

static void hold_code(void *opaque, u64 ram_page)
{
    cache_hold(opaque, ram_page);
}

static const struct direct_ops direct_ops = {hold_code};

static int engine_vcpu_open(struct engine *en, struct vcpu *v, struct err *e)
{
    struct engine_vcpu *ev = aligned_alloc(4096, align_up(sizeof(*ev), 4096));

    if (!ev)
        return err_set(e, ENOMEM, "vCPU %u: no memory", v->index);
    memset(ev, 0, sizeof(*ev));
    struct soft *sc = &ev->soft;
    int rc = cpu_open(&sc->c, v, e);
    if (rc) {
        free(ev);
        return rc;
    }
    pthread_mutex_init(&sc->lock, NULL);
    sc->shared = &en->shared;
    sc->vec_avx = host_has_avx();
    sc->trans = calloc(1, sizeof(*sc->trans));
    sc->interp_ops = calloc(OP_COUNT, sizeof(u64));
    rc = sc->trans && sc->interp_ops ? cache_open(sc, e)
                                     : err_set(e, ENOMEM, "vCPU %u: no memory", v->index);
    if (!rc && v->vm->cpu.perf_map && !(sc->perf_map = perfmap_open(e)))
        rc = -EIO;
    if (!rc && v->vm->cpu.check && v->vm->ncpus > 1)
        rc = err_set(e, EINVAL, "--check takes one processor");
    if (!rc && v->vm->cpu.check && !(sc->lockstep = lockstep_new()))
        rc = err_set(e, ENOMEM, "--check: no memory");
    if (!rc && !sc->lockstep && v->vm->cpu.direct != DIRECT_OFF &&
        !(sc->direct = direct_open(&sc->c, &direct_ops, sc)))
        rc = err_set(e, ENOMEM, "vCPU %u: no memory", v->index);
    sc->c.translator = sc;
    v->e = ev;
    return rc;
}

/* Structures of u64 only. */
static void add_up(void *sum, const void *one, size_t size)
{
    for (size_t i = 0; i < size / sizeof(u64); i++)
        ((u64 *)sum)[i] += ((const u64 *)one)[i];
}

static void engine_vcpu_close(struct vcpu *v)
{
    struct soft *sc;

    if (!v->e)
        return;
    sc = &v->e->soft;
    add_up(&v->vm->e->stats, &sc->stats, sizeof(sc->stats));
    if (sc->direct)
        add_up(&v->vm->e->direct, direct_stats(sc->direct), sizeof(struct direct_stats));
    for (unsigned i = 0; i < OP_COUNT && sc->interp_ops; i++)
        v->vm->e->ops[i] += sc->interp_ops[i];
    free(sc->interp_ops);
    direct_close(sc->direct);
    cache_close(sc);
    cpu_close(&sc->c);
    pthread_mutex_destroy(&sc->lock);
    free(sc->trans);
    free(sc->lockstep);
    if (sc->perf_map)
        fclose(sc->perf_map);
    free(v->e);
    v->e = NULL;
}

static void engine_get_state(struct vcpu *v, struct cpu_state *s)
{
    *s = v->e->soft.c.s;
}

static void engine_set_state(struct vcpu *v, const struct cpu_state *s)
{
    struct cpu *c = &v->e->soft.c;

    c->s = *s;
    c->triple_fault = false;
    c->dr6_pending = 0;
    v->e->soft.vec_live = false;
    mmu_flush_all(c);
    cpu_derive(c);
}

static bool engine_translate(struct vcpu *v, u64 lin, u64 *gpa)
{
    return mmu_debug_translate(&v->e->soft.c, lin, gpa);
}

/* What the interpreter did most. */
static void print_ops(struct engine *en, FILE *f)
{
    u64 ops[OP_COUNT];

    memcpy(ops, en->ops, sizeof(ops));
    for (unsigned i = 0; i < en->vm->ncpus; i++)
        for (unsigned k = 0; k < OP_COUNT && en->vm->vcpu[i].e; k++)
            ops[k] += en->vm->vcpu[i].e->soft.interp_ops[k];
    for (unsigned n = 0; n < 16; n++) {
        unsigned best = 0;
        for (unsigned k = 1; k < OP_COUNT; k++)
            if (ops[k] > ops[best])
                best = k;
        if (!ops[best])
            break;
        fprintf(f, "%14llu    %s\n", (unsigned long long)ops[best], op_names[best]);
        ops[best] = 0;
    }
}

static const struct stat_row stat_rows[] = {
    STAT(struct soft_stats, blocks, "blocks translated"),
    STAT(struct soft_stats, guest_bytes, "bytes of guest code in them"),
    STAT(struct soft_stats, host_bytes, "bytes of host code made of them"),
    STAT(struct soft_stats, flushes, "times the code cache was emptied"),
    STAT(struct soft_stats, stale, "blocks dropped because their code was written"),
    STAT(struct soft_stats, links, "jumps linked"),
    STAT(struct soft_stats, exits,
         "direct exits not linked yet, or to a page not looked at since a flush"),
    STAT(struct soft_stats, jump_misses, "indirect jumps not in the table"),
    STAT(struct soft_stats, fills, "TLB misses"),
    STAT(struct soft_stats, moves, "accesses in another page than their site's last one"),
    STAT(struct soft_stats, interp_insns, "instructions left to the interpreter"),
    STAT(struct soft_stats, interp_blocks, "blocks of 16-bit and other code interpreted"),
    STAT(struct soft_stats, enters, "times translated code was entered"),
    STAT(struct soft_stats, vec_loads, "times vector state was loaded"),
    STAT(struct soft_stats, vec_saves, "times vector state was saved"),
};

static const struct stat_row direct_rows[] = {
    STAT(struct direct_stats, runs, "times a program ran directly"),
    STAT(struct direct_stats, cycles, "cycles of the host's clock in that"),
    STAT(struct direct_stats, calls, "times it ended in a system call"),
    STAT(struct direct_stats, faults, "faults and traps there"),
    STAT(struct direct_stats, page_ins, "of them, asked to map pages"),
    STAT(struct direct_stats, steps, "instructions it left to the interpreter"),
    STAT(struct direct_stats, screened, "pages of code screened for it"),
    STAT(struct direct_stats, processes, "processes made for it"),
    STAT(struct direct_stats, flushes, "flushes of what they had mapped"),
};

static void engine_print_stats(struct engine *en, FILE *f)
{
    const void *stats[VM_CPUS_MAX + 1] = {&en->stats}, *direct[VM_CPUS_MAX + 1] = {&en->direct};

    for (unsigned i = 0; i < en->vm->ncpus; i++) {
        const struct soft *sc = en->vm->vcpu[i].e ? &en->vm->vcpu[i].e->soft : NULL;
        stats[i + 1] = sc ? &sc->stats : NULL;
        direct[i + 1] = sc && sc->direct ? direct_stats(sc->direct) : NULL;
    }
    stats_print(f, stat_rows, ARRAY_SIZE(stat_rows), stats, en->vm->ncpus + 1);
    stats_print(f, direct_rows, ARRAY_SIZE(direct_rows), direct, en->vm->ncpus + 1);
    print_ops(en, f);
}

const struct engine_ops engine_soft = {
    .name = "soft",
    .open = engine_open,
    .close = engine_close,
    .vcpu_open = engine_vcpu_open,
    .vcpu_close = engine_vcpu_close,
    .run = engine_run,
    .kick = engine_kick,
    .get_state = engine_get_state,
    .set_state = engine_set_state,
    .translate = engine_translate,
    .print_stats = engine_print_stats,
};
