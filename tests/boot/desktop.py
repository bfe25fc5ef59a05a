# SPDX-License-Identifier: GPL-2.0-or-later
"""X with a window manager in a Debian guest, seen and moved over VNC with the USB tablet."""
import os, re

from .control import Wirt, ppm, until
from .machine import CACHE, Machine, Scratch, tool
from .vnc import RAW, Viewer

PACKAGES = "xserver-xorg-core xserver-xorg-input-libinput xserver-xorg-legacy openbox xdotool xinit x11-xserver-utils x11-utils".split()
BACKGROUND = (0x33, 0x66, 0x99)
NEAR = 40  # how far from its hot spot a pointer may be drawn


class Desktop:
    def __init__(self, m, path):
        self.m = m
        m.login()
        m.run("stty -echo; export TERM=dumb PS1='# ' DISPLAY=:0")
        m.run("(xinit /usr/bin/openbox -- :0 >/tmp/x.log 2>&1 &)")
        m.run("for i in $(seq 200); do xdotool getmouselocation >/dev/null 2>&1 && break; sleep 1; done; xdotool getmouselocation", 600)
        m.run("xsetroot -solid '#336699' -cursor_name left_ptr; while ! xprop -root _NET_SUPPORTING_WM_CHECK | grep -q 0x; do sleep 1; done", 200)
        self.vnc = Viewer(path, [RAW], keep=True)

    def pointer(self):
        at = re.search(r"x:(\d+) y:(\d+)", self.m.run("xdotool getmouselocation"))
        return int(at.group(1)), int(at.group(2))

    def differing(self):
        """Pixels that are not the background."""
        data, w = self.vnc.rgb(), self.vnc.w
        plain = bytes(BACKGROUND)
        if data == plain * (len(data) // 3):
            return []
        return [(i % w, i // w) for i in range(len(data) // 3) if data[3 * i:3 * i + 3] != plain]

    def move(self, x, y):
        """There within a pixel, and drawn there and nowhere else."""
        self.vnc.point(x, y)
        where = []

        def arrived():
            where[:] = self.pointer()
            return abs(where[0] - x) <= 1 and abs(where[1] - y) <= 1

        until(arrived, "the pointer at %u,%u" % (x, y), 15)
        until(lambda: self.drawn_at(x, y), "the pointer's picture at %u,%u" % (x, y), 15)

    def drawn_at(self, x, y):
        drawn = self.differing()
        return drawn and all(abs(a - x) <= NEAR and abs(b - y) <= NEAR for a, b in drawn)

    def menu(self):
        """The window manager opens its menu where the right button is pressed, and closes it."""
        self.move(300, 200)
        self.vnc.point(300, 200, 4)
        self.vnc.point(300, 200)
        until(lambda: sum(a >= 300 and b >= 200 for a, b in self.differing()) > 2000, "the menu", 60)
        self.vnc.point(900, 600, 1)
        self.vnc.point(900, 600)
        until(lambda: self.drawn_at(900, 600), "the menu's end", 60)


def x(card):
    disk = os.path.join(CACHE, "debian12-x.img")
    tool("tools/make-debian-disk", disk, *PACKAGES)
    with Scratch() as d:
        wirt = Wirt(d)
        with Machine("--name", "box", "--disk", disk, "--snapshot", "--memory", "1G", "--net", "none", "--vga", card + ",1024x768",
                     "--usb", "tablet", "--display", "vnc=unix:%s/vnc" % d) as m:
            desk = Desktop(m, d + "/vnc")
            if (desk.vnc.w, desk.vnc.h) != (1024, 768):
                m.fail("the screen is %u x %u" % (desk.vnc.w, desk.vnc.h))
            for at in (0, 0), (1023, 767), (1023, 0), (0, 767), (511, 383), (512, 384), (1, 700), (900, 33), (333, 666):
                desk.move(*at)
            desk.menu()
            wirt("screenshot", "box", d + "/a.ppm")
            if ppm(d + "/a.ppm")[2] != desk.vnc.rgb():
                m.fail("the viewer's picture is not the screenshot")
            m.stop()


TESTS = [
    ("X on stdvga, the pointer over VNC", lambda: x("std"), True),
    ("X on virtio-gpu, the pointer over VNC", lambda: x("virtio"), True),
]
