/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the NBD client share: a connection, and the requests on it.
 */
#ifndef WIRT_DISK_NBD_INT_H
#define WIRT_DISK_NBD_INT_H

#include "disk/disk_int.h"

#include <libnbd.h>
#include <pthread.h>

struct nbd_op;

struct nbd_file {
    struct file f;        /* first */
    struct nbd_handle *h; /* NULL = not connected; the thread's */
    char why[256];        /* the last error of the connection */
    u32 block;            /* smallest, bytes */
    u32 payload;          /* greatest, bytes */
    bool can_flush, can_fua, can_trim, can_zero, unsafe;
    pthread_t thread;
    int wake; /* eventfd */

    pthread_mutex_t lock; /* guards head, tail, stop; a leaf */
    struct blk_req *head, **tail;
    bool stop;

    /* The thread's own. */
    struct nbd_op *waiting, **waiting_tail; /* not begun */
    struct nbd_op *finished;                /* whose command ended */
    unsigned active;                        /* ops whose command is under way */
    bool lost;                              /* the last try to connect failed */
    bool alone;                             /* one that must be alone is among them */
};

/* ---- nbd_connect.c; on the thread that owns the connection ---- */

u64 nbd_now_ms(void); /* of the monotonic clock */
/* Connects until nbd_now_ms() is deadline; false: n->why says the rest. */
bool nbd_try_connect(struct nbd_file *n, u64 deadline);
/* The same to a server that was lost: it must have the same export. */
bool nbd_reconnect(struct nbd_file *n, u64 deadline);
void nbd_disconnect(struct nbd_file *n);
bool nbd_is_dead(struct nbd_handle *h);
void nbd_note_error(struct nbd_file *n); /* libnbd's last message becomes n->why */
void nbd_ask_flags(struct nbd_file *n);
bool nbd_blocks_fit(const struct nbd_file *n);

/* ---- nbd_requests.c ---- */

void *nbd_thread(void *n); /* until n->stop, and nothing is under way */

#endif
