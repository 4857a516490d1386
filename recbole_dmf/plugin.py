"""Registers our models, trainers, data set and property files where RecBole looks them up."""

import difflib
import sys
from collections.abc import Iterable
from copy import deepcopy
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import recbole.data.dataset
import recbole.model.general_recommender
import recbole.trainer
import torch
import yaml
from recbole.config import Config
from recbole.data.dataset import Dataset as RecBoleDataset
from recbole.data.interaction import Interaction
from recbole.data.utils import data_preparation, get_dataloader
from recbole.model.general_recommender.dmf import DMF as BuiltInDMF
from recbole.model.general_recommender.ease import EASE as BuiltInEASE
from recbole.model.general_recommender.itemknn import ItemKNN as BuiltInItemKNN
from recbole.utils import FeatureSource, FeatureType, ModelType, get_model, get_trainer
from recbole.utils.argument_list import (
    dataset_arguments,
    evaluation_arguments,
    general_arguments,
    training_arguments,
)

from recbole_dmf import compat
from recbole_dmf.data.atomic import listed, read_inter
from recbole_dmf.data.benchmark_files import (
    find_parts,
    part_names,
    read_candidates,
    split_parts,
)
from recbole_dmf.data.history import N_EARLIER, count_earlier
from recbole_dmf.data.interactions import interaction_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.data.split import Split, drop_duplicates, leave_one_out
from recbole_dmf.errors import UserError
from recbole_dmf.literals import load_yaml
from recbole_dmf.options import check_options, clip, nearest
from recbole_dmf.training.algorithm1 import DMFTrainer
from recbole_dmf.training.fit_epoch import FitEpochTrainer
from recbole_dmf.training.trainer import shows_progress

SPLIT = "latest_test_random_valid"  # value of eval_args.split.LS for the paper's split
PROPERTIES = files("recbole_dmf.properties")
RECBOLE_PROPERTIES = Path(recbole.__file__).parent / "properties"
RUNNABLE = (ModelType.GENERAL, ModelType.TRADITIONAL)
_PREFIX = "recbole.model.general_recommender."


class RecBoleDMF(BuiltInDMF):
    """RecBole's built-in DMF under a name of its own, for side-by-side runs."""


class RecBoleEASE(BuiltInEASE):
    """RecBole's built-in EASE under a name of its own, for side-by-side runs."""


class RecBoleItemKNN(BuiltInItemKNN):
    """RecBole's built-in ItemKNN under a name of its own, for side-by-side runs."""


