/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.tab as an array, for the parser and for the texts made from it.
 */
#ifndef WIRT_CLI_OPTIONS_TABLE_H
#define WIRT_CLI_OPTIONS_TABLE_H

#include "cli/options.h"

struct opt_desc {
    const char *section; /* a heading, and then nothing else is set; NULL = an option */
    enum opt_id id;
    char letter; /* 0 = none */
    const char *name, *arg, *complete, *help, *more;
};

extern const struct opt_desc opt_table[];
extern const unsigned opt_table_size;

#endif
