"""Runs with RecBole's own splits, loaders and evaluation."""

from pathlib import Path
from typing import Any

from recbole.data.dataset import Dataset as RecBoleDataset
from recbole.data.utils import data_preparation

from recbole_dmf.host.lookup import find_model, find_trainer
from recbole_dmf.training.trainer import shows_progress


def run_with_recbole_evaluation(config, dataset: RecBoleDataset, folder: Path) -> dict[str, Any]:
    """A run with RecBole's own splits, loaders and evaluation, for all other `eval_args`."""
    train_data, valid_data, test_data = data_preparation(config, dataset)
    model = find_model(config["model"])(config, train_data._dataset).to(config["device"])
    trainer = find_trainer(config)(config, model)
    trainer.saved_model_file = str(folder / "recbole.pth")
    score, valid = trainer.fit(train_data, valid_data, show_progress=shows_progress(config))
    test = trainer.evaluate(test_data, show_progress=False)
    dataset.logger.info(f"best valid: {dict(valid or {})}\ntest: {dict(test)}\nin {folder}")
    return {
        "best_valid_score": score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": valid,
        "test_result": test,
        "folder": str(folder),
    }
