/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where running machines are found: NAME.sock in a folder of the user's own, $XDG_RUNTIME_DIR/wirt,
 * else /run/wirt for root and /tmp/wirt-UID for others, mode 0700.  NAME.lock beside it is held
 * locked for as long as the machine lives, so what a dead one left is told from a live one.
 */
#ifndef WIRT_CONTROL_PLACE_H
#define WIRT_CONTROL_PLACE_H

#include "base/err.h"
#include "base/types.h"

enum { PLACE_PATH_MAX = 108 };

struct place {
    int lock_fd; /* 0 = nothing is held */
    char lock_path[PLACE_PATH_MAX];
};

/* The folder, made when `make`; -errno when it cannot be, or is not the user's alone. */
int place_folder(char folder[PLACE_PATH_MAX], bool make, struct err *e);
/* 1 to 63 characters, no '/', no control characters, not starting with '.'. */
int place_check_name(const char *name, struct err *e);
/* A file of the machine's: name and suffix (".sock") in the folder. */
int place_path(char path[PLACE_PATH_MAX], const char *name, const char *suffix, struct err *e);

/* Takes the name: -EEXIST when a live machine has it. */
int place_take(struct place *p, const char *name, struct err *e);
void place_release(struct place *p);

/* Calls fn with each live machine's name, in order. */
int place_list(void (*fn)(void *opaque, const char *name), void *opaque, struct err *e);

#endif
