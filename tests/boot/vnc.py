# SPDX-License-Identifier: GPL-2.0-or-later
"""A VNC viewer (RFC 6143) for tests."""
import socket, struct

from .machine import Failed

RAW, TIGHT, ZRLE, QUALITY, LEVEL = 0, 7, 16, -32, -256


class Viewer:
    """Asks for pictures all the time, and takes updates apart no further than it must to find their
    ends; keep: asks when rgb() wants one, and draws raw pixels."""

    def __init__(self, path, encodings, keep=False):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(path)
        self.buf, self.at, self.end = bytearray(4 << 20), 0, 0
        self.bytes = 0
        self.s.sendall(self.take(12))
        self.take(self.take(1)[0])
        self.s.sendall(b"\1")
        if self.take(4) != bytes(4):
            raise Failed("no way in")
        self.s.sendall(b"\1")
        self.w, self.h = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.take(struct.unpack(">I", self.take(4))[0])
        self.s.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.s.sendall(struct.pack(">BxH%di" % len(encodings), 2, len(encodings), *encodings))
        self.canvas = bytearray(self.w * self.h * 4) if keep else None
        if not keep:
            self.ask(0)

    def ask(self, incremental):
        self.s.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.w, self.h))

    def need(self, n):
        while self.end - self.at < n:
            if self.at and len(self.buf) - self.end < 1 << 16:
                self.buf[:self.end - self.at] = self.buf[self.at:self.end]
                self.end, self.at = self.end - self.at, 0
            got = self.s.recv_into(memoryview(self.buf)[self.end:])
            if not got:
                raise Failed("the machine hung up")
            self.end += got

    def take(self, n):
        self.need(n)
        self.at += n
        self.bytes += n
        return bytes(self.buf[self.at - n:self.at])

    def skip(self, n):
        self.bytes += n
        while n:
            part = min(n, 1 << 20)
            self.need(part)
            self.at += part
            n -= part

    def tight(self, w, h):
        kind = self.take(1)[0] >> 4
        if kind == 8:
            self.skip(3)
        elif kind == 9:
            self.skip(self.length())
        else:
            size, filter = w * h * 3, self.take(1)[0] if kind & 4 else 0
            if filter == 1:
                colours = self.take(1)[0] + 1
                self.skip(3 * colours)
                size = h * ((w + 7) // 8) if colours == 2 else w * h
            self.skip(size if size < 12 else self.length())

    def length(self):
        n = shift = 0
        while True:
            b = self.take(1)[0]
            n |= (b & 127 if shift < 14 else b) << shift
            shift += 7
            if not b & 128 or shift == 21:
                return n

    def picture(self):
        """One update; True when it was a picture of the whole."""
        if self.take(1)[0] != 0:
            raise Failed("not an update")
        area = 0
        n = struct.unpack(">xH", self.take(3))[0]
        while n:
            n -= 1
            x, y, w, h, enc = struct.unpack(">HHHHi", self.take(12))
            if enc == RAW and self.canvas is not None:
                for row in range(y, y + h):
                    at = 4 * (row * self.w + x)
                    self.canvas[at:at + 4 * w] = self.take(4 * w)
            elif enc == RAW:
                self.skip(w * h * 4)
            elif enc == TIGHT:
                self.tight(w, h)
            elif enc == ZRLE:
                self.skip(struct.unpack(">I", self.take(4))[0])
            elif enc == -224:
                break
            else:
                raise Failed("encoding %d" % enc)
            area += w * h
        if self.canvas is None:
            self.ask(1)
        return area >= self.w * self.h * 0.9

    def rgb(self):
        """The whole picture as it is now, as a PPM's bytes."""
        self.ask(0)
        while not self.picture():
            pass
        out = bytearray(3 * self.w * self.h)
        for i in range(3):
            out[i::3] = self.canvas[2 - i::4]
        return bytes(out)

    def point(self, x, y, buttons=0):
        self.s.sendall(struct.pack(">BBHH", 5, buttons, x, y))
