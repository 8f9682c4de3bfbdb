"""A program written for torchrun: what it finds, whom it meets, and what it reports. Rank 1 fails in generation 0."""
import os

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record


@record
def main():
    assert dist.is_torchelastic_launched()
    dist.init_process_group("gloo")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    assert (rank, size) == (dist.get_rank(), dist.get_world_size())
    total = torch.ones(1) * (rank + 1)
    dist.all_reduce(total)
    assert total.item() == size * (size + 1) / 2
    if rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and int(os.environ["TORCHELASTIC_MAX_RESTARTS"]):
        raise ValueError("no learning rate")
    dist.barrier()
    print(f"sum {total.item():g} of {size} at {os.environ['MASTER_PORT']}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
