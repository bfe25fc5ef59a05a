/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program.  Everything else is a library, which the tests link too.
 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
