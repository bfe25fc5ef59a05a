#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How `wirt disk` behaves: refusals, statuses, what is left behind, JSON as qemu-img has it.

  tests/format/disk_cli.py --wirt build/wirt [TEST...]
"""
import argparse, json, os, random, re, resource, shutil, signal, subprocess, sys, tempfile, time

MIB = 1 << 20
WIRT = None
HAVE_QEMU = shutil.which("qemu-img") is not None


def wirt(*args, status=0, **kw):
    """Runs it; the status must be right, and an error one line."""
    r = subprocess.run([WIRT, "disk", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    assert r.returncode == status, "%s: status %d, not %d: %s" % (" ".join(args), r.returncode, status, r.stderr)
    if r.stderr and status == 2 and r.stderr.startswith("wirt: "):
        assert r.stderr.count("\n") == 1, r.stderr
    return r.stdout if not status else r.stdout + r.stderr


def refused(why, *args, status=2, **kw):
    out = wirt(*args, status=status, **kw)
    assert why in out, "%s: %r is not in %r" % (" ".join(args), why, out)


def qemu(*args):
    return subprocess.run(["qemu-img", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout


def make(path, size, pieces):
    """pieces: offset and bytes."""
    with open(path, "wb") as f:
        f.truncate(size)
        for at, data in pieces:
            f.seek(at)
            f.write(data)


def room(path):
    return os.stat(path).st_blocks * 512


def leftovers():
    return [n for n in os.listdir(".") if ".wirt-" in n]


def content(path):
    with open(path, "rb") as f:
        return f.read()


def writable():
    """Formats that can be made, with a suffix that says so."""
    text = subprocess.run([WIRT, "disk", "--help"], stdout=subprocess.PIPE, text=True).stdout
    names = [l for l in text.split("\n") if l.startswith("Formats that are made:")][0].split(":")[1].split()
    return names


# ---------------------------------------------------------------------------------- tests


def test_convert_everything():
    rnd = random.Random(1)
    make("a.img", 9 * MIB + 512, [(3 * 4096, b"x" * 100), (MIB, rnd.randbytes(MIB)), (9 * MIB, b"y" * 512)])
    want = content("a.img")
    for f in writable():
        wirt("convert", "-O", f, "a.img", "b." + f)
        wirt("compare", "a.img", "b." + f)
        wirt("convert", "-f", f, "b." + f, "c.img")
        got = content("c.img")
        assert got[:len(want)] == want and not any(got[len(want):]), f
        # Some formats round sizes up; what is behind reads as zeros.
        wirt("convert", "-f", f, "-O", "raw", "-n", "b." + f, "c.img")
        assert content("c.img") == got, f
        os.unlink("c.img")
    assert not leftovers()


def test_sparse():
    make("a.img", 64 * MIB, [(MIB, b"x" * MIB), (8 * MIB, bytes(4 * MIB)), (60 * MIB, b"z" * 4096)])
    assert room("a.img") >= 5 * MIB
    for f in writable():
        wirt("convert", "-O", f, "a.img", "b." + f)
        wirt("create", "-f", f, "empty." + f, "64M")
        assert room("b." + f) < room("empty." + f) + 2 * MIB, f
    wirt("convert", "-S", "0", "a.img", "full.img")
    assert room("full.img") >= 64 * MIB
    assert content("full.img") == content("a.img")
    wirt("convert", "-S", "64k", "a.img", "coarse.img")
    assert room("coarse.img") < 2 * MIB
    # The holes of what is written into stay holes, and old contents go away.
    make("old.img", 64 * MIB, [(20 * MIB, b"o" * MIB)])
    wirt("convert", "-n", "a.img", "old.img")
    assert content("old.img") == content("a.img")
    assert room("old.img") < 6 * MIB


def test_compress():
    make("a.img", 16 * MIB + 1536, [(0, b"text " * 1000000), (10 * MIB, random.Random(2).randbytes(MIB))])
    wirt("convert", "-c", "a.img", "b.qcow2")
    assert room("b.qcow2") < 2 * MIB
    wirt("compare", "a.img", "b.qcow2")
    wirt("convert", "-c", "-o", "compression_type=zstd,cluster_size=2M", "a.img", "c.qcow2")
    wirt("compare", "b.qcow2", "c.qcow2")
    wirt("convert", "c.qcow2", "d.img")
    assert content("d.img") == content("a.img")
    refused("cannot be made", "convert", "-c", "a.img", "e.img")
    if HAVE_QEMU:
        qemu("check", "c.qcow2")
        qemu("compare", "a.img", "c.qcow2")


def test_subformats():
    noise("a.img", 3)
    for fmt, options in (("vmdk", "subformat=monolithicFlat"), ("vmdk", "subformat=twoGbMaxExtentSparse"),
                         ("vmdk", "subformat=streamOptimized"), ("vpc", "subformat=fixed"), ("vdi", "static=on"),
                         ("vhdx", "subformat=fixed"), ("vhdx", "block_size=32M"), ("qcow2", "data_file=ext.data"),
                         ("qcow2", "extended_l2=on,cluster_size=128k"), ("qcow2", "preallocation=metadata")):
        name = "b-" + re.sub(r"\W", "-", options) + "." + fmt
        wirt("convert", "-O", fmt, "-o", options, "a.img", name)
        wirt("compare", "a.img", name)
        if HAVE_QEMU:
            qemu("compare", "-F", fmt, "a.img", name)
    assert not leftovers() and os.path.exists("ext.data")
    refused("exists already", "convert", "-O", "qcow2", "-o", "data_file=ext.data", "a.img", "c.qcow2")
    refused("cannot be made", "convert", "-c", "-O", "vmdk", "a.img", "c.vmdk")
    assert not os.path.exists("c.vmdk")


def run(disk):
    """Starts a machine and ends it as soon as it runs."""
    name = "disk-cli-%d" % os.getpid()
    p = subprocess.Popen([WIRT, "run", "--serial", "none", "--net", "none", "--name", name, "--disk", disk],
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while p.poll() is None and name not in subprocess.run([WIRT, "list", "--names"], stdout=subprocess.PIPE, text=True).stdout.split():
        assert time.monotonic() < deadline, "the machine did not start"
        time.sleep(0.05)
    p.terminate()
    return p.communicate()[1]


def test_run_clone():
    make("a.img", MIB, [(0, b"x" * 512)])
    make("c.img", MIB, [])
    for f in writable():
        os.makedirs(f)
        wirt("convert", "-O", f, "a.img", f + "/base." + f)
        for _ in range(2): # made, and used again
            said = run(f + "/base." + f + ",clone=my." + f)
            assert said == "", said
            wirt("compare", "--allow-external", "a.img", "my." + f)
        info = json.loads(wirt("info", "--output", "json", "my." + f))
        assert info["format"] == "qcow2" and info["backing-filename"] == os.path.realpath(f + "/base." + f), info
    os.makedirs("in") # what the user named may lie anywhere; what that names in turn may not
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", os.path.abspath("a.img"), "-F", "raw", "in/names.qcow2"], check=True)
    assert "outside the image's own directory" in run("in/names.qcow2,clone=new.qcow2")
    assert "is no clone of" in run("c.img,clone=my.raw")
    assert "is no clone of" in run("c.img,clone=qcow2/base.qcow2")
    assert "No such file" in run("nothing.img,clone=new.qcow2")
    assert not os.path.exists("new.qcow2") and not os.path.exists("new.qcow2.part")


def test_overlay():
    make("base.img", 8 * MIB, [(MIB, b"a" * MIB), (4 * MIB, b"b" * MIB)])
    make("new.img", 8 * MIB, [(MIB, b"a" * MIB), (4 * MIB, b"b" * 4096), (6 * MIB, b"c" * 512)])
    wirt("create", "-b", "base.img", "-F", "raw", "over.qcow2")
    wirt("compare", "base.img", "over.qcow2")
    wirt("create", "-o", "backing_file=base.img,backing_fmt=raw", "-f", "qcow2", "over2", "16M")
    assert json.loads(wirt("info", "--output", "json", "over2"))["virtual-size"] == 16 * MIB
    wirt("convert", "-B", "base.img", "-F", "raw", "new.img", "diff.qcow2")
    wirt("compare", "new.img", "diff.qcow2")
    assert room("diff.qcow2") < MIB
    chain = json.loads(wirt("info", "--backing-chain", "--output", "json", "diff.qcow2"))
    assert [x["format"] for x in chain] == ["qcow2", "raw"], chain
    os.mkdir("sub")
    wirt("create", "-b", "../base.img", "-F", "raw", "sub/far.qcow2")
    refused("--allow-external", "convert", "sub/far.qcow2", "far.img")
    wirt("convert", "--allow-external", "sub/far.qcow2", "far.img")
    wirt("compare", "far.img", "base.img")
    refused("nothing.img", "create", "-b", "nothing.img", "x.qcow2")
    refused("there is no --backing", "create", "-F", "raw", "x.qcow2", "1M")
    refused("no backing file", "create", "-b", "base.img", "x.img")
    assert not leftovers() and not os.path.exists("x.qcow2")


def test_refusals():
    make("a.img", MIB, [(0, b"x")])
    before = content("a.img")
    refused("usage: wirt disk convert", "convert", "a.img")
    refused("one argument too many", "convert", "a.img", "b.img", "c.img", "d.img")
    refused("did you mean \"convert\"", "covert", "a.img", "b.img")
    refused("did you mean --compress", "convert", "--compres", "a.img", "b.img")
    refused("unknown option --shrink", "info", "--shrink", "a.img")
    refused("is none of", "convert", "-O", "floppy", "a.img", "b.img")
    refused("no such option", "convert", "-O", "qcow2", "-o", "colour=red", "a.img", "b.img")
    refused("size=2M: the new image has a size", "convert", "-O", "qcow2", "-o", "size=2M", "a.img", "b.img")
    shutil.copy("a.img", "other.img")
    refused("exists already", "convert", "a.img", "other.img")
    refused("is the source itself", "convert", "--force", "a.img", "a.img")
    os.symlink("a.img", "link")
    refused("is the source itself", "convert", "--force", "a.img", "link")
    os.link("a.img", "hard")
    refused("is the source itself", "convert", "-n", "a.img", "hard")
    wirt("create", "-b", "a.img", "-F", "raw", "over.qcow2")
    refused("is a file below the source", "convert", "--force", "over.qcow2", "a.img")
    refused("No such file", "convert", "nothing", "b.img")
    refused("No such file", "convert", "a.img", "no/where.img")
    os.mkdir("dir")
    refused("is a directory", "convert", "a.img", "dir")
    refused("neither a regular file", "convert", "--force", "a.img", "/dev/null")
    refused("exists already", "create", "a.img", "2M")
    refused("no size", "create", "b.img")
    refused("is no size", "create", "b.img", "much")
    wirt("create", "small.img", "4k")
    refused("does not fit", "convert", "-n", "a.img", "small.img")
    refused("nothing is made", "convert", "-n", "-o", "x=y", "a.img", "small.img")
    refused("--shrink", "resize", "a.img", "-512k")
    refused("has only", "resize", "a.img", "-2M")
    refused("only", "map", "--start-offset", "2M", "a.img")
    refused("is none of list", "snapshot", "make", "a.img", "x")
    refused("which name", "snapshot", "create", "a.img")
    refused("snapshots", "snapshot", "create", "a.img", "x")
    refused("there is nothing to check", "check", "a.img", status=63)
    refused("No such file", "check", "nothing", status=1)
    assert content("a.img") == before and not os.path.exists("b.img") and not leftovers()
    wirt("convert", "--force", "a.img", "small.img")
    wirt("compare", "a.img", "small.img")
    assert "preallocation" in wirt("create", "-f", "qcow2", "-o", "help", "x")


def test_resize_compare():
    make("a.img", MIB, [(0, b"x" * 512), (MIB - 512, b"e" * 512)])
    shutil.copy("a.img", "b.img")
    assert "equal" in wirt("compare", "a.img", "b.img")
    wirt("resize", "b.img", "+1M")
    assert os.path.getsize("b.img") == 2 * MIB
    wirt("compare", "a.img", "b.img")
    refused("size", "compare", "-s", "a.img", "b.img", status=1)
    make("c.img", 2 * MIB, [(0, b"x" * 512), (MIB - 512, b"e" * 512), (2 * MIB - 7, b"!")])
    refused("offset %d, behind" % (2 * MIB - 7), "compare", "a.img", "c.img", status=1)
    with open("b.img", "r+b") as f:
        f.seek(70000)
        f.write(b"!")
    refused("offset 70000.", "compare", "-m", "16", "b.img", "c.img", status=1)
    assert wirt("compare", "-q", "b.img", "c.img", status=1) == ""
    wirt("resize", "--shrink", "b.img", "65536")
    assert os.path.getsize("b.img") == 65536
    refused("No such file", "compare", "a.img", "nothing")


def shape(v):
    """A JSON value without its values."""
    if isinstance(v, dict):
        return {k: shape(x) for k, x in v.items()}
    return [shape(v[0])] if isinstance(v, list) and v else type(v).__name__


def test_json():
    make("a.img", 8 * MIB, [(MIB, b"a" * MIB)])
    wirt("convert", "a.img", "a.qcow2")
    wirt("create", "-b", "a.qcow2", "b.qcow2")
    m = json.loads(wirt("map", "--output", "json", "b.qcow2"))
    assert sum(x["length"] for x in m) == 8 * MIB
    assert [x["start"] for x in m if x["data"]] == [MIB]
    part = json.loads(wirt("map", "--output", "json", "--start-offset", "1M", "--max-length", "64k", "a.img"))
    assert [(x["start"], x["length"], x["offset"]) for x in part] == [(MIB, 65536, MIB)], part
    assert len(wirt("map", "a.img").split("\n")) == 3
    if not HAVE_QEMU:
        return
    subprocess.run(["qemu-io", "-c", "write -P 3 3M 64k", "-c", "write -z 1M 64k", "b.qcow2"], check=True, stdout=subprocess.DEVNULL)
    wirt("snapshot", "create", "b.qcow2", "first")
    for f in ("a.img", "a.qcow2", "b.qcow2"):
        ours, theirs = json.loads(wirt("info", "--output", "json", f)), json.loads(qemu("info", "--output", "json", f))
        for x in theirs.get("snapshots", []):
            x.pop("icount", None) # of the machine; Wirt keeps none
        for x in ours.get("snapshots", []):
            x.pop("disk-size", None)
        assert shape(ours) == shape(theirs), "%s: %s and %s" % (f, ours, theirs)
        for k in ("virtual-size", "format", "filename", "actual-size", "backing-filename", "format-specific"):
            assert ours.get(k) == theirs.get(k), (f, k, ours.get(k), theirs.get(k))
        ours, theirs = json.loads(wirt("map", "--output", "json", f)), json.loads(qemu("map", "--output", "json", f))
        for x in ours + theirs:
            x.pop("compressed", None)
        assert ours == theirs, "%s: %s and %s" % (f, ours, theirs)


def test_vhd_size():
    """Both sizes of a VHD: of the field, and of the geometry."""
    wirt("create", "-o", "subformat=fixed", "a.vhd", "20M")
    image = bytearray(content("a.vhd"))
    now, cylinders = len(image) - 512, int.from_bytes(image[-512 + 56:-512 + 58], "big") - 10
    chs = cylinders * image[-512 + 58] * image[-512 + 59] * 512
    image[-512 + 56:-512 + 58] = cylinders.to_bytes(2, "big")
    image[-512 + 64:-512 + 68] = bytes(4)
    image[-512 + 64:-512 + 68] = (~sum(image[-512:]) & 0xFFFFFFFF).to_bytes(4, "big")
    with open("a.vhd", "wb") as f:
        f.write(image)
    for how, size in (("current", now), ("chs", chs)):
        assert json.loads(wirt("info", "--output", "json", "--vhd-size", how, "a.vhd"))["virtual-size"] == size, how
        wirt("convert", "--force", "--vhd-size", how, "a.vhd", "a.img")
        assert os.stat("a.img").st_size == size, how
    refused("neither chs nor current", "info", "--vhd-size", "lba", "a.vhd")


def test_snapshots():
    make("a.img", 4 * MIB, [(0, b"1" * MIB)])
    wirt("convert", "a.img", "a.qcow2")
    wirt("snapshot", "create", "a.qcow2", "one")
    make("b.img", 4 * MIB, [(0, b"2" * 65536), (2 * MIB, b"3" * MIB)])
    wirt("convert", "-n", "b.img", "a.qcow2")
    wirt("snapshot", "create", "a.qcow2", "two")
    wirt("compare", "a.qcow2", "b.img")
    wirt("compare", "-l", "one", "a.qcow2", "a.img")
    assert [x["name"] for x in json.loads(wirt("snapshot", "--output", "json", "list", "a.qcow2"))] == ["one", "two"]
    assert "two" in wirt("info", "a.qcow2") and "one" in wirt("snapshot", "list", "a.qcow2")
    wirt("convert", "-l", "one", "a.qcow2", "c.img")
    assert content("c.img") == content("a.img")
    wirt("snapshot", "apply", "a.qcow2", "one")
    wirt("compare", "a.qcow2", "a.img")
    wirt("snapshot", "delete", "a.qcow2", "one")
    refused("one", "snapshot", "apply", "a.qcow2", "one")
    wirt("compare", "a.qcow2", "a.img")
    wirt("check", "a.qcow2")
    assert "no snapshots" in wirt("snapshot", "list", "a.img")


def test_strange_names():
    """Names from images and of files: nothing that a terminal obeys is printed, and no name is taken for a protocol."""
    red = "\033[31mred\033]0;title\007\u009b0m\nline"
    make("a.img", MIB, [(0, b"x" * 512)])
    wirt("convert", "a.img", "a.qcow2")
    wirt("snapshot", "create", "a.qcow2", red)
    os.rename("a.qcow2", red)
    wirt("create", "-f", "qcow2", "-b", red, "over.qcow2")
    outs = [wirt("info", "over.qcow2"), wirt("info", "--backing-chain", "over.qcow2"), wirt("snapshot", "list", red), wirt("map", "over.qcow2"),
            wirt("check", "/" + red, status=1)]
    for out in outs:
        assert not any(c < " " and c != "\n" or "\x7f" <= c < "\xa0" for c in out), repr(out)
        assert "\nline" not in out and ("?[31mred" in out), repr(out)
    assert json.loads(wirt("snapshot", "--output", "json", "list", red))[0]["name"] == red
    refused("wirt: b?.vmdk: a name that", "create", "-o", "subformat=monolithicFlat", "b\n.vmdk", "1M")
    with open(b"\xff.img", "wb") as f:
        f.truncate(MIB)
    assert json.loads(wirt("info", "--output", "json", b"\xff.img".decode(errors="surrogateescape")))["filename"] == "?.img"
    for name in ["a:b", "file:a.img", "nbd:x", "json:{}", 'q"', "%s", "-x"]:
        make(name, MIB, [(4096, name.encode())])
        for f in ["qcow2", "qed", "qcow"]:
            wirt("create", "-f", f, "-b", name, "-F", "raw", "--force", "n.img")
            wirt("compare", "--", name, "n.img")
            if HAVE_QEMU and f == "qcow2":
                qemu("compare", "-f", "raw", "-F", f, "./" + name, "n.img")
    assert not leftovers()


def test_data_file_exists():
    """A data file of that name is somebody's, and stays."""
    make("old.raw", 4096, [(0, b"precious")])
    want = content("old.raw")
    refused("exists already", "create", "-f", "qcow2", "-o", "data_file=" + os.path.abspath("old.raw"), "a.qcow2", "1M")
    refused("exists already", "create", "-f", "qcow2", "-o", "data_file=old.raw", "a.qcow2", "1M")
    assert content("old.raw") == want and not os.path.exists("a.qcow2") and not leftovers()
    wirt("create", "-f", "qcow2", "-o", "data_file=new.raw", "a.qcow2", "1M")


