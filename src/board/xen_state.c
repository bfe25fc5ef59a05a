/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is saved of the machine of a Xen guest without a PC: its memory, processors and local APICs,
 * the few numbers of struct xen_saved, and a classic PV guest's page tables.  Event channels,
 * grants, the store and rings are not: the guest has let go of them and makes them anew, as after
 * `xl restore`.
 */
#include "board/xen_state.h"

#include "core/lazymem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_saveable(struct xen_pvh *m, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < m->cfg.ndisks && !r; i++)
        r = vm_check_kept(&m->cfg.disk[i], e);
    return r;
}

/* A classic PV guest's page tables and processors. */
static int put_pv(struct xen_pvh *m, struct save_out *s, struct err *e)
{
    struct xen_pv_saved pv;
    struct xen_pv_saved_vcpu *v = malloc(sizeof(*v));
    char name[SAVE_NAME_MAX];
    u64 len = 0;
    u8 *frames = xen_pv_save_frames(m->xen, &len);
    int r = v && frames ? 0 : err_set(e, ENOMEM, "out of memory");

    xen_pv_save(m->xen, &pv);
    vm_put_table(s, "xen.pv", &xen_pv_saved_state, &pv);
    for (unsigned i = 0; !r && i < m->vm->ncpus; i++) {
        xen_pv_save_vcpu(m->xen, i, v);
        snprintf(name, sizeof(name), "xen.vcpu.%u", i);
        vm_put_table(s, name, &xen_pv_saved_vcpu_state, v);
    }
    if (!r)
        save_put(s, "xen.frames", 1, frames, len);
    free(frames);
    free(v);
    return r;
}

void xen_put_domain(struct xen *x, struct save_out *s)
{
    struct xen_saved saved;
    u64 len;
    const u8 *pages = xen_save(x, &saved, &len);

    vm_put_table(s, "xen", &xen_saved_state, &saved);
    save_put(s, "xen.pages", 1, pages, len);
}

static int put_all(struct xen_pvh *m, struct save_out *s, struct err *e)
{
    char name[SAVE_NAME_MAX];
    int r = 0;

    xen_put_domain(m->xen, s); /* first: it waits for disks */
    clock_fire_due(m->vm->clock);
    for (unsigned i = 0; i < m->nblks && !r; i++)
        r = vm_flush_disk(m->blk[i], e);
    if (r)
        return r;
    save_put(s, "machine", 1, m->cfg.options, m->cfg.options_len);
    r = vm_put_state(m->vm, s, e);
    if (r)
        return r;
    for (unsigned i = 0; i < m->nblks; i++)
        vm_put_disk(s, i, m->blk[i]);
    for (unsigned i = 0; i < m->lapics.count; i++) {
        snprintf(name, sizeof(name), "lapic.%u", i);
        vm_put_table(s, name, &lapic_state, &m->lapics.lapic[i]);
    }
    if (m->cfg.xen == XEN_PV)
        r = put_pv(m, s, e);
    if (!r)
        vm_put_memory(m->vm, s);
    return r;
}

int xen_pvh_save(struct xen_pvh *m, const char *path, struct err *e)
{
    struct save_out *s;
    int r = check_saveable(m, e);

    BUG_ON(!m->vm->paused);
    if (!r)
        r = lazy_finish(&m->vm->mem, e);
    if (!r)
        r = save_create(&s, path, e);
    if (r)
        return r;
    r = put_all(m, s, e);
    if (r) {
        save_abort(s);
        return r;
    }
    return save_commit(s, e);
}

bool xen_domain_section(const char *name)
{
    return !strcmp(name, "xen") || !strcmp(name, "xen.pages");
}

static bool is_pv_section(const char *name)
{
    return !strcmp(name, "xen.pv") || !strcmp(name, "xen.frames") || !strncmp(name, "xen.vcpu.", 9);
}

static int check_sections(struct xen_pvh *m, const struct save_in *in, struct err *e)
{
    const struct save_section *c;
    int r = check_saveable(m, e);

    for (unsigned i = 0; !r && (c = save_at(in, i)); i++)
        if (!vm_state_section(c->name) && strcmp(c->name, "machine") &&
            !xen_domain_section(c->name) && !(m->cfg.xen == XEN_PV && is_pv_section(c->name)) &&
            strncmp(c->name, "lapic.", 6))
            r = err_set(e, EINVAL, "%s: %s: this machine has no such part", save_path(in), c->name);
    for (unsigned i = 0; !r && i < m->nblks; i++)
        r = vm_check_disk(in, m->blk[i], i, e);
    for (unsigned i = 0; !r && i < m->cfg.ndisks; i++)
        r = vm_check_untouched(&m->cfg.disk[i], in, e);
    return r;
}

static int load_lapics(struct xen_pvh *m, const struct save_in *in, struct err *e)
{
    char name[SAVE_NAME_MAX];
    int r = 0;

    for (unsigned i = 0; !r && i < m->lapics.count; i++) {
        snprintf(name, sizeof(name), "lapic.%u", i);
        r = vm_get_table(in, name, &lapic_state, &m->lapics.lapic[i], e);
    }
    return r;
}

int xen_get_domain(struct xen *x, const struct save_in *in, struct err *e)
{
    const struct save_section *pages = save_find(in, "xen.pages");
    struct xen_saved saved = {0};
    int r = vm_get_table(in, "xen", &xen_saved_state, &saved, e);

    if (r)
        return r;
    if (!pages || pages->version != 1 || xen_load(x, &saved, pages->data, pages->len))
        return err_set(e, EINVAL, "%s: xen.pages: missing, or of a machine of another size",
                       save_path(in));
    return 0;
}

static int load_pv(struct xen_pvh *m, const struct save_in *in, struct err *e)
{
    const struct save_section *frames = save_find(in, "xen.frames");
    struct xen_pv_saved pv = {0};
    struct xen_pv_saved_vcpu *v = calloc(m->vm->ncpus, sizeof(*v));
    char name[SAVE_NAME_MAX];
    int r = v ? vm_get_table(in, "xen.pv", &xen_pv_saved_state, &pv, e)
              : err_set(e, ENOMEM, "out of memory");

    for (unsigned i = 0; !r && i < m->vm->ncpus; i++) {
        snprintf(name, sizeof(name), "xen.vcpu.%u", i);
        r = vm_get_table(in, name, &xen_pv_saved_vcpu_state, &v[i], e);
    }
    if (!r && (!frames || frames->version != 1))
        r = err_set(e, EINVAL, "%s: xen.frames: missing or of another version", save_path(in));
    if (!r && xen_pv_load(m->xen, &pv, v, frames->data, frames->len))
        r = err_set(e, EINVAL, "%s: xen.frames: the guest's page tables lead out of its memory",
                    save_path(in));
    free(v);
    return r;
}

int xen_pvh_load(struct xen_pvh *m, const struct save_in *in, enum vm_memory how, struct err *e)
{
    struct vm *vm = m->vm;
    int r = vm_check_state(vm, in, e);

    if (!r)
        r = check_sections(m, in, e);
    if (r)
        return r;
    vm_pause(vm);
    vm_reset_now(vm);
    r = vm_get_memory(vm, in, how, e);
    if (!r)
        r = vm_get_clock(vm, in, e);
    if (!r)
        r = load_lapics(m, in, e);
    if (!r)
        r = vm_get_cpus(vm, in, e);
    if (!r)
        r = xen_get_domain(m->xen, in, e);
    if (!r && m->cfg.xen == XEN_PV)
        r = load_pv(m, in, e);
    if (!r)
        vm->restored = true;
    return r;
}
