/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NBD: connecting, and what the server says of itself.
 */
#include "disk/nbd_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK_MAX = 64 << 10, /* the server's smallest block */
    PAYLOAD = 32 << 20,   /* bytes of a read or write, where the server says nothing */
};

u64 nbd_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* libnbd's message without the function's name. */
void nbd_note_error(struct nbd_file *n)
{
    const char *m = nbd_get_error(), *rest = m ? strstr(m, ": ") : NULL;

    if (m && !strncmp(m, "nbd_", 4) && rest)
        m = rest + 2;
    snprintf(n->why, sizeof(n->why), "%s", m ? m : "not connected");
    for (char *c = n->why; *c; c++)
        if ((u8)*c < ' ')
            *c = ' ';
}

void nbd_disconnect(struct nbd_file *n)
{
    if (n->h)
        nbd_close(n->h);
    n->h = NULL;
}

bool nbd_is_dead(struct nbd_handle *h)
{
    return nbd_aio_is_dead(h) || nbd_aio_is_closed(h);
}

/* False: not within that time, *why says the rest. */
bool nbd_try_connect(struct nbd_file *n, u64 deadline)
{
    struct nbd_handle *h = nbd_create();
    bool ok = h && nbd_set_uri_allow_transports(h, LIBNBD_ALLOW_TRANSPORT_TCP |
                                                       LIBNBD_ALLOW_TRANSPORT_UNIX) == 0;

    ok = ok && nbd_aio_connect_uri(h, n->f.path) == 0;
    while (ok && !nbd_aio_is_ready(h)) {
        u64 now = nbd_now_ms();
        int r = now < deadline ? nbd_poll(h, (int)(deadline - now)) : 0;

        if (r < 0 || nbd_is_dead(h)) {
            ok = false;
        } else if (!r) {
            nbd_close(h);
            snprintf(n->why, sizeof(n->why), "the server does not answer");
            return false;
        }
    }
    if (ok) {
        n->h = h;
        return true;
    }
    nbd_note_error(n);
    if (h)
        nbd_close(h);
    return false;
}

static u32 limit(int64_t v, u32 none, u32 most)
{
    return v <= 0 ? none : v > most ? most : (u32)v;
}

void nbd_ask_flags(struct nbd_file *n)
{
    n->can_flush = nbd_can_flush(n->h) == 1;
    n->can_fua = nbd_can_fua(n->h) == 1;
    n->can_trim = nbd_can_trim(n->h) == 1;
    n->can_zero = nbd_can_zero(n->h) == 1;
    n->block = limit(nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM), 1, UINT32_MAX);
    n->payload = limit(nbd_get_block_size(n->h, LIBNBD_SIZE_MAXIMUM), PAYLOAD, PAYLOAD);
    n->payload = (u32)align_down(n->payload, max(n->block, 1u));
}

/* Can we work with its blocks? */
bool nbd_blocks_fit(const struct nbd_file *n)
{
    return is_pow2(n->block) && n->block <= BLOCK_MAX && n->payload;
}

/* A new connection must lead to the same disk. */
bool nbd_reconnect(struct nbd_file *n, u64 deadline)
{
    nbd_disconnect(n);
    while (nbd_now_ms() < deadline) {
        if (nbd_try_connect(n, deadline)) {
            u32 block = n->block;

            nbd_ask_flags(n);
            if (nbd_get_size(n->h) == (int64_t)n->f.size && n->block <= block &&
                nbd_blocks_fit(n) && (n->f.readonly || nbd_is_read_only(n->h) == 0))
                return true;
            snprintf(n->why, sizeof(n->why), "the server has another disk now");
            nbd_disconnect(n);
            return false;
        }
        usleep(200000);
    }
    return false;
}
