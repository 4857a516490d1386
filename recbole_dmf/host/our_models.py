"""The table of our models: where each one is defined, and the trainer that it takes."""

from importlib import import_module
from types import ModuleType

# model -> (module that defines it, module and class of its trainer; None: RecBole's own choice)
OUR_MODELS: dict[str, tuple[str, str | None]] = {
    "DMF": ("models.dmf", "training.trainer:DMFTrainer"),
    "LFM": ("models.lfm", "training.trainer:DMFTrainer"),
    "NeuMFp": ("models.neumf_pretrained", "models.neumf_pretrained:NeuMFpTrainer"),
    "EALS": ("models.eals", "training.trainer:FitEpochTrainer"),
    "EASE": ("models.ease", "training.trainer:FitEpochTrainer"),
    "ItemKNN": ("models.item_knn", "training.trainer:FitEpochTrainer"),
    "ItemPop": ("models.item_pop", "training.trainer:FitEpochTrainer"),
    "RecentPop": ("models.recent_pop", "training.trainer:FitEpochTrainer"),
    "SequentialKNN": ("models.sequential_knn", "training.trainer:FitEpochTrainer"),
    "SASRec": ("models.sasrec", "models.sasrec:SASRecTrainer"),
    "RecBoleDMF": ("host.built_in", None),
    "RecBoleEASE": ("host.built_in", None),
    "RecBoleItemKNN": ("host.built_in", None),
    "RecBoleSASRec": ("host.built_in", None),
}


def model_module(name: str) -> ModuleType:
    """The module that defines one of our models."""
    return import_module(f"recbole_dmf.{OUR_MODELS[name][0]}")


def trainer_classes() -> dict[str, type]:
    """Our models' trainers, by the names under which RecBole looks for them."""
    found = {}
    for name, (_, trainer) in OUR_MODELS.items():
        if trainer is not None:
            module, class_name = trainer.split(":")
            module_object = import_module(f"recbole_dmf.{module}")
            found[f"{name}Trainer"] = getattr(module_object, class_name)
    return found
