/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 mouse.  IBM PS/2 Hardware Interface Technical Reference, "Mouse", and Microsoft's
 * IntelliMouse and IntelliMouse Explorer extensions, which are switched on by magic series of
 * sample rates.
 *
 * Movement adds up until the host has taken the last packet, so a slow guest gets few large steps
 * and the queue never fills.  The sample rate and resolution are kept but limit nothing.
 */
#include "dev/ps2_mouse.h"

#include <string.h>

enum {
    ACK = 0xfa,
    NAK = 0xfe,
    BAT_OK = 0xaa,

    CMD_SCALE1 = 0xe6,
    CMD_SCALE2 = 0xe7,
    CMD_RESOLUTION = 0xe8,
    CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb,
    CMD_WRAP_OFF = 0xec,
    CMD_WRAP = 0xee,
    CMD_REMOTE = 0xf0,
    CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,

    ID_PLAIN = 0,
    ID_WHEEL = 3,
    ID_EXPLORER = 4,

    MOVE_MAX = 10000, /* what may add up */
};

static s32 clamp(s32 v, s32 least, s32 most)
{
    return v < least ? least : v > most ? most : v;
}

static void put_packet(struct ps2_mouse *m)
{
    s32 dx = clamp(m->dx, -127, 127), dy = clamp(m->dy, -127, 127);
    s32 dz = m->id == ID_EXPLORER ? clamp(m->dz, -7, 7) : clamp(m->dz, -127, 127);

    m->dx -= dx;
    m->dy -= dy;
    m->dz -= dz;
    m->buttons_sent = m->buttons;
    dy = -dy; /* the mouse's y axis points up */
    ps2_put(&m->q, 0x08 | (m->buttons & 7) | (dx < 0) << 4 | (dy < 0) << 5);
    ps2_put(&m->q, dx);
    ps2_put(&m->q, dy);
    if (m->id == ID_WHEEL)
        ps2_put(&m->q, dz);
    else if (m->id == ID_EXPLORER)
        ps2_put(&m->q, (dz & 0x0f) | (m->buttons & 0x18) << 1);
    else
        m->dz = 0;
}

void ps2_mouse_poll(struct ps2_mouse *m)
{
    bool moved = m->dx || m->dy || (m->dz && m->id) || m->buttons != m->buttons_sent;

    if (m->reporting && !m->remote && !m->wrap && !m->command && moved && !m->q.count)
        put_packet(m);
}

void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, unsigned buttons)
{
    m->buttons = buttons & 0x1f;
    m->dx = clamp(m->dx + clamp(dx, -MOVE_MAX, MOVE_MAX), -MOVE_MAX, MOVE_MAX);
    m->dy = clamp(m->dy + clamp(dy, -MOVE_MAX, MOVE_MAX), -MOVE_MAX, MOVE_MAX);
    m->dz = clamp(m->dz + clamp(dz, -MOVE_MAX, MOVE_MAX), -MOVE_MAX, MOVE_MAX);
    if (!m->reporting && !m->remote) {
        m->dx = 0;
        m->dy = 0;
        m->dz = 0;
    }
    ps2_mouse_poll(m);
}

/* --------------------------------------------------------------- commands -- */

static void set_defaults(struct ps2_mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->scale2 = false;
    m->reporting = false;
    m->remote = false;
    m->dx = 0;
    m->dy = 0;
    m->dz = 0;
}

/* 200, 100, 80 makes it a wheel mouse; 200, 200, 80 an Explorer.  knock: 0, 1 (200 came),
 * 2 (200, 100), 3 (200, 200). */
static void set_rate(struct ps2_mouse *m, u8 rate)
{
    u8 knock = m->knock;

    m->rate = rate;
    if (rate == 80 && knock == 2 && m->id == ID_PLAIN)
        m->id = ID_WHEEL;
    else if (rate == 80 && knock == 3 && m->id == ID_WHEEL)
        m->id = ID_EXPLORER;
    if (rate == 200)
        m->knock = knock == 1 || knock == 3 ? 3 : 1;
    else
        m->knock = rate == 100 && (knock == 1 || knock == 3) ? 2 : 0;
}

static void send_status(struct ps2_mouse *m)
{
    u8 b = m->buttons;

    ps2_put(&m->q, ACK);
    ps2_put(&m->q, (m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->scale2 ? 0x10 : 0) |
                       (b & 1) << 2 | (b >> 1 & 1) | (b >> 2 & 1) << 1);
    ps2_put(&m->q, m->resolution);
    ps2_put(&m->q, m->rate);
}

static void command(struct ps2_mouse *m, u8 val)
{
    u8 last = m->q.last;

    ps2_clear(&m->q); /* a command stops what was being sent */
    switch (val) {
    case CMD_STATUS:
        send_status(m);
        return;
    case CMD_RESEND:
        ps2_put(&m->q, last);
        return;
    case CMD_RESET:
        ps2_mouse_reset(m);
        ps2_put(&m->q, ACK);
        ps2_put(&m->q, BAT_OK);
        ps2_put(&m->q, ID_PLAIN);
        return;
    case CMD_SCALE1:
    case CMD_SCALE2:
        m->scale2 = val == CMD_SCALE2;
        break;
    case CMD_RESOLUTION:
    case CMD_RATE:
        m->command = val;
        break;
    case CMD_STREAM:
        m->remote = false;
        break;
    case CMD_REMOTE:
        m->remote = true;
        break;
    case CMD_WRAP:
        m->wrap = true;
        break;
    case CMD_WRAP_OFF:
    case CMD_READ:
    case CMD_ID:
        break;
    case CMD_ENABLE:
        m->reporting = true;
        break;
    case CMD_DISABLE:
        m->reporting = false;
        break;
    case CMD_DEFAULTS:
        set_defaults(m);
        break;
    default:
        ps2_put(&m->q, NAK);
        return;
    }
    ps2_put(&m->q, ACK);
    if (val == CMD_ID)
        ps2_put(&m->q, m->id);
    else if (val == CMD_READ)
        put_packet(m);
}

void ps2_mouse_write(struct ps2_mouse *m, u8 val)
{
    u8 waiting = m->command;

    trace(m->trace, kbd, "to mouse: %02x", val);
    if (m->wrap && val != CMD_RESET && val != CMD_WRAP_OFF) {
        ps2_put(&m->q, val);
        return;
    }
    m->wrap = false;
    if (!waiting) {
        command(m, val);
        return;
    }
    m->command = 0;
    if (waiting == CMD_RATE)
        set_rate(m, val);
    else
        m->resolution = val & 3;
    ps2_put(&m->q, ACK);
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
    struct trace *t = m->trace;
    u8 buttons = m->buttons;

    memset(m, 0, sizeof(*m));
    m->trace = t;
    m->buttons = buttons;
    m->buttons_sent = buttons;
    set_defaults(m);
}

void ps2_mouse_init(struct ps2_mouse *m, struct trace *t)
{
    memset(m, 0, sizeof(*m));
    m->trace = t;
    ps2_mouse_reset(m);
}