def test_options():
    """What is wrong with a list of options is said before anything is made."""
    for options, why in [
        ("data_file=", "data_file: needs a value"),
        ("data_file", "data_file: needs a value"),
        ("cluster_size=4k,data_file=,compat=v3", "data_file: needs a value"),
        ("size=", "size: needs a value"),
        ("backing_file=", "backing_file: needs a value"),
        ("cluster_size=4k,compat=v3,cluster_size=8k", "cluster_size: given twice"),
        ("backing_file=x,backing_file=y", "backing_file: given twice"),
        ("size=1M,size=1M", "size: given twice"),
        ("size=1M", "size=1M: the new image has a size"),
        ("=4k", '"=4k": one of the options has no name'),
        ("compat=v3,", '"compat=v3,": one of the options has no name'),
        (",compat=v3", "one of the options has no name"),
        ("compat=v3,,lazy_refcounts=on", "one of the options has no name"),
        ("compat=2", "compat=2: none of 0.10, 1.1, v2, v3"),
        ("preallocation=much", "preallocation=much: none of off, metadata"),
        ("lazy_refcounts=perhaps", "lazy_refcounts=perhaps: none of off, on"),
        ("cluster_size=-4k", "cluster_size=-4k: not a size"),
        ("cluster_size= 4k", "cluster_size= 4k: not a size"),
        ("cluster_size=4kk", "cluster_size=4kk: not a size"),
        ("cluster_size=" + "0" * 70 + "9", "too long"),
        ("data_file=" + "d" * 1024, "too long"),
        ("data_file=../o.raw", "a name beside the image"),
        ("cluster=4k", "cluster: qcow2 images have no such option"),
    ]:
        refused(why, "create", "-f", "qcow2", "-o", options, "o.qcow2", "1M")
    refused("compat: given twice", "create", "-f", "qcow2", "-o", "compat=v2", "-o", "compat=v3", "o.qcow2", "1M")
    refused("backing_file names another", "create", "-f", "qcow2", "-b", "x", "-o", "backing_file=y", "o.qcow2", "1M")
    refused("hwversion or toolsversion", "create", "-f", "vmdk", "-o", "hwversion=x", "o.vmdk", "1M")
    refused("adapter_type=usb: none of ide", "create", "-f", "vmdk", "-o", "adapter_type=usb", "o.vmdk", "1M")
    refused("preallocation=metadata: none of off", "create", "-o", "preallocation=metadata", "o.img", "1M")
    assert not leftovers() and not [n for n in os.listdir(".") if n.startswith("o.")]
    wirt("create", "-f", "qcow2", "-o", "compat=v2,size=1M", "-o", "", "-o", "preallocation=METADATA", "o.qcow2")
    assert "1.0 MiB" in wirt("info", "o.qcow2") or "1 MiB" in wirt("info", "o.qcow2")


