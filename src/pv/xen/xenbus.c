/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the store that a toolstack makes, and the back ends' state machine.
 *
 * All devices' folders are made at reset: nothing comes or goes while the guest runs.
 */
#include "pv/xen/xenbus.h"

#include "pv/xen/grant.h"
#include "pv/xen/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define DOMAIN "/local/domain/1"

static void set_state(struct xenbus_dev *d, int state)
{
    xenbus_back_write(d, "state", "%d", state);
}

/* A try to connect is made once for each time that the front end asks for it. */
static void front_wants(struct xenbus_dev *d)
{
    if (d->connected)
        return;
    int r = d->ops->connect(d);
    if (r) {
        trace(d->x->trace, xen, "%s %u: cannot connect: %s", d->type, d->id, strerror(-r));
        d->ops->disconnect(d);
        set_state(d, XenbusStateClosed);
        return;
    }
    d->connected = true;
    set_state(d, XenbusStateConnected);
}

static void let_go(struct xenbus_dev *d)
{
    d->ops->disconnect(d);
    d->connected = false;
}

static void front_changed(void *opaque, const char *path)
{
    struct xenbus_dev *d = opaque;
    u64 state;

    if (!xenbus_front_number(d, "state", 6, &state)) {
        if (d->connected)
            let_go(d);
        return;
    }
    trace(d->x->trace, xen, "%s %u: front end's state %u", d->type, d->id, (unsigned)state);
    switch (state) {
    case XenbusStateInitialising:
        /* again, after a front end before it */
        if (d->connected)
            let_go(d);
        d->ops->announce(d);
        set_state(d, XenbusStateInitWait);
        break;
    case XenbusStateInitialised:
    case XenbusStateConnected:
        front_wants(d);
        break;
    case XenbusStateClosing:
        let_go(d);
        set_state(d, XenbusStateClosing);
        break;
    case XenbusStateClosed:
        let_go(d);
        set_state(d, XenbusStateClosed);
        break;
    }
}

void xenbus_add(struct xen *x, struct xenbus_dev *d, const char *type, unsigned id,
                const struct xenbus_ops *ops)
{
    struct xenbus_dev **at = &x->devices;

    d->x = x;
    d->ops = ops;
    d->type = type;
    d->id = id;
    d->next = NULL;
    snprintf(d->front, sizeof(d->front), DOMAIN "/device/%s/%u", type, id);
    snprintf(d->back, sizeof(d->back), "/local/domain/0/backend/%s/%u/%u", type,
             (unsigned)XEN_DOMID_GUEST, id);
    snprintf(d->state_path, sizeof(d->state_path), "%s/state", d->front);
    d->watcher = (struct xs_watcher){d->state_path, front_changed, d, NULL};
    while (*at)
        at = &(*at)->next;
    *at = d;
    xs_watch(x->store, &d->watcher);
}

static void make_device(struct xenbus_dev *d)
{
    struct xenstore *s = d->x->store;
    char path[XS_PATH_MAX];

    /* the folders' permissions come before what lies in them, which inherits them */
    xs_write(s, d->back, "%s", "");
    xs_perms(s, d->back, "n0,r1");
    xenbus_back_write(d, "frontend", "%s", d->front);
    xenbus_back_write(d, "frontend-id", "%u", (unsigned)XEN_DOMID_GUEST);
    xenbus_back_write(d, "online", "1");
    xs_write(s, d->front, "%s", "");
    xs_perms(s, d->front, "n1,r0");
    const struct {
        const char *name, *value;
    } nodes[] = {{"backend", d->back}, {"backend-id", "0"}, {"trusted", "1"}};
    for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++) {
        snprintf(path, sizeof(path), "%s/%s", d->front, nodes[i].name);
        xs_write(s, path, "%s", nodes[i].value);
    }
    snprintf(path, sizeof(path), "%s/state", d->front); /* front_changed() does the rest */
    xs_write(s, path, "%d", XenbusStateInitialising);
}

static void uuid_text(const u8 *u, char *buf, size_t size)
{
    snprintf(buf, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
             u[14], u[15]);
}

