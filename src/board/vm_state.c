/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every board's saved machine has: memory, processors, the clock, disks.
 */
#include "board/vm_state.h"

#include "core/lazymem.h"
#include "core/vm.h"
#include "cpu/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TSC_TOLERANCE = 1000 }; /* a part of the rate: what two measurements may differ by */
enum { NAME_MAX_PART = SAVE_NAME_MAX };

struct saved_layout {
    u64 ram_size, memory;
    u32 cpus;
};

struct saved_clock {
    u64 now, tsc, tsc_hz;
    s64 realtime; /* ns since 1970 UTC */
};

struct saved_cpu {
    struct cpu_state s;
    u32 events; /* VCPU_NMI, VCPU_INIT, VCPU_SIPI */
    u8 sipi_vector;
};

static const struct field layout_fields[] = {
    FIELD(struct saved_layout, ram_size),
    FIELD(struct saved_layout, memory),
    FIELD(struct saved_layout, cpus),
};
static const struct state_desc layout_state = STATE_DESC("layout", 1, layout_fields);

static const struct field clock_fields[] = {
    FIELD_MAX(struct saved_clock, now, INT64_MAX / 2),
    FIELD(struct saved_clock, tsc),
    FIELD(struct saved_clock, tsc_hz),
    FIELD(struct saved_clock, realtime),
};
static const struct state_desc clock_state = STATE_DESC("clock", 1, clock_fields);

enum { EDGES = VCPU_NMI | VCPU_INIT | VCPU_SIPI };
static const struct field event_fields[] = {
    FIELD_MAX(struct saved_cpu, events, EDGES),
    FIELD(struct saved_cpu, sipi_vector),
};
static const struct state_desc event_state = STATE_DESC("events", 1, event_fields);

void vm_put_table(struct save_out *s, const char *name, const struct state_desc *d, const void *obj)
{
    size_t len = state_size(d);
    u8 *buf = malloc(len + 1);

    BUG_ON(!buf);
    state_save(d, obj, buf);
    save_put(s, name, d->version, buf, len);
    free(buf);
}

int vm_get_table(const struct save_in *in, const char *name, const struct state_desc *d, void *obj,
                 struct err *e)
{
    const struct save_section *c = save_find(in, name);
    struct err why;

    if (!c)
        return err_set(e, EINVAL, "%s: there is no section %s, which this machine needs",
                       save_path(in), name);
    if (c->version != d->version)
        return err_set(e, EINVAL, "%s: %s: version %u; this Wirt reads version %u", save_path(in),
                       name, c->version, d->version);
    int r = state_load(d, obj, c->data, c->len, &why);
    if (r)
        return err_set(e, why.code, "%s: %s: %s", save_path(in), name, why.msg);
    return 0;
}

/* ---------------------------------------------------------- the processors -- */

/* What the guest sees under this engine. */
static int find_model(struct vm *vm, struct cpuid_model *m, struct err *e)
{
    int r = cpuid_model_find(m, vm->cpu.model, e);

    if (!r && vm->engine->cut_model)
        vm->engine->cut_model(vm->e, m);
    if (!r && vm->cpu.features)
        cpuid_model_limit(m, vm->cpu.features, vm->cpu.features_len);
    return r;
}

/* The section "processor": model and features, each with a final zero. */
static int put_processor(struct vm *vm, struct save_out *s, struct err *e)
{
    struct cpuid_model m;
    char text[FEAT_COUNT * 24 + 64];
    size_t n;
    int r = find_model(vm, &m, e);

    if (r)
        return r;
    n = (size_t)snprintf(text, sizeof(text), "%s", m.name) + 1;
    for (unsigned i = 0; i < FEAT_COUNT; i++)
        if (cpuid_has(&m, (enum feature)i))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
                                  cpuid_feature_name((enum feature)i)) +
                 1;
    BUG_ON(n > sizeof(text));
    save_put(s, "processor", 1, text, n);
    return 0;
}

const char *vm_saved_features(const struct save_in *in, size_t *len)
{
    const struct save_section *c = save_find(in, "processor");

    if (!c || !c->len || c->data[c->len - 1])
        return NULL;
    size_t model = strlen((const char *)c->data) + 1;
    *len = c->len - model;
    return (const char *)c->data + model;
}

int vm_check_processor(struct vm *vm, const struct save_in *in, struct err *e)
{
    const struct save_section *c = save_find(in, "processor");
    struct cpuid_model m;
    int r = find_model(vm, &m, e);

    if (r)
        return r;
    if (!c || c->version != 1 || !c->len || c->data[c->len - 1])
        return err_set(e, EINVAL, "%s: processor: missing or of another version", save_path(in));
    const char *p = (const char *)c->data, *end = p + c->len;
    unsigned i = 0; /* they were written in this order */
    for (p += strlen(p) + 1; p < end; p += strlen(p) + 1) {
        unsigned looked = 0;
        while (looked < FEAT_COUNT && strcmp(cpuid_feature_name((enum feature)i), p)) {
            i = (i + 1) % FEAT_COUNT;
            looked++;
        }
        if (looked == FEAT_COUNT || !cpuid_has(&m, (enum feature)i))
            return err_set(e, EINVAL,
                           "%s: processor: the guest uses a processor with %.30s, which model "
                           "\"%s\" does not have on this host under engine %s",
                           save_path(in), p, m.name, vm->engine->name);
    }
    return 0;
}

