/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio input devices.  Virtio 1.1, 5.8.
 *
 * Events go out in packets that SYN_REPORT ends.  While the driver has no buffers they wait, up to
 * a bound; then keys that go down and movements are dropped, but none that goes up, so that no key
 * hangs.
 */
#include "dev/virtio_input.h"

#include "base/endian.h"

#include <linux/input-event-codes.h>
#include <string.h>

enum { EVENTQ, STATUSQ, QUEUES, QUEUE_SIZE = 64, CONFIG_LEN = 136, PAYLOAD = 8, EVENT_LEN = 8 };
enum {
    CFG_ID_NAME = 0x01,
    CFG_ID_SERIAL = 0x02,
    CFG_ID_DEVIDS = 0x03,
    CFG_PROP_BITS = 0x10,
    CFG_EV_BITS = 0x11,
    CFG_ABS_INFO = 0x12,
};
enum { BUS_VIRTUAL_ = 6, VENDOR = 0x0627, PRODUCT = 1, KEYS = 248, RESERVE = VINPUT_EVENTS / 2 };

static const u16 buttons[] = {BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA};

static struct virtio_input *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_input, vp.dev);
}

/* ------------------------------------------------------------- configuration -- */

static u8 set_bit(u8 *map, unsigned bit, u8 len)
{
    map[bit / 8] |= (u8)(1 << bit % 8);
    return (u8)max(bit / 8 + 1, (unsigned)len);
}

/* The bitmap of event codes of a type; its length. */
static u8 ev_bits(const struct virtio_input *v, u8 type, u8 *map)
{
    bool tablet = v->kind == VINPUT_TABLET;
    u8 len = 0;

    switch (type) {
    case EV_KEY:
        for (unsigned i = 0; tablet && i < ARRAY_SIZE(buttons); i++)
            len = set_bit(map, buttons[i], len);
        for (unsigned i = 1; !tablet && i < KEYS; i++)
            len = set_bit(map, i, len);
        break;
    case EV_REL:
        if (tablet)
            len = set_bit(map, REL_WHEEL, len);
        break;
    case EV_ABS:
        if (tablet)
            len = set_bit(map, ABS_Y, set_bit(map, ABS_X, len));
        break;
    case EV_LED:
        for (unsigned i = 0; !tablet && i <= LED_SCROLLL; i++)
            len = set_bit(map, i, len);
        break;
    case EV_REP:
        if (!tablet)
            len = set_bit(map, REP_PERIOD, set_bit(map, REP_DELAY, len));
        break;
    default:
        break;
    }
    return len;
}

/* What `select` and `subsel` name; its length, 0 = there is no such thing. */
static u8 payload(const struct virtio_input *v, u8 *p)
{
    const char *name = v->kind == VINPUT_TABLET ? "Wirt tablet" : "Wirt keyboard";

    switch (v->select) {
    case CFG_ID_NAME:
        memcpy(p, name, strlen(name));
        return (u8)strlen(name);
    case CFG_ID_SERIAL:
        p[0] = '1';
        return 1;
    case CFG_ID_DEVIDS:
        le16_put(p, BUS_VIRTUAL_);
        le16_put(p + 2, VENDOR);
        le16_put(p + 4, PRODUCT + v->kind);
        le16_put(p + 6, 1);
        return 8;
    case CFG_EV_BITS:
        return ev_bits(v, v->subsel, p);
    case CFG_ABS_INFO:
        if (v->kind != VINPUT_TABLET || v->subsel > ABS_Y)
            return 0;
        le32_put(p + 4, INPUT_ABS_MAX); /* minimum, fuzz, flat and resolution are 0 */
        return 20;
    default:
        return 0;
    }
}

static u32 config_read(struct virtio_dev *d, unsigned off, unsigned size)
{
    struct virtio_input *v = of(d);
    u8 c[CONFIG_LEN] = {v->select, v->subsel};
    u32 out = 0;

    c[2] = payload(v, c + PAYLOAD);
    memcpy(&out, c + off, size);
    return out;
}

static void config_write(struct virtio_dev *d, unsigned off, unsigned size, u32 val)
{
    for (unsigned i = 0; i < size; i++, val >>= 8) {
        if (off + i == 0)
            of(d)->select = (u8)val;
        else if (off + i == 1)
            of(d)->subsel = (u8)val;
    }
}

/* ------------------------------------------------------------------- events -- */

/* As many as the driver has buffers for. */
static void send(struct virtio_input *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[EVENTQ];
    bool any = false;

    while (v->count && virtio_ready(d) && virtq_pop(d, q, &v->chain)) {
        const struct vinput_event *e = &v->ring[v->head];
        u8 raw[EVENT_LEN];

        le16_put(raw, e->type);
        le16_put(raw + 2, e->code);
        le32_put(raw + 4, e->value);
        virtq_push(d, q, &v->chain, (u32)iov_put(virtq_in(&v->chain), v->chain.nin, 0, raw, 8));
        v->head = (v->head + 1) % VINPUT_EVENTS;
        v->count--;
        any = true;
    }
    virtq_kick(d, q, v->count);
    if (any)
        virtq_signal(d, q);
}

