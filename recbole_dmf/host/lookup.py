"""Models, trainers, data sets and loaders, found where RecBole finds them."""

import recbole.data.dataset
import recbole.model.general_recommender
import recbole.model.sequential_recommender
from recbole.data.dataset import Dataset as RecBoleDataset
from recbole.data.utils import get_dataloader
from recbole.utils import get_trainer

from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import UserError
from recbole_dmf.host.dataset import LeaveOneOutDataset
from recbole_dmf.host.option_layers import RUNNABLE
from recbole_dmf.host.our_models import OUR_MODELS, model_module
from recbole_dmf.host.own_classes import family, has_own, model_class, own_path
from recbole_dmf.host.sequential import (
    NOT_RUNNABLE,
    SequenceDataset,
    in_our_split,
    is_sequential,
)
from recbole_dmf.options import Config, clip, nearest


def model_names() -> list[str]:
    """Names of all models that can be run: ours, RecBole's general and its sequential ones."""
    packages = recbole.model.general_recommender, recbole.model.sequential_recommender
    built_in = {
        name
        for package in packages
        for name, value in vars(package).items()
        if isinstance(value, type) and getattr(value, "type", None) is not None
    }
    return sorted(built_in.union(OUR_MODELS) - NOT_RUNNABLE)


def find_model(name: str) -> type:
    """The class of a general or sequential recommender.

    Raises:
        UserError: no such model, or one of another kind.
    """
    try:
        found = model_class(name)
        if not hasattr(found, "type"):  # a name such as __doc__ finds something else there
            raise AttributeError(name)
    except (ImportError, AttributeError, ValueError) as error:
        hint = nearest(clip(name), model_names()) or f"; known: {', '.join(model_names())}."
        raise UserError(f"there is no model '{clip(name)}'{hint}") from error
    if found.type not in RUNNABLE:
        raise UserError(
            f"{name} is a {found.type.name.lower()} model; recbole-dmf runs general and sequential "
            f"recommenders such as {', '.join(('DMF', 'BPR', 'LightGCN', 'GRU4Rec'))}."
        )
    if name in OUR_MODELS and found is not getattr(model_module(name), name):
        raise UserError(
            f"RecBole's built-in {name} would run instead of ours: recbole_dmf.register() has not "
            "been called in this process."
        )
    return in_our_split(found) if is_sequential(found) else found


def load_dataset(config: Config) -> LeaveOneOutDataset:
    """Read and filter the configured data set.

    Raises:
        UserError: its files or the options for them cannot be used.
    """
    usual = SequenceDataset if is_sequential(find_model(config["model"])) else LeaveOneOutDataset
    dataset_class = getattr(recbole.data.dataset, f"{family(config['model'])}Dataset", usual)
    try:
        return dataset_class(config)
    except UserError:
        raise
    except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError) as error:
        reason = clip(" ".join(str(error).split()), 300)
        raise UserError(
            f"RecBole cannot read the data set {config['dataset']} with these options "
            f"({type(error).__name__}: {reason}); correct the options that name its columns."
        ) from error


def find_trainer(config: Config) -> type:
    """The trainer class that RecBole finds for the configured model.

    A class that the user wrote has the one of the model that it derives from, except where it has
    a `calculate_loss` of its own, which RecBole's trainers call and ours do not.
    """
    name = config["model"]
    if own_path(name):
        name = name if has_own(model_class(name), "calculate_loss") else family(name)
    return get_trainer(config["MODEL_TYPE"], name)


def train_loader(config: Config, train: RecBoleDataset, sampler: NegativeSampler | None):
    """RecBole's training data loader over our sampler."""
    if isinstance(train, SequenceDataset):
        train = train.with_sequences()
    return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])
