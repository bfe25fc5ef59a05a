/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys and the mouse: send-key and input-send-event as QMP has them, x-type for text.  What is
 * typed is pressed slowly enough for an old BIOS, one command behind the other, and its reply comes
 * when the last key is up.
 */
#include "control/internal.h"
#include "ui/keymap.h"
#include "ui/keys.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_MS = 8, /* between one key and the next */
    HOLD_MS = 100,
    HOLD_MAX_MS = 60000,
    KEYS_MAX = 16,
    EVENTS_MAX = 64,
    TEXT_MAX = 16 << 10,
};

struct step {
    u16 code;
    bool down;
    u16 wait_ms; /* before the next */
};

/* A command's keys. */
struct typing {
    struct control_call *call;
    struct typing *next;
    unsigned n, pos;
    struct step step[];
};

/* ----------------------------------------------------------------- typing -- */

static void begin(struct control *c)
{
    if (c->typing && !timer_armed(&c->typing_timer))
        timer_set(c->m.vm->clock, &c->typing_timer, clock_now(c->m.vm->clock));
}

static void unlink_typing(struct control *c, struct typing *t)
{
    for (struct typing **p = &c->typing; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            if (c->typing_tail == &t->next)
                c->typing_tail = p;
            return;
        }
}

static void on_timer(void *opaque)
{
    struct control *c = opaque;
    struct typing *t = c->typing;
    if (!t)
        return;
    const struct step *s = &t->step[t->pos++];
    input_key(c->m.input, s->code, s->down);
    timer_set(c->m.vm->clock, &c->typing_timer,
              clock_now(c->m.vm->clock) + s->wait_ms * (u64)1000000);
    if (t->pos == t->n) {
        unlink_typing(c, t);
        control_done(t->call, NULL);
        free(t);
    }
}

/* No key stays down. */
static void release_keys(struct control *c, struct typing *t)
{
    for (unsigned i = t->pos; i-- > 0;)
        if (t->step[i].down)
            input_key(c->m.input, t->step[i].code, false);
}

static void cancel_typing(struct control_call *call)
{
    struct typing *t = call->state;
    release_keys(call->control, t);
    unlink_typing(call->control, t);
    free(t);
}

static int start(struct control_call *call, struct typing *t)
{
    struct control *c = call->control;
    t->call = call;
    t->next = NULL;
    call->state = t;
    call->cancel = cancel_typing;
    *c->typing_tail = t;
    c->typing_tail = &t->next;
    begin(c);
    return CONTROL_PENDING;
}

void control_input_open(struct control *c)
{
    c->typing_tail = &c->typing;
    c->typing_timer = (struct timer){.fn = on_timer, .opaque = c};
}

void control_input_paused(struct control *c)
{
    static const struct err why = {ECANCELED,
                                   "the machine was paused before all keys were pressed"};
    while (c->typing) {
        struct typing *t = c->typing;
        release_keys(c, t);
        unlink_typing(c, t);
        control_done(t->call, &why);
        free(t);
    }
}

void control_input_close(struct control *c)
{
    timer_del(c->m.vm->clock, &c->typing_timer);
}

static int ready(const struct control_call *call, struct err *e)
{
    if (!call->machine->input)
        return err_set(e, ENODEV, "the machine has no keyboard and no mouse");
    if (call->machine->vm->paused)
        return err_set(e, EAGAIN, "the machine is paused: it takes no input");
    return 0;
}

/* ------------------------------------------------------------------- keys -- */

/* {"type": "qcode", "data": "ret"} or {"type": "number", "data": 28}; 0 on error. */
static unsigned key_of(const json_t *v, struct err *e)
{
    const char *type = json_string_value(json_object_get(v, "type"));
    const json_t *data = json_object_get(v, "data");
    unsigned code = 0;
    if (type && !strcmp(type, "qcode") && json_is_string(data)) {
        code = key_by_name(json_string_value(data));
        if (!code)
            err_set(e, EINVAL, "Invalid parameter '%.60s': no such key", json_string_value(data));
    } else if (type && !strcmp(type, "number") && json_is_integer(data)) {
        s64 n = json_integer_value(data);
        code = n > 0 && n < 256 ? key_by_xt((unsigned)n) : 0;
        if (!code)
            err_set(e, EINVAL, "Invalid key number %lld", (long long)n);
    } else {
        err_set(e, EINVAL, "a key is {\"type\": \"qcode\" or \"number\", \"data\": ...}");
    }
    return code;
}