static void put(struct virtio_input *v, u16 type, u16 code, u32 value)
{
    if (v->count < VINPUT_EVENTS)
        v->ring[(v->head + v->count++) % VINPUT_EVENTS] = (struct vinput_event){type, code, value};
}

static bool listening(const struct virtio_input *v)
{
    return v->vp.dev.status & VIRTIO_S_DRIVER_OK;
}

static void on_key(void *opaque, unsigned keycode, bool down)
{
    struct virtio_input *v = opaque;

    pthread_mutex_lock(&v->vp.pci.lock);
    if (listening(v) && keycode && keycode < KEYS && (!down || v->count < RESERVE)) {
        put(v, EV_KEY, (u16)keycode, down);
        put(v, EV_SYN, SYN_REPORT, 0);
        send(v);
    }
    pthread_mutex_unlock(&v->vp.pci.lock);
}

static void on_pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned now)
{
    struct virtio_input *v = opaque;

    pthread_mutex_lock(&v->vp.pci.lock);
    if (listening(v) &&
        (v->count < RESERVE || (v->buttons & ~now && v->count < VINPUT_EVENTS - 10))) {
        put(v, EV_ABS, ABS_X, min(x, (unsigned)INPUT_ABS_MAX));
        put(v, EV_ABS, ABS_Y, min(y, (unsigned)INPUT_ABS_MAX));
        for (unsigned i = 0; i < ARRAY_SIZE(buttons); i++)
            if ((v->buttons ^ now) & BIT(i))
                put(v, EV_KEY, buttons[i], now >> i & 1);
        v->buttons = now & 0x1f;
        if (dz)
            put(v, EV_REL, REL_WHEEL, (u32)-dz);
        put(v, EV_SYN, SYN_REPORT, 0);
        send(v);
    }
    pthread_mutex_unlock(&v->vp.pci.lock);
}

static bool has_pointer(void *opaque)
{
    struct virtio_input *v = opaque;
    bool on;

    pthread_mutex_lock(&v->vp.pci.lock);
    on = listening(v);
    pthread_mutex_unlock(&v->vp.pci.lock);
    return on;
}

static void take_status(struct virtio_input *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[STATUSQ];
    unsigned left = q->size;
    bool any = false;

    do {
        while (left && virtq_pop(d, q, &v->chain)) {
            u8 e[EVENT_LEN] = {0};

            iov_get(v->chain.iov, v->chain.nout, 0, e, sizeof(e));
            if (le16_get(e) == EV_LED && le16_get(e + 2) < 16) {
                v->leds &= (u16)~BIT(le16_get(e + 2));
                v->leds |= (u16)(!!le32_get(e + 4) << le16_get(e + 2));
            }
            virtq_push(d, q, &v->chain, 0);
            any = true;
            left--;
        }
    } while (left && virtq_kick(d, q, true));
    if (any)
        virtq_signal(d, q);
}

static void notify(struct virtio_dev *d, unsigned n)
{
    if (n == STATUSQ)
        take_status(of(d));
    else
        send(of(d));
}

static void reset(struct virtio_dev *d)
{
    struct virtio_input *v = of(d);

    v->select = v->subsel = v->buttons = 0;
    v->leds = v->head = v->count = 0;
}

static const struct virtio_ops ops = {
    .config_read = config_read, .config_write = config_write, .notify = notify, .reset = reset};

int virtio_input_init(struct virtio_input *v, struct pci_bus *b, unsigned devfn,
                      enum virtio_input_kind kind)
{
    const struct virtio_pci_info info = {.name = "virtio-input",
                                         .id = VIRTIO_ID_INPUT,
                                         .class_code = kind == VINPUT_TABLET ? 0x098000 : 0x090000,
                                         .config_len = CONFIG_LEN,
                                         .nqueues = QUEUES,
                                         .queue_size = QUEUE_SIZE,
                                         .ops = &ops,
                                         .modern_only = true};

    memset(v, 0, sizeof(*v));
    v->kind = kind;
    if (kind == VINPUT_TABLET)
        v->input =
            (struct input_sink){.pointer = on_pointer, .has_pointer = has_pointer, .opaque = v};
    else
        v->input = (struct input_sink){.key = on_key, .opaque = v};
    return virtio_pci_init(&v->vp, b, devfn, &info);
}

static const struct field virtio_input_fields[] = {
    FIELD(struct virtio_input, select),
    FIELD(struct virtio_input, subsel),
    FIELD_MAX(struct virtio_input, buttons, 0x1f),
    FIELD(struct virtio_input, leds),
    FIELD_MAX(struct virtio_input, head, VINPUT_EVENTS - 1),
    FIELD_MAX(struct virtio_input, count, VINPUT_EVENTS),
    FIELD_BYTES(struct virtio_input, ring),
};

const struct state_desc virtio_input_state = {.name = "virtio_input",
                                              .version = 1,
                                              .fields = virtio_input_fields,
                                              .nfields = ARRAY_SIZE(virtio_input_fields)};
