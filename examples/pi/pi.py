"""Pi by throwing darts, on any number of ranks: who works on what, and what came out, without a port or a file.

    python3 examples/pi/pi.py
    go run ./examples/launch -n 4 -- python3 examples/pi/pi.py
    go run ./examples/launch -n 4 --max-restarts 1 -- python3 examples/pi/pi.py --fail-rank 2

Rank 0 chooses the seed and broadcasts it; each rank throws its share of the darts and shows all others how many hit;
what they know after each round is the same on all ranks. The module muster is there under a supervisor, and needs no
package. Without one this script is a group of one.
"""
import argparse
import random

try:
    import muster
except ImportError:  # as where python3 alone runs the script
    muster = None


def info():
    """This rank, the number of ranks, and how often they were started again."""
    if muster is None:
        return 0, 1, 0
    me = muster.info()
    return me.rank, me.world_size, me.generation


def broadcast(value):
    return value if muster is None else muster.broadcast(value)


def all_gather(value):
    return [value] if muster is None else muster.all_gather(value)


def hits(darts, dice):
    return sum(dice.random() ** 2 + dice.random() ** 2 < 1 for _ in range(darts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--darts", type=int, default=100_000, help="of each rank in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fail-rank", type=int, metavar="RANK", help="raise on this rank in round 2, the first time")
    args = parser.parse_args()

    rank, size, generation = info()
    seed = broadcast(random.randrange(1 << 32))
    dice = random.Random(seed * size + rank)
    thrown = hit = 0
    for number in range(1, args.rounds + 1):
        if (rank, generation, number) == (args.fail_rank, 0, 2):
            raise ValueError(f"rank {rank} drops its darts")
        hit += sum(all_gather(hits(args.darts, dice)))
        thrown += args.darts * size
        if rank == 0:
            print(f"round {number}: {thrown} darts, pi is about {4 * hit / thrown:.4f}", flush=True)
        if muster:
            muster.progress(number)
    if muster:
        muster.report({"pi": 4 * hit / thrown, "seed": seed})


if __name__ == "__main__":
    main()
