/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's video card: stdvga or virtio-gpu, both of them a VGA with its fixed ports and window.
 */
#include "board/pc.h"
#include "board/pc_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int open_std(struct pc *pc, unsigned devfn, const u8 *rom, u64 size)
{
    struct vm *vm = pc->vm;
    struct edid_config edid = {1280, 800, 2560, 1600};
    if (pc->cfg.vga_width) {
        edid.width = pc->cfg.vga_width;
        edid.height = pc->cfg.vga_height;
    }
    pc->stdvga = calloc(1, sizeof(*pc->stdvga));
    if (!pc->stdvga)
        return -ENOMEM;
    int r = stdvga_init(pc->stdvga, &pc->pci, devfn, &vm->mem, vm->clock, &edid, rom, size);
    if (r)
        return r;
    pc->vga = &pc->stdvga->vga;
    pc->vga_rom = &pc->stdvga->rom;
    display_set_source(&pc->screen, &pc->vga->display);
    return 0;
}

static int open_virtio(struct pc *pc, unsigned devfn, const u8 *rom, u64 size)
{
    struct vm *vm = pc->vm;
    pc->gpu = calloc(1, sizeof(*pc->gpu));
    if (!pc->gpu)
        return -ENOMEM;
    int r = virtio_gpu_init(pc->gpu, &pc->pci, devfn, &vm->mem, vm->clock, rom, size,
                            pc->cfg.vga_width, pc->cfg.vga_height);
    if (r)
        return r;
    pc->vga = &pc->gpu->vga;
    pc->vga_rom = &pc->gpu->rom;
    display_set_source(&pc->screen, &pc->gpu->display);
    return 0;
}

int pc_open_video(struct pc *pc, unsigned devfn, struct err *e)
{
    struct vm *vm = pc->vm;
    bool std = pc->cfg.vga == VIDEO_STD;
    u64 size = 0;
    struct err why;
    if (pc->cfg.vga == VIDEO_NONE)
        return 0;
    u8 *rom =
        pc_read_rom(std ? "vgabios-stdvga.bin" : "vgabios-virtio.bin", 256 * KIB, &size, &why);
    if (!rom)
        trace(&vm->trace, board, "no VGA BIOS: %s", why.msg);
    int r = std ? open_std(pc, devfn, rom, size) : open_virtio(pc, devfn, rom, size);
    free(rom);
    if (r)
        return err_set(e, -r, "video card: %s", strerror(-r));
    const struct {
        struct region *r;
        u16 port;
    } at[] = {
        {&pc->vga->ports, 0x3c0},
        {&pc->vga->mono_crtc, 0x3b4},
        {&pc->vga->mono_stat, 0x3ba},
        {&pc->vga->dispi, 0x1ce},
    };
    for (unsigned i = 0; !r && i < ARRAY_SIZE(at); i++)
        r = bus_map(&vm->pio, at[i].r, at[i].port);
    if (!r)
        r = bus_map(&vm->mmio, &pc->vga->window, MAP_LOW_TOP);
    return r ? err_set(e, -r, "video card: %s", strerror(-r)) : 0;
}

void pc_close_video(struct pc *pc)
{
    if (pc->stdvga)
        vga_destroy(&pc->stdvga->vga);
    if (pc->gpu)
        virtio_gpu_destroy(pc->gpu);
    free(pc->stdvga);
    free(pc->gpu);
}
