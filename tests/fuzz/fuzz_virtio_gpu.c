/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio GPU and input: what a hostile driver may do (virtio_fuzz.h), commands of all kinds with
 * bodies of the fuzzer's choice, looks at the screen, saving and loading.  The first byte chooses
 * the device.
 */
#include "dev/virtio_gpu.h"
#include "dev/virtio_input.h"

#include "virtio_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 12, LOOKS_MAX = 4, VIEW_MAX = 2048 };

static struct vfuzz f;
static struct virtio_gpu gpu;
static struct virtio_input input;
static struct display screen;
static struct display_view view;
static struct clock *ticks;
static unsigned looks;

static void save_and_load(const struct state_desc *d, void *obj, u32 at, u8 val)
{
    size_t n = state_size(d);
    u8 *buf = malloc(n);
    struct err e;

    if (!buf)
        return;
    state_save(d, obj, buf);
    BUG_ON(state_load(d, obj, buf, n, &e));
    buf[at % n] = val;
    state_load(d, obj, buf, n, &e);
    free(buf);
}

/* Words of a command: small numbers more often than others. */
static void command(u8 a, u16 b, u32 v)
{
    static const u32 cursor[] = {0x300, 0x301};
    u8 *p = vg_hva(&f.g, VG_BUFFERS);
    unsigned n = WORDS_MAX, q = a & 1;
    struct vseg s[2] = {{VG_BUFFERS, 24 + 4 * n, false}, {VG_BUFFERS + 0x2000, 0x600, true}};

    if (!f.g.q[q].size)
        return;
    le32_put(p, q ? cursor[b & 1] : 0x100u + b % 12);
    le32_put(p + 4, b >> 15);
    for (unsigned i = 0; i < n; i++, v = v >> 3 | v << 29)
        le32_put(p + 24 + 4 * i, a & 2 ? v & 0x3ff : v & 7);
    vg_add(&f.g, q, s, a & 4 ? 1 : 2);
    vg_kick(&f.g, q);
}

static void look(void)
{
    struct display_rect r[4];

    /* A picture of any size can be asked for; the fuzzer is to be quick. */
    if (looks++ < LOOKS_MAX && (!gpu.scanout || gpu.shown.w * (u64)gpu.shown.h < VIEW_MAX * 512))
        display_look(&screen, &view, r, ARRAY_SIZE(r));
    free(display_text(&screen));
}

static void gpu_event(struct vfuzz *x, u8 a, u16 b, u32 v)
{
    switch (a >> 5) {
    case 0:
    case 1:
    case 2:
        command(a, b, v);
        break;
    case 3: /* a page list or pixels */
        memcpy(vg_hva(&f.g, VG_BUFFERS + 24 + b % 256), &v, 4);
        break;
    case 4:
        look();
        break;
    case 5:
        display_wish(&screen, b, v);
        break;
    case 6:
        save_and_load(&virtio_gpu_state, &gpu, b | v << 16, (u8)v);
        break;
    default:
        bus_write(&f.g.pio, 0x3c0 + b % 32, 1, v);
        break;
    }
}

static void input_event(struct vfuzz *x, u8 a, u16 b, u32 v)
{
    if (a & 1)
        save_and_load(&virtio_input_state, &input, b, (u8)v);
    else if (input.kind == VINPUT_TABLET)
        input.input.pointer(&input, b, v, (s8)a, a >> 1);
    else
        input.input.key(&input, b, v & 1);
}

static void run_gpu(const uint8_t *data, size_t size)
{
    looks = 0;
    ticks = clock_new_manual();
    BUG_ON(virtio_gpu_init(&gpu, &f.g.pci, FUZZ_DEVFN, &f.g.mem, ticks, NULL, 0, 0, 0));
    BUG_ON(bus_map(&f.g.pio, &gpu.vga.ports, 0x3c0));
    display_init(&screen, &gpu.display);
    f.vp = &gpu.vp;
    f.event = gpu_event;
    vfuzz_run(&f, data, size);
    look();
    display_view_free(&view);
    display_destroy(&screen);
    virtio_gpu_destroy(&gpu);
    clock_free(ticks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    vfuzz_begin(&f);
    if (data[0] % 3 == 0) {
        run_gpu(data + 1, size - 1);
    } else {
        BUG_ON(virtio_input_init(&input, &f.g.pci, FUZZ_DEVFN,
                                 (enum virtio_input_kind)(data[0] % 3 - 1)));
        f.vp = &input.vp;
        f.event = input_event;
        vfuzz_run(&f, data + 1, size - 1);
    }
    vg_end(&f.g);
    return 0;
}
