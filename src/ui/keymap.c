/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys as xterm and the Linux console send them (ECMA-48 with DEC's numbers), for a US keyboard.
 */
#include "ui/keymap.h"

#include <linux/input-event-codes.h>
#include <string.h>

static const u8 letters[26] = {
    KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_F, KEY_G, KEY_H, KEY_I, KEY_J, KEY_K, KEY_L, KEY_M,
    KEY_N, KEY_O, KEY_P, KEY_Q, KEY_R, KEY_S, KEY_T, KEY_U, KEY_V, KEY_W, KEY_X, KEY_Y, KEY_Z,
};

/* Each key's character, and the one with Shift. */
static const struct {
    char plain, shifted;
    u8 code;
} signs[] = {
    {'1', '!', KEY_1},           {'2', '@', KEY_2},          {'3', '#', KEY_3},
    {'4', '$', KEY_4},           {'5', '%', KEY_5},          {'6', '^', KEY_6},
    {'7', '&', KEY_7},           {'8', '*', KEY_8},          {'9', '(', KEY_9},
    {'0', ')', KEY_0},           {'-', '_', KEY_MINUS},      {'=', '+', KEY_EQUAL},
    {'[', '{', KEY_LEFTBRACE},   {']', '}', KEY_RIGHTBRACE}, {';', ':', KEY_SEMICOLON},
    {'\'', '"', KEY_APOSTROPHE}, {'`', '~', KEY_GRAVE},      {'\\', '|', KEY_BACKSLASH},
    {',', '<', KEY_COMMA},       {'.', '>', KEY_DOT},        {'/', '?', KEY_SLASH},
};

static const struct {
    const char *seq; /* behind ESC */
    u8 code;
} sequences[] = {
    {"[A", KEY_UP},      {"[B", KEY_DOWN},      {"[C", KEY_RIGHT},   {"[D", KEY_LEFT},
    {"OA", KEY_UP},      {"OB", KEY_DOWN},      {"OC", KEY_RIGHT},   {"OD", KEY_LEFT},
    {"[H", KEY_HOME},    {"[F", KEY_END},       {"OH", KEY_HOME},    {"OF", KEY_END},
    {"[1~", KEY_HOME},   {"[2~", KEY_INSERT},   {"[3~", KEY_DELETE}, {"[4~", KEY_END},
    {"[5~", KEY_PAGEUP}, {"[6~", KEY_PAGEDOWN}, {"OP", KEY_F1},      {"OQ", KEY_F2},
    {"OR", KEY_F3},      {"OS", KEY_F4},        {"[[A", KEY_F1},     {"[[B", KEY_F2},
    {"[[C", KEY_F3},     {"[[D", KEY_F4},       {"[[E", KEY_F5},     {"[15~", KEY_F5},
    {"[17~", KEY_F6},    {"[18~", KEY_F7},      {"[19~", KEY_F8},    {"[20~", KEY_F9},
    {"[21~", KEY_F10},   {"[23~", KEY_F11},     {"[24~", KEY_F12},
};

static void plain_key(struct key_press *k, u8 c)
{
    switch (c) {
    case '\r':
    case '\n':
        k->code = KEY_ENTER;
        return;
    case '\t':
        k->code = KEY_TAB;
        return;
    case ' ':
        k->code = KEY_SPACE;
        return;
    case 0x1b:
        k->code = KEY_ESC;
        return;
    case 0x7f:
    case '\b':
        k->code = KEY_BACKSPACE;
        return;
    default:
        break;
    }
    if (c < 0x20) { /* Ctrl and a letter or sign */
        k->ctrl = true;
        c |= c >= 1 && c <= 26 ? 0x60 : 0x40;
        if (c == 0x40)
            c = '2';
    }
    if (c >= 'a' && c <= 'z') {
        k->code = letters[c - 'a'];
    } else if (c >= 'A' && c <= 'Z') {
        k->code = letters[c - 'A'];
        k->shift = true;
    } else {
        for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
            if (c == (u8)signs[i].plain || c == (u8)signs[i].shifted) {
                k->code = signs[i].code;
                k->shift = c == (u8)signs[i].shifted;
            }
        }
    }
}

size_t keymap_take(struct key_press *k, const u8 *buf, size_t n)
{
    memset(k, 0, sizeof(*k));
    if (buf[0] != 0x1b || n == 1) {
        plain_key(k, buf[0]);
        return 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
        size_t len = strlen(sequences[i].seq);
        if (len < n && !memcmp(buf + 1, sequences[i].seq, len)) {
            k->code = sequences[i].code;
            return len + 1;
        }
    }
    if (buf[1] == '[' && n > 2) { /* a sequence of no key that we know: swallow it */
        size_t i = 2;
        while (i < n && (buf[i] < 0x40 || buf[i] > 0x7e))
            i++;
        return i < n ? i + 1 : n;
    }
    plain_key(k, buf[1]);
    k->alt = true;
    return 2;
}
