#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks on an NBD server (qemu-nbd on a unix socket): random operations through it against the model,
a server that only reads, one that goes away and comes back, one that does not.

  nbd.py --tool build/tests/format/imgtool [--cases N]
"""
import argparse, os, shutil, subprocess, sys, tempfile, threading, time

import compare
from compare import Failed, M, run


class Server:
    def __init__(self, folder, path, *options):
        self.socket = os.path.join(folder, "socket")
        self.command = ["qemu-nbd", "-f", "raw", "-t", "-e", "8", "-k", self.socket] + list(options) + [path]
        self.start()

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(self.command)
        for _ in range(200):
            if os.path.exists(self.socket):
                return
            time.sleep(0.05)
        raise Failed("qemu-nbd does not start")

    def stop(self):
        self.process.kill()
        self.process.wait()

    @property
    def url(self):
        return "nbd+unix:///?socket=" + self.socket


class NbdCase(compare.Case):
    """A format in a raw export: the image for our side is a URL, for QEMU's a file."""

    def __init__(self, tool, name, options, seed, folder, server_options):
        super().__init__(tool, name, options, seed, folder)
        self.folder, self.server_options = folder, server_options
        self.file, self.rest = self.path, self.tool
        self.f = dict(self.f, extra=None)  # chains, snapshots and the like are not about the export

    def through(self, *args, text=None):
        s = Server(self.folder, self.file, *self.server_options)
        try:
            return run([self.rest] + [s.url if a is None else a for a in args], text)
        finally:
            s.stop()

    def create(self, who):
        with open(self.file, "wb") as f:
            f.truncate(self.size if self.name == "raw" else self.size * 2 + 8 * M)
        self.through("create", self.name, None, str(self.size), self.options or "-")

    def change(self, who, n):
        if who == "qemu":
            return super().change(who, n)
        lines = self.operations(n, False)
        self.log.append("wirt: " + "; ".join(lines))
        self.through("run", None, self.name, text="\n".join(lines) + "\n")

    def verify(self):
        run(["qemu-img", "convert", "-f", self.f["qemu"], "-O", "raw", self.file, self.raw])
        self.same("qemu-img convert")
        self.through("dump", None, self.raw, self.name)
        self.same("imgtool dump")


ROWS = [("raw", "", []), ("raw", "", ["--discard=unmap", "--detect-zeroes=off"]), ("qcow2", "", []),
        ("qcow2", "cluster_size=512", ["--cache=writeback"])]


def random_cases(tool, n, folder):
    for i in range(n):
        name, options, server = ROWS[i % len(ROWS)]
        c = NbdCase(tool, name, options, i // len(ROWS), folder, server)
        try:
            c.go()
        except Failed as f:
            raise Failed("case %d: %s\n%s" % (i, f, "\n".join(l[:2000] for l in c.log)))


def read_only(tool, folder, path):
    s = Server(folder, path, "-r")
    try:
        out = run([tool, "run", s.url, "raw"], "w 0 512 4\n", ok=(1,))
        if "only lets it be read" not in out:
            raise Failed("read-only server: " + out)
        run([tool, "run", s.url, "raw", "readonly"], "c 0 512 400\n")
    finally:
        s.stop()


def nobody(tool, folder):
    out = run([tool, "run", "nbd+unix:///?socket=" + os.path.join(folder, "nobody"), "raw"], "", ok=(1,))
    if "No such file" not in out:
        raise Failed("no server: " + out)


def comes_back(tool, folder, path):
    """The server dies under load; the requests are made again on the next one."""
    s = Server(folder, path)
    script = "".join("w %d 65536 %d\n" % (i * 65536 % (16 * M), 4 * (i % 255 + 1)) for i in range(3000)) + "f\n"
    p = subprocess.Popen([tool, "run", s.url, "raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    out = []
    t = threading.Thread(target=lambda: out.append(p.communicate(script)[0]))
    t.start()
    for _ in range(3):
        time.sleep(0.15)
        s.stop()
        time.sleep(0.2)
        s.start()
    t.join(60)
    s.stop()
    if t.is_alive() or p.returncode:
        p.kill()
        raise Failed("a server that came back: %s" % out)
    want = {}
    for i in range(3000):
        want[i * 65536 % (16 * M)] = i % 255 + 1
    with open(path, "rb") as f:
        for off, byte in want.items():
            f.seek(off)
            if f.read(65536) != bytes([byte]) * 65536:
                raise Failed("a server that came back: lost a write at %d" % off)


def stays_away(tool, folder, path):
    s = Server(folder, path)
    p = subprocess.Popen([tool, "run", s.url, "raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    time.sleep(0.3)
    s.stop()
    begin = time.time()
    out = p.communicate("w 0 512 4\n", timeout=60)[0]
    if p.returncode != 1 or "Input/output error" not in out or time.time() - begin > 40:
        raise Failed("a server that stays away: %s" % out)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tool", required=True)
    ap.add_argument("--cases", type=int, default=8)
    args = ap.parse_args()
    if not shutil.which("qemu-nbd") or not shutil.which("qemu-io"):
        print("no qemu-nbd here (package qemu-utils)")
        return 77
    folder = tempfile.mkdtemp(prefix="wirt-nbd-")
    try:
        random_cases(args.tool, args.cases, folder)
        path = os.path.join(folder, "plain")
        with open(path, "wb") as f:
            f.write(b"\x64" * 512)
            f.truncate(16 * M)
        nobody(args.tool, folder)
        read_only(args.tool, folder, path)
        comes_back(args.tool, folder, path)
        stays_away(args.tool, folder, path)
    except Failed as f:
        print("FAILED", f)
        return 1
    finally:
        shutil.rmtree(folder)
    print("%d cases and 4 servers, all well" % args.cases)
    return 0


if __name__ == "__main__":
    sys.exit(main())