static struct saved_cpu *new_cpu(struct err *e)
{
    struct saved_cpu *c = aligned_alloc(64, align_up(sizeof(*c), 64));

    if (c)
        memset(c, 0, sizeof(*c));
    else
        err_set(e, ENOMEM, "out of memory");
    return c;
}

/* The engine's own interface: NULL = the guest has none of it. */
static void *pv_of(struct vcpu *v)
{
    return v->vm->engine->pv ? v->vm->engine->pv(v) : NULL;
}

static void pv_name(struct vcpu *v, char name[NAME_MAX_PART])
{
    snprintf(name, NAME_MAX_PART, "%s.%u", v->vm->engine->pv_state->name, v->index);
}

static int put_cpus(struct vm *vm, struct save_out *s, struct err *e)
{
    struct saved_cpu *c = new_cpu(e);
    char name[NAME_MAX_PART];

    for (unsigned i = 0; c && i < vm->ncpus; i++) {
        vm->engine->get_state(&vm->vcpu[i], &c->s);
        c->events = vcpu_events(&vm->vcpu[i]) & EDGES;
        c->sipi_vector = vm->vcpu[i].sipi_vector;
        snprintf(name, sizeof(name), "cpu.%u", i);
        vm_put_table(s, name, &cpu_state_desc, &c->s);
        snprintf(name, sizeof(name), "events.%u", i);
        vm_put_table(s, name, &event_state, c);
        const void *pv = pv_of(&vm->vcpu[i]);
        if (pv) {
            pv_name(&vm->vcpu[i], name);
            vm_put_table(s, name, vm->engine->pv_state, pv);
        }
    }
    free(c);
    return c ? 0 : -ENOMEM;
}

int vm_get_cpus(struct vm *vm, const struct save_in *in, struct err *e)
{
    struct saved_cpu *c = new_cpu(e);
    char name[NAME_MAX_PART];
    int r = c ? 0 : -ENOMEM;

    for (unsigned i = 0; !r && i < vm->ncpus; i++) {
        cpu_state_reset(&c->s, i == 0);
        snprintf(name, sizeof(name), "cpu.%u", i);
        r = vm_get_table(in, name, &cpu_state_desc, &c->s, e);
        snprintf(name, sizeof(name), "events.%u", i);
        if (!r)
            r = vm_get_table(in, name, &event_state, c, e);
        if (r)
            break;
        vm->engine->set_state(&vm->vcpu[i], &c->s);
        vm->vcpu[i].sipi_vector = c->sipi_vector;
        vcpu_lower(&vm->vcpu[i], EDGES);
        vcpu_raise(&vm->vcpu[i], c->events | VCPU_FLUSH);
        void *pv = pv_of(&vm->vcpu[i]);
        if (pv) {
            pv_name(&vm->vcpu[i], name);
            r = vm_get_table(in, name, vm->engine->pv_state, pv, e);
        }
    }
    free(c);
    return r;
}

/* --------------------------------------------------------------------- time -- */

static void put_clock(struct vm *vm, struct save_out *s)
{
    struct clock_state c;

    clock_get(vm->clock, &c);
    vm_put_table(s, "clock", &clock_state,
                 &(struct saved_clock){c.now, c.tsc, clock_tsc_hz(vm->clock), vm->paused_at});
}

int vm_get_clock(struct vm *vm, const struct save_in *in, struct err *e)
{
    struct saved_clock c = {0};
    u64 hz = clock_tsc_hz(vm->clock);
    int r = vm_get_table(in, "clock", &clock_state, &c, e);

    if (r)
        return r;
    u64 apart = hz > c.tsc_hz ? hz - c.tsc_hz : c.tsc_hz - hz;
    if (apart > hz / TSC_TOLERANCE)
        return err_set(
            e, EINVAL, "%s: clock: the guest counts on a TSC of %llu kHz, this host's has %llu kHz",
            save_path(in), (unsigned long long)c.tsc_hz / 1000, (unsigned long long)hz / 1000);
    clock_set(vm->clock, &(struct clock_state){c.now, c.tsc});
    vm->paused_at = c.realtime;
    return 0;
}

/* -------------------------------------------------------------------- disks -- */

/* The guest would find what it has not written, or miss what it has. */
int vm_check_kept(const struct disk_config *d, struct err *e)
{
    return d->snapshot
               ? err_set(e, ENOTSUP,
                         "%s: what the guest writes to it is thrown away when the machine ends: it "
                         "cannot be saved",
                         d->path)
               : 0;
}

int vm_flush_disk(struct blk *b, struct err *e)
{
    int r = b && !b->readonly ? blk_sync(b, BLK_FLUSH, 0, NULL, 0) : 0;

    return r ? err_set(e, -r, "%s: %s", b->path, strerror(-r)) : 0;
}

