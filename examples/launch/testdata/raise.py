"""Rank 2 raises in generation 0. The others wait to be stopped there, and end well in the next."""
import os
import signal

rank, generation = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
print("rank", rank, "pid", os.getpid(), flush=True)
if rank == "2" and generation == "0":
    if "GATE" in os.environ:
        open(os.environ["GATE"], "rb", buffering=0).read(1)
    try:
        {}["lr"]
    except KeyError as e:
        raise ValueError("no learning rate") from e
if generation == "0":
    signal.pause()
