/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB keyboard and tablet.  HID 1.11 (requests: 7.2; boot keyboard: appendix B.1) and HID Usage
 * Tables 1.12 (keys: table 12).
 *
 * Each event makes one report; movements of the tablet that were not fetched yet are merged.  Idle
 * repetition is left out: no host of today asks for it.
 */
#include "dev/usb_hid.h"

#include "base/endian.h"

#include <linux/input-event-codes.h>
#include <string.h>

enum {
    GET_REPORT = USB_CLASS_IN | 1,
    GET_IDLE = USB_CLASS_IN | 2,
    GET_PROTOCOL = USB_CLASS_IN | 3,
    SET_REPORT = USB_CLASS_OUT | 9,
    SET_IDLE = USB_CLASS_OUT | 10,
    SET_PROTOCOL = USB_CLASS_OUT | 11,
    GET_REPORT_DESC = 0x8106,

    KEYBOARD_REPORT = 8,
    TABLET_REPORT = 6,
    GOES_DOWN = 0x100,
    USAGE_MODIFIER = 0xe0,
    ROLL_OVER = 1,
};

static const u8 keyboard_report[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, /* generic desktop, keyboard */
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
    0x95, 0x08, 0x81, 0x02,                                                 /* eight modifiers */
    0x75, 0x08, 0x95, 0x01, 0x81, 0x01,                                     /* a reserved byte */
    0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x75, 0x01, 0x95, 0x05, 0x91, 0x02, /* LEDs */
    0x75, 0x03, 0x95, 0x01, 0x91, 0x01, 0x05, 0x07, 0x19, 0x00, 0x2a, 0xff,
    0x00, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x06, 0x81, 0x00, /* six keys */
    0xc0,
};

static const u8 tablet_report[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, /* mouse, pointer */
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x05, 0x81, 0x02,       /* five buttons */
    0x75, 0x03, 0x95, 0x01, 0x81, 0x01, /* three bits of nothing */
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f,
    0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02, /* X and Y, 0 to 32767 */
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75,
    0x08, 0x95, 0x01, 0x81, 0x06, /* wheel */
    0xc0, 0xc0,
};

#define DEVICE_DESC(product)                                                                       \
    {                                                                                              \
        18, 1, 0x10, 0x01, 0, 0, 0, 8, 0x27, 0x06, product, 0x00, 0x00, 0x01, 1, 2, 3, 1           \
    }
#define CONFIG_DESC(subclass, protocol, report, packet)                                            \
    {                                                                                              \
        9, 2, 34, 0, 1, 1, 0, 0xa0, 50, /* remote wakeup, 100 mA */                                \
            9, 4, 0, 0, 1, 3, subclass, protocol, 0, 9, 0x21, 0x11, 0x01, 0, 1, 0x22,              \
            sizeof(report), 0,          /* HID 1.11 */                                             \
            7, 5, 0x81, 3, packet, 0, 4 /* interrupt in, every 4 ms */                             \
    }

static const u8 keyboard_device[] = DEVICE_DESC(1), tablet_device[] = DEVICE_DESC(2);
static const u8 keyboard_config[] = CONFIG_DESC(1, 1, keyboard_report, KEYBOARD_REPORT);
static const u8 tablet_config[] = CONFIG_DESC(0, 0, tablet_report, 8);
static const char *const keyboard_strings[] = {"Wirt", "USB keyboard", "1"};
static const char *const tablet_strings[] = {"Wirt", "USB tablet", "1"};
static const struct usb_descriptors descriptors[] = {
    [USB_HID_KEYBOARD] = {keyboard_device, keyboard_config, keyboard_strings, 3, 8},
    [USB_HID_TABLET] = {tablet_device, tablet_config, tablet_strings, 3, 8},
};

