# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved machines: at random moments of a boot and under load, from one engine to the other; pauses
and what the guest's clocks make of them; clones; damaged files."""
import glob, hashlib, os, random, re, shutil, subprocess, time

from .machine import CACHE, PATIENCE, WIRT, Failed, Machine, Scratch, Skip, guest, tool
from .net import Server

APPEND = "console=ttyS0 quiet panic=-1"


def wirt(*args, status=0):
    r = subprocess.run([WIRT] + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       stdin=subprocess.DEVNULL)
    if r.returncode != status:
        raise Failed("wirt %s: %r: %s" % (" ".join(args), r.returncode, r.stdout))
    return r.stdout


class Sockets:
    """A folder for control sockets, so that names of machines of other tests do not matter."""

    def __enter__(self):
        self.scratch = Scratch()
        self.path = self.scratch.__enter__()
        return self

    def __exit__(self, *exc):
        self.scratch.__exit__(*exc)

    def qmp(self, n):
        return os.path.join(self.path, "q%s" % n)


def save(m, socket, file):
    """Saves and ends a machine; what it printed meanwhile is part of its log."""
    wirt("save", socket, file)
    while m.pump(5):
        pass
    if m.p.wait(20) != 4:
        m.fail("the saved machine ended with %r" % m.p.returncode)


def boot_in_pieces(moments, then=None):
    """A boot that is saved and loaded again at random moments."""
    kernel, initrd = guest("cloud")
    rnd = random.Random(moments)
    with Sockets() as d:
        file = os.path.join(d.path, "saved")
        args = ("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", "512M", "--cpus", "2")
        log = ""
        for i in range(moments + 1):
            engine = then if i == moments else None
            with Machine(*args, "--qmp", "unix:" + d.qmp(i), engine=engine) as m:
                if i < moments:
                    wait = rnd.uniform(0.05, 0.4)
                    end = time.monotonic() + wait
                    while time.monotonic() < end or not os.path.exists(d.qmp(i)):
                        if not m.pump(0.02):
                            m.fail("it ended by itself")
                    save(m, d.qmp(i), file)
                    log += m.text()
                    args = ("--load", file)
                    continue
                end = time.monotonic() + 300 * PATIENCE
                while not re.search(r"[#$] $", log + m.text()):
                    if time.monotonic() > end or not m.pump(1):
                        m.fail("no shell after %d saves; before:\n%s" % (moments, log[-1500:]))
                m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000", 120)
                if "42" not in m.run("echo $((6 * 7))"):
                    m.fail("the shell does not calculate")
                m.send("exit")
                m.finish(0, 120)
                seen = log + m.text()
                if re.search(r"BUG|Oops|Call Trace|stall", seen):
                    m.fail("the kernel complains:\n%s" % seen[-2500:])


# In the guest: counts up, and writes each number into one of 64 blocks of the disk, past every
# cache; meanwhile fetches a file again and again.  At the end each block must have the last number
# that was written to it: neither a lost write nor a repeated one can hide.
LOAD = r"""
cat > /tmp/disk <<'S'
n=0
while [ ! -e /tmp/stop ]; do
    n=$((n + 1))
    printf '%-512d' $n | dd of=$1 bs=512 seek=$((n % 64 * 16)) conv=notrunc oflag=direct 2>/dev/null || { echo write $n failed; exit 1; }
done
echo $n > /tmp/last
S
cat > /tmp/net <<'S'
good=0
while [ ! -e /tmp/stop ]; do
    timeout 4 wget -q -O /tmp/got http://10.0.2.2:$1/file 2>/dev/null || continue
    [ "$(sha256sum < /tmp/got)" = "$2  -" ] || { echo bad file; exit 1; }
    good=$((good + 1))
done
echo $good > /tmp/good
S
cat > /tmp/check <<'S'
last=$(cat /tmp/last) || exit 1
i=0
while [ $i -lt 64 ] && [ $i -lt $last ]; do
    k=$((last - i))
    got=$(dd if=$1 bs=512 skip=$((k % 64 * 16)) count=1 iflag=direct 2>/dev/null)
    [ $((got)) = $k ] || { echo block $((k % 64)) has $got, not $k; exit 1; }
    i=$((i + 1))
done
S
"""


# fio keeps 16 writes under way and goes over its disk three times; each time it then reads it and checks each
# block's sum and the number of the write that left it there.
FIO = "/mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/fio --name=t --filename=%s --rw=randwrite --bs=4k " \
      "--size=8m --loops=3 --ioengine=libaio --iodepth=16 --direct=1 --rate_iops=250 --randseed=7 --verify=crc32c " \
      "--do_verify=1 --verify_fatal=1 --minimal"


