"""The table of our models: where each one is defined, and the trainer that it takes."""

from importlib import import_module
from types import ModuleType

# model -> (module that defines it, module and class of its trainer; None: RecBole's own choice)
OUR_MODELS: dict[str, tuple[str, str | None]] = {
    "DMF": ("models.dmf", "training.algorithm1:DMFTrainer"),
    "LFM": ("models.lfm", "training.algorithm1:DMFTrainer"),
    "NeuMFp": ("models.neumf_pretrained", "training.neumf:NeuMFpTrainer"),
    "EALS": ("models.eals", "training.fit_epoch:FitEpochTrainer"),
    "EASE": ("models.ease", "training.fit_epoch:FitEpochTrainer"),
    "ItemKNN": ("models.item_knn", "training.fit_epoch:FitEpochTrainer"),
    "ItemPop": ("models.item_pop", "training.fit_epoch:FitEpochTrainer"),
    "RecentPop": ("models.recent_pop", "training.fit_epoch:FitEpochTrainer"),
    "SequentialKNN": ("models.sequential_knn", "training.fit_epoch:FitEpochTrainer"),
    "SASRec": ("models.sasrec", "training.sequences:SASRecTrainer"),
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
