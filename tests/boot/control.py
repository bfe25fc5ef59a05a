# SPDX-License-Identifier: GPL-2.0-or-later
"""A running machine through its control socket, by the subcommands, and in a browser."""
import json, os, re, shutil, signal, socket, subprocess, time, zlib

from .machine import CACHE, Failed, Machine, PATIENCE, Scratch, Skip, TOP, WIRT, guest, tool

FLOPPY = "/usr/lib/grub-rescue/grub-rescue-floppy.img"


class Qmp:
    """A client as QEMU's own Python one is: one JSON object a message, no newline behind it."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20 * PATIENCE)
        self.s.connect(path)
        self.f = self.s.makefile("r")
        self.events = []
        if "QMP" not in json.loads(self.f.readline()):
            raise Failed("no greeting")
        self.cmd("qmp_capabilities")

    def message(self):
        line = self.f.readline()
        if not line:
            raise Failed("the machine hung up")
        return json.loads(line)

    def cmd(self, name, **args):
        self.s.sendall(json.dumps({"execute": name, "arguments": args} if args else {"execute": name}).encode())
        while True:
            m = self.message()
            if "event" in m:
                self.events.append(m)
            elif "error" in m:
                raise Failed("%s: %s" % (name, m["error"]["desc"]))
            else:
                return m["return"]

    def event(self, name):
        while not any(e["event"] == name for e in self.events):
            self.events.append(self.message())
        e = [e for e in self.events if e["event"] == name][0]
        self.events.remove(e)
        return e


class Wirt:
    """Subcommands on the machines of a folder of their own."""

    def __init__(self, folder):
        self.env = dict(os.environ, XDG_RUNTIME_DIR=folder)
        os.environ["XDG_RUNTIME_DIR"] = folder

    def __call__(self, *args, ok=True):
        r = subprocess.run([WIRT] + list(args), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=60 * PATIENCE)
        if (r.returncode == 0) != ok:
            raise Failed("wirt %s: status %d: %s" % (" ".join(args), r.returncode, r.stdout))
        return r.stdout


def screen(wirt):
    """The text on the screen; none while it is in a graphics mode."""
    r = subprocess.run([WIRT, "screen-text", "box"], env=wirt.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                       text=True, timeout=60 * PATIENCE)
    return r.stdout


def until(fn, what, timeout=60):
    end = time.monotonic() + timeout * PATIENCE
    while time.monotonic() < end:
        if fn():
            return
        time.sleep(0.3)
    raise Failed(what + " did not come")


def ppm(path):
    data = open(path, "rb").read()
    m = re.match(rb"P6\n(\d+) (\d+)\n255\n", data)
    return int(m.group(1)), int(m.group(2)), data[m.end():]


def subcommands():
    if not os.path.exists(FLOPPY):
        raise Skip("%s is missing (package grub-rescue-pc)" % FLOPPY)
    with Scratch() as d:
        wirt = Wirt(d)
        with Machine("--name", "box", "--floppy", FLOPPY, "--net", "none", "--serial", "none",
                     "--qmp", "unix:%s/qmp,server=on,wait=off" % d) as m:
            until(lambda: os.path.exists(d + "/qmp"), "the control socket")
            q = Qmp(d + "/qmp")
            until(lambda: "GNU GRUB" in screen(wirt), "GRUB's menu")
            if not re.search(r"^box +running$", wirt("list"), re.M):
                raise Failed("wirt list does not show the machine")
            wirt("run", "--name", "box", "--net", "none", ok=False)  # the name is taken
            wirt("key", "box", "c")
            until(lambda: "grub>" in screen(wirt), "GRUB's prompt")
            wirt("type", "box", "echo $root \"It's {typed}; 100% <right>\"\\n")
            until(lambda: re.search(r"^\S+ It's \{typed\}; 100% <right>", screen(wirt), re.M), "what was typed")
            wirt("screenshot", "box", d + "/a.ppm")
            wirt("screenshot", "box", d + "/a.png")
            w, h, pixels = ppm(d + "/a.ppm")
            if (w, h) != (720, 400) or len(set(pixels)) < 2:
                raise Failed("the screenshot is %d x %d" % (w, h))
            wirt("mouse", "box", "719", "399", "click")
            wirt("mouse", "box", "720", "0", ok=False)
            wirt("stop", "box")
            q.event("STOP")
            if q.cmd("query-status")["status"] != "paused":
                raise Failed("stop does not pause")
            wirt("type", "box", "x", ok=False)
            wirt("reset", "box")
            q.event("RESET")
            wirt("cont", "box")
            q.event("RESUME")
            until(lambda: "GNU GRUB" in screen(wirt), "GRUB's menu after the reset")
            drives = q.cmd("query-block")
            if drives[0]["inserted"]["file"] != FLOPPY:
                raise Failed("query-block: %r" % drives)
            wirt("quit", "box")
            if q.event("SHUTDOWN")["data"] != {"guest": False, "reason": "host-qmp-quit"}:
                raise Failed("no SHUTDOWN event")
            m.finish(4)
        if os.listdir(d + "/wirt") or wirt("list"):
            raise Failed("sockets are left behind")
        # What a killed machine leaves is taken over.
        with Machine("--name", "box", "--floppy", FLOPPY, "--net", "none", "--serial", "none") as m:
            until(lambda: "box" in wirt("list"), "the machine")
            os.kill(m.p.pid, signal.SIGKILL)
            m.p.wait()
        if wirt("list"):
            raise Failed("wirt list shows a dead machine")
        with Machine("--name", "box", "--floppy", FLOPPY, "--net", "none", "--serial", "none") as m:
            until(lambda: "box" in wirt("list"), "the machine again")
            wirt("quit", "box")
            m.finish(4)


def powerdown():
    """The power button, seen by Linux's ACPI."""
    kernel, _ = guest("cloud")
    with Scratch() as d:
        wirt = Wirt(d)
        initrd = d + "/initrd.gz"
        tool("tools/make-initrd", "cloud", initrd, "button")
        with Machine("--name", "box", "--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 quiet panic=-1",
                     "--net", "none") as m:
            m.expect(r"[#$] $", 180)
            q = Qmp(d + "/wirt/box.sock")
            n = int(re.search(r"9: +(\d+)", m.run("grep acpi /proc/interrupts")).group(1))
            wirt("powerdown", "box")
            q.event("POWERDOWN")
            time.sleep(1)
            if int(re.search(r"9: +(\d+)", m.run("grep acpi /proc/interrupts")).group(1)) <= n:
                m.fail("the guest got no ACPI interrupt")
            wirt("quit", "box")
            m.finish(4)


