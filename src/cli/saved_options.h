/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options that a machine is made of, as a list: collected from the command line, kept in the
 * file of a saved machine, and there again when it is loaded, where the command line may give files
 * and back ends anew.
 */
#ifndef WIRT_CLI_SAVED_OPTIONS_H
#define WIRT_CLI_SAVED_OPTIONS_H

#include "cli/options.h"

enum { SAVED_OPTIONS_MAX = 256 };

struct saved_option {
    enum opt_id id;
    char *arg; /* malloc'ed, NULL = it has none */
    bool anew; /* given on the command line that loads it */
};

struct saved_options {
    struct saved_option o[SAVED_OPTIONS_MAX];
    unsigned n;
};

/* Adds one; names of files are made absolute when the file is there. */
int saved_add(struct saved_options *s, enum opt_id id, const char *arg, struct err *e);
/* The n-th of its kind on the command line takes the place of the n-th that was saved; begin with
 * `given` zeroed, an entry for each option.  -EINVAL for what belongs to the machine's making. */
int saved_replace(struct saved_options *s, unsigned given[OPT_COUNT + 1], enum opt_id id,
                  const char *arg, struct err *e);
/* To and from the section "machine".  The text is malloc'ed. */
char *saved_text(const struct saved_options *s, const char *identity, u64 *len);
/* *identity points into the text. */
int saved_parse(struct saved_options *s, const char *text, u64 len, const char **identity,
                struct err *e);
void saved_free(struct saved_options *s);

#endif
