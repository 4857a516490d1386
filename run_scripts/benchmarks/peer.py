"""RecBole's built-in DMF on unmodified RecBole: its sampler, loaders and evaluation.

Without recbole.quick_start, which imports ray. Each `measure_` function runs in a process of its
own.
"""

import os
import sys
import time

import numpy as np
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.trainer import Trainer
from recbole.utils import get_model, init_seed

from benchmarks.setting import LAYERS, SASREC
from benchmarks.timing import measure_steps, phase, report, report_memory, seconds_of
from recbole_dmf.host.compat import libraries


def run_on_current_libraries() -> None:
    """What RecBole cannot do without on NumPy 2 and pandas 3; none of it is in a step.

    On older ones nothing is changed.
    """
    if int(np.__version__.split(".")[0]) >= 2:
        libraries.old_numpy_names_exist()
        libraries.missing_sequences_are_empty()
        libraries.sequences_have_lengths()
        libraries.tensors_own_their_values()


def recbole_config(args):

    sys.argv = ["benchmark"]
    options = {
        "user_embedding_size": LAYERS[0],
        "item_embedding_size": LAYERS[0],
        "user_hidden_size_list": LAYERS[1:],
        "item_hidden_size_list": LAYERS[1:],
        "inter_matrix_type": "rating",
        "normalize_all": False,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": args.negatives},
        "train_batch_size": args.batch_size,
    }
    return _config(args, "DMF", options)


def _config(args, model: str, options: dict):
    options = {
        **options,
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
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
        "use_gpu": args.device == "cuda",
    }
    if args.data_path is not None:
        options["data_path"] = args.data_path
    run_on_current_libraries()
    return Config(model=model, dataset=args.dataset, config_dict=options)


def recbole_step(trainer):
    def step(interaction):
        trainer.optimizer.zero_grad()
        loss = trainer.model.calculate_loss(interaction)
        loss.backward()
        trainer.optimizer.step()
        return loss.item()

    return step


def recbole_trainer(config, train_data):

    model = get_model("DMF")(config, train_data._dataset).to(config["device"])
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train_data)
    model.train()
    return trainer


def measure_recbole(args) -> None:
    config = recbole_config(args)
    init_seed(config["seed"], config["reproducibility"])
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    os.chdir(args.scratch)
    trainer = recbole_trainer(config, train_data)
    step = recbole_step(trainer)
    step(next(iter(train_data)))
    report(start_seconds=time.time() - args.spawned)
    n_batches = len(train_data)
    seconds, cpu = measure_steps(train_data, step, args.steps, args.device)
    report(step_ms=1e3 * seconds, step_cpu_ms=1e3 * cpu, epoch_seconds=seconds * n_batches)
    report(evaluation_seconds=seconds_of(lambda: trainer.evaluate(test_data, False)))
    full = FullSortEvalDataLoader(config, test_data._dataset, test_data._sampler)
    report(full_ranking_seconds=seconds_of(lambda: trainer.evaluate(full, False)))
    report_memory()


def measure_recbole_sasrec(args) -> None:
    """RecBole's SASRec with its own batch size: an instance for each training interaction."""
    options = {
        **SASREC,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "MAX_ITEM_LIST_LENGTH": args.sequence_length,
    }
    config = _config(args, "SASRec", options)
    init_seed(config["seed"], config["reproducibility"])
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    os.chdir(args.scratch)
    model = get_model("SASRec")(config, train_data._dataset).to(config["device"])
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train_data)
    model.train()
    n_batches = len(train_data)
    seconds, cpu = measure_steps(train_data, recbole_step(trainer), args.steps, args.device)
    report(epoch_seconds=seconds * n_batches, epoch_cpu_seconds=cpu * n_batches)
    report(steps_of_epoch=float(n_batches), steps_timed=float(min(args.steps, n_batches)))
    report_memory()
    report(evaluation_seconds=seconds_of(lambda: trainer.evaluate(test_data, False)))
    full = FullSortEvalDataLoader(config, test_data._dataset, test_data._sampler)
    report(full_ranking_seconds=seconds_of(lambda: trainer.evaluate(full, False)))
    report_memory()


def measure_growth_recbole(args) -> None:
    config = recbole_config(args)
    with phase("read"):
        dataset = create_dataset(config)
    with phase("split"):
        train_data, _, test_data = data_preparation(config, dataset)
    os.chdir(args.scratch)
    with phase("model"):
        trainer = recbole_trainer(config, train_data)
    report_memory()
    n_batches = len(train_data)
    seconds, cpu = measure_steps(train_data, recbole_step(trainer), 50, args.device)
    report(epoch_seconds=seconds * n_batches, epoch_cpu_seconds=cpu * n_batches)
    report_memory()
    with phase("evaluation"):
        trainer.evaluate(test_data, False)
    report_memory()