def browser():
    node, chromium = shutil.which("node"), shutil.which("chromium")
    if not node or not chromium:
        raise Skip("%s is not here" % ("chromium" if node else "node"))
    if "built in" not in subprocess.run([WIRT, "doctor"], stdout=subprocess.PIPE, text=True).stdout:
        raise Skip("this build has no web console (make web)")
    tool("tools/get-web", "test")
    kernel, initrd = guest("cloud")
    with Scratch() as d:
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        s.close()
        with Machine("--name", "webtest", "--kernel", kernel, "--initrd", initrd, "--append", "console=tty0 console=ttyS0 quiet",
                     "--memory", "512M", "--net", "none", "--web", "127.0.0.1:%d" % port) as m:
            url = m.expect(r"the machine is at (http://\S+)", 30).group(1)
            m.expect(r"[#$] $", 180)
            # A second shell, on the screen.
            m.run("(setsid sh -i </dev/tty1 >/dev/tty1 2>&1 &); sleep 1")
            r = subprocess.run([node, os.path.join(TOP, "tests/boot/web.mjs"), os.path.join(CACHE, "web-test", "playwright-core"),
                                chromium, url, d], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               timeout=600 * PATIENCE)
            if r.returncode or "all steps hold" not in r.stdout:
                m.fail("the browser: %s" % r.stdout[-3000:])
            m.stop()


def pictures():
    """libvncclient, over a socket, gets the picture that `wirt screenshot` writes."""
    viewer = os.path.join(os.path.dirname(WIRT), "wirt-view")
    if not os.path.exists(viewer) or not os.path.exists(FLOPPY):
        raise Skip("no wirt-view in this build, or no GRUB floppy")
    with Scratch() as d:
        wirt = Wirt(d)
        with Machine("--name", "box", "--floppy", FLOPPY, "--net", "none", "--serial", "none") as m:
            until(lambda: "GNU GRUB" in screen(wirt), "GRUB's menu")
            for mode in ("text", "gfx"):
                if mode == "gfx":  # many colours: GRUB's graphical terminal
                    wirt("key", "box", "c")
                    wirt("type", "box", "insmod all_video; set gfxmode=800x600; terminal_output gfxterm\\n")
                    until(lambda: not screen(wirt), "graphics")
                    time.sleep(1)
                for encodings in ("raw", "tight", "zrle", "hextile"):
                    for tries in range(30):  # a cursor may blink in between
                        wirt("screenshot", "box", d + "/a.ppm")
                        r = subprocess.run([viewer, "--encodings", encodings, "--dump", d + "/b.ppm", d + "/wirt/box.vnc"],
                                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
                        if r.returncode:
                            raise Failed("wirt-view: " + r.stdout)
                        if ppm(d + "/a.ppm") == ppm(d + "/b.ppm"):
                            break
                    else:
                        raise Failed("%s, %s: not the screenshot's picture" % (mode, encodings))
            window = subprocess.Popen([WIRT, "view", "box"], env=dict(wirt.env, SDL_VIDEODRIVER="dummy"))
            time.sleep(2)
            wirt("quit", "box")
            if window.wait(30) != 0:
                raise Failed("wirt view ends with %d" % window.returncode)
            m.finish(4)


TESTS = [
    ("control socket and subcommands", subcommands, False),
    ("control VNC pictures", pictures, False),
    ("control power button", powerdown, False),
    ("web console in a browser", browser, True),
]
