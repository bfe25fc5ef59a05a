#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""NBD servers that lie: what they say of their disk, and how they answer, is wrong in one way each.
Wirt must end in time, with an error or with what a disk of that size holds; never crash or hang.

  nbd_liars.py --tool build/tests/format/imgtool [--cases N]

The protocol is that of the NBD project's doc/proto.md: fixed newstyle, NBD_OPT_GO, simple replies.
The rows of LIES are always run; --cases adds random ones: bytes of the server's side flipped.
"""
import argparse, os, random, shutil, socket, struct, subprocess, sys, tempfile, threading

SIZE = 1 << 20
OPT_EXPORT, OPT_ABORT, OPT_INFO, OPT_GO, OPT_STRUCTURED = 1, 2, 6, 7, 8
REP_ACK, REP_INFO, REP_UNSUP = 1, 3, 0x80000001
READ, WRITE, DISC, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FLAGS = 1 | 4 | 8 | 32 | 64  # there are flags; flush, FUA, trim, write zeroes

# name: what is other than usual
#   size, flags      of the export; blocks: (smallest, preferred, greatest)
#   error            of every reply; handle: added to it; magic: of replies
#   short            bytes that a read's data is cut by, and the connection ends; extra: bytes after it
#   hangup           the connection ends at this request
#   second           what a second connection says instead (with hangup)
LIES = {
    "honest": {},
    "no size": dict(size=0),
    "a size below zero": dict(size=(1 << 64) - 512),
    "a size of 2^63": dict(size=1 << 63),
    "a size that is no sector's": dict(size=SIZE + 1),
    "a huge disk": dict(size=(1 << 63) - 512),
    "no flags": dict(flags=0),
    "all flags": dict(flags=0xffff),
    "blocks of nothing": dict(blocks=(0, 0, 0)),
    "blocks of three": dict(blocks=(3, 7, 9)),
    "blocks of 4 GiB": dict(blocks=(1 << 31, 1 << 31, 1 << 31)),
    "a greatest block below the smallest": dict(blocks=(4096, 4096, 512)),
    "blocks of 64 KiB": dict(blocks=(65536, 65536, 65536)),
    "EIO": dict(error=5),
    "an error that does not exist": dict(error=0x7fffffff),
    "another request's reply": dict(handle=1),
    "no reply's magic": dict(magic=0x12345678),
    "half of the data": dict(short=256),
    "more than the data": dict(extra=4096),
    "an end at the first request": dict(hangup=1),
    "an end at the third request": dict(hangup=3),
    "another size afterwards": dict(hangup=2, second=dict(size=SIZE // 2)),
    "other blocks afterwards": dict(hangup=2, second=dict(blocks=(3, 3, 3))),
    "larger blocks afterwards": dict(hangup=2, second=dict(blocks=(4096, 4096, 1 << 20))),
    "only to be read afterwards": dict(hangup=2, second=dict(flags=FLAGS | 2)),
}


class Gone(Exception):
    pass


class Server:
    """One connection after the other until stop()."""

    def __init__(self, path, lie, flip=None):
        self.lie, self.flip, self.count, self.sent = lie, flip, 0, 0
        self.disk = {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def stop(self):
        self.listener.close()

    def serve(self):
        first = True
        while True:
            try:
                self.s, _ = self.listener.accept()
            except OSError:
                return
            say = dict(self.lie)
            if not first:
                say.pop("hangup", None)
                say.update(say.get("second", {}))
            first, self.say = False, say
            try:
                self.greet()
                while True:
                    self.command()
            except (Gone, OSError):
                pass
            self.s.close()

    def get(self, n):
        out = b""
        while len(out) < n:
            more = self.s.recv(min(n - len(out), 1 << 20))
            if not more:
                raise Gone
            out += more
        return out

    def put(self, data):
        if self.flip is not None and self.flip[0] < self.sent + len(data) and self.sent <= self.flip[0]:
            data = bytearray(data)
            data[self.flip[0] - self.sent] ^= self.flip[1]
        self.sent += len(data)
        self.s.sendall(bytes(data))

    def reply(self, option, kind, data=b""):
        self.put(struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)

    def greet(self):
        self.put(b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 3))
        self.get(4)
        while True:
            _, option, length = struct.unpack(">QII", self.get(16))
            data = self.get(min(length, 1 << 16))
            if option in (OPT_GO, OPT_INFO):
                self.reply(option, REP_INFO, struct.pack(">HQH", 0, self.say.get("size", SIZE), self.say.get("flags", FLAGS)))
                if "blocks" in self.say:
                    self.reply(option, REP_INFO, struct.pack(">HIII", 3, *self.say["blocks"]))
                self.reply(option, REP_ACK)
                if option == OPT_GO:
                    return
            elif option == OPT_EXPORT:
                self.put(struct.pack(">QH", self.say.get("size", SIZE), self.say.get("flags", FLAGS)) + bytes(124))
                return
            elif option == OPT_ABORT:
                raise Gone
            else:
                self.reply(option, REP_UNSUP)

    def command(self):
        _, _, kind, handle, off, length = struct.unpack(">IHHQQI", self.get(28))
        self.count += 1
        say = self.say
        if kind == DISC or self.count == say.get("hangup"):
            raise Gone
        data = b""
        if kind == WRITE:
            written = self.get(length)
            for at in range(0, length, 512):
                self.disk[off + at] = written[at:at + 512]
        elif kind == READ and not say.get("error"):
            data = b"".join(self.disk.get(off + at, bytes(512)) for at in range(0, length, 512))[:length]
            data = data[:len(data) - say.get("short", 0)] + bytes(say.get("extra", 0))
        self.put(struct.pack(">IIQ", say.get("magic", 0x67446698), say.get("error", 0), handle + say.get("handle", 0)) + data)
        if say.get("short"):
            raise Gone


def attempt(tool, folder, name, lie, flip=None):
    """True: the tool came to an end of its own."""
    path = os.path.join(folder, "socket")
    if os.path.exists(path):
        os.unlink(path)
    s = Server(path, lie, flip)
    script = "w 0 4096 8\nz 8192 512\nw 66048 512 12\nf\nc 0 4096 8\nk 0 65536\nc 66048 512 12\n"
    try:
        r = subprocess.run([tool, "run", "nbd+unix:///?socket=" + path, "raw"], input=script, timeout=60, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        print("FAILED %s: no end after 60 s" % name)
        return False
    finally:
        s.stop()
    well = r.returncode in (0, 1) and (r.returncode == 0 or "imgtool: " in r.stdout)
    if flip is None and not lie:
        well = r.returncode == 0
    if not well:
        print("FAILED %s: %d\n%s" % (name, r.returncode, r.stdout[-1500:]))
    return well


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tool", required=True)
    ap.add_argument("--cases", type=int, default=40)
    args = ap.parse_args()
    folder = tempfile.mkdtemp(prefix="wirt-liar-")
    rnd, well, done = random.Random(7), True, 0
    try:
        for name, lie in LIES.items():
            well &= attempt(args.tool, folder, name, lie)
            done += 1
        for i in range(args.cases):
            # The greeting has about 200 bytes, a reply 16 and its data.
            at = rnd.randrange(18, 150) if i % 2 else rnd.randrange(100, 400)
            well &= attempt(args.tool, folder, "byte %d" % at, {}, (at, rnd.randrange(1, 256)))
            done += 1
    finally:
        shutil.rmtree(folder)
    print("%d servers, %s" % (done, "all well" if well else "not all well"))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
