#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images against qemu-img and qemu-io, both ways: random operations by either program on images that
either made; the content must be the model's by both, and qemu-img check must find nothing.

  compare.py --tool build/tests/format/imgtool [--formats qcow2,vdi] [--cases N] [--only K] [--kills N]

A format is a row of FORMATS; a case is (format, row of options, seed).  --kills N: cases of nothing
but kill -9, until N programs were killed while they wrote.
"""
import argparse, os, random, shutil, struct, subprocess, sys, tempfile, time

K, M = 1024, 1 << 20

# name: qemu   what qemu-img calls it
#       make   both programs can make it; else "qemu": only qemu-img does (Wirt reads and writes)
#       write  Wirt writes it
#       check  qemu-img check knows it; after a kill, too, before a repair (kill_check)
#       options: rows of -o options, the same words for both programs
#       repair Wirt's check knows it too
#       shrink either program can make it smaller, and qemu-img larger
#       extra  what else it has (Case.extra_NAME); without: not with these options
#       round  bytes that the program that made it may have rounded the size up by
FORMATS = {
    "qcow2": dict(qemu="qcow2", make="both", write=True, check=True, kill_check=True, shrink=True, options=[
        "", "cluster_size=512", "cluster_size=4K", "cluster_size=2M", "compat=0.10", "refcount_bits=1",
        "refcount_bits=64,cluster_size=1K", "extended_l2=on", "extended_l2=on,cluster_size=16K",
        "lazy_refcounts=on", "compression_type=zstd", "refcount_bits=2,cluster_size=2K",
        "preallocation=metadata", "preallocation=falloc,cluster_size=4K"],
        extra=["backing", "packed", "snapshots", "resize", "kill"],
        without={"refcount_bits=1": ("snapshots",), "refcount_bits=2,cluster_size=2K": ("snapshots",),
                 "preallocation=metadata": ("backing", "packed"), "preallocation=falloc,cluster_size=4K": ("backing", "packed")}),
    "vdi": dict(qemu="vdi", make="both", write=True, check=True, options=["", "static=on"], extra=["resize", "kill"],
        without={"static=on": ("kill",)}),
    "qcow": dict(qemu="qcow", make="both", write=True, check=False, repair=False, options=[""], extra=["backing", "kill"]),
    "qed": dict(qemu="qed", make="both", write=True, check=True, repair=False, options=[
        "", "cluster_size=4K,table_size=2", "cluster_size=1M,table_size=2"],
        extra=["backing", "kill"]),
    "vhdx": dict(qemu="vhdx", make="both", write=True, check=True, options=[
        "", "subformat=fixed", "block_size=1M", "block_state_zero=off,block_size=2M", "log_size=2M,block_size=1M"],
        extra=["resize", "kill"]),
    "vpc": dict(qemu="vpc", make="both", write=True, check=False, round=4 * M, options=[
        "", "subformat=fixed", "force_size=on", "subformat=fixed,force_size=on", "subformat=dynamic"], extra=["resize", "kill"]),
    "parallels": dict(qemu="parallels", make="both", write=True, check=True, options=[
        "", "cluster_size=64K", "cluster_size=256K"], extra=["resize", "kill"]),
    "vmdk": dict(qemu="vmdk", make="both", write=True, check=True, options=[
        "", "subformat=monolithicFlat", "subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat",
        "subformat=streamOptimized", "zeroed_grain=on", "adapter_type=lsilogic,compat6=on"],
        extra=["backing", "resize", "kill"],
        # A renamed descriptor's extents keep their names, and would be made anew by the one above.
        without={"subformat=monolithicFlat": ("backing",), "subformat=twoGbMaxExtentFlat": ("backing",),
                 "subformat=twoGbMaxExtentSparse": ("backing",)}),
    "raw": dict(qemu="raw", make="both", write=True, check=False, options=[""]),
}


class Failed(Exception):
    pass


def run(cmd, text=None, ok=(0,)):
    r = subprocess.run(cmd, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if r.returncode not in ok:
        raise Failed("%s -> %d\n%s%s" % (" ".join(cmd), r.returncode, r.stdout[-1500:], "\ninput:\n" + text[-3000:] if text else ""))
    return r.stdout


def run_unlocked(cmd, ok=(0,)):
    """The same with a program that does not wait for a lock: writes that a killed one had under way keep its lock
    until the kernel is done with them."""
    end = time.monotonic() + 5
    while True:
        try:
            return run(cmd, ok=ok)
        except Failed as e:
            if "Failed to get" not in str(e) or time.monotonic() > end:
                raise
        time.sleep(0.02)


def pattern(length, seed):
    """tests/format/pattern.h"""
    if seed % 4 == 0:
        return bytes([seed // 4 & 0xFF]) * length
    out = bytearray()
    for i in range((length + 63) // 64):
        out += struct.pack("<Q", (seed + i) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) * 8
    return bytes(out[:length])


class Case:
    def __init__(self, tool, name, options, seed, folder):
        self.tool, self.name, self.f, self.options = tool, name, FORMATS[name], options
        self.rng = random.Random("%s %s %d" % (name, options, seed))
        self.path = os.path.join(folder, "disk." + name)
        self.raw = os.path.join(folder, "raw")
        self.size = self.rng.choice([1 * M, 3 * M + 512, 8 * M, 20 * M, 33 * M + 7 * 512])
        if "cluster_size=2M" in options:
            self.size *= 3
        self.model = bytearray(self.size)
        self.log = []
        self.kills = 0
        self.leaks = False  # a kill may have left some, and nothing takes them back
        self.number = seed + self.rng.randrange(1000)

    def create(self, who):
        self.log.append("create by " + who)
        if who == "qemu":
            run(["qemu-img", "create", "-q", "-f", self.f["qemu"]] + self.dash_o() + [self.path, str(self.size)])
        else:
            run([self.tool, "create", self.name, self.path, str(self.size), self.options or "-"])

    def stream(self, who):
        """An image that is written once, from its start to its end."""
        self.log.append("made by " + who)
        lines = []
        for off in range(0, self.size, 64 * K):
            length, seed = min(64 * K, self.size - off), self.rng.randrange(1, 1 << 30)
            if self.rng.randrange(3):
                self.model[off:off + length] = pattern(length, seed)
                lines.append("w %d %d %d" % (off, length, seed))
        if who == "qemu":
            open(self.raw, "wb").write(self.model)
            run(["qemu-img", "convert", "-f", "raw", "-O", self.f["qemu"], "-o", self.options, self.raw, self.path])
        else:
            self.create(who)
            run([self.tool, "run", self.path, self.name], "\n".join(lines) + "\n")

    def span(self):
        """A random place: (offset, length) in whole sectors."""
        r = self.rng
        length = r.choice([512, 4 * K, 4 * K, r.randrange(1, 64) * 512, r.randrange(1, 1024) * 512, 64 * K, 256 * K])
        length = min(length, self.size)
        off = r.randrange(0, (self.size - length) // 512 + 1) * 512
        if r.random() < 0.5:
            off = off // (64 * K) * (64 * K)
        return off, length

    def operations(self, n, qemu):
        """n operations as a script; the model follows."""
        lines = []
        for _ in range(n):
            off, length = self.span()
            seed = self.rng.randrange(1, 1 << 30)
            what = self.rng.choice("wwwwwzkf" if not qemu else "wwwwz")
            if what == "w":
                if qemu:
                    seed = self.rng.randrange(1, 256) * 4
                    lines.append("write -P %d %d %d" % (seed // 4, off, length))
                else:
                    lines.append("w %d %d %d" % (off, length, seed))
                self.model[off:off + length] = pattern(length, seed)
            elif what in "zk":
                lines.append("write -z %s %d %d" % (self.rng.choice(["", "-u"]), off, length) if qemu else "%s %d %d" % (what, off, length))
                self.model[off:off + length] = bytes(length)
            else:
                lines.append("f")
        return lines

    def change(self, who, n):
        lines = self.operations(n, who == "qemu")
        self.log.append("%s: %s" % (who, "; ".join(lines)))
        if who == "qemu":
            args = ["qemu-io", "-f", self.f["qemu"]]
            for l in lines:
                args += ["-c", l]
            out = run(args + [self.path])
            if "failed" in out or "error" in out.lower():
                raise Failed(out)
        else:
            run([self.tool, "run", self.path, self.name], "\n".join(lines) + "\n")

    def verify(self):
        run(["qemu-img", "convert", "-f", self.f["qemu"], "-O", "raw", self.path, self.raw])
        self.same("qemu-img convert")
        run([self.tool, "dump", self.path, self.raw])
        self.same("imgtool dump")
        if self.f["check"]:
            run(["qemu-img", "check", "-f", self.f["qemu"], self.path], ok=(0, 3) if self.leaks else (0,))

    def same(self, by):
        data = open(self.raw, "rb").read()
        if len(data) < self.size or len(data) - self.size > self.f.get("round", 0):
            raise Failed("%s: %d bytes, not %d" % (by, len(data), self.size))
        if data[:self.size] != self.model:
            at = next(i for i in range(0, self.size, 512) if data[i:i + 512] != self.model[i:i + 512])
            raise Failed("%s: differs at %d: %r, not %r" % (by, at, data[at:at + 16], bytes(self.model[at:at + 16])))

    # ---- what only some formats have: names in FORMATS[...]["extra"] ----

    def extra_backing(self):
        """A chain: base (raw or the same format), this image above it, and one more above."""
        for depth in range(2):
            base = self.path + ".base%d" % depth
            os.rename(self.path, base)
            fmt = self.f["qemu"]
            longer = self.rng.choice([0, 0, 2 * M])
            self.size += longer
            self.model += bytes(longer)
            if self.rng.random() < 0.5:
                run(["qemu-img", "create", "-q", "-f", fmt] + self.dash_o() + ["-b", os.path.basename(base), "-F", fmt, self.path, str(self.size)])
            else:
                run([self.tool, "create", self.name, self.path, str(self.size), self.options or "-", os.path.basename(base), self.name])
            self.log.append("above " + base)
            self.verify()
            for who in ("wirt", "qemu"):
                self.change(who, self.rng.randrange(1, 20))
                self.verify()

    def extra_packed(self):
        """Compressed by qemu-img, then by us, then written over."""
        other = self.path + ".new"
        run(["qemu-img", "convert", "-c", "-f", self.f["qemu"], "-O", self.f["qemu"]] + self.dash_o() + [self.path, other])
        os.rename(other, self.path)
        self.log.append("convert -c")
        self.verify()
        self.change("wirt", 10)
        self.verify()
        run([self.tool, "create", self.name, self.path, str(self.size), self.options or "-"])
        self.model = bytearray(self.size)
        lines, unit = [], 2 * M
        for at in range(0, self.size - unit + 1, unit):
            if self.rng.random() < 0.7:
                seed = self.rng.choice([4, 4, 1]) * self.rng.randrange(1, 1 << 20)
                lines.append("p %d %d %d" % (at, unit, seed))
                self.model[at:at + unit] = pattern(unit, seed)
        self.log.append("; ".join(lines))
        if lines:
            run([self.tool, "run", self.path, self.name], "\n".join(lines) + "\n")
        self.verify()
        for who in ("qemu", "wirt"):
            self.change(who, 10)
            self.verify()

    def extra_snapshots(self):
        kept = {}
        for i in range(3):
            name = "s%d" % i
            if self.rng.random() < 0.5:
                run([self.tool, "snapshot", self.path, "create", name])
            else:
                run(["qemu-img", "snapshot", "-c", name, self.path])
            self.log.append("snapshot " + name)
            kept[name] = bytes(self.model)
            self.verify()
            self.change(self.rng.choice(["wirt", "qemu"]), 12)
            self.verify()
            self.snapshots_same(kept)
        name = self.rng.choice(list(kept))
        by = self.rng.choice([[self.tool, "snapshot", self.path, "apply", name], ["qemu-img", "snapshot", "-a", name, self.path]])
        run(by)
        self.log.append("back to %s by %s" % (name, by[0]))
        self.model = bytearray(kept[name])
        self.verify()
        self.change("wirt", 12)
        self.verify()
        while kept:
            self.snapshots_same(kept)
            name = self.rng.choice(list(kept))
            by = self.rng.choice([[self.tool, "snapshot", self.path, "delete", name], ["qemu-img", "snapshot", "-d", name, self.path]])
            run(by)
            self.log.append("delete %s by %s" % (name, by[0]))
            del kept[name]
            self.verify()
            self.change("wirt", 5)
            self.verify()

    def snapshots_same(self, kept):
        for name, model in kept.items():
            now, self.model = self.model, model
            run([self.tool, "dump", self.path, self.raw, self.name, name])
            self.same("snapshot " + name)
            self.model = now

    def extra_resize(self):
        for _ in range(3):
            least = -self.size if self.f.get("shrink") else 512
            size = max(512, self.size + self.rng.randrange(least, 3 * self.size) // 512 * 512)
            if self.rng.random() < 0.7 or not self.f.get("shrink"):
                run([self.tool, "resize", self.path, str(size)])
            else: # qemu-img lets old data show again behind the end of a cluster
                size = (size + 2 * M - 1) // (2 * M) * 2 * M
                run(["qemu-img", "resize", "-q", "--shrink", "-f", self.f["qemu"], self.path, str(size)])
            self.log.append("resize to %d" % size)
            self.model = self.model[:size] + bytes(max(0, size - self.size))
            self.size = size
            self.verify()
            self.change("wirt", 8)
            self.verify()

    def extra_kill(self):
        """kill -9 at a random time: what was flushed is there, the rest old or new."""
        for _ in range(2):
            lines, before = [], []  # before[n]: the content when the nth flush was done
            for _ in range(self.rng.randrange(2, 8)):
                lines += [l for l in self.operations(12, False) if l != "f"] + ["f"]
                before.append((len(lines), bytes(self.model)))
            self.log.append("; ".join(lines) + "; killed")
            wanted, done, start = self.rng.randrange(0, len(before) + 1), 0, self.original
            p = subprocess.Popen([self.tool, "run", self.path, self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            p.stdin.write("\n".join(lines) + "\n")
            p.stdin.flush()
            while done < wanted and p.stdout.readline():
                done += 1
            time.sleep(self.rng.random() * 0.02)
            self.kills += p.poll() is None
            p.kill()
            done += p.stdout.read().count("f")
            p.wait()
            at, safe = before[done - 1] if done else (0, start)
            if self.f.get("kill_check"):
                run_unlocked(["qemu-img", "check", "-q", "-f", self.f["qemu"], self.path], ok=(0, 3))
            if self.f.get("repair", True):
                run([self.tool, "check", self.path, "repair"])
            else:
                self.leaks = True
            run([self.tool, "dump", self.path, self.raw])
            data = open(self.raw, "rb").read()
            touched = set()
            for l in lines[at:]:
                if l != "f":
                    off, length = (int(x) for x in l.split()[1:3])
                    touched.update(range(off, off + length, 512))
            for at in range(0, self.size, 512):
                if at not in touched and data[at:at + 512] != safe[at:at + 512]:
                    raise Failed("flushed data lost at %d" % at)
            self.model = bytearray(data[:self.size])
            self.original = bytes(self.model)
            self.verify()

    def dash_o(self):
        return ["-o", self.options] if self.options else []

    def kill(self):
        self.create(self.rng.choice(["qemu", "wirt"]))
        self.change("wirt", self.rng.randrange(1, 20))
        self.original = bytes(self.model)
        self.extra_kill()

    def go(self):
        makers = ["qemu", "wirt"] if self.f["make"] == "both" else [self.f["make"]]
        writers = ["qemu", "wirt"] if self.f["write"] else ["qemu"]
        if self.f.get("qemu_writes") is False:
            writers.remove("qemu")
        if "streamOptimized" in self.options:
            self.stream(self.rng.choice(makers))
            return self.verify()
        self.create(self.rng.choice(makers))
        self.verify()
        for _ in range(self.rng.randrange(1, 4)):
            self.change(self.rng.choice(writers), self.rng.randrange(1, 40))
            self.verify()
        if self.f.get("extra"):
            name = self.f["extra"][self.number % len(self.f["extra"])]
            if name not in self.f.get("without", {}).get(self.options, ()):
                self.original = bytes(self.model)
                getattr(self, "extra_" + name)()


def cases(names, count):
    """`count` cases spread over the formats' rows of options."""
    rows = [(n, o) for n in names for o in FORMATS[n]["options"]]
    for i in range(count):
        yield rows[i % len(rows)] + (i // len(rows),)


def kill_cases(names):
    """Formats in turns, and each one's rows of options."""
    rows = {n: [o for o in FORMATS[n]["options"] if can_be_killed(n, o)] for n in names}
    i = 0
    while True:
        for n in names:
            if rows[n]:
                yield n, rows[n][i % len(rows[n])], i
        i += 1


def can_be_killed(name, options):
    flat = any(x in options for x in ("Flat", "streamOptimized", "fixed"))
    return "kill" in FORMATS[name].get("extra", ()) and "kill" not in FORMATS[name].get("without", {}).get(options, ()) and not flat


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tool", required=True)
    ap.add_argument("--formats", default=",".join(FORMATS))
    ap.add_argument("--cases", type=int, default=24)
    ap.add_argument("--kills", type=int, default=0)
    ap.add_argument("--only", type=int, help="the number of one case")
    ap.add_argument("--keep", action="store_true", help="keep the files of a failed case")
    args = ap.parse_args()
    if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
        print("no qemu-img here (package qemu-utils)")
        return 77
    names, failed, done, kills = args.formats.split(","), 0, 0, 0
    for i, (name, options, seed) in enumerate(kill_cases(names) if args.kills else cases(names, args.cases)):
        if args.only is not None and i != args.only:
            continue
        folder = tempfile.mkdtemp(prefix="wirt-format-")
        c = Case(args.tool, name, options, seed, folder)
        try:
            c.kill() if args.kills else c.go()
        except Failed as f:
            failed += 1
            print("FAILED case %d: %s %r seed %d in %s\n%s\n%s\n" % (i, name, options, seed, folder, f, "\n".join(l[:2000] for l in c.log)))
        if not failed or not args.keep:
            shutil.rmtree(folder)
        done += 1
        kills += c.kills
        if (args.kills and kills >= args.kills) or (args.kills and failed) or args.only is not None:
            break
    print("%d cases, %d killed, %d failed" % (done, kills, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