/* Usages of Linux key codes; 0 = none. */
static const u8 usage_of[128] = {
    [KEY_ESC] = 0x29,        [KEY_1] = 0x1e,          [KEY_2] = 0x1f,
    [KEY_3] = 0x20,          [KEY_4] = 0x21,          [KEY_5] = 0x22,
    [KEY_6] = 0x23,          [KEY_7] = 0x24,          [KEY_8] = 0x25,
    [KEY_9] = 0x26,          [KEY_0] = 0x27,          [KEY_MINUS] = 0x2d,
    [KEY_EQUAL] = 0x2e,      [KEY_BACKSPACE] = 0x2a,  [KEY_TAB] = 0x2b,
    [KEY_Q] = 0x14,          [KEY_W] = 0x1a,          [KEY_E] = 0x08,
    [KEY_R] = 0x15,          [KEY_T] = 0x17,          [KEY_Y] = 0x1c,
    [KEY_U] = 0x18,          [KEY_I] = 0x0c,          [KEY_O] = 0x12,
    [KEY_P] = 0x13,          [KEY_LEFTBRACE] = 0x2f,  [KEY_RIGHTBRACE] = 0x30,
    [KEY_ENTER] = 0x28,      [KEY_LEFTCTRL] = 0xe0,   [KEY_A] = 0x04,
    [KEY_S] = 0x16,          [KEY_D] = 0x07,          [KEY_F] = 0x09,
    [KEY_G] = 0x0a,          [KEY_H] = 0x0b,          [KEY_J] = 0x0d,
    [KEY_K] = 0x0e,          [KEY_L] = 0x0f,          [KEY_SEMICOLON] = 0x33,
    [KEY_APOSTROPHE] = 0x34, [KEY_GRAVE] = 0x35,      [KEY_LEFTSHIFT] = 0xe1,
    [KEY_BACKSLASH] = 0x31,  [KEY_Z] = 0x1d,          [KEY_X] = 0x1b,
    [KEY_C] = 0x06,          [KEY_V] = 0x19,          [KEY_B] = 0x05,
    [KEY_N] = 0x11,          [KEY_M] = 0x10,          [KEY_COMMA] = 0x36,
    [KEY_DOT] = 0x37,        [KEY_SLASH] = 0x38,      [KEY_RIGHTSHIFT] = 0xe5,
    [KEY_KPASTERISK] = 0x55, [KEY_LEFTALT] = 0xe2,    [KEY_SPACE] = 0x2c,
    [KEY_CAPSLOCK] = 0x39,   [KEY_F1] = 0x3a,         [KEY_F2] = 0x3b,
    [KEY_F3] = 0x3c,         [KEY_F4] = 0x3d,         [KEY_F5] = 0x3e,
    [KEY_F6] = 0x3f,         [KEY_F7] = 0x40,         [KEY_F8] = 0x41,
    [KEY_F9] = 0x42,         [KEY_F10] = 0x43,        [KEY_NUMLOCK] = 0x53,
    [KEY_SCROLLLOCK] = 0x47, [KEY_KP7] = 0x5f,        [KEY_KP8] = 0x60,
    [KEY_KP9] = 0x61,        [KEY_KPMINUS] = 0x56,    [KEY_KP4] = 0x5c,
    [KEY_KP5] = 0x5d,        [KEY_KP6] = 0x5e,        [KEY_KPPLUS] = 0x57,
    [KEY_KP1] = 0x59,        [KEY_KP2] = 0x5a,        [KEY_KP3] = 0x5b,
    [KEY_KP0] = 0x62,        [KEY_KPDOT] = 0x63,      [KEY_102ND] = 0x64,
    [KEY_F11] = 0x44,        [KEY_F12] = 0x45,        [KEY_RO] = 0x87,
    [KEY_HENKAN] = 0x8a,     [KEY_MUHENKAN] = 0x8b,   [KEY_KATAKANAHIRAGANA] = 0x88,
    [KEY_KPENTER] = 0x58,    [KEY_RIGHTCTRL] = 0xe4,  [KEY_KPSLASH] = 0x54,
    [KEY_SYSRQ] = 0x46,      [KEY_RIGHTALT] = 0xe6,   [KEY_HOME] = 0x4a,
    [KEY_UP] = 0x52,         [KEY_PAGEUP] = 0x4b,     [KEY_LEFT] = 0x50,
    [KEY_RIGHT] = 0x4f,      [KEY_END] = 0x4d,        [KEY_DOWN] = 0x51,
    [KEY_PAGEDOWN] = 0x4e,   [KEY_INSERT] = 0x49,     [KEY_DELETE] = 0x4c,
    [KEY_MUTE] = 0x7f,       [KEY_VOLUMEDOWN] = 0x81, [KEY_VOLUMEUP] = 0x80,
    [KEY_POWER] = 0x66,      [KEY_KPEQUAL] = 0x67,    [KEY_PAUSE] = 0x48,
    [KEY_YEN] = 0x89,        [KEY_LEFTMETA] = 0xe3,   [KEY_RIGHTMETA] = 0xe7,
    [KEY_COMPOSE] = 0x65,
};

