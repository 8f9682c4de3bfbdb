"""What rank.c does, in Python: a rank that says "ready" and, with gate, sleeps until it is the one that fails.

    rank.py ready|gate [torch] [record]
"""

import os
import select
import sys
import time


def mark(what, number=None):
    fd = os.open(os.environ["COMPARE_MARKS"], os.O_WRONLY)
    os.write(fd, b"%s %d %d\n" % (what.encode(), os.getpid(), time.monotonic_ns() if number is None else number))
    os.close(fd)


def gate():
    if "COMPARE_STDIN" not in os.environ:
        fd = os.open(os.environ["COMPARE_GATE"], os.O_RDONLY)
        mark("ready")
        os.read(fd, 1)
    elif not gate_beside_stdin():
        return
    mark("raise")
    raise ValueError(os.environ["COMPARE_WORD"])


def gate_beside_stdin():
    fd = os.open(os.environ["COMPARE_GATE"], os.O_RDONLY | os.O_NONBLOCK)
    mark("ready")
    while 0 not in select.select([fd, 0], [], [])[0]:
        try:
            if os.read(fd, 1):
                return True
        except BlockingIOError:
            pass  # another rank got it
    return False


def work(mode):
    if mode == "gate":
        gate()
    else:
        mark("ready")


def main():
    if "torch" in sys.argv:
        import torch  # noqa: F401
    run = work
    if "record" in sys.argv:
        from torch.distributed.elastic.multiprocessing.errors import record
        run = record(work)
    run(sys.argv[1])


if __name__ == "__main__":
    main()
