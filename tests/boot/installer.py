# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's graphical installer from a CD with a graphical GRUB menu, driven by mouse and keyboard to
its third question."""
import glob, os, shutil, time

from .control import Wirt, ppm
from .machine import CACHE, Failed, Machine, PATIENCE, Scratch, tool

GRUB = """
insmod vbe
insmod gfxterm
insmod gfxmenu
loadfont /boot/grub/fonts/unicode.pf2
set gfxmode=1024x768x32
set gfxpayload=800x600x16
terminal_output gfxterm
set theme=/boot/grub/themes/t/theme.txt
set timeout=10
menuentry "Debian installer" {
  linux /boot/linux --- quiet
  initrd /boot/initrd.gz
}
"""
THEME = """
title-text: "Wirt boots"
title-color: "#ffcc00"
desktop-color: "#203040"
+ boot_menu { left = 20% width = 60% top = 30% height = 40% item_color = "#a0c0ff" selected_item_color = "#ffffff" }
+ progress_bar { id = "__timeout__" left = 20% width = 60% top = 80% height = 24 fg_color = "#ff8000" bg_color = "#404040"
                 border_color = "#ffffff" text_color = "#ffffff" }
"""


def make_cd(folder):
    tool("tools/get-guest", "installer")
    files = glob.glob(os.path.join(CACHE, "guests/installer/usr/lib/debian-installer/images/12/amd64/gtk/debian-installer/amd64"))[0]
    top = os.path.join(folder, "cd")
    os.makedirs(os.path.join(top, "boot/grub/themes/t"))
    for name in "linux", "initrd.gz":
        shutil.copy(os.path.join(files, name), os.path.join(top, "boot", name))
    open(os.path.join(top, "boot/grub/grub.cfg"), "w").write(GRUB)
    open(os.path.join(top, "boot/grub/themes/t/theme.txt"), "w").write(THEME)
    iso = os.path.join(folder, "cd.iso")
    tool("grub-mkrescue", "-o", iso, top)
    return iso


class Screen:
    def __init__(self, wirt, folder):
        self.wirt, self.path = wirt, os.path.join(folder, "shot.ppm")

    def look(self):
        self.wirt("screenshot", "box", self.path)
        self.w, self.h, self.data = ppm(self.path)

    def pixel(self, x, y):
        at = 3 * (y * self.w + x)
        return tuple(self.data[at:at + 3])

    def part(self, x, y, w, h):
        return b"".join(self.data[3 * (r * self.w + x):3 * (r * self.w + x + w)] for r in range(y, y + h))

    def until(self, fn, what, timeout):
        end = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < end:
            self.look()
            if fn():
                return
            time.sleep(1)
        raise Failed("%s did not come; the screen is %ux%u" % (what, self.w, self.h))


def question(s, before):
    """Another heading than before, a filled box below it, and buttons."""
    heading = s.w == 1280 and s.part(10, 84, 300, 20)
    return heading and heading != before and len(set(heading)) > 8 and len(set(s.part(20, 160, 1200, 400))) > 8 and \
        s.pixel(1220, 760) != s.pixel(1150, 720)


def installer(card):
    with Scratch() as d:
        iso = make_cd(d)
        wirt = Wirt(d)
        s = Screen(wirt, d)
        with Machine("--name", "box", "--cdrom", iso, "--memory", "1G", "--vga", card, "--usb", "tablet", "--serial", "none"):
            time.sleep(2)
            s.until(lambda: s.w == 1024 and s.pixel(10, 10) == (0x20, 0x30, 0x40), "GRUB's theme", 60)
            if (0xff, 0xcc, 0) not in [s.pixel(x, y) for y in range(40, 60) for x in range(400, 620)]:
                raise Failed("GRUB's theme has no title")
            wirt("key", "box", "ret")
            s.until(lambda: question(s, b""), "the first question", 400)
            first = s.part(10, 84, 300, 20)
            for x, y in (300, 546), (900, 300):  # the pointer's tip is black, where it was told to go
                wirt("mouse", "box", str(x), str(y))
                s.until(lambda: max(s.pixel(x, y + 2)) < 64, "the pointer at %u,%u" % (x, y), 20)
            wirt("mouse", "box", "1218", "774", "click")
            s.until(lambda: question(s, first), "the second question", 60)
            second = s.part(10, 84, 300, 20)
            time.sleep(2)
            wirt("key", "box", "ret")
            s.until(lambda: question(s, second), "the third question", 120)
            wirt("quit", "box")


TESTS = [
    ("debian installer, stdvga", lambda: installer("std"), True),
    ("debian installer, virtio-gpu", lambda: installer("virtio"), True),
]