/* What belongs to the domain itself. */
static void make_domain(struct xen *x)
{
    struct xenstore *s = x->store;
    static const char *const writable[] = {DOMAIN "/data",    DOMAIN "/attr",  DOMAIN "/drivers",
                                           DOMAIN "/feature", DOMAIN "/error", DOMAIN "/device"};
    static const char *const features[] = {"poweroff", "reboot", "suspend", "sysrq"};
    char uuid[40], path[XS_PATH_MAX];
    u64 kib = x->ram_frames * 4;

    xs_write(s, DOMAIN, "%s", "");
    xs_perms(s, DOMAIN, "n0,r1");
    uuid_text(x->cfg.uuid, uuid, sizeof(uuid));
    xs_write(s, DOMAIN "/vm", "/vm/%s", uuid);
    xs_write(s, DOMAIN "/name", "%s", x->vm->name ? x->vm->name : "wirt");
    xs_write(s, DOMAIN "/domid", "%u", (unsigned)XEN_DOMID_GUEST);
    for (unsigned i = 0; i < x->nvcpus; i++) {
        snprintf(path, sizeof(path), DOMAIN "/cpu/%u/availability", i);
        xs_write(s, path, "online");
    }
    xs_write(s, DOMAIN "/memory/static-max", "%llu", (unsigned long long)kib);
    xs_write(s, DOMAIN "/memory/target", "%llu", (unsigned long long)kib);
    xs_write(s, DOMAIN "/memory/videoram", "0");
    for (unsigned i = 0; i < ARRAY_SIZE(writable); i++) {
        xs_write(s, writable[i], "%s", "");
        xs_perms(s, writable[i], i + 1 < ARRAY_SIZE(writable) ? "n1" : "n0,r1");
    }
    xs_write(s, DOMAIN "/control", "%s", "");
    xs_write(s, DOMAIN "/control/shutdown", "%s", "");
    xs_perms(s, DOMAIN "/control/shutdown", "n1");
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        snprintf(path, sizeof(path), DOMAIN "/control/feature-%s", features[i]);
        xs_write(s, path, "%s", "");
        xs_perms(s, path, "n1");
    }
    xs_write(s, DOMAIN "/control/sysrq", "%s", "");
    xs_perms(s, DOMAIN "/control/sysrq", "n1");
    xs_write(s, DOMAIN "/store/port", "%u", (unsigned)x->param[HVM_PARAM_STORE_EVTCHN]);
    xs_write(s, DOMAIN "/store/ring-ref", "%llu",
             (unsigned long long)x->param[HVM_PARAM_STORE_PFN]);
    xs_write(s, DOMAIN "/console/port", "%u", (unsigned)x->param[HVM_PARAM_CONSOLE_EVTCHN]);
    xs_write(s, DOMAIN "/console/ring-ref", "%llu",
             (unsigned long long)x->param[HVM_PARAM_CONSOLE_PFN]);
    xs_write(s, DOMAIN "/console/type", "xenconsoled");
    snprintf(path, sizeof(path), "/vm/%s/uuid", uuid);
    xs_write(s, path, "%s", uuid);
}

void xenbus_reset(struct xen *x)
{
    xenstore_lock(x->store);
    make_domain(x);
    for (struct xenbus_dev *d = x->devices; d; d = d->next)
        make_device(d);
    xenstore_unlock(x->store);
}

void xenbus_disconnect_all(struct xen *x)
{
    xenstore_lock(x->store);
    for (struct xenbus_dev *d = x->devices; d; d = d->next)
        let_go(d);
    xenstore_unlock(x->store);
}

void xen_shutdown_guest(struct xen *x, const char *how)
{
    xenstore_lock(x->store);
    xs_write(x->store, DOMAIN "/control/shutdown", "%s", how);
    xenstore_unlock(x->store);
}

void xen_set_memory(struct xen *x, u64 kib)
{
    xenstore_lock(x->store);
    xs_write(x->store, DOMAIN "/memory/target", "%llu", (unsigned long long)kib);
    xenstore_unlock(x->store);
}

/* ------------------------------------------------------------------ nodes -- */

bool xenbus_front_number(struct xenbus_dev *d, const char *name, u64 max, u64 *v)
{
    char path[XS_PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", d->front, name);
    return xs_read_number(d->x->store, path, max, v);
}

bool xenbus_front_is(struct xenbus_dev *d, const char *name, const char *value)
{
    char path[XS_PATH_MAX], is[64];

    snprintf(path, sizeof(path), "%s/%s", d->front, name);
    return xs_read(d->x->store, path, is, sizeof(is)) && !strcmp(is, value);
}

void xenbus_back_write(struct xenbus_dev *d, const char *name, const char *fmt, ...)
{
    char path[XS_PATH_MAX], value[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    snprintf(path, sizeof(path), "%s/%s", d->back, name);
    xs_write(d->x->store, path, "%s", value);
}

/* ------------------------------------------------------------------ rings -- */

int xenbus_map_ring(struct xenbus_dev *d, const char *dir, const char *name, unsigned npages,
                    struct xenbus_ring *r)
{
    char node[64];
    u64 ref;

    r->npages = 0;
    for (unsigned i = 0; i < npages; i++) {
        snprintf(node, sizeof(node), npages > 1 ? "%s%s%u" : "%s%s", dir, name, i);
        if (!xenbus_front_number(d, node, UINT32_MAX, &ref))
            return -ENOENT;
        if (grant_map(d->x, (u32)ref, true, &r->page[i]))
            return -EACCES;
        r->ref[i] = (u32)ref;
        r->npages = i + 1;
    }
    return 0;
}

void xenbus_unmap_ring(struct xenbus_dev *d, struct xenbus_ring *r)
{
    for (unsigned i = 0; i < r->npages; i++)
        grant_unmap(d->x, r->ref[i], true);
    r->npages = 0;
}

void xenbus_ring_get(const struct xenbus_ring *r, u32 off, void *buf, u32 len)
{
    u8 *to = buf;

    while (len) {
        u32 n = min(len, PAGE_SIZE - (off & PAGE_MASK));
        memcpy(to, r->page[off >> PAGE_SHIFT] + (off & PAGE_MASK), n);
        to += n;
        off += n;
        len -= n;
    }
}

void xenbus_ring_put(struct xen *x, const struct xenbus_ring *r, u32 off, const void *buf, u32 len)
{
    const u8 *from = buf;

    while (len) {
        u32 n = min(len, PAGE_SIZE - (off & PAGE_MASK));
        u8 *to = r->page[off >> PAGE_SHIFT] + (off & PAGE_MASK);
        memcpy(to, from, n);
        guest_wrote(x, to, n);
        from += n;
        off += n;
        len -= n;
    }
}
