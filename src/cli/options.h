/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command-line options: tables of them, the parser, and the texts made from them.  options.tab is
 * the table of `wirt run`; other subcommands have their own.
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
    OPT_COUNT,        /* what is no option */
    OPT_HELP = 10000, /* every subcommand has it */
};

struct opt_desc {
    const char *section; /* a heading, and then nothing else is set; NULL = an option */
    int id;              /* below OPT_HELP */
    char letter;         /* 0 = none */
    const char *name, *arg, *complete, *help, *more;
    const char
        *verbs; /* which of a subcommand's own commands have it, between blanks; NULL = all */
};

struct opt_set {
    const struct opt_desc *row;
    unsigned rows;
    const char *command; /* for messages: "wirt run" */
    const char *verb;    /* only what this one has; NULL = all */
    int argument;        /* the id of what is no option */
};
extern const struct opt_set run_options;

bool opt_belongs(const struct opt_set *set, const struct opt_desc *o);

/* Takes each option as it comes (arg NULL where it has none), and each argument that is no option
 * with id set->argument.  -errno ends parsing. */
typedef int opt_fn(void *opaque, int id, const char *arg, struct err *e);

/* "--name ARG", "--name=ARG", "-x ARG", "-xARG", "-xy"; "--" ends options; "-5" is none.
 * argv[0] is not looked at.  Errors say what is wrong and what was probably meant. */
int opts_parse(const struct opt_set *set, int argc, char **argv, opt_fn *fn, void *opaque,
               struct err *e);
const char *opt_name(enum opt_id id); /* of `wirt run` */

/* The word of list (NULL at its end) nearest to word, or NULL when none is near. */
const char *nearest(const char *word, const char *const *list);

/* A row as --help shows it, and as the man page does. */
void opt_help(FILE *f, const struct opt_desc *o);
void opt_man(FILE *f, const struct opt_desc *o);
/* Text into troff. */
void troff(FILE *f, const char *s);

void opts_help(FILE *f);
void opts_man(FILE *f);
void opts_bash(FILE *f);

#endif
