/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A suspended PV guest (suspend.c), saved and made anew.  Machine frames stay what they were, so
 * unlike Xen's toolstack nobody translates page tables; but what a frame is used as is not
 * believed: processors' tables and those that the guest has pinned are checked again, as if it
 * handed them in by hypercalls.
 *
 * The guest has left physical frame numbers of its store and console pages in start_info, whose
 * frame it gives SCHEDOP_shutdown as third argument, and finds the new domain's there (libxc's
 * sr_restore_x86_pv.c does the same).
 */
#include "pv/xen/pv.h"

#include "base/endian.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A frame's byte, and behind these bytes the entries of the machine-to-physical table that are not
 * what one expects: frame, entry. */
enum { FRAME_PIN = 7, FRAME_GIVEN = 8, ODD = 16 };

#define V struct xen_pv_saved_vcpu
static const struct field vcpu_fields[] = {
    FIELD_MAX(V, kernel, 1),
    FIELD_MAX(V, up, 1),
    FIELD_MAX(V, initialised, 1),
    FIELD(V, kernel_l4),
    FIELD(V, user_l4),
    FIELD(V, kernel_sp),
    FIELD(V, cr4),
    FIELD_MAX(V, iopl, 3),
    FIELD_ARRAY(V, trap_ip),
    FIELD_ARRAY(V, trap_cs),
    FIELD_BYTES(V, trap_dpl),
    FIELD_BYTES(V, trap_masks),
    FIELD_ARRAY(V, entry),
    FIELD_BYTES(V, entry_masks),
    FIELD_ARRAY(V, gdt),
    FIELD_MAX(V, gdt_entries, FIRST_RESERVED_GDT_ENTRY),
    FIELD(V, ldt_base),
    FIELD_MAX(V, ldt_entries, PV_LDT_ENTRIES),
};
const struct state_desc xen_pv_saved_vcpu_state = STATE_DESC("xen.vcpu", 1, vcpu_fields);

static const struct field pv_fields[] = {
    FIELD(struct xen_pv_saved, start_info),
    FIELD(struct xen_pv_saved, assist),
};
const struct state_desc xen_pv_saved_state = STATE_DESC("xen.pv", 1, pv_fields);

_Static_assert(sizeof((V){0}.entry) == sizeof((struct pv_vcpu){0}.entry), "saved vCPUs");
_Static_assert(sizeof((V){0}.gdt) == sizeof((struct pv_vcpu){0}.gdt), "saved vCPUs");

/* -------------------------------------------------------------------- save -- */

static struct cpu_state *get_state(const struct pv_vcpu *v)
{
    struct cpu_state *s = aligned_alloc(64, align_up(sizeof(*s), 64));

    BUG_ON(!s);
    v->xv->x->vm->engine->get_state(v->xv->vcpu, s);
    return s;
}

void pv_settle(struct xen *x)
{
    for (unsigned i = 0; i < x->nvcpus; i++) {
        struct pv_vcpu *v = &x->pv->vcpu[i];
        if (!v->context)
            continue;
        struct cpu_state *s = get_state(v);
        pv_vcpu_begin(v, s);
        s->wait_sipi = true;
        x->vm->engine->set_state(v->xv->vcpu, s);
        free(s);
    }
}

void xen_pv_save(struct xen *x, struct xen_pv_saved *s)
{
    *s = (struct xen_pv_saved){x->suspended_info, x->pv->assist};
}

void xen_pv_save_vcpu(struct xen *x, unsigned i, struct xen_pv_saved_vcpu *s)
{
    struct pv_vcpu *v = &x->pv->vcpu[i];
    struct cpu_state *state = get_state(v);

    *s = (struct xen_pv_saved_vcpu){.kernel = state->ring3_kernel,
                                    .up = v->up,
                                    .initialised = v->initialised,
                                    .kernel_l4 = v->kernel_l4,
                                    .user_l4 = v->user_l4,
                                    .kernel_sp = v->kernel_sp,
                                    .cr4 = v->cr4,
                                    .iopl = v->iopl,
                                    .gdt_entries = v->gdt_entries,
                                    .ldt_base = v->ldt_base,
                                    .ldt_entries = v->ldt_entries};
    free(state);
    for (unsigned k = 0; k < ARRAY_SIZE(v->trap); k++) {
        s->trap_ip[k] = v->trap[k].ip;
        s->trap_cs[k] = v->trap[k].cs;
        s->trap_dpl[k] = v->trap[k].dpl;
        s->trap_masks[k] = v->trap[k].masks;
    }
    memcpy(s->entry, v->entry, sizeof(v->entry));
    for (unsigned k = 0; k < PV_ENTRIES; k++)
        s->entry_masks[k] = v->entry_masks[k];
    memcpy(s->gdt, v->gdt, (v->gdt_entries + 511) / 512 * sizeof(v->gdt[0]));
}

static u64 expected(const struct pv_page *p, u64 mfn)
{
    return p->given ? UINT64_MAX : mfn;
}

u8 *xen_pv_save_frames(struct xen *x, u64 *len)
{
    const struct xen_pv *pv = x->pv;
    u64 odd = 0;

    for (u64 m = 0; m < pv->frames; m++)
        odd += pv->m2p[m] != expected(&pv->page[m], m);
    u8 *buf = malloc(pv->frames + odd * ODD), *at = buf + pv->frames;
    for (u64 m = 0; buf && m < pv->frames; m++) {
        const struct pv_page *p = &pv->page[m];
        buf[m] = (u8)((p->pinned ? p->type : 0) | (p->given ? FRAME_GIVEN : 0));
        if (pv->m2p[m] == expected(p, m))
            continue;
        le64_put(at, m);
        le64_put(at + 8, pv->m2p[m]);
        at += ODD;
    }
    *len = pv->frames + odd * ODD;
    return buf;
}

