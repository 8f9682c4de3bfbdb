"""pipe.py roundtrip|oneway COUNT: messages of 64 bytes between two processes over multiprocessing.Pipe."""

import multiprocessing
import sys
import time

import rank


def echo(conn, count):
    for _ in range(count):
        conn.send_bytes(conn.recv_bytes())


def spout(conn, count):
    for _ in range(count):
        conn.send_bytes(b"x" * 64)


def main():
    count = int(sys.argv[2])
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    if sys.argv[1] == "oneway":
        context.Process(target=spout, args=(theirs, count)).start()
        ours.recv_bytes()
        start = time.monotonic_ns()
        for _ in range(count - 1):
            ours.recv_bytes()
        took = (time.monotonic_ns() - start) * count // (count - 1)
    else:
        context.Process(target=echo, args=(theirs, count)).start()
        start = time.monotonic_ns()
        for _ in range(count):
            ours.send_bytes(b"x" * 64)
            ours.recv_bytes()
        took = time.monotonic_ns() - start
    rank.mark("took", took)


main()
