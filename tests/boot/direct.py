# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of a guest on the host's processor (docs/direct.md): those that compute get there,
their results are the host's own, and nothing of it outlives the machine."""
import os, re, subprocess

from . import linux
from .machine import CACHE, Failed, Machine, tool

# Debian's base system and the host both have these.
PROGRAMS = [
    "seq 1 300000 | sha256sum",
    "seq 1 200000 | gzip -9 | gzip -d | md5sum",
    "seq 1 200000 | sort -r | sort -n | cksum",
    "awk 'BEGIN { for (i = 1; i < 1000000; i++) s += sin(i) * sqrt(i); printf \"%.6f\\n\", s }' | cut -c1-12",
    "perl -e '$x = 1; for (1 .. 1000000) { $x = ($x * 69069 + 1) % 4294967296; $h{$x & 1023}++ } print $x, \" \", scalar(keys %h), \"\\n\"'",
    "perl -e 'print join(\",\", map { sprintf \"%.9f\", exp($_ / 7) * cos($_) } 1 .. 40000), \"\\n\"' | md5sum",
]


def stat(text, what):
    m = re.search(r"^ *(\d+)  %s$" % re.escape(what), text, re.M)
    if not m:
        raise Failed("no %r in --stats:\n%s" % (what, text[-2000:]))
    return int(m.group(1))


def debian(cpus):
    base = os.path.join(CACHE, "debian12.img")
    tool("tools/make-debian-disk", base)
    with Machine("--disk", base + ",bus=virtio,snapshot", "--memory", "1G", "--cpus", str(cpus), "--stats", engine="soft") as m:
        m.login()
        for p in PROGRAMS:
            want = subprocess.run(["sh", "-c", p], stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ, LC_ALL="C")).stdout
            got = m.run("LC_ALL=C; export LC_ALL; " + p, 300)
            if want.split() != got.replace("\r", "").split("# ", 1)[-1].split():
                m.fail("%s:\n host  %s guest %s" % (p, want[:200], got[:200]))
        m.send("poweroff")
        m.finish(0, 300)
        runs = stat(m.text(), "times a program ran directly")
        if not runs:
            raise Failed("no program ran directly:\n%s" % m.text()[-2000:])
        print("       %d times a program ran directly" % runs)


TESTS = [
    ("direct: programs of Debian 12 compute as the host does", lambda: debian(2), False),
    ("direct: every program of a small Linux, 1 cpu", lambda: linux.shell("cloud", 1, "--direct", "always", engine="soft"), False),
    ("direct: every program of a small Linux, 4 cpus", lambda: linux.shell("cloud", 4, "--direct", "always", engine="soft"), False),
]
