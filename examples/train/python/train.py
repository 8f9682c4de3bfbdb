r"""Data-parallel training on handwritten digits, with nothing but the standard library.

Every rank holds the whole model, a small neural network, and works on its share of each batch. Then the
ranks add up their gradients and take the same step. The batches do not depend on the world size, only the
order of the additions does, so any number of ranks learns the same model. DATA.md describes the images.

    python3 examples/train/python/train.py
    go run ./examples/launch -n 4 -- python3 examples/train/python/train.py
    torchrun --nproc_per_node 4 examples/train/python/train.py

A failure, then a restart of all ranks, as none can do without the others. They go on after the last epoch
in the checkpoint; remove it to start anew.

    go run ./examples/launch -n 4 --max-restarts 1 -- \
        python3 examples/train/python/train.py --fail-rank 2 --checkpoint /tmp/digits.json
"""
import argparse
import gzip
import json
import math
import os
import random
import socket
import struct
import time
from itertools import chain, islice, repeat
from operator import mul
from pathlib import Path

PIXELS, HIDDEN, CLASSES, BATCH = 64, 16, 10, 32
ROWS = [PIXELS + 1] * HIDDEN + [HIDDEN + 1] * CLASSES  # the weights of each neuron, its bias last
JOIN_SECONDS = 30.0


