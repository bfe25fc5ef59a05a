/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PC to and from the file of a saved machine.
 *
 * Before anything is written, what is under way comes to its end: disk requests are waited for
 * (their completions fill rings and raise interrupts as always), timers that are due fire, frames
 * that the guest has sent go out.  What then still waits, waits in tables.
 *
 * What the file has of time: the virtual clock and the guest's TSC go on from where they stood; the
 * battery-backed clock's calendar steps ahead by the host's time in between, unless the machine was
 * given a date of its own (--rtc DATE).
 */
#include "board/pc_state.h"
#include "base/endian.h"
#include "core/lazymem.h"
#include "cpu/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TSC_TOLERANCE = 1000 }; /* a part of the rate: what two measurements may differ by */
enum { NAME_MAX_PART = SAVE_NAME_MAX };

/* ------------------------------------------------------------ what is whole -- */

static void part_name(const struct pc_part *p, char name[NAME_MAX_PART])
{
    snprintf(name, NAME_MAX_PART, "%s.%u", p->name, p->instance);
}

static struct pc_parts *new_parts(struct pc *pc, struct err *e)
{
    struct pc_parts *l = malloc(sizeof(*l));

    if (l)
        pc_list_parts(pc, l);
    else
        err_set(e, ENOMEM, "out of memory");
    return l;
}

/* A PCI function whose state nobody lists would come back as after a reset, and its driver hang. */
static int check_whole(struct pc *pc, const struct pc_parts *l, struct err *e)
{
    for (unsigned devfn = 0; devfn < ARRAY_SIZE(pc->pci.dev); devfn++) {
        struct pci_dev *d = pc->pci.dev[devfn];
        bool listed = !d;
        for (unsigned i = 0; i < l->n && !listed; i++)
            listed = (u8 *)l->part[i].obj >= (u8 *)d && (u8 *)l->part[i].obj < (u8 *)(d + 1);
        if (!listed)
            return err_set(e, ENOTSUP, "a machine with the device %s cannot be saved", d->name);
    }
    return 0;
}

/* The guest would find what it has not written, or miss what it has. */
static int check_kept(const struct disk_config *d, struct err *e)
{
    return d->snapshot
               ? err_set(e, ENOTSUP,
                         "%s: what the guest writes to it is thrown away when the machine ends: it "
                         "cannot be saved",
                         d->path)
               : 0;
}

static int check_disks(const struct machine_config *c, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < c->ndisks && !r; i++)
        r = check_kept(&c->disk[i], e);
    for (unsigned i = 0; i < c->usb.ndisks && !r; i++)
        r = check_kept(&c->usb.disk[i], e);
    return r;
}

static void wait_for_disks(struct pc *pc)
{
    for (unsigned i = 0; i < 2; i++)
        ata_drain(&pc->ide.ch[i]);
    if (pc->cfg.nfloppies)
        i82078_drain(&pc->fdc);
    for (unsigned i = 0; i < pc->nvblks; i++)
        virtio_blk_drain(pc->vblk[i].dev);
    pc_drain_usb(pc);
}

static int flush_disk(struct blk *b, struct err *e)
{
    int r = b && !b->readonly ? blk_sync(b, BLK_FLUSH, 0, NULL, 0) : 0;

    return r ? err_set(e, -r, "%s: %s", b->path, strerror(-r)) : 0;
}

static int flush_disks(struct pc *pc, struct err *e)
{
    struct blk *b;
    int r = 0;

    for (unsigned i = 0; !r && pc_disk(pc, i, &b); i++)
        r = flush_disk(b, e);
    return r;
}

/* -------------------------------------------------------- small sections -- */

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

static void put_table(struct save_out *s, const char *name, const struct state_desc *d,
                      const void *obj)
{
    size_t len = state_size(d);
    u8 *buf = malloc(len + 1);

    BUG_ON(!buf);
    state_save(d, obj, buf);
    save_put(s, name, d->version, buf, len);
    free(buf);
}

static int get_table(const struct save_in *in, const char *name, const struct state_desc *d,
                     void *obj, struct err *e)
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

static const char *const feature_names[FEAT_COUNT] = {
#define FEATURE(name, leaf, sub, reg, bit) #name,
#include "cpu/cpuid.tab"
#undef FEATURE
};

