"""A rank that does what its arguments say: see mode in act_linux_test.go."""
import os
import signal
import sys
import time


def on_term(handle):
    signal.signal(signal.SIGTERM, lambda *_: handle())


def hang():
    while True:
        signal.pause()


def end_after(seconds):
    time.sleep(seconds)
    os._exit(0)


def wait(path):
    with open(path, "rb", buffering=0) as gate:
        print("here", flush=True)
        gate.read(1)


def do(verb, rest):
    if verb == "say":
        print(rest, flush=True)
    elif verb == "wait":
        wait(rest)
    elif verb == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif verb == "count":
        on_term(lambda: print("term", flush=True))
    elif verb == "slow":
        on_term(lambda: end_after(float(rest[:-2]) / 1000))  # "300ms"
    elif verb == "stuck":
        on_term(hang)
    elif verb == "raise":
        raise ValueError(rest)
    elif verb == "exit":
        sys.exit(int(rest))
    elif verb == "signal":
        os.kill(os.getpid(), int(rest))
        hang()
    elif verb == "hang":
        hang()
    else:
        raise NotImplementedError(verb)


for words in sys.argv[1:]:
    verb, _, rest = words.partition(" ")
    if verb == "first":
        if os.environ["TORCHELASTIC_RESTART_COUNT"] != "0":
            continue
        verb, _, rest = rest.partition(" ")
    do(verb, rest)
