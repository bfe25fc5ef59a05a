/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory from the file of a saved machine (core/savefile.h), in one of three ways:
 *
 * - all at once (mem_restore);
 * - behind the guest's back (lazy_open): the machine runs at once; a page that is touched before it
 *   is here is fetched while the toucher waits (userfaultfd(2)), and a thread fetches the rest;
 * - as a private copy-on-write view of an uncompressed file beside it (clone_open), which machines
 *   started from one file share.
 *
 * Memory is [0, mem.used): RAM, ROMs and video memory.  Its size must be the saved one's: -EINVAL.
 */
#ifndef WIRT_CORE_LAZYMEM_H
#define WIRT_CORE_LAZYMEM_H

#include "base/err.h"
#include "core/mem.h"
#include "core/savefile.h"

/* No vCPU runs; tells the engines of all that is written. */
int mem_restore(struct mem *m, const struct save_in *in, struct err *e);

/*
 * Before the first vCPU runs.  Where the host does not let us watch memory, it is mem_restore().
 * `in` must live until lazy_close().  failed(): memory that is not here yet is damaged; called
 * once, on a thread of its own; who has touched it waits for ever, so the process is to be ended
 * without waiting for the machine's threads.
 */
int lazy_open(struct mem *m, const struct save_in *in, void (*failed)(void *opaque), void *opaque,
              struct err *e);
/* What is wrong, after failed(). */
const struct err *lazy_error(const struct mem *m);
/* Makes len bytes at hva be here, so that system calls may be given them.  Any thread. */
void lazy_touch(const struct mem *m, const u8 *hva, u64 len);
/* Waits until all is here. */
int lazy_finish(struct mem *m, struct err *e);
/* Ends the thread, wherever it is; before mem_close().  Nothing open: does nothing. */
void lazy_close(struct mem *m);

/* Makes FILE.pages if it is not there or belongs to another save.  It holds as much as the guest's
 * memory that is not zero; a thread checks it, and failed() is called if it is damaged. */
int clone_open(struct mem *m, const struct save_in *in, void (*failed)(void *opaque), void *opaque,
               struct err *e);

#endif
