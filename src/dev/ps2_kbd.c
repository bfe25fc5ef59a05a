/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 keyboard.  IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and
 * 102-key)".
 *
 * Keys come as Linux key codes, of which 1-88 are set 1's make codes; the rest have a table.  Set 2
 * follows from set 1 by the 8042's translation table, backwards; set 3, in which each key has a
 * type that says whether it repeats and whether its release is told, has tables of its own. Replies
 * overtake scan codes that wait in the queue.
 */
#include "dev/ps2_kbd.h"

#include "dev/ps2_codes.h"

#include <string.h>

enum {
    ACK = 0xfa,
    RESEND = 0xfe,
    BAT_OK = 0xaa,

    CMD_LEDS = 0xed,
    CMD_ECHO = 0xee,
    CMD_SET = 0xf0,
    CMD_IDENTIFY = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_ALL_FIRST = 0xf7, /* 0xf7-0xfa: set 3's key types, for all keys */
    CMD_ALL_LAST = 0xfa,
    CMD_KEY_FIRST = 0xfb, /* 0xfb-0xfd: the same for one key, which follows */
    CMD_KEY_LAST = 0xfd,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,

    KEYS_KEPT = 16, /* bytes of scan codes that wait; more are dropped, key by key */

    E0 = 0x80, /* in the table: the code has the prefix 0xe0 */
    E1 = 0xff, /* Pause */

    KEY_SYSRQ_ = 99,
};

/* Set 1 make codes of Linux key codes 96-127; 0 = none. */
static const u8 upper_keys[] = {
    [96 - 96] = E0 | 0x1c,  /* keypad Enter */
    [97 - 96] = E0 | 0x1d,  /* right Ctrl */
    [98 - 96] = E0 | 0x35,  /* keypad / */
    [99 - 96] = E0 | 0x37,  /* Print Screen */
    [100 - 96] = E0 | 0x38, /* right Alt */
    [102 - 96] = E0 | 0x47, /* Home */
    [103 - 96] = E0 | 0x48, /* Up */
    [104 - 96] = E0 | 0x49, /* Page Up */
    [105 - 96] = E0 | 0x4b, /* Left */
    [106 - 96] = E0 | 0x4d, /* Right */
    [107 - 96] = E0 | 0x4f, /* End */
    [108 - 96] = E0 | 0x50, /* Down */
    [109 - 96] = E0 | 0x51, /* Page Down */
    [110 - 96] = E0 | 0x52, /* Insert */
    [111 - 96] = E0 | 0x53, /* Delete */
    [113 - 96] = E0 | 0x20, /* Mute */
    [114 - 96] = E0 | 0x2e, /* Volume down */
    [115 - 96] = E0 | 0x30, /* Volume up */
    [116 - 96] = E0 | 0x5e, /* Power */
    [119 - 96] = E1,        /* Pause */
    [125 - 96] = E0 | 0x5b, /* left Meta */
    [126 - 96] = E0 | 0x5c, /* right Meta */
    [127 - 96] = E0 | 0x5d, /* Menu */
};

static u8 set1_code(unsigned keycode)
{
    if (keycode <= 88)
        return keycode;
    if (keycode >= 96 && keycode - 96 < ARRAY_SIZE(upper_keys))
        return upper_keys[keycode - 96];
    return 0;
}

static void put_code(struct ps2_kbd *k, u8 code, bool extended, bool down)
{
    if (extended)
        ps2_put(&k->q, 0xe0);
    if (k->set == 1) {
        ps2_put(&k->q, down ? code : code | 0x80);
        return;
    }
    if (!down)
        ps2_put(&k->q, 0xf0);
    ps2_put(&k->q, ps2_set2_of_set1(code));
}

/* Set 3 has one code a key; 0x62 is Pause. */
static void put_set3(struct ps2_kbd *k, u8 code, bool down)
{
    u8 bit = (u8)(1 << code % 8), *was = &k->down[code / 8], type = k->type[code];

    if (down && *was & bit && type != PS2_TYPEMATIC && type != PS2_BOTH)
        return; /* it does not repeat */
    *was &= (u8)~bit;
    if (down)
        *was |= bit;
    if (!down && type != PS2_MAKE_BREAK && type != PS2_BOTH)
        return;
    if (!down)
        ps2_put(&k->q, 0xf0);
    ps2_put(&k->q, code);
}

static void put_pause(struct ps2_kbd *k)
{
    static const u8 set1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const u8 set2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};

    for (unsigned i = 0; i < (k->set == 1 ? sizeof(set1) : sizeof(set2)); i++)
        ps2_put(&k->q, k->set == 1 ? set1[i] : set2[i]);
}

