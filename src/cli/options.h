/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command-line options: options.tab as a table, the parser, and the texts made from it.
 */
#ifndef WIRT_CLI_OPTIONS_H
#define WIRT_CLI_OPTIONS_H

#include "base/err.h"
#include "base/types.h"

#include <stdio.h>

enum opt_id {
#define SECTION(title)
#define OPT(id, letter, name, arg, complete, help, more) OPT_##id,
#include "cli/options.tab"
#undef OPT
#undef SECTION
    OPT_COUNT,
    OPT_HELP, /* every subcommand has it */
};

/* Takes each option as it comes (arg NULL where it has none), and each argument that is no option
 * with id OPT_COUNT.  -errno ends parsing. */
typedef int opt_fn(void *opaque, enum opt_id id, const char *arg, struct err *e);

/* "--name ARG", "--name=ARG", "-x ARG", "-xARG"; "--" ends options.  argv[0] is not looked at.
 * Errors say what is wrong and what was probably meant. */
int opts_parse(int argc, char **argv, opt_fn *fn, void *opaque, struct err *e);
const char *opt_name(enum opt_id id);

/* The word of list (NULL at its end) nearest to word, or NULL when none is near. */
const char *nearest(const char *word, const char *const *list);

void opts_help(FILE *f);
void opts_man(FILE *f);
void opts_bash(FILE *f);

#endif