static int send_key(struct control_call *call, struct err *e)
{
    const json_t *keys = json_object_get(call->args, "keys");
    s64 hold = control_int(call, "hold-time", HOLD_MS);
    size_t n = json_array_size(keys);
    int r = ready(call, e);
    if (r)
        return r;
    if (!n || n > KEYS_MAX)
        return err_set(e, EINVAL, "'keys' has %zu: 1 to %d are possible", n, KEYS_MAX);
    if (hold < 0 || hold > HOLD_MAX_MS)
        return err_set(e, EINVAL, "'hold-time' is %lld: 0 to %d ms are possible", (long long)hold,
                       HOLD_MAX_MS);
    struct typing *t = calloc(1, sizeof(*t) + 2 * n * sizeof(t->step[0]));
    if (!t)
        return err_set(e, ENOMEM, "out of memory");
    t->n = (unsigned)(2 * n);
    for (size_t i = 0; i < n; i++) {
        unsigned code = key_of(json_array_get(keys, i), e);
        if (!code) {
            free(t);
            return -EINVAL;
        }
        t->step[i] = (struct step){(u16)code, true, i + 1 < n ? TYPE_MS : (u16)hold};
        t->step[2 * n - 1 - i] = (struct step){(u16)code, false, TYPE_MS};
    }
    return start(call, t);
}

static void add_step(struct typing *t, unsigned code, bool down)
{
    t->step[t->n++] = (struct step){(u16)code, down, TYPE_MS};
}

/* Text with newlines, tabs and Ctrl characters, on a US keyboard. */
static int type(struct control_call *call, struct err *e)
{
    const char *text = control_str(call, "text", "");
    size_t n = strlen(text);
    int r = ready(call, e);
    if (r)
        return r;
    if (n > TEXT_MAX)
        return err_set(e, E2BIG, "%zu characters: at most %d at once", n, TEXT_MAX);
    struct typing *t = calloc(1, sizeof(*t) + 8 * n * sizeof(t->step[0]));
    if (!t)
        return err_set(e, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct key_press k;
        keymap_take(&k, (const u8 *)text + i, 1); /* one by one: an escape is the Escape key */
        if (!k.code) {
            free(t);
            return err_set(e, EINVAL, "byte 0x%02x at %zu: no key of a US keyboard types it",
                           (u8)text[i], i);
        }
        if (k.ctrl)
            add_step(t, KEY_LEFTCTRL, true);
        if (k.shift)
            add_step(t, KEY_LEFTSHIFT, true);
        add_step(t, k.code, true);
        add_step(t, k.code, false);
        if (k.shift)
            add_step(t, KEY_LEFTSHIFT, false);
        if (k.ctrl)
            add_step(t, KEY_LEFTCTRL, false);
    }
    if (!t->n) {
        free(t);
        return CONTROL_DONE;
    }
    return start(call, t);
}

/* ----------------------------------------------------------------- events -- */

/* What the events of one command come to for the pointer. */
struct pointing {
    s64 dx, dy, dz;
    s64 x, y;
    bool absolute;
};

/* How big the screen is; only needed where absolute positions become relative ones. */
static bool screen_size(const struct control_machine *m, u32 *width, u32 *height)
{
    struct display_view v = {0};
    struct display_rect all;
    if (m->display)
        display_look(m->display, &v, &all, 1);
    *width = v.s.width ? v.s.width : 640;
    *height = v.s.height ? v.s.height : 480;
    bool ok = v.s.width && v.s.height;
    display_view_free(&v);
    return ok;
}

static void flush_pointing(const struct control_machine *m, struct pointing *p, unsigned set,
                           unsigned clear)
{
    struct input *in = m->input;
    u32 w, h;
    if (p->absolute) {
        screen_size(m, &w, &h);
        input_point(in, (unsigned)p->x, (unsigned)p->y, (int)p->dz, set, clear, w, h);
    } else if (p->dx || p->dy || p->dz || set || clear) {
        input_move(in, (int)p->dx, (int)p->dy, (int)p->dz, set, clear);
    }
    p->dx = p->dy = p->dz = 0;
    p->absolute = false;
}

static int button(const struct control_machine *m, struct pointing *p, const json_t *data, bool act,
                  struct err *e)
{
    static const struct {
        const char *name;
        unsigned bit;
        int dz;
    } buttons[] = {{"left", 1, 0},       {"right", 2, 0},      {"middle", 4, 0},
                   {"side", 8, 0},       {"extra", 16, 0},     {"wheel-up", 0, -1},
                   {"wheel-down", 0, 1}, {"wheel-left", 0, 0}, {"wheel-right", 0, 0}};
    const char *name = json_string_value(json_object_get(data, "button"));
    const json_t *down = json_object_get(data, "down");
    for (unsigned i = 0; name && json_is_boolean(down) && i < ARRAY_SIZE(buttons); i++) {
        if (strcmp(name, buttons[i].name))
            continue;
        if (act) {
            bool on = json_is_true(down);
            p->dz += on ? buttons[i].dz : 0;
            flush_pointing(m, p, on ? buttons[i].bit : 0, on ? 0 : buttons[i].bit);
        }
        return 0;
    }
    return err_set(e, EINVAL, "a button is {\"button\": NAME, \"down\": BOOL}");
}