enum { DISK_GRACE = 20 }; /* seconds: what closing an image may still write */

struct saved_disk {
    u64 size; /* bytes; 0 = an empty drive */
};

static const struct field disk_fields[] = {FIELD(struct saved_disk, size)};
static const struct state_desc disk_state = STATE_DESC("disk", 1, disk_fields);

void vm_put_disk(struct save_out *s, unsigned i, const struct blk *b)
{
    char name[SAVE_NAME_MAX];

    snprintf(name, sizeof(name), "disk.%u", i);
    vm_put_table(s, name, &disk_state, &(struct saved_disk){b ? b->size : 0});
}

int vm_check_disk(const struct save_in *in, const struct blk *b, unsigned i, struct err *e)
{
    struct saved_disk d = {0};
    char name[NAME_MAX_PART];

    snprintf(name, sizeof(name), "disk.%u", i);
    int r = vm_get_table(in, name, &disk_state, &d, e);
    if (!r && d.size != (b ? b->size : 0))
        return err_set(e, EINVAL, "%s: %s: the saved machine's had %llu bytes, %s has %llu",
                       save_path(in), name, (unsigned long long)d.size, b ? b->path : "this drive",
                       b ? (unsigned long long)b->size : 0ull);
    return r;
}

/* The guest knows parts of its disks by heart: they must be as they were. */
int vm_check_untouched(const struct disk_config *d, const struct save_in *in, struct err *e)
{
    struct saved_clock c = {0};
    struct stat st;
    int r = vm_get_table(in, "clock", &clock_state, &c, e);

    if (r)
        return r;

    if (d->anew || d->readonly || stat(d->path, &st))
        return 0;
    if ((s64)st.st_mtim.tv_sec <= c.realtime / (s64)NS_PER_SEC + DISK_GRACE)
        return 0;
    return err_set(e, EINVAL,
                   "%s: disk %s was written after the machine was saved; --disk %s says that it "
                   "holds what it held then",
                   save_path(in), d->path, d->path);
}

/* -------------------------------------------------------------------- whole -- */

int vm_put_state(struct vm *vm, struct save_out *s, struct err *e)
{
    struct saved_layout layout = {vm->mem.ram_size, vm->mem.used, vm->ncpus};

    vm_put_table(s, "layout", &layout_state, &layout);
    int r = put_processor(vm, s, e);
    if (!r)
        r = put_cpus(vm, s, e);
    if (!r)
        put_clock(vm, s);
    return r;
}

void vm_put_memory(struct vm *vm, struct save_out *s)
{
    save_put_memory(s, vm->mem.hva, vm->mem.used, vm->mem.shared ? vm->mem.fd : -1);
}

static int check_layout(struct vm *vm, const struct save_in *in, struct err *e)
{
    struct saved_layout l = {0};
    int r = vm_get_table(in, "layout", &layout_state, &l, e);

    if (r)
        return r;
    if (l.ram_size != vm->mem.ram_size)
        return err_set(e, EINVAL,
                       "%s: layout: %llu MiB of memory were saved, this machine has %llu",
                       save_path(in), (unsigned long long)(l.ram_size >> 20),
                       (unsigned long long)(vm->mem.ram_size >> 20));
    if (l.cpus != vm->ncpus)
        return err_set(e, EINVAL, "%s: layout: %u processors were saved, this machine has %u",
                       save_path(in), l.cpus, vm->ncpus);
    return 0;
}

int vm_check_state(struct vm *vm, const struct save_in *in, struct err *e)
{
    int r = check_layout(vm, in, e);

    if (!r && save_find(in, "kvm.0") && !pv_of(&vm->vcpu[0]))
        return err_set(e, EINVAL, "%s: kvm.0: the guest uses KVM's interface: --pv kvm",
                       save_path(in));
    return r ? r : vm_check_processor(vm, in, e);
}

bool vm_state_section(const char *name)
{
    static const char *const whole[] = {"layout", "processor", "clock", "memory", "memory.index"};
    static const char *const numbered[] = {"cpu.", "events.", "kvm.", "disk."};

    for (unsigned i = 0; i < ARRAY_SIZE(whole); i++)
        if (!strcmp(name, whole[i]))
            return true;
    for (unsigned i = 0; i < ARRAY_SIZE(numbered); i++)
        if (!strncmp(name, numbered[i], strlen(numbered[i])))
            return true;
    return false;
}

static void memory_failed(void *opaque)
{
    vm_request_end(opaque, VM_FAILED, 0);
}

int vm_get_memory(struct vm *vm, const struct save_in *in, enum vm_memory how, struct err *e)
{
    switch (how) {
    case VM_MEMORY_LAZY:
        return lazy_open(&vm->mem, in, memory_failed, vm, e);
    case VM_MEMORY_CLONE:
        return clone_open(&vm->mem, in, memory_failed, vm, e);
    default:
        return mem_restore(&vm->mem, in, e);
    }
}