class Group:
    """The ranks of this run, joined in a star: rank 0 listens and the others connect to it.

    Nothing closes the connections but the end of the process. A rank that raises thus gets to report
    its exception before its silence makes the others fail too.
    """

    def __init__(self):
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.streams = {}  # by rank: rank 0 has one to every other rank, the others have one to rank 0
        if self.size > 1:
            host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
                port += 1  # torchrun says that it listens on MASTER_PORT itself
            (self._listen if self.rank == 0 else self._connect)(host, port)

    def _listen(self, host, port):
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.create_server((host, port), family=family, backlog=self.size) as server:
            server.settimeout(JOIN_SECONDS)
            while len(self.streams) < self.size - 1:
                try:
                    stream = self._open(server.accept()[0])
                except socket.timeout as error:
                    missing = sorted(set(range(1, self.size)) - self.streams.keys())
                    raise TimeoutError(f"ranks {missing} did not join in {JOIN_SECONDS:g} s") from error
                rank, size = struct.unpack("!II", stream.read(8))
                if size != self.size or rank in self.streams:
                    raise ConnectionError(f"rank {rank} of {size} does not belong to this group")
                self.streams[rank] = stream

    def _connect(self, host, port):
        deadline = time.monotonic() + JOIN_SECONDS
        while not self.streams:
            try:
                sock = socket.create_connection((host, port))
                if sock.getsockname() == sock.getpeername():
                    raise ConnectionRefusedError("connected to itself, as TCP may while nobody listens")
                sock.sendall(struct.pack("!II", self.rank, self.size))
                self.streams[0] = self._open(sock)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no rank 0 on {host}:{port} in {JOIN_SECONDS:g} s") from error
                time.sleep(0.02)

    def _open(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock.makefile("rwb")

    def _send(self, rank, values):
        self.streams[rank].write(struct.pack(f"!{len(values)}d", *values))
        self.streams[rank].flush()

    def _receive(self, rank, count):
        try:
            frame = self.streams[rank].read(8 * count)
        except ConnectionError:
            frame = b""
        if len(frame) < 8 * count:
            raise ConnectionError(f"rank {rank} left the group")
        return struct.unpack(f"!{count}d", frame)

    def broadcast(self, values):
        """What rank 0 passed in, on every rank."""
        if self.rank > 0:
            return self._receive(0, len(values))
        for rank in self.streams:
            self._send(rank, values)
        return values

    def all_reduce(self, values):
        """The sum over all ranks, on every rank."""
        if self.rank > 0:
            self._send(0, values)
        else:
            for rank in sorted(self.streams):
                values = [a + b for a, b in zip(values, self._receive(rank, len(values)))]
        return self.broadcast(values)


def rows(values):
    """The weights of each neuron, from all weights in a row."""
    rest = iter(values)
    return [list(islice(rest, length)) for length in ROWS]


def dot(a, b):
    return sum(map(mul, a, b))


def forward(weights, pixels):
    """The values of the hidden layer and the probability of each class."""
    hidden = [math.tanh(dot(row, pixels)) for row in weights[:HIDDEN]] + [1.0]
    scores = [dot(row, hidden) for row in weights[HIDDEN:]]
    powers = [math.exp(score - max(scores)) for score in scores]
    return hidden, [power / sum(powers) for power in powers]


def backward(weights, gradient, pixels, label):
    """Adds what one image says to the gradient; returns its loss."""
    hidden, errors = forward(weights, pixels)
    loss = -math.log(max(errors[label], 1e-300))
    errors[label] -= 1
    slopes = [dot(errors, above) * (1 - h * h) for above, h in zip(zip(*weights[HIDDEN:]), hidden[:HIDDEN])]
    for row, slope, inputs in zip(gradient, slopes + errors, [pixels] * HIDDEN + [hidden] * CLASSES):
        row[:] = [a + slope * b for a, b in zip(row, inputs)]
    return loss


def load(path):
    """How many epochs are done, then all weights: from the checkpoint if there is one, else fresh."""
    if path and path.exists():
        return json.loads(path.read_text())
    noise = random.Random(0)
    return [0, *(noise.gauss(0, length**-0.5) for length in ROWS for _ in range(length))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.5, help="learning rate")
    parser.add_argument("--floor", type=float, default=0.9, help="test accuracy below which the run fails")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="resume from it, save epochs to it")
    parser.add_argument("--fail-rank", type=int, metavar="RANK", help="raise on this rank, in generation 0")
    parser.add_argument("--fail-epoch", type=int, default=3, metavar="EPOCH", help="when --fail-rank raises")
    args = parser.parse_args()

    with gzip.open(Path(__file__).with_name("digits.csv.gz"), "rt") as file:
        lines = [[int(field) for field in line.split(",")] for line in file]
    images = [([pixel / 16 for pixel in pixels] + [1.0], label) for *pixels, label in lines]
    tests, images = images[4::5], [image for i, image in enumerate(images) if i % 5 < 4]

    group = Group()
    report = print if group.rank == 0 else lambda *_, **__: None
    doomed = group.rank == args.fail_rank and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    done, *weights = group.broadcast(load(args.checkpoint))
    report(f"world size {group.size}, {len(images)} images, {done:g} epochs done", flush=True)

    for epoch in range(int(done) + 1, args.epochs + 1):
        total, order = 0.0, random.Random(epoch).sample(images, len(images))
        for start in range(0, len(order), BATCH):
            batch, model, gradient = order[start : start + BATCH], rows(weights), rows(repeat(0.0))
            loss = sum(backward(model, gradient, *image) for image in batch[group.rank :: group.size])
            loss, *slope = group.all_reduce([loss, *chain(*gradient)])
            weights = [weight - args.lr / len(batch) * step for weight, step in zip(weights, slope)]
            total += loss
            if doomed and epoch == args.fail_epoch:
                raise ValueError(f"rank {group.rank} fails in epoch {epoch}") from RuntimeError("--fail-rank")
        report(f"epoch {epoch:2}  loss {total / len(order):.4f}", flush=True)
        if args.checkpoint and group.rank == 0:
            partial = args.checkpoint.with_name(args.checkpoint.name + ".partial")
            partial.write_text(json.dumps([epoch, *weights]))
            partial.replace(args.checkpoint)

    model = rows(weights)
    odds = [(forward(model, pixels)[1], label) for pixels, label in tests[group.rank :: group.size]]
    [right] = group.all_reduce([sum(each.index(max(each)) == label for each, label in odds)])
    accuracy = right / len(tests)
    report(f"test accuracy {accuracy:.4f} ({right:g} of {len(tests)})", flush=True)
    if group.rank == 0 and accuracy < args.floor:
        raise SystemExit(f"train.py: test accuracy {accuracy:.4f} is below the floor of {args.floor:g}")


if __name__ == "__main__":
    main()