def fio_disk(folder):
    """An ext4 image with fio and its libraries."""
    root, image, fio = os.path.join(folder, "root"), os.path.join(folder, "tools.img"), shutil.which("fio")
    if not fio:
        raise Skip("no fio")
    os.makedirs(os.path.join(root, "lib"))
    shutil.copy(fio, root)
    for path in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", fio], stdout=subprocess.PIPE, text=True, check=True).stdout):
        shutil.copy(path, os.path.join(root, "lib"))
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, "200M"], check=True, stdout=subprocess.DEVNULL)
    return image


def under_load(moments, bus, model, then=None, fio=False):
    """Counter, file and, if asked for, fio."""
    kernel, initrd = guest("generic" if model == "e1000" else "cloud")
    rnd = random.Random(7 * moments + len(bus))
    data = os.urandom(1 << 20)
    sum = hashlib.sha256(data).hexdigest()
    dev = "/dev/vda" if bus == "virtio" else "/dev/sda"
    with Sockets() as d, Server(data) as server:
        file, disk = os.path.join(d.path, "saved"), os.path.join(d.path, "disk.img")
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        args = ("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", "256M", "--disk",
                "%s,bus=%s" % (disk, bus), "--net", "user,model=" + model)
        if fio:
            second = os.path.join(d.path, "fio.img")
            with open(second, "wb") as f:
                f.truncate(8 << 20)
            args += ("--disk", "%s,bus=%s" % (second, bus), "--disk", "%s,bus=virtio,readonly" % fio_disk(d.path))
        for i in range(moments + 1):
            with Machine(*args, "--qmp", "unix:" + d.qmp(i), engine=then if i == moments else None) as m:
                if i == 0:
                    m.expect(r"eth0 has 10\.0\.2\.15", 240)
                    m.expect(r"[#$] $", 60)
                    m.run("stty -echo")
                    for line in LOAD.strip().split("\n"):
                        m.send(line)
                    m.run("true")
                    m.send("sh /tmp/disk %s & sh /tmp/net %d %s &" % (dev, server.port, sum))
                    if fio:
                        tools = "/dev/vdc" if bus == "virtio" else "/dev/vda"
                        m.run("mount -o ro %s /mnt" % tools)
                        m.send("(%s > /tmp/fio 2>&1; echo $? > /tmp/fio.status) &" % (FIO % (dev[:-1] + "b")))
                    m.run("sleep 1")
                if i < moments:
                    end = time.monotonic() + rnd.uniform(0.1, 1.2)
                    while time.monotonic() < end:
                        m.pump(0.05)
                    save(m, d.qmp(i), file)
                    args = ("--load", file)
                    continue
                if fio:
                    m.run("while [ ! -e /tmp/fio.status ]; do sleep 1; done", 600)
                    if m.run("cat /tmp/fio.status").split()[-1] != "0":
                        m.fail("fio: " + m.run("cat /tmp/fio")[-1500:])
                    done = m.run("cut -d ';' -f 6,47 /tmp/fio").split()[-1]  # KiB read to be checked, and written
                    if done != "24576;24576":
                        m.fail("fio read and wrote %s KiB" % done)
                m.run("sleep 10; touch /tmp/stop; wait; sh /tmp/check %s" % dev, 300)
                found = m.run("cat /tmp/last /tmp/good").split()
                if int(found[-2]) < 64 or int(found[-1]) < 1:
                    m.fail("it wrote %s times, and got the file %s times" % (found[-2], found[-1]))
                m.send("exit")
                m.finish(0, 120)
                last = int(found[-2])
        with open(disk, "rb") as f:
            image = f.read()
        for n in range(max(1, last - 63), last + 1):
            at = n % 64 * 16 * 512
            if int(image[at:at + 512]) != n:
                raise Failed("block %d of the image has %r, not %d" % (n % 64, image[at:at + 20], n))


