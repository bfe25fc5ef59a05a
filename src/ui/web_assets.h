/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of the web console, packed by gzip at build time (src/ui/web/pack.py).
 */
#ifndef WIRT_UI_WEB_ASSETS_H
#define WIRT_UI_WEB_ASSETS_H

struct web_asset {
    const char *name; /* below the token; "" = the page */
    const char *type;
    unsigned offset, len; /* in web_blob */
};

extern const struct web_asset web_assets[];
extern const unsigned web_asset_count;
extern const unsigned char web_blob[];

#endif
