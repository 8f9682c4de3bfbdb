"""Ranks by torch.multiprocessing from a program that runs already.

    mpspawn.py fork|spawn|forkserver N ready|gate

It says "start" when it calls, and "held" when it has caught what the rank raised.
"""

import os
import sys

import torch.multiprocessing as mp

import rank


def work(number, mode):
    rank.work(mode)


def main():
    method, n, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rank.mark("start")
    try:
        mp.start_processes(work, args=(mode,), nprocs=n, start_method=method)
    except mp.ProcessRaisedException as e:
        if os.environ["COMPARE_WORD"] not in str(e):
            raise
        rank.mark("held")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
