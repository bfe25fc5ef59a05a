/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of web.c in builds without libwebsockets or without what tools/get-web fetches.
 */
#include "ui/web.h"

#include <errno.h>

bool web_available(void)
{
    return false;
}

int web_open(struct web **out, const struct web_machine *m, const struct web_config *c,
             char url[WEB_URL_MAX], struct err *e)
{
    return err_set(e, ENOTSUP, "this build has no web console: \"make web\" builds one that has");
}

void web_close(struct web *w)
{
}