class LeaveOneOutDataset(RecBoleDataset):
    """RecBole's Dataset with checked files, exact timestamps and the paper's split.

    With any other split than `LS: latest_test_random_valid` it splits as RecBole does.

    Attributes:
        split: rows of train, valid and test in the interactions, once built.
        dropped_duplicates: interactions removed because a later one has the same user and item.
    """

    split: Split
    dropped_duplicates = 0

    @property
    def uses_our_split(self) -> bool:
        return self.config["eval_args"]["split"] == {"LS": SPLIT}

    def _load_inter_feat(self, token, dataset_path):
        folder, parts = Path(dataset_path), self.benchmark_filename_list
        names = [f"{token}.inter"] if parts is None else [f"{token}.{p}.inter" for p in parts]
        for name in names:
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder / name}: no such file. Put the interactions there, "
                    + ("or correct benchmark_filename." if parts else "or correct --data_path.")
                )
        super()._load_inter_feat(token, dataset_path)
        assumed = []
        rating = self.config["RATING_FIELD"]
        if rating not in self.inter_feat:
            assumed.append(f"no column {rating}, so every interaction counts as 1 (Eq. 1)")
        elif not self.config["max_rating"]:
            values = self.inter_feat[rating]
            self.config["max_rating"] = float(values.max())
            assumed.append(f"rating scale {values.min():g}..{values.max():g} from the data")
        if self.time_field not in self.inter_feat and parts is None:
            assumed.append("no timestamps, so the last row of each user is tested")
        if assumed and not _is_described(self.config):
            self.logger.info(
                f"no property file for {token}: {', '.join(assumed)}; "
                f"`recbole-dmf init-dataset {folder}` writes it down"
            )

    def _load_feat(self, filepath, source):
        load_col, _ = self._get_load_and_unload_col(source)
        wanted = {self.uid_field, self.iid_field}
        optional = [self.config["RATING_FIELD"], self.time_field]
        if source != FeatureSource.INTERACTION or load_col is None:
            return super()._load_feat(filepath, source)
        if not wanted <= set(load_col) <= wanted.union(optional):
            there = _header_fields(Path(filepath), self.config["field_separator"])
            if there and (missing := sorted(set(load_col).difference(there))):
                raise UserError(
                    f"{filepath}, line 1: no column {missing[0]!r}; there are {listed(there)}. "
                    "Correct load_col."
                )
            return super()._load_feat(filepath, source)
        rating, time = (field if field in load_col else None for field in optional)
        top = self.config["max_rating"]
        frame = read_inter(
            Path(filepath),
            user_field=self.uid_field,
            item_field=self.iid_field,
            rating_field=rating,
            time_field=time,
            separator=self.config["field_separator"],
            rating_range=(0.0, float(top)) if top else None,
        )
        for field in frame.columns:
            is_token = field in wanted
            self.field2source[field] = source
            self.field2type[field] = FeatureType.TOKEN if is_token else FeatureType.FLOAT
            self.field2seqlen[field] = 1
            if not is_token:
                self.field2bucketnum[field] = 2
        return frame

    def _fill_nan(self):
        """As RecBole's (dataset.py:648), by assignment: pandas 3 ignores its chained inplace."""
        for name in self.feat_name_list:
            feat = getattr(self, name)
            for field in feat:
                kind = self.field2type[field]
                if kind == FeatureType.TOKEN:
                    feat[field] = feat[field].fillna(0).astype(np.int64)
                elif kind == FeatureType.FLOAT:
                    feat[field] = feat[field].fillna(feat[field].mean())
                else:
                    empty = np.array([], np.int64 if kind == FeatureType.TOKEN_SEQ else np.float64)
                    feat[field] = [empty if isinstance(x, float) else x for x in feat[field]]

    def _time(self) -> np.ndarray | None:
        if self.time_field not in self.inter_feat:
            return None
        return self.inter_feat[self.time_field].to_numpy(dtype=np.float64)

    def _remove_duplication(self):
        if self.config["rm_dup_inter"] != "latest":
            super()._remove_duplication()
            return
        user, item = (
            self.inter_feat[field].factorize()[0] for field in (self.uid_field, self.iid_field)
        )
        kept = drop_duplicates(user, item, self._time())
        self.dropped_duplicates = len(self.inter_feat) - len(kept)
        if self.dropped_duplicates:
            self.logger.warning(
                f"{self.dropped_duplicates} of {len(self.inter_feat)} interactions repeat a "
                "(user, item) pair and were dropped; the latest of each pair stays."
            )
            self.inter_feat = self.inter_feat.iloc[kept]

    def _remap_ID_all(self):
        super()._remap_ID_all()
        if self.config["candidate_items"] == "raw":
            self._add_never_rated_items()

    def _add_never_rated_items(self):
        """Append the ids between 1 and the highest raw id that no interaction has."""
        tokens = self.field2id_token[self.iid_field]
        try:
            known = {int(token) for token in tokens[1:]}
        except ValueError as error:
            raise UserError(
                "candidate_items: raw needs item ids that are whole numbers, since the catalogue "
                f"is taken as 1 up to the highest id ({error}); use candidate_items: rated."
            ) from error
        missing = [str(i) for i in range(1, max(known) + 1) if i not in known]
        token2id = self.field2token_id[self.iid_field]
        token2id.update({token: len(tokens) + n for n, token in enumerate(missing)})
        self.field2id_token[self.iid_field] = np.concatenate([tokens, np.array(missing, object)])

    def build(self):
        parts = self.benchmark_filename_list
        if not self.uses_our_split:
            if self.config["recent_items"]:
                raise UserError(
                    f"recent_items needs the order of time that our split gives; leave it at 0, or "
                    f"eval_args.split at LS: {SPLIT}."
                )
            if parts and len(parts) != 3:
                raise UserError(
                    "RecBole's own evaluation needs three parts in benchmark_filename; add one, or "
                    f"leave eval_args.split at LS: {SPLIT}."
                )
            return super().build()
        if len(self.inter_feat) == 0:
            raise UserError("no interactions are left after filtering; loosen the filters.")
        self.split = self._split_of_parts(parts) if parts else self._leave_one_out()
        if self.config["recent_items"]:
            user = self.inter_feat[self.uid_field].to_numpy()
            n_earlier = count_earlier(user, self._time(), self.split.train)
            self.inter_feat = self.inter_feat.assign(**{N_EARLIER: n_earlier})
            self.set_field_property(N_EARLIER, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)
        self._change_feat_format()
        parts = (self.split.train, self.split.valid, self.split.test)
        return [self.copy(self._rows(torch.from_numpy(rows))) for rows in parts]

    def _rows(self, rows: torch.Tensor) -> Interaction:
        """As `inter_feat[rows]`, which makes a Python list of them (interaction.py:144)."""
        columns = self.inter_feat.interaction
        return Interaction({name: column[rows] for name, column in columns.items()})

    def _leave_one_out(self) -> Split:
        user = self.inter_feat[self.uid_field].to_numpy()
        return leave_one_out(user, self._time(), int(self.config["split_seed"]))

    def _split_of_parts(self, names: list[str]) -> Split:
        """The split of `benchmark_filename`; RecBole filters no ready-made parts."""
        filters = ("user_inter_num_interval", "item_inter_num_interval", "val_interval")
        usual = _recbole_properties("dataset", "sample")
        if given := [name for name in filters if self.config[name] not in (None, usual.get(name))]:
            raise UserError(
                f"{given[0]} would change the ready-made parts {', '.join(names)}; leave it out."
            )
        split, notes = split_parts(
            self.inter_feat[self.uid_field].to_numpy(),
            self.inter_feat[self.iid_field].to_numpy(),
            self._time(),
            dict(zip(names, self.file_size_list, strict=True)),
            int(self.config["split_seed"]),
            self.field2id_token[self.uid_field],
        )
        files = (f"{self.dataset_name}.{name}.inter" for name in names)
        self.logger.info(f"ready-made split: {', '.join(files)}")
        for note in notes:
            self.logger.warning(note)
        kept = len(split.train) + len(split.valid) + len(split.test)
        self.dropped_duplicates = len(self.inter_feat) - kept
        return split

    def ready_candidates(self, phase: str, target: dict[int, int], seen) -> np.ndarray | None:
        """The candidates in `NAME.PART.candidates`, or None where there is no such file.

        Args:
            phase: valid or test.
            target: user -> left-out item, of all users of the phase.
            seen: CSR [n_users, n_items], non-zero at all interactions.
        """
        parts = self.benchmark_filename_list or []
        part = parts[-1] if parts and phase == "test" else parts[1] if len(parts) == 3 else None
        path = Path(self.dataset_path) / f"{self.dataset_name}.{part}.candidates"
        if part is None or not path.is_file():
            return None
        fields = (self.uid_field, self.iid_field)
        ids = tuple(self.field2token_id[field] for field in fields)
        separator = self.config["field_separator"]
        items, notes = read_candidates(path, target, seen, ids, fields, separator)
        self.logger.info(notes[0])
        for note in notes[1:]:
            self.logger.warning(note)
        return items