def test_check():
    make("a.img", 4 * MIB, [(0, b"1" * MIB)])
    wirt("convert", "a.img", "a.qcow2")
    assert "sound" in wirt("check", "a.qcow2")
    with open("a.qcow2", "r+b") as f: # a cluster too many is counted
        f.seek(2 * 65536 + 2 * 40)
        f.write(b"\0\1")
        f.truncate(41 * 65536)
    refused("leak", "check", "a.qcow2", status=3)
    j = json.loads(wirt("check", "--output", "json", "a.qcow2", status=3).split("\n}")[0] + "}")
    assert j["leaks"] == 1 and j["check-errors"] == 0, j
    wirt("check", "-r", "leaks", "a.qcow2")
    wirt("check", "a.qcow2")
    with open("a.qcow2", "r+b") as f: # a cluster in use is counted as free
        f.seek(2 * 65536 + 2 * 6)
        f.write(b"\0\0")
    refused("damaged", "check", "a.qcow2", status=2)
    wirt("check", "--repair=all", "a.qcow2")
    wirt("check", "a.qcow2")
    wirt("compare", "a.img", "a.qcow2")
    if HAVE_QEMU:
        ours, theirs = json.loads(wirt("check", "--output", "json", "a.qcow2")), json.loads(qemu("check", "--output", "json", "a.qcow2"))
        ours.pop("compressed-clusters", None)
        assert shape(ours) == shape(theirs), (ours, theirs)


