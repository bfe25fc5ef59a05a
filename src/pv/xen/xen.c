/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domain: opens, resets and closes its parts.
 */
#include "pv/xen/blkback.h"
#include "pv/xen/grant.h"
#include "pv/xen/internal.h"
#include "pv/xen/netback.h"
#include "pv/xen/pv.h"
#include "pv/xen/screen.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct pv_ops ops = {
    .cpuid = xen_cpuid,
    .rdmsr = xen_rdmsr,
    .wrmsr = xen_wrmsr,
    .hypercall = xen_hypercall,
};

/* Those that say where they belong first, the others where there is room. */
static int open_disks(struct xen *x, struct err *e)
{
    const struct xen_config *c = &x->cfg;
    u64 used = 0;
    int r = 0;

    for (unsigned i = 0; i < c->ndisks; i++)
        if (c->disk[i].xvd)
            used |= BIT64(c->disk[i].xvd - 1);
    for (unsigned i = 0; !r && i < c->ndisks; i++) {
        unsigned n = c->disk[i].xvd ? c->disk[i].xvd - 1 : (unsigned)__builtin_ctzll(~used);
        used |= BIT64(n);
        r = blkback_open(x, n, &c->disk[i], e);
    }
    return r;
}

int xen_open(struct xen **out, struct vm *vm, struct lapic_bus *lapics, const struct xen_config *c,
             struct err *e)
{
    struct xen *x = calloc(1, sizeof(*x));
    int r;

    *out = x;
    if (!x)
        return err_set(e, ENOMEM, "Xen interface: no memory");
    BUG_ON(c->nmap > ARRAY_SIZE(x->map));
    x->vm = vm;
    x->lapics = lapics;
    x->trace = &vm->trace;
    x->cfg = *c;
    memcpy(x->map, c->map, c->nmap * sizeof(*c->map));
    x->cfg.map = x->map;
    pthread_mutex_init(&x->lock, NULL);
    pthread_mutex_init(&x->evt_lock, NULL);
    x->port = calloc(XEN_PORTS_MAX, sizeof(*x->port));
    if (!x->port)
        return err_set(e, ENOMEM, "Xen interface: no memory");
    vcpu_init(x);
    r = memory_open(x, e);
    if (!r && c->pv)
        r = pv_open(x, e);
    if (!r && !(x->console = console_open(x, c->console, e)))
        r = -ENOMEM;
    if (!r)
        r = grant_open(x, e);
    if (!r)
        r = xenstore_open(x, e);
    if (!r)
        r = open_disks(x, e);
    for (unsigned i = 0; !r && i < c->nnics; i++)
        r = netback_open(x, i, &c->nic[i], e);
    if (!r && c->screen)
        r = fbback_open(x, c->screen, e);
    if (!r && c->screen)
        r = kbdback_open(x, c->input, c->width ? c->width : 800, c->height ? c->height : 600, e);
    if (r)
        return r;
    xen_reset(x);
    /* SeaBIOS would look for what Xen's own loader leaves in memory */
    vm->pv = (struct pv){.ops = &ops, .opaque = x, .paged = c->hvm};
    if (c->pv) {
        vm->pv.ring3 = &pv_ring3;
        vm->pv.walked = x->pv->walked;
        vm->pv.frames = x->pv->frames;
    }
    return 0;
}

void xen_reset_but(struct xen *x, bool keep_store)
{
    suspend_reset(x);
    xenbus_disconnect_all(x);
    memory_reset(x);
    grant_reset(x);
    vcpu_reset(x);
    evtchn_reset(x);
    hvm_reset(x);
    time_wallclock(x);
    xenstore_reset(x, keep_store);
    console_reset(x->console);
    if (!keep_store)
        xenbus_reset(x);
    pv_reset(x);
}

void xen_reset(struct xen *x)
{
    xen_reset_but(x, false);
}

void xen_close(struct xen *x)
{
    if (!x)
        return;
    x->vm->pv = (struct pv){0};
    suspend_reset(x);
    vcpu_stop(x);
    if (x->store && x->grants)
        xenbus_disconnect_all(x);
    blkback_close_all(x);
    netback_close_all(x);
    fbback_close(x);
    kbdback_close(x);
    xenstore_close(x);
    grant_close(x);
    console_close(x->console);
    memory_close(x);
    pv_close(x);
    free(x->port);
    pthread_mutex_destroy(&x->lock);
    pthread_mutex_destroy(&x->evt_lock);
    free(x);
}
