/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keys.tab, looked through.
 */
#include "ui/keys.h"
#include "ui/keymap.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

static const struct {
    const char *name;
    u16 code, xt;
    u32 keysym;
} keys[] = {
#define KEY(name, code, xt, keysym) {name, code, xt, keysym},
#include "ui/keys.tab"
#undef KEY
};

/* What people call keys that QEMU calls otherwise. */
static const struct {
    const char *name, *qemu;
} others[] = {
    {"enter", "ret"},
    {"return", "ret"},
    {"escape", "esc"},
    {"space", "spc"},
    {"del", "delete"},
    {"ins", "insert"},
    {"control", "ctrl"},
    {"win", "meta_l"},
    {"super", "meta_l"},
    {"meta", "meta_l"},
    {"pageup", "pgup"},
    {"pagedown", "pgdn"},
    {"period", "dot"},
    {"-", "minus"},
    {"=", "equal"},
    {"[", "bracket_left"},
    {"]", "bracket_right"},
    {";", "semicolon"},
    {"'", "apostrophe"},
    {"`", "grave_accent"},
    {"\\", "backslash"},
    {",", "comma"},
    {".", "dot"},
    {"/", "slash"},
    {"altgr", "alt_r"},
    {"capslock", "caps_lock"},
    {"numlock", "num_lock"},
    {"scrolllock", "scroll_lock"},
    {"break", "pause"},
    {"bs", "backspace"},
};

unsigned key_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (!strcmp(keys[i].name, name))
            return keys[i].code;
    return 0;
}

unsigned key_by_xt(unsigned xt)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].xt == xt)
            return keys[i].code;
    return 0;
}

unsigned key_by_keysym(u32 keysym)
{
    if (keysym >= 0x20 && keysym < 0x7f) { /* keysyms of ASCII are ASCII */
        struct key_press k;
        u8 c = (u8)keysym;
        keymap_take(&k, &c, 1);
        return k.code;
    }
    for (size_t i = 0; keysym && i < ARRAY_SIZE(keys); i++)
        if (keys[i].keysym == keysym)
            return keys[i].code;
    return 0;
}

/* QEMU's name in the table's own memory. */
static const char *canonical(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (!strcasecmp(keys[i].name, name))
            return keys[i].name;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (!strcasecmp(others[i].name, name))
            return others[i].qemu;
    return NULL;
}

int keys_parse(const char **names, unsigned most, char *text, const char **bad)
{
    unsigned n = 0;
    for (char *p = text; p;) {
        char *dash = *p ? strchr(p + 1, '-') : NULL; /* a leading dash is the key itself */
        if (dash)
            *dash = 0;
        const char *name = canonical(p);
        *bad = p;
        if (!name)
            return -EINVAL;
        if (n == most)
            return -E2BIG;
        names[n++] = name;
        p = dash ? dash + 1 : NULL;
    }
    return (int)n;
}