def _module(name: str, **attributes) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)
    vars(module).update(attributes)
    return module


def _our_models() -> dict[str, ModuleType]:
    from recbole_dmf.models import dmf, eals, ease, item_knn, item_pop, lfm, neumf_pretrained

    return {
        "DMF": dmf,
        "EALS": eals,
        "EASE": ease,
        "ItemKNN": item_knn,
        "ItemPop": item_pop,
        "LFM": lfm,
        "NeuMFp": neumf_pretrained,
        "RecBoleDMF": _module(f"{_PREFIX}recboledmf", RecBoleDMF=RecBoleDMF),
        "RecBoleEASE": _module(f"{_PREFIX}recboleease", RecBoleEASE=RecBoleEASE),
        "RecBoleItemKNN": _module(f"{_PREFIX}recboleitemknn", RecBoleItemKNN=RecBoleItemKNN),
    }


def _our_trainers() -> dict[str, type]:
    from recbole_dmf.training.neumf import NeuMFpTrainer

    return {
        "DMFTrainer": DMFTrainer,
        "LFMTrainer": DMFTrainer,
        "NeuMFpTrainer": NeuMFpTrainer,
        **{f"{name}Trainer": FitEpochTrainer for name in ("EALS", "EASE", "ItemKNN", "ItemPop")},
    }


