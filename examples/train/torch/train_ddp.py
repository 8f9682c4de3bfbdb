"""PyTorch DistributedDataParallel on handwritten digits, on CPUs with gloo.

The same images and nearly the same network as in ../python/train.py, trained the way PyTorch programs are:
an env:// process group, a DistributedSampler, a model wrapped in DDP. Nothing in here knows who started
it. The same file runs under both launchers, unchanged:

    go run ./examples/launch -n 2 -- python3 examples/train/torch/train_ddp.py
    torchrun --nproc_per_node 2 examples/train/torch/train_ddp.py

A failure, and a restart of all ranks that succeeds:

    go run ./examples/launch -n 2 --max-restarts 1 -- python3 examples/train/torch/train_ddp.py --fail-rank 1

It needs PyTorch 1.13 or newer. (1.13's torchrun starts under Python 3.11 only with -r 1 -t 1.)
"""
import argparse
import gzip
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

DATA = Path(__file__).resolve().parent.parent / "python" / "digits.csv.gz"
BATCH = 32  # images per step, over all ranks


def load():
    """The training images and the test images: every fifth one is a test."""
    with gzip.open(DATA, "rt") as file:
        table = torch.tensor([[int(field) for field in line.split(",")] for line in file])
    pixels, labels = table[:, :-1] / 16, table[:, -1]
    tests = torch.arange(len(table)) % 5 == 4
    return TensorDataset(pixels[~tests], labels[~tests]), TensorDataset(pixels[tests], labels[tests])


# What was summed outlives the process group. Its end waits, with Python's lock, for gloo's threads; the one that has just
# ended a sum lets go of it a moment later, and were it the last to hold a tensor of Python's, it would need that lock.
SUMS = []


def total(*values):
    """The sum of each value over all ranks, on every rank."""
    sums = torch.tensor(values, dtype=torch.float64)
    SUMS.append(sums)
    dist.all_reduce(sums)
    return sums.tolist()


@record  # tells the launcher about an exception, through TORCHELASTIC_ERROR_FILE where it is set
def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.2, help="learning rate")
    parser.add_argument("--floor", type=float, default=0.9, help="test accuracy below which the run fails")
    parser.add_argument("--fail-rank", type=int, metavar="RANK", help="raise on this rank, in generation 0")
    parser.add_argument("--fail-epoch", type=int, default=3, metavar="EPOCH", help="when --fail-rank raises")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo")  # RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say the rest
    rank, size = dist.get_rank(), dist.get_world_size()
    report = print if rank == 0 else lambda *_, **__: None
    doomed = rank == args.fail_rank and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"

    training, tests = load()
    sampler = DistributedSampler(training, seed=0)
    loader = DataLoader(training, batch_size=max(BATCH // size, 1), sampler=sampler)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)
    report(f"world size {size}, {len(training)} images, torch {torch.__version__}", flush=True)

    for epoch in range(1, args.epochs + 1):
        sampler.set_epoch(epoch)
        loss_sum = 0.0
        for pixels, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(pixels), labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            if doomed and epoch == args.fail_epoch:
                raise ValueError(f"rank {rank} fails in epoch {epoch}") from RuntimeError("--fail-rank")
        loss_sum, count = total(loss_sum, len(sampler))
        report(f"epoch {epoch:2}  loss {loss_sum / count:.4f}", flush=True)

    with torch.no_grad():
        pixels, labels = tests[rank::size]
        [right] = total((model.module(pixels).argmax(dim=1) == labels).sum().item())
    accuracy = right / len(tests)
    report(f"test accuracy {accuracy:.4f} ({right:g} of {len(tests)})", flush=True)
    dist.barrier()
    dist.destroy_process_group()
    if rank == 0 and accuracy < args.floor:
        raise SystemExit(f"train_ddp.py: test accuracy {accuracy:.4f} is below the floor of {args.floor:g}")


if __name__ == "__main__":
    main()
