/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens what --net asked for: the back end, and the capture filter in front of it.
 */
#include "net/net.h"

#include <errno.h>

int net_open(struct nic_backend **out, const struct net_config *c, struct loop *l,
             struct clock *clock, struct trace *t, struct err *e)
{
    struct nic_backend *b = NULL;
    int rc;

    *out = NULL;
    switch (c->mode) {
    case NET_NONE:
        return 0;
    case NET_USER:
        rc = net_user_open(&b, c, l, clock, t, e);
        break;
    case NET_TAP:
        rc = net_tap_open(&b, c->ifname, l, t, e);
        break;
    default:
        return err_set(e, EINVAL, "network: no such kind");
    }
    if (rc)
        return rc;
    if (c->capture[0]) {
        rc = net_capture_open(out, b, c->capture, clock, t, e);
        if (rc)
            b->ops->close(b);
        return rc;
    }
    *out = b;
    return 0;
}
