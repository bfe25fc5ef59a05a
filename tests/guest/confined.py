#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes that a guest's programs run in (src/direct): what they have, what they may do, and that
they go with their machine, however it ends.

  confined.py --wirt WIRT --all direct.bin --spin confined.bin
"""
import argparse, os, re, signal, subprocess, sys, tempfile, time

SKIPPED = 77
NAME = "wirt-guest"


class Failed(Exception):
    pass


def need(ok, *what):
    if not ok:
        raise Failed(" ".join(str(w) for w in what))


def read(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name)) as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def status(pid, field):
    m = re.search(r"^%s:\s*(\S+)" % field, read(pid, "status"), re.M)
    return m.group(1) if m else None


def started(pid):
    """Tells a process from a later one of the same number; None: there is none, or it is dead."""
    stat = read(pid, "stat").rpartition(")")[2].split()
    return stat[19] if stat and stat[0] not in "ZX" else None


def times(pid):
    return read(pid, "stat").rpartition(")")[2].split()[11:13]


def children(parent):
    """{pid: when it was started}"""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        pid = int(pid)
        if read(pid, "comm").strip() == NAME and status(pid, "PPid") == str(parent):
            found[pid] = started(pid)
    return found


def wait_gone(pids, seconds=10):
    end = time.monotonic() + seconds
    left = dict(pids)
    while left and time.monotonic() < end:
        left = {p: s for p, s in left.items() if s and started(p) == s}
        time.sleep(0.02)
    need(not left, "processes that outlive their machine:", list(left))


class Machine:
    def __init__(self, wirt, image, folder):
        self.said = os.path.join(folder, "debugcon")
        open(self.said, "w").close()
        self.p = subprocess.Popen([wirt, "run", "--engine", "soft", "--direct", "always", "--memory", "32M",
                                   "--firmware", image, "--debug-exit", "--debugcon", self.said, "--net", "none", "--display", "none",
                                   "--serial", "none", "--stats"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def programs(self, count, seconds=30):
        """Waits until so many processes are there; {} when the host has none for us."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = children(self.p.pid)
            if len(found) >= count and "PASS" in open(self.said).read():
                return found
            need(self.p.poll() is None, "the machine ended:", self.p.stdout.read() if self.p.poll() is not None else "")
            time.sleep(0.02)
        raise Failed("%d processes of %d came" % (len(found), count))

    def end(self, how):
        self.p.send_signal(how)
        return self.finish()

    def finish(self, seconds=60):
        try:
            out = self.p.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.communicate()
            raise Failed("the machine did not end")
        return self.p.returncode, out


def look_at(pid, parent):
    """One that runs, or stands still for a moment."""
    for line in read(pid, "maps").splitlines():
        rights, path = line.split()[1], " ".join(line.split()[5:])
        need(path.startswith("/memfd:wirt-") or path == "[vsyscall]", "mapped in the process:", line)
        need("w" not in rights or "x" not in rights, "writable and executable:", line)
        need("wirt-stub" not in path or "w" not in rights, "the stub can be written:", line)
        need("s" in rights or "wirt-stub" in path or path == "[vsyscall]", "a private page:", line)
    need(status(pid, "Seccomp") == "2", "no seccomp filter")
    need(status(pid, "NoNewPrivs") == "1", "new privileges")
    need(status(pid, "Threads") == "1", "threads")
    need(status(pid, "TracerPid") in os.listdir("/proc/%d/task" % parent), "traced by", status(pid, "TracerPid"))
    files = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        files[fd] = os.readlink("/proc/%d/fd/%s" % (pid, fd))
    # guest memory, and the stub's own with copies of pages
    names = sorted(f.split()[0] for f in files.values())
    need(len(names) in (1, 2) and all(re.match("/memfd:wirt-", n) for n in names) and
         [n for n in names if n != "/memfd:wirt-stub"] == names[:1], "files:", files)


