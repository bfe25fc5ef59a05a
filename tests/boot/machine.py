# SPDX-License-Identifier: GPL-2.0-or-later
"""A running machine: its serial console to expect and to type at."""
import ctypes, glob, os, re, select, shutil, signal, subprocess, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("WIRT_CACHE", os.path.join(TOP, ".cache"))
WIRT = os.environ.get("WIRT", os.path.join(TOP, "build", "wirt"))
# A slow engine or a busy machine: all patience times this.
PATIENCE = float(os.environ.get("WIRT_TEST_PATIENCE", "1"))


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    pass


class Skip(Exception):
    pass


def tool(*cmd):
    """Runs one of the project's tools; its failure is a failed test."""
    r = subprocess.run(cmd, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    if r.returncode:
        raise Failed("%s: %s" % (" ".join(cmd), r.stdout[-2000:]))
    return r.stdout


def guest(name):
    """(kernel, initrd) of a Debian guest kernel, fetched when it is not there."""
    tool("tools/get-guest", name)
    initrd = os.path.join(CACHE, name + ".initrd.gz")
    tool("tools/make-initrd", name, initrd)
    return glob.glob(os.path.join(CACHE, "guests", name, "boot", "vmlinuz-*"))[0], initrd


def initrd_with(initrd, folder, files):
    """A copy of an initramfs with more files: {path in the guest: file}; the kernel unpacks several
    archives one behind the other."""
    more = os.path.join(folder, "more")
    for path, source in files.items():
        os.makedirs(os.path.dirname(os.path.join(more, path)), exist_ok=True)
        shutil.copy(source, os.path.join(more, path))
    out = os.path.join(folder, "initrd.gz")
    archive = subprocess.run("find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0 | gzip -n -1", shell=True, cwd=more,
                             stdout=subprocess.PIPE, check=True).stdout
    with open(out, "wb") as f:
        f.write(open(initrd, "rb").read() + archive)
    return out


def end_with_parent():
    """A test driver that is killed leaves no machine behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """with Machine("--kernel", k, ...) as m: m.expect("login:"); m.send("root"); ..."""

    def __init__(self, *args, engine=None):
        cmd = [WIRT, "run"] + (["--engine", engine] if engine else []) + [str(a) for a in args]
        self.cmd = " ".join(cmd)
        self.log = b""
        self.pos = 0
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  start_new_session=True, preexec_fn=end_with_parent)
        os.set_blocking(self.p.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()

    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.log.decode("utf-8", "replace"))

    def fail(self, why):
        raise Failed("%s\n  command: %s\n  last output:\n%s" % (why, self.cmd, self.text()[-2500:]))

    def pump(self, timeout):
        """Reads what there is; False at the end of output."""
        if not select.select([self.p.stdout], [], [], timeout)[0]:
            return True
        data = self.p.stdout.read()
        if data is None:
            return True
        self.log += data
        return bool(data)

    def expect(self, pattern, timeout=60):
        """Waits for a regular expression in what came since the last one."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            text = self.text()
            m = re.compile(pattern, re.M).search(text, self.pos)
            if m:
                self.pos = m.end()
                return m
            left = end - time.monotonic()
            if left <= 0:
                self.fail("%r did not come within %g s" % (pattern, timeout * PATIENCE))
            if not self.pump(min(left, 1)):
                self.fail("the machine ended (status %r) before %r came" % (self.p.wait(), pattern))

    def send(self, line):
        self.p.stdin.write(line.encode() + b"\n")
        self.p.stdin.flush()

    def run(self, command, timeout=60):
        """Types a command at the guest's shell; gives what it printed; it must exit with 0."""
        mark = "done-%d" % len(self.log)
        self.send("%s; echo %s''-$?" % (command, mark))
        start = self.pos
        m = self.expect(re.escape(mark) + r"-(\d+)", timeout)
        if m.group(1) != "0":
            self.fail("%r exited with %s in the guest" % (command, m.group(1)))
        return self.text()[start:m.start()]

    def login(self):
        """Into a Debian of tools/make-debian-disk, which has no password."""
        self.expect(r"login: ", 600)
        self.send("root")
        self.expect(r"# $", 60)
        self.run("stty -echo; export TERM=dumb PAGER=cat")

    def write_file(self):
        self.run("dd if=/dev/urandom of=/srv/file bs=1M count=8 2>/dev/null; sha256sum /srv/file > /srv/sum; sync", 120)

    def check_file(self):
        """What write_file() wrote, perhaps in another run, is there."""
        self.run("sha256sum -c /srv/sum", 120)

    def finish(self, status=0, timeout=60):
        """Waits for the end of the machine."""
        end = time.monotonic() + timeout * PATIENCE
        while self.pump(0.2):
            if time.monotonic() > end:
                self.fail("the machine did not end within %g s" % (timeout * PATIENCE))
        got = self.p.wait(10)
        if got != status:
            self.fail("wirt exited with %r, not %r" % (got, status))

    def stop(self):
        """What a user does who closes the machine: SIGTERM, and the machine ends cleanly."""
        self.p.send_signal(signal.SIGTERM)
        while self.pump(1):
            pass
        return self.p.wait(20)


class Scratch:
    """A folder that goes when the test ends."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="wirt-test-")
        return self.path

    def __exit__(self, *exc):
        shutil.rmtree(self.path)