def snapshots():
    """Memory and disk of a machine that goes on, and back to them, and back again."""
    kernel, initrd = guest("cloud")
    with Sockets() as d:
        q, disk, name = d.qmp(0), os.path.join(d.path, "disk.img"), "snapshot-test-%d" % os.getpid()
        with open(disk, "wb") as f:
            f.truncate(4 << 20)
        os.environ["XDG_STATE_HOME"] = d.path
        with Machine("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", "128M", "--net", "none", "--disk",
                     disk + ",bus=virtio", "--name", name) as m:
            m.expect(r"[#$] $", 240)
            m.run("stty -echo; n=1; echo first | dd of=/dev/vda bs=512 conv=sync oflag=direct 2>/dev/null")
            wirt("snapshot", name, "one")
            m.run("n=2; echo second | dd of=/dev/vda bs=512 conv=sync oflag=direct 2>/dev/null")
            m.run("echo more | dd of=/dev/vda bs=512 seek=4096 conv=sync oflag=direct 2>/dev/null")
            wirt("snapshot", name, "two")
            wirt("snapshot", name, "two", status=2)
            show = "echo n=$n, disk=$(dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\0')" \
                   "$(dd if=/dev/vda bs=512 skip=4096 count=1 iflag=direct 2>/dev/null | tr -d '\\0')."
            for tag, want in (("one", "n=1, disk=first."), ("two", "n=2, disk=secondmore."), ("one", "n=1, disk=first.")):
                wirt("restore", name, tag)
                m.send("")
                m.pump(1)
                got = m.run(show, 60)
                if want not in " ".join(got.replace("\n", " ").split()):
                    m.fail("after going back to %r: %r" % (tag, got))
            if [line.split()[0] for line in wirt("snapshots", name).splitlines()] != ["one", "two"]:
                m.fail("the list of snapshots is wrong")
            wirt("snapshot", name, "one", "--delete")
            wirt("restore", name, "one", status=2)
            m.send("exit")
            m.finish()
        if [line.split()[0] for line in wirt("snapshots", name).splitlines()] != ["two"]:
            raise Failed("a machine that has ended has lost its snapshots")
        folder = os.path.join(d.path, "wirt", name)
        if sorted(os.listdir(folder)) != ["two.disk-6", "two.wirt"]:
            raise Failed("the folder has %r" % os.listdir(folder))


def pause():
    """The guest's clocks stand while it does; the battery-backed clock alone goes on."""
    kernel, initrd = guest("cloud")
    ask = "echo up $(cut -d' ' -f1 /proc/uptime), rtc $(hwclock -r -u), date $(date +%s)."

    def clocks(m):
        got = re.search(r"up ([0-9.]+), rtc .* (\d+):(\d+):(\d+) .*, date (\d+)\.", m.run(ask, 60))
        if not got:
            m.fail("no clock is shown")
        h, mi, s = map(int, got.groups()[1:4])
        return float(got.group(1)), h * 3600 + mi * 60 + s, int(got.group(5))

    with Sockets() as d:
        q, file = d.qmp(0), os.path.join(d.path, "saved")
        with Machine("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", "128M", "--net", "none",
                     "--qmp", "unix:" + q) as m:
            m.expect(r"[#$] $", 240)
            m.run("stty -echo")
            before = clocks(m)
            wirt("stop", q)
            time.sleep(8)
            wirt("cont", q)
            check_step(m, before, clocks(m), 8)
            before = clocks(m)
            save(m, q, file)
        time.sleep(8)
        with Machine("--load", file) as m:
            check_step(m, before, clocks(m), 8)
            m.send("exit")
            m.finish()


def check_step(m, before, after, stood):
    up, rtc, date = (after[i] - before[i] for i in range(3))
    rtc %= 86400
    if up < 0 or date < 0:
        m.fail("time went back: %r, then %r" % (before, after))
    if not stood - 1 <= rtc - up <= stood + 20 * PATIENCE:
        m.fail("after %d s the battery-backed clock is %.1f s ahead of uptime: %r, %r" % (stood, rtc - up, before, after))
    if abs(date - up) > 2:
        m.fail("the guest's date and uptime part: %r, %r" % (before, after))


def pss_kib(pid):
    text = open("/proc/%d/smaps_rollup" % pid).read()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


