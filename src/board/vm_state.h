/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every board's saved machine has: memory, processors, the clock, disks, as sections of the
 * file of a saved machine (core/savefile.h).  All on the loop's thread, with the machine paused;
 * -errno with one line.
 */
#ifndef WIRT_BOARD_VM_STATE_H
#define WIRT_BOARD_VM_STATE_H

#include "board/config.h"
#include "core/savefile.h"
#include "core/state.h"

struct vm;

/* Where guest memory comes from; core/lazymem.h. */
enum vm_memory { VM_MEMORY_NOW, VM_MEMORY_LAZY, VM_MEMORY_CLONE };

/* A table as a section, and back. */
void vm_put_table(struct save_out *s, const char *name, const struct state_desc *d,
                  const void *obj);
int vm_get_table(const struct save_in *in, const char *name, const struct state_desc *d, void *obj,
                 struct err *e);

/* Layout, processor model, processors, clock; and memory. */
int vm_put_state(struct vm *vm, struct save_out *s, struct err *e);
void vm_put_memory(struct vm *vm, struct save_out *s);
/* Does the file fit this machine's layout and processor model? */
int vm_check_state(struct vm *vm, const struct save_in *in, struct err *e);
/* Does the model have, under this engine, what the saved guest's processor had? */
int vm_check_processor(struct vm *vm, const struct save_in *in, struct err *e);
/* The names of what the saved guest's processor had, each with a final zero, for cpu_config; NULL:
 * the file does not say. */
const char *vm_saved_features(const struct save_in *in, size_t *len);
/* Is it a section that the functions here write? */
bool vm_state_section(const char *name);
int vm_get_memory(struct vm *vm, const struct save_in *in, enum vm_memory how, struct err *e);
int vm_get_clock(struct vm *vm, const struct save_in *in, struct err *e);
int vm_get_cpus(struct vm *vm, const struct save_in *in, struct err *e);

/* Disk i of the machine; b NULL: an empty drive. */
void vm_put_disk(struct save_out *s, unsigned i, const struct blk *b);
int vm_check_disk(const struct save_in *in, const struct blk *b, unsigned i, struct err *e);
/* -EINVAL: the image was written since the machine was saved. */
int vm_check_untouched(const struct disk_config *d, const struct save_in *in, struct err *e);
/* -ENOTSUP: what is written to it is thrown away. */
int vm_check_kept(const struct disk_config *d, struct err *e);
int vm_flush_disk(struct blk *b, struct err *e);

#endif
