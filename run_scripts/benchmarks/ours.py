"""Our DMF, measured; each `measure_` function runs in a process of its own."""

import itertools
import sys
import time
from collections import deque

from benchmarks.setting import LAYERS
from benchmarks.timing import (
    WARM_UP,
    measure_steps,
    median_seconds,
    phase,
    report,
    report_memory,
    seconds_of,
)
from recbole_dmf.config import build_config
from recbole_dmf.evaluation.evaluate import summarise
from recbole_dmf.host import lookup
from recbole_dmf.prepare import prepare
from recbole_dmf.run import build_trainer
from recbole_dmf.system import keep_freed_memory, return_freed_memory
from recbole_dmf.training.algorithm1 import DMFTrainer, threads_for


def our_options(args, batch_size: int) -> dict:
    options = {
        "user_layers": LAYERS,
        "item_layers": LAYERS,
        "train_batch_size": batch_size,
        "data_path": args.data_path,
        "checkpoint_dir": args.scratch,
        # Without timestamps every user is evaluated, also in copies of ml-1m that lack some.
        "load_col": {"inter": ["user_id", "item_id", "rating"]},
        "use_gpu": args.device == "cuda",
    }
    return {name: value for name, value in options.items() if value is not None}


def our_config(args, options: dict):
    """The options of our DMF, in a process that treats its memory as a run does."""
    keep_freed_memory()
    return build_config("DMF", args.dataset, None, options)


def our_trainer(config, prepared):
    return_freed_memory()
    trainer = build_trainer(config, prepared.train)
    trainer.set_up(lookup.train_loader(config, prepared.train, prepared.sampler))
    trainer.model.train()
    return trainer


def our_epoch(trainer) -> None:
    DMFTrainer._train_epoch(trainer, None, 0)  # without the run's history


def gathering_seconds(trainer) -> float:
    """Seconds that a batch of an epoch takes before its step."""
    return seconds_of(lambda: deque(trainer.batches(), maxlen=0)) / trainer.n_batches


def evaluate_ours(trainer, phase) -> None:
    trainer.model.train()  # or else the vectors of the last evaluation would be taken
    summarise(trainer.count(phase), ["hit", "ndcg"], [10])


def measure_ours(args) -> None:
    config = our_config(args, our_options(args, args.batch_size))
    prepared = prepare(config, lookup.load_dataset(config))
    trainer = our_trainer(config, prepared)
    trainer.step(next(trainer.batches()))
    report(start_seconds=time.time() - args.spawned, ray_imported="ray" in sys.modules)
    # Negatives are drawn once per epoch; each step is charged its share.
    sampling = seconds_of(trainer.draw_negatives)
    with threads_for(args.batch_size):
        gathering = gathering_seconds(trainer)
        batches = list(itertools.islice(trainer.batches(), args.steps + WARM_UP + 1))
        step, cpu = measure_steps(batches, trainer.step, args.steps, args.device)
    step += sampling / trainer.n_batches + gathering
    cpu += gathering
    report(step_ms=1e3 * step, step_cpu_ms=1e3 * cpu, epoch_seconds=step * trainer.n_batches)
    test = prepared.phases["test"]
    report(evaluation_seconds=median_seconds(lambda: evaluate_ours(trainer, test), 3))
    report_memory()


def measure_large_batch(args) -> None:
    config = our_config(args, our_options(args, args.large_batch))
    trainer = our_trainer(config, prepare(config, lookup.load_dataset(config)))
    report(large_epoch_seconds=median_seconds(lambda: our_epoch(trainer), 3))
    report_memory("large_")


def measure_growth_ours(args) -> None:
    options = our_options(args, args.large_batch)
    del options["load_col"]
    config = our_config(args, options)
    with phase("read"):
        dataset = lookup.load_dataset(config)
    with phase("split"):
        prepared = prepare(config, dataset)
        del dataset
    with phase("model"):
        trainer = our_trainer(config, prepared)
    with phase("epoch"):
        our_epoch(trainer)
    with phase("evaluation"):
        evaluate_ours(trainer, prepared.phases["test"])
    report_memory()