/* ------------------------------------------------------------------ reports -- */

static void apply_key(struct usb_hid *h, u16 key)
{
    u8 usage = (u8)key;
    bool down = key & GOES_DOWN;

    if (usage >= USAGE_MODIFIER) {
        h->modifiers &= (u8)~BIT(usage & 7);
        h->modifiers |= (u8)(down << (usage & 7));
        return;
    }
    for (unsigned i = 0; i < USB_HID_KEYS; i++) {
        if (h->keys[i] == usage && !down) {
            memmove(h->keys + i, h->keys + i + 1, USB_HID_KEYS - 1 - i);
            h->keys[USB_HID_KEYS - 1] = 0;
            return;
        }
        if (h->keys[i] == usage)
            return;
        if (!h->keys[i] && down) {
            h->keys[i] = usage;
            return;
        }
    }
}

static int make_report(const struct usb_hid *h, u8 *buf)
{
    if (h->kind == USB_HID_KEYBOARD) {
        buf[0] = h->modifiers;
        buf[1] = 0;
        memcpy(buf + 2, h->keys, USB_HID_KEYS);
        return KEYBOARD_REPORT;
    }
    buf[0] = h->last.buttons;
    le16_put(buf + 1, h->last.x);
    le16_put(buf + 3, h->last.y);
    buf[5] = (u8)-h->last.dz; /* its wheel turns away from the user */
    return TABLET_REPORT;
}

/* The next event takes effect. */
static void take_event(struct usb_hid *h)
{
    if (!h->count)
        return;
    h->last = h->queue[h->head];
    h->head = (h->head + 1) % USB_HID_QUEUE;
    h->count--;
    if (h->kind == USB_HID_KEYBOARD)
        apply_key(h, h->last.x);
}

static int hid_in(struct usb_dev *d, u8 ep, u8 *buf, u32 len)
{
    struct usb_hid *h = container_of(d, struct usb_hid, usb);
    u8 report[KEYBOARD_REPORT];
    int n;

    if (ep != 1)
        return USB_STALL;
    if (!h->count)
        return USB_NAK;
    take_event(h);
    n = min(make_report(h, report), (int)len);
    memcpy(buf, report, (size_t)n);
    h->last.dz = 0;
    return n;
}

static int hid_out(struct usb_dev *d, u8 ep, const u8 *buf, u32 len)
{
    return USB_STALL;
}

static int hid_control(struct usb_dev *d, const struct usb_setup *s, u8 *data)
{
    struct usb_hid *h = container_of(d, struct usb_hid, usb);
    bool keyboard = h->kind == USB_HID_KEYBOARD;

    switch (s->request) {
    case GET_REPORT_DESC:
        if (s->value >> 8 == 0x21) {
            memcpy(data, d->desc->config + 18, 9);
            return 9;
        }
        if (s->value >> 8 != 0x22)
            return USB_STALL;
        memcpy(data, keyboard ? keyboard_report : tablet_report,
               keyboard ? sizeof(keyboard_report) : sizeof(tablet_report));
        return keyboard ? sizeof(keyboard_report) : sizeof(tablet_report);
    case GET_REPORT:
        return make_report(h, data);
    case SET_REPORT:
        if (keyboard && s->length)
            h->leds = data[0];
        return 0;
    case GET_IDLE:
        data[0] = h->idle;
        return 1;
    case SET_IDLE:
        h->idle = (u8)(s->value >> 8);
        return 0;
    case GET_PROTOCOL:
        data[0] = h->protocol;
        return 1;
    case SET_PROTOCOL:
        h->protocol = s->value & 1;
        return 0;
    default:
        return USB_STALL;
    }
}