def clones(count, limit_mib, make):
    """Machines from one saved state, each alive, all together in little memory."""
    with Sockets() as d:
        file = os.path.join(d.path, "saved")
        make(d, file)
        running = []
        try:
            for i in range(count):
                m = Machine("--load", file, "--clone")
                running.append(m)
                m.send("echo clone-$((1000 + %d))" % i)
            for i, m in enumerate(running):
                m.expect("clone-%d" % (1000 + i), 120)
                m.run("echo %d > /tmp/mine" % i, 60)
            for i, m in enumerate(running):
                if str(i) not in m.run("cat /tmp/mine", 60).split():
                    m.fail("clone %d has another's memory" % i)
            total = sum(pss_kib(m.p.pid) for m in running)
        finally:
            for m in running:
                m.__exit__()
        print("    %d clones: %d MiB together" % (count, total // 1024))
        if total > limit_mib * 1024:
            raise Failed("%d clones use %d MiB together" % (count, total // 1024))


def quick(memory):
    """What a loaded machine computes until its guest prints, the thread that fetches the rest of
    memory left out: the same for little and much memory."""
    kernel, initrd = guest("cloud")
    with Sockets() as d:
        file = os.path.join(d.path, "saved")
        with Machine("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", memory, "--net", "none", "--qmp",
                     "unix:" + d.qmp(0)) as m:
            m.expect(r"[#$] $", 240)
            m.run("dd if=/dev/urandom of=/tmp/fill bs=1M count=50 2>/dev/null", 120)
            m.send("while :; do echo tick; usleep 1000; done")
            m.expect("tick\n.*tick", 60)
            save(m, d.qmp(0), file)
        best = wall = 1e9
        for _ in range(8):
            start = time.monotonic()
            p = subprocess.Popen([WIRT, "run", "--load", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            p.stdout.read(1)
            wall = min(wall, (time.monotonic() - start) * 1000)
            ms = 0
            for task in glob.glob("/proc/%d/task/*" % p.pid):
                if open(task + "/comm").read() != "wirt-memory\n":
                    ms += int(open(task + "/schedstat").read().split()[0]) / 1e6
            p.kill()
            p.wait()
            best = min(best, ms)
        print("    %s: %.0f ms of processor time until the guest prints, %.0f ms by the clock on the wall" % (memory, best, wall))
        if best > 100:
            raise Failed("%.0f ms of processor time until the loaded guest prints" % best)


def small_clone(d, file):
    kernel, initrd = guest("cloud")
    with Machine("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", "512M", "--net", "user", "--qmp",
                 "unix:" + d.qmp(0)) as m:
        m.expect(r"[#$] $", 240)
        m.run("stty -echo")
        save(m, d.qmp(0), file)


def debian_clone(d, file):
    base, disk = os.path.join(CACHE, "debian12.img"), os.path.join(d.path, "disk.img")
    tool("tools/make-debian-disk", base)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", base, disk], check=True)
    with Machine("--disk", disk + ",bus=virtio", "--memory", "512M", "--qmp", "unix:" + d.qmp(0)) as m:
        m.login()
        m.run("systemctl is-system-running --wait || true", 300)
        save(m, d.qmp(0), file)


def damaged():
    """A file that is damaged anywhere is refused with one line."""
    kernel, initrd = guest("cloud")
    with Sockets() as d:
        file, bad = os.path.join(d.path, "saved"), os.path.join(d.path, "bad")
        with Machine("--kernel", kernel, "--initrd", initrd, "--append", APPEND, "--memory", "96M", "--net", "none", "--qmp",
                     "unix:" + d.qmp(0)) as m:
            while not os.path.exists(d.qmp(0)) and m.pump(0.1):
                pass
            time.sleep(0.5)
            save(m, d.qmp(0), file)
        whole = open(file, "rb").read()
        table = int.from_bytes(whole[24:32], "little")

        def section(name):
            row = whole.index(name + b"\0\0", table)
            return int.from_bytes(whole[row + 48:row + 56], "little")

        where = {"header": 17, "i8254.0": section(b"i8254.0") + 3, "memory at": section(b"memory") + 3000,
                 "memory.index": section(b"memory.index") + 40, "table of sections": table + 70, "tail": len(whole) - 5}
        for part, at in where.items():
            with open(bad, "wb") as f:
                f.write(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
            r = subprocess.run([WIRT, "run", "--load", bad], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               stdin=subprocess.DEVNULL, timeout=60)
            if r.returncode not in (2, 8) or not re.fullmatch(r"wirt: %s: %s.*\n" % (re.escape(bad), part), r.stdout):
                raise Failed("byte %d (%s): status %r, %r" % (at, part, r.returncode, r.stdout))


TESTS = [
    ("save: a boot in 3 pieces", lambda: boot_in_pieces(2), False),
    ("save: a boot, soft to interp", lambda: boot_in_pieces(1, "interp"), False),
    ("save: under load, virtio", lambda: under_load(3, "virtio", "virtio"), False),
    ("save: snapshots", snapshots, False),
    ("save: pauses", pause, False),
    ("save: damaged files", damaged, False),
    ("save: 4 clones", lambda: clones(4, 512, small_clone), False),
    ("save: a loaded machine runs at once", lambda: quick("2G"), False),
    ("save: a boot in 20 pieces", lambda: boot_in_pieces(20), True),
    ("save: under load, 20 times, virtio", lambda: under_load(20, "virtio", "virtio", fio=True), True),
    ("save: under load, 20 times, ide and e1000", lambda: under_load(20, "ide", "e1000", fio=True), True),
    ("save: under load, soft to interp", lambda: under_load(5, "ide", "virtio", "interp", fio=True), True),
    ("save: 20 clones", lambda: clones(20, 2048, small_clone), True),
    ("save: 20 clones of Debian 12", lambda: clones(20, 2048, debian_clone), True),
]
