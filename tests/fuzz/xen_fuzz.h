/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz targets of Xen domains share. */
#ifndef WIRT_TESTS_FUZZ_XEN_FUZZ_H
#define WIRT_TESTS_FUZZ_XEN_FUZZ_H

#include "../unit/pv/domain.h"

#include "pv/xen/xenbus.h"
#include "pv/xen/xs_internal.h"

/* Most inputs leave the store as it was, and building it anew is most of a reset. */
static inline void fuzz_reset(struct domain *d)
{
    static struct xs_tree fresh;
    static u64 generation;
    struct xenstore *s = d->x->store;

    if (!fresh.root) {
        xen_reset(d->x);
        BUG_ON(xs_tree_copy(&fresh, &s->tree));
    } else {
        xenbus_disconnect_all(d->x);
        if (s->generation != generation) {
            xs_tree_free(&s->tree);
            BUG_ON(xs_tree_copy(&s->tree, &fresh));
        }
        xen_reset_but(d->x, true);
    }
    generation = s->generation;
}

#endif