def noise(path, mib):
    rnd = random.Random(3)
    make(path, 2 * mib * MIB, [(i * 2 * MIB, rnd.randbytes(MIB)) for i in range(mib)])


def test_kill():
    noise("a.img", 24)
    rnd = random.Random(5)
    whole = 0
    for i in range(12):
        p = subprocess.Popen([WIRT, "disk", "convert", "-c", "a.img", "b.qcow2"])
        time.sleep(rnd.random() * 0.3)
        p.send_signal(signal.SIGKILL)
        p.wait()
        if os.path.exists("b.qcow2"): # only if it was through
            wirt("compare", "a.img", "b.qcow2")
            os.unlink("b.qcow2")
            whole += 1
        for n in leftovers():
            shutil.rmtree(n)
    assert whole < 12, "never killed in time"


def test_interrupt():
    noise("a.img", 48)
    for sig in (signal.SIGINT, signal.SIGTERM):
        p = subprocess.Popen([WIRT, "disk", "convert", "-c", "a.img", "b.qcow2"], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not leftovers() and time.monotonic() < deadline:
            time.sleep(0.01)
        p.send_signal(sig)
        said = p.communicate()[1]
        assert p.returncode == -sig, (p.returncode, said)
        assert not os.path.exists("b.qcow2"), os.listdir(".")
        assert not leftovers(), os.listdir(".")


def test_no_room():
    noise("a.img", 4)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))

    for f in ("raw", "qcow2"):
        refused("b." + f + ": ", "convert", "-O", f, "a.img", "b." + f, preexec_fn=limit)
        assert not leftovers() and not os.path.exists("b." + f)


