"""loop.py N PROGRAM [ARG…] starts N processes with subprocess and waits for them, as in spawn.c."""

import subprocess
import sys
import time

import rank


def run(n, argv):
    processes = [subprocess.Popen(argv) for _ in range(n)]
    if any([p.wait() for p in processes]):
        sys.exit(96)


run(1, ["/bin/true"])
start = time.monotonic_ns()
run(int(sys.argv[1]), sys.argv[2:])
rank.mark("took", time.monotonic_ns() - start)