@lru_cache
def read_properties(kind: str, name: str) -> dict[str, Any]:
    """Our property file `<kind>/<name>.yaml`, or {} where there is none."""
    file = PROPERTIES.joinpath(*filter(None, (kind, f"{name}.yaml")))
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {} if file.is_file() else {}


def property_names(kind: str) -> list[str]:
    """Names of our property files `<kind>/*.yaml`."""
    names = (file.name for file in PROPERTIES.joinpath(kind).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def read_preset(name: str, model: str | None = None) -> dict[str, Any]:
    """The options of `preset/<name>.yaml`, the model's name among them.

    Args:
        name: of the preset.
        model: that was asked for; None: the preset's.

    Raises:
        UserError: there is no such preset, or it is one of another model.
    """
    names = property_names("preset")
    if name not in names:
        raise UserError(
            f"there is no preset {clip(repr(name))}{nearest(clip(str(name)), names)}; known: "
            f"{', '.join(names)}."
        )
    content = read_properties("preset", name)
    if model not in (None, content["model"]):
        raise UserError(f"the preset {name} is of {content['model']}, not of {model}.")
    return content


@lru_cache
def _load_recbole_yaml(file: Path) -> dict[str, Any]:
    return load_yaml(file) if file.is_file() else {}


def _recbole_properties(kind: str, name: str) -> dict[str, Any]:
    """RecBole's property file, a new dict each time, since Config changes what it is given."""
    return deepcopy(_load_recbole_yaml(RECBOLE_PROPERTIES / kind / f"{name}.yaml"))


def _header_fields(path: Path, separator: str) -> list[str]:
    """Field names in the header of an atomic file; [] if it cannot be read."""
    try:
        with path.open(encoding="utf-8") as stream:
            header = stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return []
    return [field.split(":")[0] for field in header.split(separator)]


def _inferred(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """`load_col` and `benchmark_filename` as the files of a data set suggest them."""
    parts = settings.get("benchmark_filename") or find_parts(folder, name)
    if parts is not None:
        parts = part_names(parts)
    files = [f"{name}.{part}.inter" for part in parts or ()] or [f"{name}.inter"]
    headers = [_header_fields(folder / file, str(settings["field_separator"])) for file in files]
    optional = [settings[key] for key in ("RATING_FIELD", "TIME_FIELD")]
    columns = [settings[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD")]
    columns += [field for field in optional if all(field in fields for fields in headers)]
    return {"benchmark_filename": parts, "load_col": {"inter": columns}}


def _read_beside(folder: Path, model: str, name: str) -> dict[str, Any]:
    """The property file that lies beside a data set's files, checked; {} where there is none.

    Raises:
        UserError: not plain values, an unknown option, or a wrong type.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        return {}
    content = load_yaml(path)
    defaults, strict = default_settings(model, name), strict_options(model)
    settings = content.get("model_settings", {})
    if not isinstance(settings, dict) or not all(isinstance(v, dict) for v in settings.values()):
        raise UserError(f"{path}: model_settings must hold `MODEL: {{option: value}}`.")
    check_options(settings.get(model, {}), defaults, strict, f"{path}, model_settings of {model}")
    rest = {key: value for key, value in content.items() if key != "model_settings"}
    check_options(rest, defaults, strict, str(path))
    return content


def _is_described(config) -> bool:
    """Whether anybody has said what the data set's columns are."""
    name = config["dataset"]
    return (
        "load_col" in config.external_config_dict
        or bool(read_properties("dataset", name) or _recbole_properties("dataset", name))
        or (Path(config["data_path"]) / f"{name}.yaml").is_file()
    )


def _load_internal_config_dict(self, model, model_class, dataset):
    """RecBole's defaults, then ours: protocol < model < data set; the user's options still win.

    Of a data set's options, what its files suggest < our shipped file < the one beside the data.
    """
    _original_internal(self, model, model_class, dataset)
    if model_class.type not in RUNNABLE:  # sequential and other models stay as RecBole has them
        return
    settings, given = self.internal_config_dict, self.external_config_dict
    recbole_model = _recbole_properties("model", model)
    if model in _our_models():
        for key in recbole_model:
            settings.pop(key, None)
        overall = _recbole_properties("", "overall")
        settings.update({key: overall[key] for key in recbole_model if key in overall})
        recbole_model = {}
    protocol = read_properties("", "protocol")
    settings.update({k: v for k, v in protocol.items() if k not in recbole_model})
    settings.update(read_properties("model", model))
    shipped = read_properties("dataset", dataset)
    sources = [shipped]
    if dataset != "ml-100k" or "data_path" in given:  # else RecBole's own copy is read
        folder = Path(given.get("data_path", settings["data_path"])) / dataset
        beside = _read_beside(folder, model, dataset)
        inferred = _inferred(folder, dataset, {**settings, **shipped, **beside, **given})
        if _recbole_properties("dataset", dataset):
            del inferred["load_col"]
        sources = [inferred, shipped, beside]
    for source in sources:
        for key, value in source.items():
            if key == "model_settings":
                settings.update(value.get(model, {}))
            else:
                settings[key] = value


_original_internal = Config._load_internal_config_dict


def default_settings(model: str, dataset: str) -> dict[str, Any]:
    """Every option that a run of `model` on `dataset` knows, with its default.

    Options that RecBole lists without a default are None.
    """
    listed = general_arguments + training_arguments + evaluation_arguments + dataset_arguments
    settings: dict[str, Any] = dict.fromkeys(listed)
    sources = [
        _recbole_properties("", "overall"),
        {} if model in _our_models() else _recbole_properties("model", model),
        _recbole_properties("dataset", "sample"),
        _recbole_properties("dataset", dataset),
        read_properties("", "protocol"),
        read_properties("model", model),
        read_properties("dataset", dataset),
    ]
    for source in sources:
        settings.update(source)
    settings.pop("model_settings", None)
    return settings


def model_names() -> list[str]:
    """Names of all general and traditional models that can be run: ours and RecBole's."""
    package = recbole.model.general_recommender
    built_in = {
        name
        for name, value in vars(package).items()
        if isinstance(value, type) and getattr(value, "type", None) is not None
    }
    return sorted(built_in.union(_our_models()))


def find_model(name: str) -> type:
    """The class of a general recommender.

    Raises:
        UserError: no such model, or not a general recommender.
    """
    try:
        with compat.anomaly_detection_stays():
            found = get_model(name)
        if not hasattr(found, "type"):  # a name such as __doc__ finds something else there
            raise AttributeError(name)
    except (ImportError, AttributeError, ValueError) as error:
        near = difflib.get_close_matches(clip(name), model_names(), n=1, cutoff=0.5)
        lower = {known.lower(): known for known in model_names()}
        near = [lower[name.lower()]] if name.lower() in lower else near
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(model_names())}."
        raise UserError(f"there is no model '{clip(name)}'{hint}") from error
    if found.type not in RUNNABLE:
        raise UserError(
            f"{name} is a {found.type.name.lower()} model; recbole-dmf runs general recommenders "
            f"such as {', '.join(('DMF', 'BPR', 'LightGCN', 'EASE'))}."
        )
    if name in _our_models() and found is not getattr(_our_models()[name], name):
        raise UserError(
            f"RecBole's built-in {name} would run instead of ours: recbole_dmf.register() has not "
            "been called in this process."
        )
    return found


def strict_options(model: str) -> set[str]:
    """Options whose types are checked strictly: RecBole's general ones and ours."""
    sources = [
        _recbole_properties("", "overall"),
        read_properties("", "protocol"),
        read_properties("model", model),
    ]
    return {name for source in sources for name in source}


def model_settings(config) -> dict[str, Any]:
    """The options that make this model what it is: its property file's and the learner's."""
    model = config["model"]
    names = {"epochs", "learning_rate", "train_batch_size", "train_neg_sample_args"}
    names |= set(_recbole_properties("model", model) if model not in _our_models() else {})
    names |= set(read_properties("model", model))
    return {name: config[name] for name in sorted(names)}


def load_dataset(config) -> LeaveOneOutDataset:
    """Read and filter the configured data set."""
    own = getattr(recbole.data.dataset, f"{config['model']}Dataset", LeaveOneOutDataset)
    return own(config)


def find_trainer(config) -> type:
    """RecBole's trainer class for the configured model."""
    return get_trainer(config["MODEL_TYPE"], config["model"])


def rated_matrix(config, train: RecBoleDataset):
    """Training ratings (ones where there are none) as CSR [n_users, n_items] with padding."""
    feat, rating = train.inter_feat, config["RATING_FIELD"]
    return interaction_matrix(
        feat[train.uid_field].numpy(),
        feat[train.iid_field].numpy(),
        feat[rating].numpy() if rating in feat.columns else None,
        (train.user_num, train.item_num),
    )


def train_loader(config, train: RecBoleDataset, sampler: NegativeSampler | None):
    """RecBole's training data loader over our sampler."""
    return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])


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


_undo: list = []


def register() -> None:
    """Make RecBole find our models, trainers, data set and property files. Idempotent."""
    if _undo:
        return
    compat.check_python()
    _undo.extend(workaround() for workaround in compat.WORKAROUNDS)
    replacements: Iterable[tuple[Any, str, Any]] = [
        (recbole.data.dataset, "Dataset", LeaveOneOutDataset),
        *((recbole.trainer, name, trainer) for name, trainer in _our_trainers().items()),
        (Config, "_load_internal_config_dict", _load_internal_config_dict),
    ]
    _undo.extend(compat.replace(*replacement) for replacement in replacements)
    for name, module in _our_models().items():
        full_name = _PREFIX + name.lower()
        old = sys.modules.get(full_name)
        sys.modules[full_name] = module
        _undo.append(lambda full_name=full_name, old=old: _restore_module(full_name, old))
        _undo.append(compat.replace(recbole.model.general_recommender, name, getattr(module, name)))


def _restore_module(full_name: str, old: ModuleType | None) -> None:
    if old is None:
        del sys.modules[full_name]
    else:
        sys.modules[full_name] = old


def unregister() -> None:
    """Put everything back as `register` found it."""
    while _undo:
        _undo.pop()()
