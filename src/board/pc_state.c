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
#include "board/vm_state.h"
#include "board/xen_state.h"
#include "core/lazymem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static int check_disks(const struct machine_config *c, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < c->ndisks && !r; i++)
        r = vm_check_kept(&c->disk[i], e);
    for (unsigned i = 0; i < c->usb.ndisks && !r; i++)
        r = vm_check_kept(&c->usb.disk[i], e);
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

static int flush_disks(struct pc *pc, struct err *e)
{
    struct blk *b;
    int r = 0;

    for (unsigned i = 0; !r && pc_disk(pc, i, &b); i++)
        r = vm_flush_disk(b, e);
    return r;
}

/* -------------------------------------------------------------------- disks -- */

void pc_stood(void *opaque, u64 ns)
{
    struct pc *pc = opaque;

    if (!pc->cfg.have_rtc_start)
        mc146818_skip(&pc->rtc, ns);
    if (pc->xen && !pc->cfg.have_rtc_start)
        xen_stood(pc->xen, ns);
}

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
    struct blk *b;

    for (unsigned i = 0; pc_disk(pc, i, &b); i++)
        vm_put_disk(s, i, b);
}

static int check_saved_disks(struct pc *pc, const struct save_in *in, struct err *e)
{
    struct blk *b;
    int r = 0;

    for (unsigned i = 0; !r && pc_disk(pc, i, &b); i++)
        r = vm_check_disk(in, b, i, e);
    /* A machine that has run already brings its disks along. */
    for (unsigned i = 0; i < pc->cfg.ndisks && !r && pc->cfg.loading; i++)
        r = vm_check_untouched(&pc->cfg.disk[i], in, e);
    for (unsigned i = 0; i < pc->cfg.usb.ndisks && !r && pc->cfg.loading; i++)
        r = vm_check_untouched(&pc->cfg.usb.disk[i], in, e);
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
    char name[NAME_MAX_PART];

    save_put(s, "machine", 1, pc->cfg.options, pc->cfg.options_len);
    int r = put_nets(pc, s, e); /* first: it may still move rings and lines */
    if (!r)
        r = vm_put_state(pc->vm, s, e);
    if (r)
        return r;
    if (pc->xen)
        xen_put_domain(pc->xen, s);
    put_disks(pc, s);
    for (unsigned i = 0; i < l->n; i++) {
        const struct pc_part *p = &l->part[i];
        part_name(p, name);
        vm_put_table(s, name, p->desc, p->obj);
    }
    vm_put_memory(pc->vm, s);
    return 0;
}

int pc_save(struct pc *pc, const char *path, struct err *e)
{
    struct save_out *s;
    struct pc_parts *l = new_parts(pc, e);
    int r = l ? check_whole(pc, l, e) : -ENOMEM;

    BUG_ON(!pc->vm->paused);
    if (!r && pc->xen && !xen_is_suspended(pc->xen))
        r = err_set(e, ENOTSUP, "the Xen guest is not suspended");
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

/* Each section belongs to something: a device that this machine lacks is noticed. */
static int check_sections(const struct pc_parts *l, bool xen, const struct save_in *in,
                          struct err *e)
{
    const struct save_section *c;
    char name[NAME_MAX_PART];

    for (unsigned i = 0; (c = save_at(in, i)); i++) {
        bool known = vm_state_section(c->name) || !strcmp(c->name, "machine") ||
                     !strncmp(c->name, "net.", 4) || (xen && xen_domain_section(c->name));
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

static int load_parts(const struct pc_parts *l, const struct save_in *in, struct err *e)
{
    char name[NAME_MAX_PART];
    int r = 0;

    for (unsigned i = 0; i < l->n && !r; i++) {
        part_name(&l->part[i], name);
        r = vm_get_table(in, name, l->part[i].desc, l->part[i].obj, e);
    }
    return r;
}

static int check(struct pc *pc, const struct pc_parts *l, const struct save_in *in, struct err *e)
{
    int r = vm_check_state(pc->vm, in, e);

    if (!r)
        r = check_sections(l, pc->xen, in, e);
    return r ? r : check_saved_disks(pc, in, e);
}

int pc_check(struct pc *pc, const struct save_in *in, struct err *e)
{
    struct pc_parts *l = new_parts(pc, e);
    int r = l ? check(pc, l, in, e) : -ENOMEM;

    free(l);
    return r;
}

int pc_load(struct pc *pc, const struct save_in *in, enum vm_memory how, struct err *e)
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
        r = vm_get_memory(vm, in, how, e);
    }
    if (!r)
        r = vm_get_clock(vm, in, e);
    if (!r)
        r = load_parts(l, in, e);
    if (!r)
        r = vm_get_cpus(vm, in, e);
    if (!r && pc->xen)
        r = xen_get_domain(pc->xen, in, e);
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