/* What the guest sees under this engine. */
static int find_model(struct vm *vm, struct cpuid_model *m, struct err *e)
{
    int r = cpuid_model_find(m, vm->cpu.model, e);

    if (!r && vm->engine->cut_model)
        vm->engine->cut_model(vm->e, m);
    return r;
}

/* The section "processor": model and features, each with a final zero. */
static int put_processor(struct pc *pc, struct save_out *s, struct err *e)
{
    struct cpuid_model m;
    char text[FEAT_COUNT * 24 + 64];
    size_t n;
    int r = find_model(pc->vm, &m, e);

    if (r)
        return r;
    n = (size_t)snprintf(text, sizeof(text), "%s", m.name) + 1;
    for (unsigned i = 0; i < FEAT_COUNT; i++)
        if (cpuid_has(&m, (enum feature)i))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", feature_names[i]) + 1;
    BUG_ON(n > sizeof(text));
    save_put(s, "processor", 1, text, n);
    return 0;
}

static int check_processor(struct pc *pc, const struct save_in *in, struct err *e)
{
    const struct save_section *c = save_find(in, "processor");
    struct cpuid_model m;
    int r = find_model(pc->vm, &m, e);

    if (r)
        return r;
    if (!c || c->version != 1 || !c->len || c->data[c->len - 1])
        return err_set(e, EINVAL, "%s: processor: missing or of another version", save_path(in));
    const char *p = (const char *)c->data, *end = p + c->len;
    for (p += strlen(p) + 1; p < end; p += strlen(p) + 1) {
        unsigned i = 0;
        while (i < FEAT_COUNT && strcmp(feature_names[i], p))
            i++;
        if (i == FEAT_COUNT || !cpuid_has(&m, (enum feature)i))
            return err_set(e, EINVAL,
                           "%s: processor: the guest uses a processor with %.30s, which model "
                           "\"%s\" does not have on this host under engine %s",
                           save_path(in), p, m.name, pc->vm->engine->name);
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

static int put_cpus(struct vm *vm, struct save_out *s, struct err *e)
{
    struct saved_cpu *c = new_cpu(e);
    char name[NAME_MAX_PART];

    for (unsigned i = 0; c && i < vm->ncpus; i++) {
        vm->engine->get_state(&vm->vcpu[i], &c->s);
        c->events = vcpu_events(&vm->vcpu[i]) & EDGES;
        c->sipi_vector = vm->vcpu[i].sipi_vector;
        snprintf(name, sizeof(name), "cpu.%u", i);
        put_table(s, name, &cpu_state_desc, &c->s);
        snprintf(name, sizeof(name), "events.%u", i);
        put_table(s, name, &event_state, c);
    }
    free(c);
    return c ? 0 : -ENOMEM;
}

static int get_cpus(struct vm *vm, const struct save_in *in, struct err *e)
{
    struct saved_cpu *c = new_cpu(e);
    char name[NAME_MAX_PART];
    int r = c ? 0 : -ENOMEM;

    for (unsigned i = 0; !r && i < vm->ncpus; i++) {
        cpu_state_reset(&c->s, i == 0);
        snprintf(name, sizeof(name), "cpu.%u", i);
        r = get_table(in, name, &cpu_state_desc, &c->s, e);
        snprintf(name, sizeof(name), "events.%u", i);
        if (!r)
            r = get_table(in, name, &event_state, c, e);
        if (r)
            break;
        vm->engine->set_state(&vm->vcpu[i], &c->s);
        vm->vcpu[i].sipi_vector = c->sipi_vector;
        vcpu_lower(&vm->vcpu[i], EDGES);
        vcpu_raise(&vm->vcpu[i], c->events | VCPU_FLUSH);
    }
    free(c);
    return r;
}

/* --------------------------------------------------------------------- time -- */

static void put_clock(struct vm *vm, struct save_out *s)
{
    struct clock_state c;

    clock_get(vm->clock, &c);
    put_table(s, "clock", &clock_state,
              &(struct saved_clock){c.now, c.tsc, clock_tsc_hz(vm->clock), vm->paused_at});
}

static int get_clock(struct vm *vm, const struct save_in *in, struct err *e)
{
    struct saved_clock c = {0};
    u64 hz = clock_tsc_hz(vm->clock);
    int r = get_table(in, "clock", &clock_state, &c, e);

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

void pc_stood(void *opaque, u64 ns)
{
    struct pc *pc = opaque;

    if (!pc->cfg.have_rtc_start)
        mc146818_skip(&pc->rtc, ns);
}

/* -------------------------------------------------------------------- disks -- */

enum { DISK_GRACE = 20 }; /* seconds: what closing an image may still write */

struct saved_disk {
    u64 size; /* bytes; 0 = an empty drive */
};

static const struct field disk_fields[] = {FIELD(struct saved_disk, size)};
static const struct state_desc disk_state = STATE_DESC("disk", 1, disk_fields);

bool pc_disk(struct pc *pc, unsigned i, struct blk **b)
{
    enum { IDE = ARRAY_SIZE(pc->ide_blk), FLOPPY = ARRAY_SIZE(pc->floppy_blk) };

    if (i < IDE)
        *b = pc->ide_blk[i];
    else if (i < IDE + FLOPPY)
        *b = pc->floppy_blk[i - IDE];
    else if (i < IDE + FLOPPY + pc->nvblks)
        *b = pc->vblk[i - IDE - FLOPPY].blk;
    else if (i < IDE + FLOPPY + pc->nvblks + pc->cfg.usb.ndisks)
        *b = pc->usb.blk[i - IDE - FLOPPY - pc->nvblks];
    else
        return false;
    return true;
}

static void put_disks(struct pc *pc, struct save_out *s)
{
    char name[NAME_MAX_PART];
    struct blk *b;

    for (unsigned i = 0; pc_disk(pc, i, &b); i++) {
        snprintf(name, sizeof(name), "disk.%u", i);
        put_table(s, name, &disk_state, &(struct saved_disk){b ? b->size : 0});
    }
}

static int check_saved_disk(const struct save_in *in, const struct blk *b, unsigned i,
                            struct err *e)
{
    struct saved_disk d = {0};
    char name[NAME_MAX_PART];

    snprintf(name, sizeof(name), "disk.%u", i);
    int r = get_table(in, name, &disk_state, &d, e);
    if (!r && d.size != (b ? b->size : 0))
        return err_set(e, EINVAL, "%s: %s: the saved machine's had %llu bytes, %s has %llu",
                       save_path(in), name, (unsigned long long)d.size, b ? b->path : "this drive",
                       b ? (unsigned long long)b->size : 0ull);
    return r;
}

/* The guest knows parts of its disks by heart: they must be as they were. */
static int check_untouched(const struct disk_config *d, const struct save_in *in, s64 saved_at,
                           struct err *e)
{
    struct stat st;

    if (d->anew || d->readonly || stat(d->path, &st))
        return 0;
    if ((s64)st.st_mtim.tv_sec <= saved_at / (s64)NS_PER_SEC + DISK_GRACE)
        return 0;
    return err_set(e, EINVAL,
                   "%s: disk %s was written after the machine was saved; --disk %s says that it "
                   "holds what it held then",
                   save_path(in), d->path, d->path);
}

static int check_saved_disks(struct pc *pc, const struct save_in *in, struct err *e)
{
    struct saved_clock c = {0};
    struct blk *b;
    int r = get_table(in, "clock", &clock_state, &c, e);

    for (unsigned i = 0; !r && pc_disk(pc, i, &b); i++)
        r = check_saved_disk(in, b, i, e);
    /* A machine that has run already brings its disks along. */
    for (unsigned i = 0; i < pc->cfg.ndisks && !r && pc->cfg.loading; i++)
        r = check_untouched(&pc->cfg.disk[i], in, c.realtime, e);
    for (unsigned i = 0; i < pc->cfg.usb.ndisks && !r && pc->cfg.loading; i++)
        r = check_untouched(&pc->cfg.usb.disk[i], in, c.realtime, e);
    return r;
}

/* ------------------------------------------------------------------ network -- */

static int put_nets(struct pc *pc, struct save_out *s, struct err *e)
{
    for (unsigned i = 0; i < pc->cfg.nnics; i++) {
        struct nic_backend *b = pc->nic[i].backend;
        char name[NAME_MAX_PART];
        u8 *data = NULL;
        size_t len = 0;
        int r = b && b->ops->save ? b->ops->save(b, &data, &len) : 0;
        if (r)
            return err_set(e, -r, "network %u: %s", i, strerror(-r));
        snprintf(name, sizeof(name), "net.%u", i);
        if (len)
            save_put(s, name, 1, data, len);
        free(data);
    }
    return 0;
}

/* What was behind a card may be something else now: then it begins anew. */
static void get_nets(struct pc *pc, const struct save_in *in)
{
    for (unsigned i = 0; i < pc->cfg.nnics; i++) {
        struct nic_backend *b = pc->nic[i].backend;
        char name[NAME_MAX_PART];
        snprintf(name, sizeof(name), "net.%u", i);
        const struct save_section *c = save_find(in, name);
        if (c && b && b->ops->load && b->ops->load(b, c->data, c->len))
            trace(&pc->vm->trace, net, "%s: its state is not taken over", name);
    }
}

/* --------------------------------------------------------------------- save -- */

int pc_settle(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;

    if (__atomic_load_n(&vm->reset_wanted, __ATOMIC_ACQUIRE))
        vm_reset_now(vm);
    wait_for_disks(pc);
    clock_fire_due(vm->clock);
    wait_for_disks(pc);
    return flush_disks(pc, e);
}

static int put_all(struct pc *pc, const struct pc_parts *l, struct save_out *s, struct err *e)
{
    struct vm *vm = pc->vm;
    char name[NAME_MAX_PART];
    struct saved_layout layout = {vm->mem.ram_size, vm->mem.used, vm->ncpus};
    int r;

    save_put(s, "machine", 1, pc->cfg.options, pc->cfg.options_len);
    put_table(s, "layout", &layout_state, &layout);
    r = put_processor(pc, s, e);
    if (!r)
        r = put_nets(pc, s, e); /* first: it may still move rings and lines */
    if (!r)
        r = put_cpus(vm, s, e);
    if (r)
        return r;
    put_clock(vm, s);
    put_disks(pc, s);
    for (unsigned i = 0; i < l->n; i++) {
        const struct pc_part *p = &l->part[i];
        part_name(p, name);
        put_table(s, name, p->desc, p->obj);
    }
    save_put_memory(s, vm->mem.hva, vm->mem.used, vm->mem.shared ? vm->mem.fd : -1);
    return 0;
}

int pc_save(struct pc *pc, const char *path, struct err *e)
{
    struct save_out *s;
    struct pc_parts *l = new_parts(pc, e);
    int r = l ? check_whole(pc, l, e) : -ENOMEM;

    BUG_ON(!pc->vm->paused);
    if (!r && pc->xen)
        r = err_set(e, ENOTSUP, "a Xen guest cannot be saved");
    if (!r)
        r = check_disks(&pc->cfg, e);
    if (!r)
        r = lazy_finish(&pc->vm->mem, e);
    if (!r)
        r = save_create(&s, path, e);
    if (!r) {
        r = pc_settle(pc, e);
        if (!r)
            r = put_all(pc, l, s, e);
        if (r)
            save_abort(s);
        else
            r = save_commit(s, e);
    }
    free(l);
    return r;
}

/* --------------------------------------------------------------------- load -- */

int pc_saved_options(const struct save_in *in, const char **text, u64 *len, struct err *e)
{
    const struct save_section *c = save_find(in, "machine");

    if (!c || c->version != 1 || (c->len && c->data[c->len - 1]))
        return err_set(e, EINVAL, "%s: machine: missing or of another version", save_path(in));
    *text = (const char *)c->data;
    *len = c->len;
    return 0;
}

static int check_layout(struct pc *pc, const struct save_in *in, struct err *e)
{
    struct saved_layout l = {0};
    struct vm *vm = pc->vm;
    int r = get_table(in, "layout", &layout_state, &l, e);

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

/* Each section belongs to something: a device that this machine lacks is noticed. */
static int check_sections(const struct pc_parts *l, const struct save_in *in, struct err *e)
{
    static const char *const others[] = {"machine", "layout", "processor",
                                         "clock",   "memory", "memory.index"};
    static const char *const numbered[] = {"cpu.", "events.", "net.", "disk."};
    const struct save_section *c;
    char name[NAME_MAX_PART];

    for (unsigned i = 0; (c = save_at(in, i)); i++) {
        bool known = false;
        for (unsigned k = 0; k < ARRAY_SIZE(others); k++)
            known |= !strcmp(c->name, others[k]);
        for (unsigned k = 0; k < ARRAY_SIZE(numbered); k++)
            known |= !strncmp(c->name, numbered[k], strlen(numbered[k]));
        for (unsigned k = 0; k < l->n && !known; k++) {
            part_name(&l->part[k], name);
            known = !strcmp(c->name, name);
        }
        if (!known)
            return err_set(e, EINVAL, "%s: %s: this machine has no such part", save_path(in),
                           c->name);
    }
    return 0;
}

/* What a job or a notification knew before is found again by looking. */
static void look_at_queues(void *opaque)
{
    struct pc *pc = opaque;
    struct pc_parts *l = new_parts(pc, NULL);

    for (unsigned i = 0; l && i < l->n; i++) {
        struct virtio_dev *d = l->part[i].obj;
        if (l->part[i].desc != &virtio_state)
            continue;
        pthread_mutex_lock(d->lock);
        for (unsigned q = 0; q < d->nqueues; q++)
            if (d->queue[q].enabled && virtio_ready(d))
                d->ops->notify(d, q);
        pthread_mutex_unlock(d->lock);
    }
    free(l);
}

static void memory_failed(void *opaque)
{
    vm_request_end(opaque, VM_FAILED, 0);
}

static int load_memory(struct vm *vm, const struct save_in *in, enum pc_memory how, struct err *e)
{
    switch (how) {
    case PC_MEMORY_LAZY:
        return lazy_open(&vm->mem, in, memory_failed, vm, e);
    case PC_MEMORY_CLONE:
        return clone_open(&vm->mem, in, memory_failed, vm, e);
    default:
        return mem_restore(&vm->mem, in, e);
    }
}

static int load_parts(const struct pc_parts *l, const struct save_in *in, struct err *e)
{
    char name[NAME_MAX_PART];
    int r = 0;

    for (unsigned i = 0; i < l->n && !r; i++) {
        part_name(&l->part[i], name);
        r = get_table(in, name, l->part[i].desc, l->part[i].obj, e);
    }
    return r;
}

static int check(struct pc *pc, const struct pc_parts *l, const struct save_in *in, struct err *e)
{
    int r = check_layout(pc, in, e);

    if (!r)
        r = check_processor(pc, in, e);
    if (!r)
        r = check_sections(l, in, e);
    return r ? r : check_saved_disks(pc, in, e);
}

int pc_check(struct pc *pc, const struct save_in *in, struct err *e)
{
    struct pc_parts *l = new_parts(pc, e);
    int r = l ? check(pc, l, in, e) : -ENOMEM;

    free(l);
    return r;
}

int pc_load(struct pc *pc, const struct save_in *in, enum pc_memory how, struct err *e)
{
    struct vm *vm = pc->vm;
    struct pc_parts *l = new_parts(pc, e);
    int r = l ? check(pc, l, in, e) : -ENOMEM;

    if (!r) {
        vm_pause(vm);
        r = pc_settle(pc, e);
    }
    if (!r) {
        bool direct = pc->direct;
        pc->direct = false; /* the kernel is in the saved memory */
        vm_reset_now(vm);
        pc->direct = direct;
        r = load_memory(vm, in, how, e);
    }
    if (!r)
        r = get_clock(vm, in, e);
    if (!r)
        r = load_parts(l, in, e);
    if (!r)
        r = get_cpus(vm, in, e);
    if (!r)
        get_nets(pc, in);
    if (!r) {
        vm->restored = true;
        pc->cfg.loading = false;
        loop_cancel(vm->loop, &pc->go_on);
        pc->go_on = (struct loop_job){.fn = look_at_queues, .opaque = pc};
        loop_post(vm->loop, &pc->go_on);
    }
    free(l);
    return r;
}