static int axis(struct pointing *p, const json_t *data, bool absolute, struct err *e)
{
    const char *name = json_string_value(json_object_get(data, "axis"));
    const json_t *value = json_object_get(data, "value");
    s64 v = json_integer_value(value), most = absolute ? INPUT_ABS_MAX : 10000;
    if (!name || !json_is_integer(value) || (strcmp(name, "x") && strcmp(name, "y")))
        return err_set(e, EINVAL, "an axis is {\"axis\": \"x\" or \"y\", \"value\": NUMBER}");
    if (v > most || v < (absolute ? 0 : -most))
        return err_set(e, EINVAL, "axis value %lld is out of range", (long long)v);
    if (absolute)
        *(*name == 'x' ? &p->x : &p->y) = v;
    else
        *(*name == 'x' ? &p->dx : &p->dy) += v;
    p->absolute |= absolute;
    return 0;
}

/* act: false = only look whether it is right. */
static int event(const struct control_machine *m, struct pointing *p, const json_t *ev, bool act,
                 struct err *e)
{
    const char *what = json_string_value(json_object_get(ev, "type"));
    const json_t *data = json_object_get(ev, "data");
    if (!what)
        return err_set(e, EINVAL, "an event is {\"type\": NAME, \"data\": OBJECT}");
    if (!strcmp(what, "btn"))
        return button(m, p, data, act, e);
    if (!strcmp(what, "rel") || !strcmp(what, "abs"))
        return axis(p, data, *what == 'a', e);
    if (strcmp(what, "key"))
        return err_set(e, EINVAL, "Invalid event type '%.20s': key, btn, rel and abs are known",
                       what);
    const json_t *down = json_object_get(data, "down");
    unsigned code = key_of(json_object_get(data, "key"), e);
    if (!code)
        return -EINVAL;
    if (!json_is_boolean(down))
        return err_set(e, EINVAL, "a key event needs \"down\"");
    if (act)
        input_key(m->input, code, json_is_true(down));
    return 0;
}

static int input_send_event(struct control_call *call, struct err *e)
{
    const json_t *events = json_object_get(call->args, "events");
    struct input *in = call->machine->input;
    size_t n = json_array_size(events);
    int r = ready(call, e);
    if (r)
        return r;
    if (n > EVENTS_MAX)
        return err_set(e, E2BIG, "%zu events: at most %d at once", n, EVENTS_MAX);
    struct pointing p = {.x = in->x, .y = in->y};
    for (size_t i = 0; !r && i < n; i++)
        r = event(call->machine, &p, json_array_get(events, i), false, e);
    if (r) /* all or nothing */
        return r;
    p = (struct pointing){.x = in->x, .y = in->y};
    for (size_t i = 0; i < n; i++)
        event(call->machine, &p, json_array_get(events, i), true, e);
    flush_pointing(call->machine, &p, 0, 0);
    return CONTROL_DONE;
}

/* To a pixel of the screen, counted from 0. */
static int mouse(struct control_call *call, struct err *e)
{
    static const char *const names[] = {"left", "right", "middle"};
    const char *name = control_str(call, "button", "");
    s64 x = control_int(call, "x", 0), y = control_int(call, "y", 0);
    u32 w, h;
    unsigned bit = 0;
    int r = ready(call, e);
    if (r)
        return r;
    if (!screen_size(call->machine, &w, &h))
        return err_set(e, EIO, "the screen shows nothing now");
    if (x < 0 || x >= w || y < 0 || y >= h)
        return err_set(e, EINVAL, "%lld, %lld is not on the screen of %u x %u", (long long)x,
                       (long long)y, w, h);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(name, names[i]))
            bit = 1u << i;
    if (*name && !bit)
        return err_set(e, EINVAL, "\"%.20s\" is no button: left, right or middle", name);
    /* The middle of the pixel, so that whoever scales it back arrives there. */
    unsigned ax = (unsigned)((2 * x + 1) * (INPUT_ABS_MAX + 1) / (2 * w));
    unsigned ay = (unsigned)((2 * y + 1) * (INPUT_ABS_MAX + 1) / (2 * h));
    struct input *in = call->machine->input;
    input_point(in, ax, ay, 0, 0, 0, w, h);
    if (bit && control_bool(call, "down", true))
        input_move(in, 0, 0, 0, bit, 0);
    if (bit && !control_bool(call, "down", false))
        input_move(in, 0, 0, 0, 0, bit);
    return CONTROL_DONE;
}

const struct control_command control_input_commands[] = {
    {"send-key", {{"keys", CONTROL_ARRAY}, {"hold-time", CONTROL_INT, true}}, send_key},
    {"input-send-event",
     {{"events", CONTROL_ARRAY}, {"device", CONTROL_STR, true}, {"head", CONTROL_INT, true}},
     input_send_event},
    {"x-type", {{"text", CONTROL_STR}}, type},
    {"x-mouse",
     {{"x", CONTROL_INT},
      {"y", CONTROL_INT},
      {"button", CONTROL_STR, true},
      {"down", CONTROL_BOOL, true}},
     mouse},
};
const unsigned control_input_command_count = ARRAY_SIZE(control_input_commands);