def test_progress():
    noise("a.img", 8)
    r = subprocess.run([WIRT, "disk", "convert", "-p", "-c", "a.img", "b.qcow2"], stderr=subprocess.PIPE, text=True, check=True)
    lines = r.stderr.strip().split("\n")
    assert lines[-1].startswith("100% "), lines
    assert all(l.split()[1].endswith("/%d" % (16 * MIB)) for l in lines), lines
    r = subprocess.run([WIRT, "disk", "convert", "-c", "a.img", "c.qcow2"], stderr=subprocess.PIPE, text=True, check=True)
    assert not r.stderr, r.stderr


def test_in_use():
    """A machine's disk is not replaced, changed, or read by accident."""
    make("a.img", MIB, [(0, b"x")])
    make("b.img", MIB, [(0, b"y")])
    name = "disk-cli-%d" % os.getpid()
    p = subprocess.Popen([WIRT, "run", "--serial", "none", "--net", "none", "--name", name, "b.img"], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while name not in subprocess.run([WIRT, "list", "--names"], stdout=subprocess.PIPE, text=True).stdout.split():
            assert p.poll() is None and time.monotonic() < deadline, "the machine did not start"
            time.sleep(0.05)
        refused("in use", "resize", "b.img", "+512")
        refused("in use", "convert", "--force", "a.img", "b.img")
        refused("in use", "convert", "b.img", "c.img")
        wirt("convert", "-U", "b.img", "c.img")
    finally:
        p.terminate()
        p.wait()


def main():
    global WIRT
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--wirt", required=True)
    ap.add_argument("tests", nargs="*")
    a = ap.parse_args()
    WIRT = os.path.abspath(a.wirt)
    failed = 0
    for name, fn in sorted(globals().items()):
        if not name.startswith("test_") or (a.tests and name[5:] not in a.tests):
            continue
        folder = tempfile.mkdtemp(prefix="wirt-disk-cli-")
        os.chdir(folder)
        start = time.monotonic()
        try:
            fn()
            print("ok   %s (%.1f s)" % (name[5:], time.monotonic() - start), flush=True)
        except (AssertionError, subprocess.CalledProcessError) as e:
            print("FAIL %s: %s" % (name[5:], e), flush=True)
            failed += 1
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