/* -------------------------------------------------------------------- load -- */

static bool load_frames(struct xen_pv *pv, const u8 *b, u64 len)
{
    if (len < pv->frames || (len - pv->frames) % ODD)
        return false;
    pv->x->current_pages = 0;
    for (u64 m = 0; m < pv->frames; m++) {
        if (b[m] & ~(FRAME_PIN | FRAME_GIVEN))
            return false;
        pv->page[m].given = b[m] & FRAME_GIVEN;
        pv->m2p[m] = expected(&pv->page[m], m);
        pv->x->current_pages += !pv->page[m].given;
    }
    for (const u8 *at = b + pv->frames; at < b + len; at += ODD) {
        if (le64_get(at) >= pv->frames)
            return false;
        pv->m2p[le64_get(at)] = le64_get(at + 8);
    }
    return true;
}

static bool load_pins(struct xen_pv *pv, const u8 *b)
{
    for (u64 m = 0; m < pv->frames; m++) {
        unsigned type = b[m] & FRAME_PIN;
        if (!type)
            continue;
        if (type > PT_L4 || pv_type_get(pv, m, type))
            return false;
        pv->page[m].pinned = true;
    }
    return true;
}

static bool load_root(struct xen_pv *pv, u64 mfn, u64 *to)
{
    if (mfn && pv_type_get(pv, mfn, PT_L4))
        return false;
    *to = mfn;
    return true;
}

/* What the processor's own state must be, whatever the file says. */
static bool load_state(struct pv_vcpu *v, bool kernel)
{
    const struct vm *vm = v->xv->x->vm;
    struct cpu_state *s = get_state(v);
    bool ok = (s->seg[CS].sel & 3) == 3 && (s->seg[CS].attr & SEG_DPL) == SEG_DPL &&
              (kernel ? v->kernel_l4 : v->user_l4);
    ok |= !v->initialised && s->wait_sipi;
    s->ring3_kernel = kernel;
    s->cr3 = (kernel ? v->kernel_l4 : v->user_l4) << PAGE_SHIFT;
    if (ok)
        vm->engine->set_state(v->xv->vcpu, s);
    free(s);
    return ok;
}

static bool load_vcpu(struct pv_vcpu *v, const struct xen_pv_saved_vcpu *s)
{
    struct xen_pv *pv = v->xv->x->pv;

    for (unsigned k = 0; k < ARRAY_SIZE(v->trap); k++) {
        if (!canonical(s->trap_ip[k]))
            return false;
        v->trap[k] =
            (struct pv_trap){s->trap_ip[k], s->trap_cs[k], s->trap_dpl[k] & 3, s->trap_masks[k]};
    }
    for (unsigned k = 0; k < PV_ENTRIES; k++) {
        if (!canonical(s->entry[k]))
            return false;
        v->entry[k] = s->entry[k];
        v->entry_masks[k] = s->entry_masks[k];
    }
    if (!canonical(s->ldt_base) || pv_gdt_load(v, s->gdt, s->gdt_entries) ||
        !load_root(pv, s->kernel_l4, &v->kernel_l4) || !load_root(pv, s->user_l4, &v->user_l4))
        return false;
    v->kernel_sp = s->kernel_sp;
    v->cr4 = s->cr4;
    v->iopl = s->iopl;
    v->ldt_base = s->ldt_base;
    v->ldt_entries = s->ldt_entries;
    v->up = s->up;
    v->initialised = s->initialised;
    v->xv->info->evtchn_upcall_mask = 1; /* until the kernel says where its vcpu_info is */
    return load_state(v, s->kernel);
}

/* The frame where the guest sees a page of RAM; UINT64_MAX: none. */
static u64 frame_of(const struct xen_pv *pv, u64 pfn)
{
    if (pfn < pv->frames && pv->m2p[pfn] == pfn && !pv->page[pfn].given)
        return pfn;
    for (u64 m = 0; m < pv->frames; m++)
        if (pv->m2p[m] == pfn && !pv->page[m].given)
            return m;
    return UINT64_MAX;
}

static bool tell_start_info(struct xen *x, u64 mfn)
{
    struct pv_start_info *s = (struct pv_start_info *)guest_page_get(x, mfn, true);

    if (!s)
        return false;
    u64 store = frame_of(x->pv, s->store_mfn), console = frame_of(x->pv, s->console_mfn);
    bool ok = pv_share_page(x, store, XEN_SPECIAL_STORE) &&
              pv_share_page(x, console, XEN_SPECIAL_CONSOLE);
    s->shared_info = (x->pv->heap_frame + PV_HEAP_SHARED) << PAGE_SHIFT;
    s->flags = 0;
    s->store_mfn = store;
    s->store_evtchn = (u32)x->param[HVM_PARAM_STORE_EVTCHN];
    s->console_mfn = console;
    s->console_evtchn = (u32)x->param[HVM_PARAM_CONSOLE_EVTCHN];
    guest_wrote(x, s, sizeof(*s));
    guest_page_put(x, (u8 *)s, true);
    return ok;
}

int xen_pv_load(struct xen *x, const struct xen_pv_saved *s, const struct xen_pv_saved_vcpu *v,
                const u8 *frames, u64 len)
{
    struct xen_pv *pv = x->pv;
    bool ok;

    pv_lock(pv);
    pv->assist = s->assist;
    ok = load_frames(pv, frames, len) && load_pins(pv, frames);
    for (unsigned i = 0; ok && i < x->nvcpus; i++)
        ok = load_vcpu(&pv->vcpu[i], &v[i]);
    ok = ok && tell_start_info(x, s->start_info);
    pv_unlock(pv);
    return ok ? 0 : -EINVAL;
}
