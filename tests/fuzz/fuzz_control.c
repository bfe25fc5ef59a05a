/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client of the control socket sends, in pieces of any size: each 0x00 byte of the input
 * ends a piece.  Whatever it is, each answer is a line of JSON with "return", "error", "event" or
 * the greeting in it, and the machine can be paused, reset and closed afterwards.
 */
#include "control/internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_send(void *opaque, const char *line, size_t n)
{
    json_t *v = json_loadb(line, n, 0, NULL);
    BUG_ON(!v || line[n - 1] != '\n');
    BUG_ON(!json_object_get(v, "return") && !json_object_get(v, "error") &&
           !json_object_get(v, "event") && !json_object_get(v, "QMP"));
    json_decref(v);
}

static void on_ready(void *opaque)
{
}

static void key(void *opaque, unsigned code, bool down)
{
    BUG_ON(!code || code > 0x2ff);
}

static void pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    BUG_ON(x > INPUT_ABS_MAX || y > INPUT_ABS_MAX || buttons > 31);
}

static void mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    BUG_ON(buttons > 31);
}

static char *text(void *opaque)
{
    return strdup("text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct qmp_ops ops = {on_send, on_ready};
    static const struct input_sink sink = {.key = key, .pointer = pointer, .mouse = mouse};
    static const struct display_source src = {.text = text};
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    static struct vm vm;
    static struct display display;
    static struct input input;
    struct control *c;

    if (!vm.loop) {
        BUG_ON(vm_init(&vm, "fuzz", 2 * MIB, NULL));
        display_init(&display, &src);
        input_init(&input, &sink);
    }
    struct control_machine m = {.vm = &vm, .display = &display, .input = &input};
    BUG_ON(control_open(&c, &m, NULL));
    struct qmp *q = qmp_new(c, &ops, NULL);
    BUG_ON(!q);
    qmp_input(q, hello, sizeof(hello) - 1);
    while (size) {
        const uint8_t *end = memchr(data, 0, size);
        size_t n = end ? (size_t)(end - data) : size;
        /* A screendump would write files. */
        if (!memmem(data, n, "filename", 8) && !memmem(data, n, "\\u", 2))
            qmp_input(q, (const char *)data, n);
        loop_turn(vm.loop, 0);
        n += !!end;
        data += n;
        size -= n;
    }
    qmp_free(q);
    control_close(c);
    vm_resume(&vm);
    loop_turn(vm.loop, 0);
    return 0;
}
