# SPDX-License-Identifier: GPL-2.0-or-later
"""Screen, keyboard and pointer of a Xen guest: vfb and vkbd."""
import os, re, struct, time

from .control import Qmp, ppm
from .machine import CACHE, Failed, Machine, PATIENCE, Scratch, guest, tool
from .save import save


def until(fn, what, timeout=20):
    end = time.monotonic() + timeout * PATIENCE
    while not fn():
        if time.monotonic() > end:
            raise Failed(what + " did not come")
        time.sleep(0.3)


def screen(mode):
    kernel, _ = guest("generic")
    initrd = os.path.join(CACHE, "generic-evdev.initrd.gz")
    tool("tools/make-initrd", "generic", initrd, "evdev")
    with Scratch() as d:
        shot, socket = os.path.join(d, "shot.ppm"), os.path.join(d, "qmp")
        with Machine("--pv", "xen,mode=" + mode, "--kernel", kernel, "--initrd", initrd, "--append",
                     "console=tty0 console=hvc0 panic=-1 xen_fbfront.video=4,1024,768", "--vga", "std,1024x768", "--net", "none",
                     "--qmp", "unix:" + socket) as m:
            m.expect(r"[#$] $", 180)
            m.run("ls /sys/bus/xen/devices | grep -q vfb-0 && ls /sys/bus/xen/devices | grep -q vkbd-0")
            q = Qmp(socket)

            def look():
                q.cmd("screendump", filename=shot)
                return ppm(shot)

            w, h, data = look()
            if (w, h) != (1024, 768) or len(set(data)) < 2:
                m.fail("the screen is %ux%u, with %d colours' bytes" % (w, h, len(set(data))))
            for value in 255, 128, 7:  # a line of one grey
                m.run("head -c 4096 /dev/zero | tr '\\0' '\\%o' | dd of=/dev/fb0 bs=4096 seek=400 2>/dev/null" % value)
                until(lambda: look()[2][400 * 3072:401 * 3072] == bytes([value]) * 3072, "a line of grey %d" % value)
            m.send("read -r line < /dev/tty1; echo \"typed: <$line>\"")
            time.sleep(1)
            for keys in ("shift", "h"), ("e",), ("l",), ("l",), ("o",), ("spc",), ("4",), ("2",), ("ret",):
                q.cmd("send-key", keys=[{"type": "qcode", "data": k} for k in keys])
            m.expect(r"typed: <Hello 42>", 30)
            m.expect(r"[#$] $", 30)
            events = m.run(r"grep -l 'Xen Virtual Pointer' /sys/class/input/event*/device/name").strip().split("/")
            event = [e for e in events if re.fullmatch(r"event\d+", e)][-1]
            # struct input_event: 16 bytes of time, type, code, value
            m.send("hexdump -v -e '24/1 \"%%02x\" \"\\n\"' -n 192 /dev/input/%s; echo the''-end" % event)
            time.sleep(1)
            for x, y in (0, 0), (16384, 8192), (32767, 32767):
                q.cmd("input-send-event", events=[{"type": "abs", "data": {"axis": "x", "value": x}},
                                                  {"type": "abs", "data": {"axis": "y", "value": y}}])
            q.cmd("input-send-event", events=[{"type": "btn", "data": {"button": "left", "down": True}}])
            m.expect("the-end", 30)
            seen = {struct.unpack("<HHi", bytes.fromhex(e[32:])) for e in re.findall(r"^[0-9a-f]{48}$", m.text(), re.M)}
            want = {(3, 0, 511), (3, 1, 191), (3, 0, 1023), (3, 1, 767), (1, 0x110, 1)}
            if want - seen:
                m.fail("the pointer's events %r did not come: %r" % (sorted(want - seen), sorted(seen)))
            m.expect(r"[#$] $", 30)
            m.send("exit")
            m.finish(0, 60)


def saved(mode):
    """A guest that is saved and wakes up in a new domain has its screen and keyboard again."""
    kernel, _ = guest("generic")
    initrd = os.path.join(CACHE, "generic-evdev.initrd.gz")
    tool("tools/make-initrd", "generic", initrd, "evdev")
    with Scratch() as d:
        shot, file = os.path.join(d, "shot.ppm"), os.path.join(d, "saved")
        sockets = [os.path.join(d, "qmp%d" % i) for i in range(2)]
        with Machine("--pv", "xen,mode=" + mode, "--kernel", kernel, "--initrd", initrd, "--append",
                     "console=tty0 console=hvc0 panic=-1 xen_fbfront.video=4,1024,768", "--vga", "std,1024x768", "--net", "none",
                     "--qmp", "unix:" + sockets[0]) as m:
            m.expect(r"[#$] $", 180)
            save(m, sockets[0], file)
        with Machine("--load", file, "--qmp", "unix:" + sockets[1]) as m:
            m.send("")
            m.expect(r"[#$] $", 60)
            q = Qmp(sockets[1])
            m.run("head -c 4096 /dev/zero | tr '\\0' '\\125' | dd of=/dev/fb0 bs=4096 seek=400 2>/dev/null")

            def grey():
                q.cmd("screendump", filename=shot)
                w, h, data = ppm(shot)
                return (w, h) == (1024, 768) and data[400 * 3072:401 * 3072] == bytes([0o125]) * 3072

            until(grey, "a line of grey")
            m.send("read -r line < /dev/tty1; echo \"typed: <$line>\"")
            time.sleep(1)
            for keys in ("a",), ("b",), ("ret",):
                q.cmd("send-key", keys=[{"type": "qcode", "data": k} for k in keys])
            m.expect(r"typed: <ab>", 30)
            m.expect(r"[#$] $", 30)
            m.send("exit")
            m.finish(0, 60)


TESTS = [
    ("xen screen, pvh", lambda: screen("pvh"), False),
    ("xen screen, pv", lambda: screen("pv"), True),
    ("xen screen, pvh, saved", lambda: saved("pvh"), True),
    ("xen screen, pv, saved", lambda: saved("pv"), True),
]
