/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice among subcommands.
 */
#include "cli/cli.h"
#include "cli/options.h"

#include <string.h>

static int version(int argc, char **argv)
{
    puts("wirt " WIRT_VERSION);
    return CLI_OK;
}

int cli_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(int argc, char **argv);
    } commands[] = {
        {"run", cli_run},     {"doctor", cli_doctor}, {"help", cli_help},     {"version", version},
        {"--help", cli_help}, {"-h", cli_help},       {"--version", version},
    };
    static const char *const names[] = {"run", "doctor", "help", "version", NULL};
    if (argc < 2) {
        cli_usage(stderr);
        return CLI_ERROR;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].fn(argc - 1, argv + 1);
    const char *meant = nearest(argv[1], names);
    fprintf(stderr, "wirt: unknown command \"%s\"", argv[1]);
    if (meant)
        fprintf(stderr, "; did you mean \"wirt %s\"?\n", meant);
    else
        fprintf(stderr, "; \"wirt help\" lists them\n");
    return CLI_ERROR;
}