static void hid_reset(struct usb_dev *d)
{
    struct usb_hid *h = container_of(d, struct usb_hid, usb);

    h->idle = 0;
    h->protocol = 1;
    h->leds = h->modifiers = h->head = h->count = 0;
    memset(h->keys, 0, sizeof(h->keys));
}

static const struct usb_dev_ops ops = {
    .control = hid_control, .in = hid_in, .out = hid_out, .reset = hid_reset};

/* -------------------------------------------------------------------- input -- */

static void put(struct usb_hid *h, struct usb_hid_event e)
{
    h->queue[(h->head + h->count++) % USB_HID_QUEUE] = e;
    usb_wakeup(&h->usb, 0x81);
}

static void on_key(void *opaque, unsigned code, bool down)
{
    struct usb_hid *h = opaque;
    u8 usage = code < ARRAY_SIZE(usage_of) ? usage_of[code] : 0;

    pthread_mutex_lock(h->usb.lock);
    /* Keys that go down leave room for those that go up. */
    if (usage && h->usb.config && h->count < (down ? USB_HID_QUEUE / 2 : USB_HID_QUEUE))
        put(h, (struct usb_hid_event){.x = (u16)(usage | (down ? GOES_DOWN : 0))});
    pthread_mutex_unlock(h->usb.lock);
}

static void on_pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct usb_hid *h = opaque;
    struct usb_hid_event e = {
        .x = (u16)min(x, (unsigned)INPUT_ABS_MAX),
        .y = (u16)min(y, (unsigned)INPUT_ABS_MAX),
        .dz = (s8)(dz < -127  ? -127
                   : dz > 127 ? 127
                              : dz),
        .buttons = buttons & 0x1f,
    };

    pthread_mutex_lock(h->usb.lock);
    if (h->usb.config) {
        struct usb_hid_event *last =
            h->count ? &h->queue[(h->head + h->count - 1) % USB_HID_QUEUE] : NULL;
        const struct usb_hid_event *before =
            h->count > 1 ? &h->queue[(h->head + h->count - 2) % USB_HID_QUEUE] : &h->last;
        bool moved = last && last->buttons == e.buttons && before->buttons == e.buttons &&
                     !last->dz && !e.dz;

        /* A button's change stays where it was.  A full queue keeps its last state up to date. */
        if (moved || h->count == USB_HID_QUEUE)
            *last = e;
        else
            put(h, e);
    }
    pthread_mutex_unlock(h->usb.lock);
}

static bool has_pointer(void *opaque)
{
    struct usb_hid *h = opaque;
    bool on;

    pthread_mutex_lock(h->usb.lock);
    on = h->usb.config;
    pthread_mutex_unlock(h->usb.lock);
    return on;
}

void usb_hid_init(struct usb_hid *h, enum usb_hid_kind kind, pthread_mutex_t *lock, struct trace *t)
{
    memset(h, 0, sizeof(*h));
    h->kind = kind;
    h->usb = (struct usb_dev){.ops = &ops,
                              .desc = &descriptors[kind],
                              .name = kind == USB_HID_KEYBOARD ? "usb-keyboard" : "usb-tablet",
                              .trace = t,
                              .lock = lock,
                              .speed = USB_SPEED_FULL};
    if (kind == USB_HID_KEYBOARD)
        h->input = (struct input_sink){.key = on_key, .has_pointer = has_pointer, .opaque = h};
    else
        h->input =
            (struct input_sink){.pointer = on_pointer, .has_pointer = has_pointer, .opaque = h};
    hid_reset(&h->usb);
}

static const struct field usb_hid_fields[] = {
    USB_DEV_FIELDS(struct usb_hid, usb),
    FIELD(struct usb_hid, idle),
    FIELD_MAX(struct usb_hid, protocol, 1),
    FIELD(struct usb_hid, leds),
    FIELD(struct usb_hid, modifiers),
    FIELD_ARRAY(struct usb_hid, keys),
    FIELD_MAX(struct usb_hid, head, USB_HID_QUEUE - 1),
    FIELD_MAX(struct usb_hid, count, USB_HID_QUEUE),
    FIELD_BYTES(struct usb_hid, queue),
    FIELD_BYTES(struct usb_hid, last),
};
const struct state_desc usb_hid_state = STATE_DESC("usb_hid", 1, usb_hid_fields);
