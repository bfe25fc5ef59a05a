/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8042 as keyboard controller of the PS/2 and its heirs.  IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and auxiliary device controller".
 *
 * One output buffer serves the controller's own replies, the keyboard and the mouse, in this order
 * of precedence; reading port 0x60 frees it and the next byte is there at once.  Commands take no
 * time, so the input buffer is never seen full.  Writing the keyboard or the mouse enables its
 * clock line, as the real one does.  The password commands, and the ports' pins that no PC uses,
 * are left out.
 */
#include "dev/i8042.h"

#include "dev/ps2_codes.h"

#include <string.h>

enum {
    STATUS_OBF = 1 << 0,
    STATUS_SYS = 1 << 2,
    STATUS_CMD = 1 << 3,
    STATUS_UNLOCK = 1 << 4,
    STATUS_AUX = 1 << 5,

    MODE_IRQ1 = 1 << 0,
    MODE_IRQ12 = 1 << 1,
    MODE_SYS = 1 << 2,
    MODE_KBD_OFF = 1 << 4,
    MODE_AUX_OFF = 1 << 5,
    MODE_TRANSLATE = 1 << 6,

    OUT_RESET = 1 << 0,
    OUT_A20 = 1 << 1,
    OUT_ONES = 0xcc,

    CMD_READ_RAM = 0x20,  /* ... 0x3f */
    CMD_WRITE_RAM = 0x60, /* ... 0x7f */
    CMD_PASSWORD = 0xa4,
    CMD_AUX_OFF = 0xa7,
    CMD_AUX_ON = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KBD_TEST = 0xab,
    CMD_KBD_OFF = 0xad,
    CMD_KBD_ON = 0xae,
    CMD_READ_INPORT = 0xc0,
    CMD_READ_OUT = 0xd0,
    CMD_WRITE_OUT = 0xd1,
    CMD_KBD_OBUF = 0xd2,
    CMD_AUX_OBUF = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0, /* ... 0xff */
};

static void update_irqs(struct i8042 *k)
{
    bool full = k->status & STATUS_OBF;
    bool aux = k->status & STATUS_AUX;
    bool irq1 = full && !aux && (k->ram[0] & MODE_IRQ1);
    bool irq12 = full && aux && (k->ram[0] & MODE_IRQ12);

    if (irq1 != k->irq1_level) {
        k->irq1_level = irq1;
        irq_set(&k->irq1, irq1);
    }
    if (irq12 != k->irq12_level) {
        k->irq12_level = irq12;
        irq_set(&k->irq12, irq12);
    }
}

/* A byte of the keyboard on its way to the output buffer; false = it was a prefix. */
static bool translate(struct i8042 *k, u8 *val)
{
    if (!(k->ram[0] & MODE_TRANSLATE))
        return true;
    if (*val == 0xf0) {
        k->escape = true;
        return false;
    }
    *val = ps2_set1_of_set2(*val);
    if (k->escape)
        *val |= 0x80;
    k->escape = false;
    return true;
}

/* Puts the next byte into an empty output buffer. */
static void refill(struct i8042 *k)
{
    u8 val;

    if (!(k->status & STATUS_OBF) && k->reply_status) {
        k->obuf = k->reply;
        k->status |= k->reply_status;
        k->reply_status = 0;
    }
    while (!(k->status & STATUS_OBF) && !(k->ram[0] & MODE_KBD_OFF) && k->kbd.q.count) {
        val = ps2_get(&k->kbd.q);
        if (translate(k, &val)) {
            k->obuf = val;
            k->status |= STATUS_OBF;
        }
    }
    if (!(k->status & STATUS_OBF) && !(k->ram[0] & MODE_AUX_OFF)) {
        ps2_mouse_poll(&k->mouse);
        if (k->mouse.q.count) {
            k->obuf = ps2_get(&k->mouse.q);
            k->status |= STATUS_OBF | STATUS_AUX;
        }
    }
    update_irqs(k);
}

/* The controller's own answer, or what D2 and D3 put in a device's mouth. */
static void reply(struct i8042 *k, u8 val, bool aux)
{
    k->reply = val;
    k->reply_status = STATUS_OBF | (aux ? STATUS_AUX : 0);
}

static void write_outport(struct i8042 *k, u8 val)
{
    k->outport = val;
    irq_set(&k->a20, val & OUT_A20);
    if (!(val & OUT_RESET)) {
        trace(k->trace, cpu, "reset by the keyboard controller");
        irq_pulse(&k->reset);
    }
}

static void write_mode(struct i8042 *k, u8 val)
{
    k->ram[0] = val;
    k->status = (k->status & ~STATUS_SYS) | (val & MODE_SYS ? STATUS_SYS : 0);
}

