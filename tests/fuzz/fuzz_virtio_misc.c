/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entropy device, the console and the balloon; the first byte chooses which.
 */
#include "dev/virtio_balloon.h"
#include "dev/virtio_console.h"
#include "dev/virtio_rng.h"

#include "virtio_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_rng rng;
static struct virtio_console console;
static struct virtio_balloon balloon;
static struct loop *loop;
static struct clock *timers;
static u64 sum;

static void chr_write(struct chardev *c, const u8 *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += buf[i];
}

static void chr_ready(struct chardev *c)
{
}

static const struct chardev_ops chr_ops = {.write = chr_write, .ready = chr_ready};

static void event(struct vfuzz *f, u8 a, u16 b, u32 v)
{
    static const u8 bytes[4096];

    loop_turn(loop, 0);
    if (f->vp == &rng.vp) {
        clock_advance(timers, v);
    } else if (f->vp == &console.vp) {
        if (a & 1)
            virtio_console_resize(&console, b, (u16)v);
        else
            console.chr->input(console.chr->opaque, bytes, b % sizeof(bytes));
    } else if (a & 1) {
        virtio_balloon_set_target(&balloon, (u64)v << 12);
    } else {
        virtio_balloon_ask_stats(&balloon);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vfuzz f;
    struct chardev chr = {.ops = &chr_ops};

    if (size < 1)
        return 0;
    loop = loop_new(NULL);
    timers = clock_new_manual();
    vfuzz_begin(&f);
    f.event = event;
    switch (data[0] % 3) {
    case 0:
        BUG_ON(virtio_rng_init(&rng, &f.g.pci, FUZZ_DEVFN, timers));
        f.vp = &rng.vp;
        vfuzz_run(&f, data, size);
        virtio_rng_destroy(&rng);
        break;
    case 1:
        BUG_ON(virtio_console_init(&console, &f.g.pci, FUZZ_DEVFN, loop, &chr));
        f.vp = &console.vp;
        vfuzz_run(&f, data, size);
        virtio_console_destroy(&console);
        break;
    default:
        BUG_ON(virtio_balloon_init(&balloon, &f.g.pci, FUZZ_DEVFN, loop));
        f.vp = &balloon.vp;
        vfuzz_run(&f, data, size);
        virtio_balloon_destroy(&balloon);
        break;
    }
    vg_end(&f.g);
    loop_free(loop);
    clock_free(timers);
    return 0;
}
