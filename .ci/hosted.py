"""An algorithm as its host runs it: started, asked line by line on standard input, answering through a FIFO."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

FIFO = Path("/tmp/algoout")
# Seconds that anything may take, before it counts as hanging.
PATIENCE = 60


def request(events):
    """The line that asks an algorithm to publish events, which hold nothing that JSON would escape."""
    return '{"content_type":"json","data":{"events":["' + '","'.join(events) + '"]}}\n'


class Process:
    """An algorithm that has been started, and the FIFO that its answers come from."""

    def __init__(self, command, environment, fifo=FIFO, **more):
        self.command, self.environment, self.fifo, self.more = command, environment, fifo, more

    def __enter__(self):
        os.mkfifo(self.fifo)
        self.began = time.perf_counter()
        self.process = subprocess.Popen([str(part) for part in self.command], env=self.environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **self.more)
        while (line := self.process.stdout.readline()) and b"PIPE_INIT_COMPLETE" not in line:
            pass
        if not line:
            self.__exit__(None)
            sys.exit("the algorithm ended before it was ready")
        self.ready = time.perf_counter() - self.began
        return self

    def __exit__(self, kind, *_):
        """The end of its input is what ends it, with 0."""
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            sys.exit("the algorithm did not end with its input")
        finally:
            self.process.stdout.close()
            self.fifo.unlink()
        if kind is None and self.process.returncode:
            sys.exit(f"the algorithm ended with {self.process.returncode}")

    def ask(self, line):
        """The answer, and the seconds until it was there."""
        began = time.perf_counter()
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        return self._answer(), time.perf_counter() - began

    def _answer(self):
        """What is written until the writer closes."""
        pieces = []
        fifo = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            waiting = select.poll()
            waiting.register(fifo, select.POLLIN)
            while True:
                if not waiting.poll(PATIENCE * 1_000):
                    sys.exit("the algorithm does not answer")
                piece = os.read(fifo, 1 << 20)
                if not piece:
                    return b"".join(pieces).decode()
                pieces.append(piece)
        finally:
            os.close(fifo)

    def peak(self):
        """Peak memory so far, in bytes."""
        return self._status("VmHWM") * 1024

    def threads(self):
        return self._status("Threads")

    def _status(self, name):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1])
