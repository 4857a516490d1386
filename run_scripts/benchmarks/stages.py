"""Where the time of a training step goes, beside what the machine can do."""

import itertools
import statistics
import time

import torch

from benchmarks.ours import gathering_seconds, our_config, our_options, our_trainer
from benchmarks.setting import LAYERS
from benchmarks.timing import report, seconds_of
from recbole_dmf.host import lookup
from recbole_dmf.models.batch_encoding import distinct
from recbole_dmf.prepare import prepare

SPARSE_STAGES = ("rows and transposes", "products", "gradients of products")


def ceilings() -> dict[str, float]:
    """What this machine can do on one thread: GB/s and GFLOP/s."""

    def best(function, repeats=30):
        return min(seconds_of(function) for _ in range(repeats))

    small, large = torch.ones(624_000), torch.ones(25_000_000)
    small_copy, large_copy = torch.empty_like(small), torch.empty_like(large)
    table, rows = torch.randn(6_040, 64), torch.randint(0, 6_040, (4_000,))
    gathered = torch.empty(len(rows), 64)
    dense, weight = torch.randn(256, 64), torch.randn(64, 64)
    product = torch.empty(256, 64)
    return {
        "copy_2.5MB_gb_s": 2 * 4e-9 * len(small) / best(lambda: small_copy.copy_(small)),
        "copy_100MB_gb_s": 2 * 4e-9 * len(large) / best(lambda: large_copy.copy_(large)),
        "gather_rows_gb_s": 512e-9
        * len(rows)
        / best(lambda: torch.index_select(table, 0, rows, out=gathered)),
        "dense_product_gflop_s": 2e-9
        * 256
        * 64
        * 64
        / best(lambda: torch.mm(dense, weight, out=product), 300),
    }


def measure_stages(args) -> None:
    """Median processor time of each stage of a step at `--batch_size`, beside its floor."""
    torch.set_num_threads(1)
    config = our_config(args, our_options(args, args.batch_size))
    trainer = our_trainer(config, prepare(config, lookup.load_dataset(config)))
    gathering = gathering_seconds(trainer)
    batches = list(itertools.islice(trainer.batches(), args.steps))
    times: dict[str, list[float]] = {}
    counted = {"entries": 0, "rows": 0}
    for batch in batches:
        for name, spent in times_of_products(trainer, batch, counted).items():
            times.setdefault(name, []).append(spent)
        for name, function in (
            ("whole step", lambda batch=batch: trainer.step(batch)),
            ("Adam", trainer.optimizer.step),
        ):
            start = time.thread_time()
            function()
            times.setdefault(name, []).append(time.thread_time() - start)
    entries, rows = (counted[name] / len(batches) for name in ("entries", "rows"))
    limits = ceilings()
    parameters = sum(p.numel() for p in trainer.model.parameters())
    floors = floors_of(entries, rows, parameters, limits)
    medians = {name: statistics.median(found) for name, found in times.items()}
    whole = medians.pop("whole step") + gathering
    medians["towers, similarity, loss"] = whole - sum(medians.values())
    stages = {
        name: {"ms": 1e3 * medians[name], "floor_ms": 1e3 * floor} for name, floor in floors.items()
    }
    report(stages=stages, whole_step_ms=1e3 * whole, entries=entries, ceilings=limits)


def times_of_products(trainer, batch, counted: dict[str, int]) -> dict[str, float]:
    """Processor seconds of the sparse stages of both towers; adds to what was counted."""
    model = trainer.model
    sides = (
        (model.user_tower, model.input_of_users, batch.instances[0]),
        (model.item_tower, model.input_of_items, batch.instances[1]),
    )
    totals = dict.fromkeys(SPARSE_STAGES, 0.0)
    for tower, whole, ids in sides:
        encoded, _ = distinct(ids, len(whole.rows))
        start = time.thread_time()
        given = whole.take(encoded)
        rows, transposed = given.rows, given.transposed
        cut = time.thread_time()
        product = rows.matmul(tower.weight.detach())
        done = time.thread_time()
        transposed.matmul(product)
        end = time.thread_time()
        for name, spent in zip(totals, (cut - start, done - cut, end - done), strict=True):
            totals[name] += spent
        counted["entries"] += len(rows.column)
        counted["rows"] += len(rows)
    return totals


def floors_of(
    entries: float, rows: float, parameters: int, limits: dict[str, float]
) -> dict[str, float]:
    """Seconds that each stage takes at least, from the bytes and products it cannot avoid."""
    gather, copy = limits["gather_rows_gb_s"] * 1e9, limits["copy_2.5MB_gb_s"] * 1e9
    width = LAYERS[0]
    product = (4 * width + 8) * entries / gather
    flop = 3 * 2 * width * width * rows * (len(LAYERS) - 1)
    return {
        "rows and transposes": 4 * 8 * entries / copy,  # read and write index and value, twice
        "products": product,
        "gradients of products": product,
        "Adam": 7 * 4 * parameters / copy,  # 4 arrays read, 3 written
        "towers, similarity, loss": flop / (limits["dense_product_gflop_s"] * 1e9),
    }
