/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's subcommands.  Each takes its own name as argv[0] and returns the exit status.
 */
#ifndef WIRT_CLI_CLI_H
#define WIRT_CLI_CLI_H

#include <stdio.h>

/* Exit statuses are even, so that those of --debug-exit, which are odd, stay apart. */
enum { CLI_OK = 0, CLI_ERROR = 2, CLI_QUIT = 4, CLI_RESET = 6, CLI_FAILED = 8 };

struct exit_meaning {
    int status;
    const char *text; /* NULL = end of the list */
};
extern const struct exit_meaning exit_meanings[];

int cli_main(int argc, char **argv);

int cli_run(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_help(int argc, char **argv);

void cli_usage(FILE *f);

#endif
