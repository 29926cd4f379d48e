"""Processes that end with the test: their output goes to files, their death is noticed."""
import ctypes
import os
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def eventually(condition, seconds, what, step=0.05, fail_if=None):
    """Waits until condition() is true; returns what it returned."""
    limit = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if fail_if:
            fail_if()
        if time.monotonic() >= limit:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        time.sleep(step)


class Process:
    def __init__(self, argv, log, namespace=None, stop_signal=signal.SIGTERM, **options):
        argv = tuple(str(word) for word in argv)
        self.name = os.path.basename(argv[0])
        self.stop_signal = stop_signal
        self.log = log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                namespace.command(*argv) if namespace else argv,
                stdin=options.pop("stdin", subprocess.DEVNULL), stdout=output, stderr=output,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, int(stop_signal)),
                start_new_session=True, **options)
        self.pid = self.child.pid

    def running(self):
        return self.child.poll() is None

    def must_run(self):
        if not self.running():
            raise AssertionError("%s ended with status %s:\n%s" %
                                 (self.name, self.child.returncode, self.text()[-3000:]))

    def text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def wait(self, seconds):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s still runs after %g s:\n%s" %
                                 (self.name, seconds, self.text()[-3000:])) from None

    def kill(self):
        if self.running():
            self.child.kill()
            self.child.wait()

    def stop(self, seconds=10):
        """Asks, then insists. Returns the exit status."""
        if self.running():
            self.child.send_signal(self.stop_signal)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.returncode
