#!/usr/bin/env python
"""Our DMF beside RecBole's built-in one: the same data, the same machine, in turns.

    python run_scripts/benchmark.py --dataset=ml-1m --data_path=../shared/data
    python run_scripts/benchmark.py --growth
    python run_scripts/benchmark.py --time-to-quality --dataset=ml-1m --data_path=../shared/data

Each measurement runs in a process of its own, the two sides in turns, `--repeats` times; tables
show medians. Each command writes a JSON file and a plot into `--out`. RecBole's DMF runs on
unmodified RecBole (its sampler, loaders and evaluation), without recbole.quick_start, which imports
ray.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

LAYERS = [64, 64]
LARGE_BATCH = 65_536
# users, items, ratings; the last but one has the shape of Amazon Movies (Table 1)
GROWTH = [
    (700, 1_200, 100_000),
    (6_040, 3_706, 1_000_209),
    (34_500, 13_500, 5_000_000),
    (9_582, 92_221, 766_759),
    (138_000, 27_000, 20_000_000),
]


def seconds_of(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_seconds(function, repeats: int) -> float:
    return statistics.median(seconds_of(function) for _ in range(repeats))


def peak_memory_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(**measured) -> None:
    """What a child process has measured so far; the parent keeps it even if the child dies."""
    print(json.dumps(measured), flush=True)


@contextmanager
def phase(name: str):
    start, cpu = time.perf_counter(), time.process_time()
    yield
    report(**{f"{name}_seconds": time.perf_counter() - start})
    report(**{f"{name}_cpu_seconds": time.process_time() - cpu})


def measure_steps(iterator, step, n_steps: int) -> tuple[float, float]:
    """Median seconds and mean processor seconds of a training step, drawing the batch included."""
    for _ in range(5):
        step(next(iterator))
    cpu = time.process_time()
    seconds = median_seconds(lambda: step(next(iterator)), n_steps)
    return seconds, (time.process_time() - cpu) / n_steps


# ---- our side -----------------------------------------------------------------------------------


def our_options(args, batch_size: int) -> dict:
    options = {
        "user_layers": LAYERS,
        "item_layers": LAYERS,
        "train_batch_size": batch_size,
        "data_path": args.data_path,
        "checkpoint_dir": args.scratch,
        # Without timestamps every user is evaluated, also in copies of ml-1m that lack some.
        "load_col": {"inter": ["user_id", "item_id", "rating"]},
    }
    return {name: value for name, value in options.items() if value is not None}


def our_trainer(config, prepared):
    from recbole_dmf.host import lookup
    from recbole_dmf.training.trainer import trainer_class

    model = lookup.find_model("DMF")(config, prepared.train).to(config["device"])
    trainer = trainer_class(lookup.find_trainer(config))(config, model)
    trainer.prepare(lookup.train_loader(config, prepared.train, prepared.sampler))
    model.train()
    return trainer


def our_epoch(trainer) -> None:
    from recbole_dmf.training.algorithm1 import DMFTrainer

    DMFTrainer._train_epoch(trainer, None, 0)  # without the run's history


def evaluate_ours(trainer, phase) -> None:
    from recbole_dmf.evaluation.evaluate import summarise

    trainer.model.train()  # or else the vectors of the last evaluation would be taken
    summarise(trainer.count(phase), ["hit", "ndcg"], [10])


def measure_ours(args) -> None:
    from recbole_dmf.config import build_config
    from recbole_dmf.host import lookup
    from recbole_dmf.prepare import prepare
    from recbole_dmf.training.algorithm1 import threads_for

    config = build_config("DMF", args.dataset, None, our_options(args, args.batch_size))
    prepared = prepare(config, lookup.load_dataset(config))
    trainer = our_trainer(config, prepared)
    batches = trainer.batches()
    trainer.step(batches[0])
    report(start_seconds=time.time() - args.spawned, ray_imported="ray" in sys.modules)
    # Negatives are drawn once per epoch; each step is charged its share.
    sampling = seconds_of(trainer.draw_negatives)
    with threads_for(args.batch_size):
        step, cpu = measure_steps(iter(batches), trainer.step, min(args.steps, len(batches) - 6))
    step += sampling / len(batches)
    report(step_ms=1e3 * step, step_cpu_ms=1e3 * cpu, epoch_seconds=step * len(batches))
    test = prepared.phases["test"]
    report(evaluation_seconds=median_seconds(lambda: evaluate_ours(trainer, test), 3))
    report(peak_memory_mb=peak_memory_mb())


def measure_large_batch(args) -> None:
    from recbole_dmf.config import build_config
    from recbole_dmf.host import lookup
    from recbole_dmf.prepare import prepare

    config = build_config("DMF", args.dataset, None, our_options(args, args.large_batch))
    trainer = our_trainer(config, prepare(config, lookup.load_dataset(config)))
    report(large_epoch_seconds=median_seconds(lambda: our_epoch(trainer), 3))
    report(large_peak_memory_mb=peak_memory_mb())


# ---- RecBole's side -----------------------------------------------------------------------------


def recbole_config(args):
    from recbole.config import Config

    sys.argv = ["benchmark"]
    options = {
        "user_embedding_size": LAYERS[0],
        "item_embedding_size": LAYERS[0],
        "user_hidden_size_list": LAYERS[1:],
        "item_hidden_size_list": LAYERS[1:],
        "inter_matrix_type": "rating",
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
        "normalize_all": False,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": args.negatives},
        "train_batch_size": args.batch_size,
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "uni100",
        },
        "metrics": ["Hit", "NDCG"],
        "valid_metric": "NDCG@10",
        "checkpoint_dir": args.scratch,
        "show_progress": False,
    }
    if args.data_path is not None:
        options["data_path"] = args.data_path
    return Config(model="DMF", dataset=args.dataset, config_dict=options)


def recbole_step(trainer):
    def step(interaction):
        trainer.optimizer.zero_grad()
        loss = trainer.model.calculate_loss(interaction)
        loss.backward()
        trainer.optimizer.step()
        return loss.item()

    return step


def recbole_trainer(config, train_data):
    from recbole.trainer import Trainer
    from recbole.utils import get_model

    model = get_model("DMF")(config, train_data._dataset).to(config["device"])
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train_data)
    model.train()
    return trainer


def measure_recbole(args) -> None:
    from recbole.data import create_dataset, data_preparation
    from recbole.data.dataloader import FullSortEvalDataLoader
    from recbole.utils import init_seed

    config = recbole_config(args)
    init_seed(config["seed"], config["reproducibility"])
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    os.chdir(args.scratch)
    trainer = recbole_trainer(config, train_data)
    step = recbole_step(trainer)
    step(next(iter(train_data)))
    report(start_seconds=time.time() - args.spawned)
    n_batches = len(train_data)
    seconds, cpu = measure_steps(iter(train_data), step, min(args.steps, n_batches - 6))
    report(step_ms=1e3 * seconds, step_cpu_ms=1e3 * cpu, epoch_seconds=seconds * n_batches)
    report(evaluation_seconds=seconds_of(lambda: trainer.evaluate(test_data, False)))
    full = FullSortEvalDataLoader(config, test_data._dataset, test_data._sampler)
    report(full_ranking_seconds=seconds_of(lambda: trainer.evaluate(full, False)))
    report(peak_memory_mb=peak_memory_mb())


# ---- where the time of a step goes --------------------------------------------------------------


def ceilings() -> dict[str, float]:
    """What this machine can do on one thread: GB/s and GFLOP/s."""
    import torch

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
    import torch

    from recbole_dmf.config import build_config
    from recbole_dmf.host import lookup
    from recbole_dmf.models.batch_encoding import distinct
    from recbole_dmf.prepare import prepare

    torch.set_num_threads(1)
    config = build_config("DMF", args.dataset, None, our_options(args, args.batch_size))
    trainer = our_trainer(config, prepare(config, lookup.load_dataset(config)))
    model, batches = trainer.model, trainer.batches()
    sides = (
        (model.user_tower, model.input_of_users, lambda batch: trainer._user[batch]),
        (
            model.item_tower,
            model.input_of_items,
            lambda batch: torch.cat([trainer._item[batch], trainer._negatives[:, batch].view(-1)]),
        ),
    )
    times: dict[str, list[float]] = {}
    counted = {"entries": 0, "rows": 0}

    def timed(name, function):
        start = time.thread_time()
        result = function()
        times.setdefault(name, []).append(time.thread_time() - start)
        return result

    repeats = min(args.steps, len(batches))
    for batch in batches[:repeats]:
        totals = dict.fromkeys(("rows and transposes", "products", "gradients of products"), 0.0)
        for tower, whole, ids_of in sides:
            encoded, _ = distinct(ids_of(batch), len(whole.rows))
            start = time.thread_time()
            rows = whole.rows if encoded is None else whole.rows.take(encoded)
            transposed = whole.transposed if encoded is None else rows.transposed()
            cut = time.thread_time()
            product = rows.matmul(tower.weight.detach())
            done = time.thread_time()
            transposed.matmul(product)
            end = time.thread_time()
            for name, spent in zip(totals, (cut - start, done - cut, end - done), strict=True):
                totals[name] += spent
            counted["entries"] += len(rows.column)
            counted["rows"] += len(rows)
        for name, spent in totals.items():
            times.setdefault(name, []).append(spent)
        timed("whole step", lambda batch=batch: trainer.step(batch))
        timed("Adam", trainer.optimizer.step)
    entries, rows = (counted[name] / repeats for name in ("entries", "rows"))
    parameters = sum(p.numel() for p in model.parameters())
    limits = ceilings()
    gather, copy = limits["gather_rows_gb_s"] * 1e9, limits["copy_2.5MB_gb_s"] * 1e9
    width = LAYERS[0]
    megabytes = {  # what cannot be avoided, in bytes
        "rows and transposes": 4 * 8 * entries,  # read and write index and value, twice
        "products": (4 * width + 8) * entries,
        "gradients of products": (4 * width + 8) * entries,
        "Adam": 7 * 4 * parameters,  # 4 arrays read, 3 written
    }
    flop = 3 * 2 * width * width * rows * (len(LAYERS) - 1)
    floors = {
        "rows and transposes": megabytes["rows and transposes"] / copy,
        "products": megabytes["products"] / gather,
        "gradients of products": megabytes["gradients of products"] / gather,
        "Adam": megabytes["Adam"] / copy,
        "towers, similarity, loss": flop / (limits["dense_product_gflop_s"] * 1e9),
    }
    medians = {name: statistics.median(found) for name, found in times.items()}
    whole = medians.pop("whole step")
    medians["towers, similarity, loss"] = whole - sum(medians.values())
    stages = {
        name: {"ms": 1e3 * medians[name], "floor_ms": 1e3 * floor} for name, floor in floors.items()
    }
    report(stages=stages, whole_step_ms=1e3 * whole, entries=entries, ceilings=limits)


# ---- growth -------------------------------------------------------------------------------------


def measure_growth_ours(args) -> None:
    from recbole_dmf.config import build_config
    from recbole_dmf.host import lookup
    from recbole_dmf.prepare import prepare

    options = our_options(args, args.large_batch)
    del options["load_col"]
    config = build_config("DMF", args.dataset, None, options)
    with phase("read"):
        dataset = lookup.load_dataset(config)
    with phase("split"):
        prepared = prepare(config, dataset)
    with phase("model"):
        trainer = our_trainer(config, prepared)
    with phase("epoch"):
        our_epoch(trainer)
    with phase("evaluation"):
        evaluate_ours(trainer, prepared.phases["test"])
    report(peak_memory_mb=peak_memory_mb())


def measure_growth_recbole(args) -> None:
    from recbole.data import create_dataset, data_preparation

    config = recbole_config(args)
    with phase("read"):
        dataset = create_dataset(config)
    with phase("split"):
        train_data, _, test_data = data_preparation(config, dataset)
    os.chdir(args.scratch)
    with phase("model"):
        trainer = recbole_trainer(config, train_data)
    report(peak_memory_mb=peak_memory_mb())
    n_batches = len(train_data)
    seconds, cpu = measure_steps(iter(train_data), recbole_step(trainer), min(50, n_batches - 6))
    report(epoch_seconds=seconds * n_batches, epoch_cpu_seconds=cpu * n_batches)
    report(peak_memory_mb=peak_memory_mb())
    with phase("evaluation"):
        trainer.evaluate(test_data, False)
    report(peak_memory_mb=peak_memory_mb())


CHILDREN = {
    function.__name__.removeprefix("measure_"): function
    for function in (
        measure_ours,
        measure_large_batch,
        measure_recbole,
        measure_stages,
        measure_growth_ours,
        measure_growth_recbole,
    )
}


def child(name: str, args, limit: float | None = None, **options) -> dict:
    """Run one of `CHILDREN` in a process of its own; what it had measured when it ended."""
    given = {**vars(args), **options, "child": name, "spawned": time.time()}
    command = [sys.executable, os.path.abspath(__file__)]
    for key, value in given.items():
        if value is not None and not isinstance(value, bool):
            command.append(f"--{key}={value}")
    print(f"{name} {options or ''} ...", file=sys.stderr, flush=True)
    measured: dict = {}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            code = subprocess.run(command, stdout=output, stderr=errors, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            measured["stopped"] = f"after {limit:.0f} s"
            code = 0
        output.seek(0)
        for line in output:
            if line.startswith("{"):
                measured.update(json.loads(line))
        if code:
            errors.seek(0)
            reason = errors.read().strip().splitlines()[-1:] or [f"exit code {code}"]
            measured["stopped"] = "out of memory" if code == -9 else reason[0]
    return measured


def medians_of(runs: list[dict]) -> dict:
    return {
        name: statistics.median(run[name] for run in runs)
        for name, value in runs[0].items()
        if isinstance(value, float) and all(name in run for run in runs)
    }


# ---- the commands -------------------------------------------------------------------------------


def table(args) -> dict:
    from tabulate import tabulate

    runs: dict[str, list[dict]] = {"recbole": [], "ours": [], "large_batch": []}
    for _, side in itertools.product(range(args.repeats), runs):
        runs[side].append(child(side, args))
    medians = {side: medians_of(found) for side, found in runs.items()}
    peer, ours = medians["recbole"], {**medians["ours"], **medians["large_batch"]}
    # One evaluation of ours gives all three readings, the full ranking among them.
    ours["full_ranking_seconds"] = ours["evaluation_seconds"]
    compared = {"large_epoch_seconds": "epoch_seconds", "large_peak_memory_mb": "peak_memory_mb"}
    rows = []
    for name, value in ours.items():
        other = peer[compared.get(name, name)]
        rows.append([name, other, value, other / value])
    print(tabulate(rows, ["median", "RecBole's DMF", "ours", "ratio"], floatfmt=".2f"))
    stages = child("stages", args)
    lines = [
        [name, found["floor_ms"], found["ms"], found["ms"] / found["floor_ms"]]
        for name, found in stages.get("stages", {}).items()
    ]
    print(tabulate(lines, ["stage of a step", "floor ms", "ms", "ratio"], floatfmt=".2f"))
    return {
        "runs": runs,
        "medians": {"recbole": peer, "ours": ours},
        "rows": {name: {"recbole": a, "ours": b, "ratio": c} for name, a, b, c in rows},
        "stages": stages,
        "gpu": "not measured",
    }


def plot_table(measured: dict, axes) -> None:
    rows = measured["rows"]
    names = [name.removesuffix("_seconds").removesuffix("_mb").replace("_", " ") for name in rows]
    axes.barh(names[::-1], [row["ratio"] for row in rows.values()][::-1], color="#0072B2")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("RecBole's DMF / ours (large: large batch against RecBole's 256)")


def growth(args) -> dict:
    from tabulate import tabulate

    from recbole_dmf.datasets.generate import generate, write_generated

    results = []
    for users, items, ratings in GROWTH:
        if ratings > args.most_ratings:
            continue
        name = f"generated-{users}-{items}-{ratings}"
        write_generated(Path(args.scratch) / name, generate(users, items, ratings, 2020), 2020)
        found = {"users": users, "items": items, "ratings": ratings}
        options = {"dataset": name, "data_path": args.scratch}
        # As many batches per epoch at every size: each reads nearly all of Y, so that batches of
        # one size would make an epoch's cost grow with the square of the ratings.
        found["large_batch"] = max(LARGE_BATCH, LARGE_BATCH * ratings // 1_000_000)
        found["ours"] = child("growth_ours", args, large_batch=found["large_batch"], **options)
        if not args.without_recbole:
            found["recbole"] = child("growth_recbole", args, args.limit, **options)
        results.append(found)
    rows = []
    for found, side in itertools.product(results, ("ours", "recbole")):
        measured, n = found.get(side, {}), found["ratings"]
        if measured:
            spent = [
                1e6 * measured[key] / n if (key := f"{name}_seconds") in measured else None
                for name in ("read", "split", "model", "epoch", "evaluation")
            ]
            memory = measured.get("peak_memory_mb")
            memory = None if memory is None else memory * 2**20 / n
            rows.append([side, found["users"], found["items"], n, *spent, memory])
            rows[-1].append(measured.get("stopped", ""))
    head = ["side", "users", "items", "ratings", "read", "split", "model", "epoch", "evaluation"]
    print("microseconds and bytes (peak) per rating")
    print(tabulate(rows, [*head, "bytes", "stopped"], floatfmt=".2f"))
    return {"sets": results, "recbole_batch_size": args.batch_size}


def plot_growth(measured: dict, axes) -> None:
    sets = sorted(measured["sets"], key=lambda found: found["ratings"])
    for side, marker in (("ours", "o"), ("recbole", "s")):
        points, many_items = [], []
        for found in sets:
            spent = found.get(side, {})
            keys = [f"{name}_seconds" for name in ("read", "split", "model", "epoch", "evaluation")]
            if all(key in spent for key in keys):
                total = sum(spent[key] for key in keys)
                wide = found["items"] > found["users"] * 2  # Amazon's shape, off MovieLens' line
                (many_items if wide else points).append(
                    (found["ratings"], 1e6 * total / found["ratings"])
                )
        for place, line, label in (
            (points, "-", side),
            (many_items, "", f"{side}, Amazon's shape"),
        ):
            if place:
                axes.plot(*zip(*place, strict=True), linestyle=line, marker=marker, label=label)
    axes.set_xscale("log")
    if any("recbole" in found for found in sets):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("ratings")
    axes.set_ylabel("microseconds per rating, read to evaluation")
    axes.legend()


def curve_of(folder: Path) -> dict[str, list[float]]:
    """Seconds and validation NDCG@10 (expected) after each epoch of a run."""
    import csv

    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    spent = [float(row["train_seconds"]) + float(row["valid_seconds"]) for row in rows]
    return {
        "seconds": list(itertools.accumulate(spent)),
        "ndcg": [float(row["valid_ndcg@10_expected"]) for row in rows],
    }


def run_of_ours(args, name: str, **options) -> Path:
    command = [sys.executable, "-m", "recbole_dmf.cli", f"--dataset={args.dataset}"]
    command += [f"--checkpoint_dir={args.scratch}/{name}"]
    command += [f"--data_path={args.data_path}"] if args.data_path else []
    command += [f"--{key}={value}" for key, value in options.items()]
    print(f"{' '.join(command)} ...", file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder,) = Path(args.scratch, name).iterdir()
    return folder


def time_to_quality(args) -> dict:
    """Seconds until the best validation NDCG@10 that RecBole's DMF ever reaches.

    RecBole's curve is that of `--preset=dmf-recbole` (its own defaults, the same function of the
    same parameters); each of its epochs is charged what an epoch and an evaluation of RecBole's own
    code take. With 7 negatives it collapses: an inner product of ReLU outputs is not negative, so
    that no probability below 1/2 can be expressed, and the mean target is 1/8. The curves can be
    those of earlier runs, see --peer_curves.
    """
    import yaml

    form = {"preset": "dmf-recbole", "user_layers": LAYERS, "item_layers": LAYERS}
    peers = {}
    folders = [Path(folder) for folder in args.peer_curves or ()] or [
        run_of_ours(args, f"peer-{batch_size}", **form, train_batch_size=batch_size)
        for batch_size in (256, 2048)
    ]
    for folder in folders:
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        batch_size = settings["train_batch_size"]
        cost = child("recbole", args, batch_size=batch_size, steps=60, negatives=1)
        per_epoch = cost["epoch_seconds"] + cost["evaluation_seconds"]
        ndcg = curve_of(folder)["ndcg"]
        seconds = [per_epoch * (epoch + 1) for epoch in range(len(ndcg))]
        peers[str(batch_size)] = {"cost": cost, "ndcg": ndcg, "seconds": seconds}
    best = max(peers.values(), key=lambda peer: max(peer["ndcg"]))
    target = max(best["ndcg"])
    needed = best["seconds"][best["ndcg"].index(target)]
    ours = curve_of(run_of_ours(args, "fast", preset="dmf-fast", epochs=40))
    reached = next((s for s, n in zip(*ours.values(), strict=True) if n >= target), None)
    ratio = needed / reached if reached else None
    print(f"validation NDCG@10 {target:.4f}: RecBole {needed:.0f} s, ours {reached} s ({ratio})")
    return {"target": target, "recbole": peers, "ours": ours, "seconds": [needed, reached]}


def plot_time_to_quality(measured: dict, axes) -> None:
    for batch_size, peer in measured["recbole"].items():
        axes.plot(peer["seconds"], peer["ndcg"], label=f"RecBole's DMF, batch {batch_size}")
    axes.plot(measured["ours"]["seconds"], measured["ours"]["ndcg"], label="ours, dmf-fast")
    axes.axhline(measured["target"], color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("seconds of training and validation")
    axes.set_ylabel("validation NDCG@10 (expected)")
    axes.legend()


def write_results(args, name: str, measured: dict, plot) -> None:
    from recbole_dmf.files import make_folder, write_text
    from recbole_dmf.manifest import versions

    content = {
        "command": " ".join(sys.argv),
        "dataset": args.dataset,
        "batch_size": args.batch_size,
        "layers": LAYERS,
        "negatives": args.negatives,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "versions": versions(),
        **measured,
    }
    folder = make_folder(Path(args.out))
    write_text(folder / f"{name}.json", json.dumps(content, indent=2) + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: pip install '.[report]'", file=sys.stderr)
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    plot(measured, figure.subplots())
    figure.savefig(folder / f"{name}.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", type=os.path.abspath)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--large_batch", type=int, default=LARGE_BATCH)
    parser.add_argument("--negatives", type=int, default=7, help="of RecBole's DMF; ours has 7")
    parser.add_argument("--steps", type=int, default=200, help="steps that are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="benchmark", help="folder for data files and plots")
    parser.add_argument("--growth", action="store_true", help="generated sets of growing size")
    parser.add_argument("--most_ratings", type=int, default=20_000_000, help="with --growth")
    parser.add_argument("--limit", type=float, default=600, help="seconds for RecBole, --growth")
    parser.add_argument("--without_recbole", action="store_true", help="with --growth")
    parser.add_argument("--time-to-quality", action="store_true")
    parser.add_argument(
        "--peer_curves", nargs="*", help="run folders of RecBole's form, --time-to-quality"
    )
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    parser.add_argument("--spawned", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        CHILDREN[args.child](args)
        return
    with tempfile.TemporaryDirectory() as args.scratch:
        if args.growth:
            write_results(args, "growth", growth(args), plot_growth)
        elif args.time_to_quality:
            write_results(args, "time-to-quality", time_to_quality(args), plot_time_to_quality)
        else:
            write_results(args, args.dataset, table(args), plot_table)


if __name__ == "__main__":
    main()