def whole(wirt, image, folder):
    """All the programs of direct.asm in a whole machine."""
    m = Machine(wirt, image, folder)
    seen = {}
    while m.p.poll() is None:
        seen.update(children(m.p.pid))
        time.sleep(0.005)
    code, out = m.finish()
    said = open(m.said).read()
    bad = [l for l in said.splitlines() if l.startswith("FAIL")]
    need(code == 1 and not bad and "PASS" in said, "exit status", code, "\n".join(bad), out[-1500:])
    runs = re.search(r"^ *(\d+)  times a program ran directly", out, re.M)
    need(runs and int(runs.group(1)) >= 1000, "turns on the host's processor:", runs and runs.group(1))
    wait_gone(seen)
    return "%s turns, %d processes" % (runs.group(1), len(seen))


def inside(wirt, image, folder):
    m = Machine(wirt, image, folder)
    try:
        pids = m.programs(4)
        for _ in range(20):
            for pid in pids:
                look_at(pid, m.p.pid)
            time.sleep(0.01)
    finally:
        m.p.kill()
        m.finish()
    return "%d processes" % len(pids)


def ends(how):
    def test(wirt, image, folder):
        m = Machine(wirt, image, folder)
        try:
            pids = m.programs(4)
        except Failed:
            m.p.kill()
            raise
        m.end(how)
        wait_gone(pids)
        return "%d processes" % len(pids)
    return test


def killed(wirt, image, folder):
    """Somebody ends a program's processes.  One that has the program's registers takes the machine
    with it, which says so; another one is made anew."""
    m = Machine(wirt, image, folder)
    pids = {}
    try:
        for _ in range(200):
            pids = {**pids, **m.programs(1)}
            os.kill(list(pids)[-1], signal.SIGKILL)
            time.sleep(0.01)
            if m.p.poll() is not None:
                break
    except (Failed, ProcessLookupError):
        pass
    finally:
        if m.p.poll() is None:
            time.sleep(1)
        lives = m.p.poll() is None
        m.p.kill()
        code, out = m.finish()
    need(lives or (code > 0 and "process of a guest's program" in out), "exit status", code, out[-1000:])
    wait_gone(pids)
    return "the machine went on" if lives else "the machine ended"


def poked(wirt, image, folder):
    """Signals of all kinds from outside do not reach the program."""
    m = Machine(wirt, image, folder)
    try:
        pids = m.programs(4)
        for s in (signal.SIGUSR1, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT, signal.SIGSEGV, signal.SIGTRAP, signal.SIGSYS,
                  signal.SIGALRM, signal.SIGHUP, signal.SIGFPE):
            for pid in children(m.p.pid):
                os.kill(pid, s)
            time.sleep(0.05)
        time.sleep(0.5)
        need(m.p.poll() is None, "the machine ended")
        need("FAIL" not in open(m.said).read(), "a program saw them")
        pids = m.programs(1)
        before = [times(p) for p in pids]
        time.sleep(1)
        need(before != [times(p) for p in pids], "no program runs any more")
    finally:
        m.p.kill()
        m.finish()


TESTS = [
    ("every program of direct.asm, in a whole machine", "all", whole),
    ("maps, files, seccomp", "spin", inside),
    ("SIGTERM", "spin", ends(signal.SIGTERM)),
    ("SIGKILL", "spin", ends(signal.SIGKILL)),
    ("a process is killed", "spin", killed),
    ("signals from outside", "spin", poked),
]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--wirt", required=True)
    a.add_argument("--all", required=True)
    a.add_argument("--spin", required=True)
    a = a.parse_args()
    doctor = subprocess.run([a.wirt, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    if not re.search(r"^ok +direct execution", doctor, re.M):
        print("skipped: this host does not run programs directly\n" + doctor)
        return SKIPPED
    failed = 0
    for name, image, test in TESTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print("ok   %s: %s" % (name, test(a.wirt, getattr(a, image), folder) or ""), flush=True)
            except Failed as e:
                failed += 1
                print("FAIL %s: %s" % (name, e), flush=True)
    return 1 if failed else 0


sys.exit(main())