/* ---------------------------------------------------------------- port 0x64 -- */

static void controller_command(struct i8042 *k, u8 cmd)
{
    k->command = 0;
    switch (cmd) {
    case CMD_READ_RAM ... CMD_READ_RAM + 31:
        reply(k, k->ram[cmd & 31], false);
        break;
    case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
    case CMD_WRITE_OUT:
    case CMD_KBD_OBUF:
    case CMD_AUX_OBUF:
    case CMD_WRITE_AUX:
        k->command = cmd;
        break;
    case CMD_PASSWORD:
        reply(k, 0xf1, false); /* none installed */
        break;
    case CMD_AUX_OFF:
        k->ram[0] |= MODE_AUX_OFF;
        break;
    case CMD_AUX_ON:
        k->ram[0] &= ~MODE_AUX_OFF;
        break;
    case CMD_SELF_TEST:
        k->ram[0] |= MODE_KBD_OFF | MODE_AUX_OFF;
        k->status |= STATUS_SYS;
        reply(k, 0x55, false);
        break;
    case CMD_AUX_TEST:
    case CMD_KBD_TEST:
    case CMD_READ_TEST:
        reply(k, 0x00, false);
        break;
    case CMD_KBD_OFF:
        k->ram[0] |= MODE_KBD_OFF;
        break;
    case CMD_KBD_ON:
        k->ram[0] &= ~MODE_KBD_OFF;
        break;
    case CMD_READ_INPORT:
        reply(k, 0x80, false); /* keyboard not locked */
        break;
    case CMD_READ_OUT:
        reply(k,
              (k->outport & 3) | OUT_ONES | (k->irq1_level ? 0x10 : 0) |
                  (k->irq12_level ? 0x20 : 0),
              false);
        break;
    case CMD_A20_OFF:
        write_outport(k, k->outport & ~OUT_A20);
        break;
    case CMD_A20_ON:
        write_outport(k, k->outport | OUT_A20);
        break;
    case CMD_PULSE ... 0xff: /* bits 3-0 say which pins of P2 not to pulse */
        if (!(cmd & OUT_RESET)) {
            trace(k->trace, cpu, "reset by the keyboard controller");
            irq_pulse(&k->reset);
        }
        break;
    default:
        trace(k->trace, kbd, "unknown controller command %02x", cmd);
        break;
    }
}

static void control_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8042 *k = opaque;

    trace(k->trace, kbd, "command %02x", (u8)val);
    k->status |= STATUS_CMD;
    controller_command(k, val);
    refill(k);
}

static u64 control_read(void *opaque, u64 off, unsigned size)
{
    struct i8042 *k = opaque;

    return k->status;
}

/* ---------------------------------------------------------------- port 0x60 -- */

static void data_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8042 *k = opaque;
    u8 command = k->command;

    k->command = 0;
    k->status &= ~STATUS_CMD;
    switch (command) {
    case 0:
        k->ram[0] &= ~MODE_KBD_OFF;
        ps2_kbd_write(&k->kbd, val);
        break;
    case CMD_WRITE_RAM:
        write_mode(k, val);
        break;
    case CMD_WRITE_RAM + 1 ... CMD_WRITE_RAM + 31:
        k->ram[command & 31] = val;
        break;
    case CMD_WRITE_OUT:
        write_outport(k, val);
        break;
    case CMD_KBD_OBUF:
    case CMD_AUX_OBUF:
        reply(k, val, command == CMD_AUX_OBUF);
        break;
    case CMD_WRITE_AUX:
        k->ram[0] &= ~MODE_AUX_OFF;
        ps2_mouse_write(&k->mouse, val);
        break;
    }
    refill(k);
}

static u64 data_read(void *opaque, u64 off, unsigned size)
{
    struct i8042 *k = opaque;
    u8 val = k->obuf;

    if (k->status & STATUS_OBF) {
        trace(k->trace, kbd, "read %02x%s", val, k->status & STATUS_AUX ? " (mouse)" : "");
        k->status &= ~(STATUS_OBF | STATUS_AUX);
        update_irqs(k); /* falls before it rises for the next byte */
        refill(k);
    }
    return val;
}

static const struct region_ops control_ops = {
    .read = control_read, .write = control_write, .min_width = 1, .max_width = 1};
static const struct region_ops data_ops = {
    .read = data_read, .write = data_write, .min_width = 1, .max_width = 1};

/* ------------------------------------------------------------------ input -- */