void ps2_kbd_key(struct ps2_kbd *k, unsigned keycode, bool down)
{
    u8 code = set1_code(keycode);

    if (!code || !k->scanning || k->q.count > KEYS_KEPT)
        return;
    trace(k->trace, kbd, "key %u %s", keycode, down ? "down" : "up");
    if (k->set == 3) {
        u8 code3 = code == E1 ? 0x62 : ps2_set3_of_set1(code & 0x7f, code & E0);

        if (code3)
            put_set3(k, code3, down);
    } else if (code == E1) {
        if (down)
            put_pause(k);
    } else if (keycode == KEY_SYSRQ_) {
        /* Print Screen brings a shift key of its own along. */
        put_code(k, down ? 0x2a : 0x37, true, down);
        put_code(k, down ? 0x37 : 0x2a, true, down);
    } else {
        put_code(k, code & 0x7f, code & E0, down);
    }
}

/* --------------------------------------------------------------- commands -- */

static void set_defaults(struct ps2_kbd *k)
{
    k->set = 2;
    k->rate = 0x2b;
    memset(k->down, 0, sizeof(k->down));
    for (unsigned i = 0; i < PS2_SET3_CODES; i++)
        k->type[i] = (u8)ps2_set3_type((u8)i);
}

/* A reply of up to three bytes, in the order given; 0 ends it. */
static void reply(struct ps2_kbd *k, u8 a, u8 b, u8 c)
{
    if (c)
        ps2_put_first(&k->q, c);
    if (b)
        ps2_put_first(&k->q, b);
    ps2_put_first(&k->q, a);
}

/* The commands that set types come in this order. */
static u8 type_of(unsigned n)
{
    static const u8 type[] = {PS2_TYPEMATIC, PS2_MAKE_BREAK, PS2_MAKE_ONLY, PS2_BOTH};

    return type[n & 3];
}

static void parameter(struct ps2_kbd *k, u8 val)
{
    u8 command = k->command;

    k->command = 0;
    switch (command) {
    case CMD_LEDS:
        k->leds = val & 7;
        reply(k, ACK, 0, 0);
        break;
    case CMD_SET:
        if (val >= 1 && val <= 3)
            k->set = val;
        reply(k, val <= 3 ? ACK : RESEND, val ? 0 : k->set, 0);
        break;
    case CMD_RATE:
        k->rate = val & 0x7f;
        reply(k, ACK, 0, 0);
        break;
    default: /* a key's type in set 3; more keys may follow */
        if (val < PS2_SET3_CODES) {
            k->type[val] = type_of(command - CMD_KEY_FIRST);
            k->command = command;
        }
        reply(k, ACK, 0, 0);
        break;
    }
}

void ps2_kbd_write(struct ps2_kbd *k, u8 val)
{
    trace(k->trace, kbd, "to keyboard: %02x", val);
    if (k->command && val < CMD_LEDS) {
        parameter(k, val);
        return;
    }
    k->command = 0;
    switch (val) {
    case CMD_LEDS:
    case CMD_SET:
    case CMD_RATE:
    case CMD_KEY_FIRST ... CMD_KEY_LAST:
        k->command = val;
        reply(k, ACK, 0, 0);
        break;
    case CMD_ECHO:
        reply(k, CMD_ECHO, 0, 0);
        break;
    case CMD_IDENTIFY:
        reply(k, ACK, 0xab, 0x83);
        break;
    case CMD_ENABLE:
        k->scanning = true;
        reply(k, ACK, 0, 0);
        break;
    case CMD_DISABLE:
    case CMD_DEFAULTS:
        ps2_clear(&k->q);
        set_defaults(k);
        if (val == CMD_DISABLE)
            k->scanning = false;
        reply(k, ACK, 0, 0);
        break;
    case CMD_ALL_FIRST ... CMD_ALL_LAST:
        memset(k->type, type_of(val - CMD_ALL_FIRST), sizeof(k->type));
        reply(k, ACK, 0, 0);
        break;
    case CMD_RESEND:
        reply(k, k->q.last, 0, 0);
        break;
    case CMD_RESET:
        ps2_kbd_reset(k);
        reply(k, ACK, BAT_OK, 0);
        break;
    default:
        reply(k, RESEND, 0, 0);
        break;
    }
}

void ps2_kbd_reset(struct ps2_kbd *k)
{
    struct trace *t = k->trace;

    memset(k, 0, sizeof(*k));
    k->trace = t;
    k->scanning = true;
    set_defaults(k);
}

void ps2_kbd_init(struct ps2_kbd *k, struct trace *t)
{
    k->trace = t;
    ps2_kbd_reset(k);
}