static void on_key(void *opaque, unsigned keycode, bool down)
{
    struct i8042 *k = opaque;

    pthread_mutex_lock(&k->lock);
    ps2_kbd_key(&k->kbd, keycode, down);
    refill(k);
    pthread_mutex_unlock(&k->lock);
}

static void on_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct i8042 *k = opaque;

    pthread_mutex_lock(&k->lock);
    ps2_mouse_move(&k->mouse, dx, dy, dz, buttons);
    refill(k);
    pthread_mutex_unlock(&k->lock);
}

/* ------------------------------------------------------------------ life -- */

static void reset_locked(struct i8042 *k)
{
    ps2_kbd_reset(&k->kbd);
    ps2_mouse_reset(&k->mouse);
    memset(k->ram, 0, sizeof(k->ram));
    k->ram[0] = MODE_IRQ1 | MODE_IRQ12 | MODE_TRANSLATE; /* as firmware leaves it */
    k->status = STATUS_CMD | STATUS_UNLOCK;
    k->outport = OUT_RESET | OUT_A20 | OUT_ONES;
    k->obuf = 0;
    k->command = 0;
    k->reply_status = 0;
    k->escape = false;
    update_irqs(k);
    irq_set(&k->a20, true);
}

void i8042_reset(struct i8042 *k)
{
    pthread_mutex_lock(&k->lock);
    reset_locked(k);
    pthread_mutex_unlock(&k->lock);
}

void i8042_init(struct i8042 *k, struct irq irq1, struct irq irq12, struct irq a20,
                struct irq reset, struct trace *t)
{
    memset(k, 0, sizeof(*k));
    k->irq1 = irq1;
    k->irq12 = irq12;
    k->a20 = a20;
    k->reset = reset;
    k->trace = t;
    pthread_mutex_init(&k->lock, NULL);
    ps2_kbd_init(&k->kbd, t);
    ps2_mouse_init(&k->mouse, t);
    k->data = (struct region){
        .name = "i8042-data", .size = 1, .ops = &data_ops, .opaque = k, .lock = &k->lock};
    k->control = (struct region){
        .name = "i8042-control", .size = 1, .ops = &control_ops, .opaque = k, .lock = &k->lock};
    k->input = (struct input_sink){.key = on_key, .mouse = on_mouse, .opaque = k};
    reset_locked(k);
}

#define QUEUE_FIELDS(q)                                                                            \
    FIELD_BYTES(struct i8042, q.data), FIELD_MAX(struct i8042, q.head, PS2_QUEUE - 1),             \
        FIELD_MAX(struct i8042, q.count, PS2_QUEUE), FIELD(struct i8042, q.last)

static const struct field i8042_fields[] = {
    QUEUE_FIELDS(kbd.q),
    FIELD(struct i8042, kbd.command),
    FIELD_MAX(struct i8042, kbd.set, 3),
    FIELD_ARRAY(struct i8042, kbd.type),
    FIELD_ARRAY(struct i8042, kbd.down),
    FIELD(struct i8042, kbd.leds),
    FIELD(struct i8042, kbd.rate),
    FIELD_MAX(struct i8042, kbd.scanning, 1),
    QUEUE_FIELDS(mouse.q),
    FIELD(struct i8042, mouse.command),
    FIELD_MAX(struct i8042, mouse.id, 4),
    FIELD(struct i8042, mouse.rate),
    FIELD_MAX(struct i8042, mouse.resolution, 3),
    FIELD_MAX(struct i8042, mouse.knock, 3),
    FIELD_MAX(struct i8042, mouse.remote, 1),
    FIELD_MAX(struct i8042, mouse.wrap, 1),
    FIELD_MAX(struct i8042, mouse.scale2, 1),
    FIELD_MAX(struct i8042, mouse.reporting, 1),
    FIELD_MAX(struct i8042, mouse.buttons, 0x1f),
    FIELD_MAX(struct i8042, mouse.buttons_sent, 0x1f),
    FIELD(struct i8042, mouse.dx),
    FIELD(struct i8042, mouse.dy),
    FIELD(struct i8042, mouse.dz),
    FIELD_BYTES(struct i8042, ram),
    FIELD(struct i8042, status),
    FIELD(struct i8042, outport),
    FIELD(struct i8042, obuf),
    FIELD(struct i8042, command),
    FIELD(struct i8042, reply),
    FIELD(struct i8042, reply_status),
    FIELD_MAX(struct i8042, escape, 1),
    FIELD_MAX(struct i8042, irq1_level, 1),
    FIELD_MAX(struct i8042, irq12_level, 1),
};
const struct state_desc i8042_state = STATE_DESC("i8042", 1, i8042_fields);
