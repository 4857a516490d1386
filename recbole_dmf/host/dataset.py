"""RecBole's Dataset with checked files, exact timestamps and the paper's split."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.dataset import Dataset as RecBoleDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from recbole_dmf.data.atomic import check_ratings, read_inter
from recbole_dmf.data.benchmark_files import read_candidates, split_parts
from recbole_dmf.data.header import header_fields
from recbole_dmf.data.history import EXACT_TIME, N_EARLIER, count_earlier
from recbole_dmf.data.side_files import read_side
from recbole_dmf.data.split import Split, drop_duplicates, leave_one_out, leave_two_out
from recbole_dmf.errors import UserError
from recbole_dmf.host.data_options import check_columns, check_labels
from recbole_dmf.host.option_layers import is_described
from recbole_dmf.host.own_classes import model_class
from recbole_dmf.host.properties import recbole_properties

SPLIT = "latest_test_random_valid"  # value of eval_args.split.LS for the paper's split
_ANY_NUMBER = "[0,inf)"  # RecBole's default for the interactions of a user or an item
_FILES = (FeatureSource.INTERACTION, FeatureSource.USER, FeatureSource.ITEM)
LATEST = "latest_test_latest_valid"  # the same with the interaction before test for validation


def is_our_split(eval_args: dict[str, Any]) -> bool:
    """Whether these options ask for one of our splits, ranked as here."""
    return eval_args["split"] in ({"LS": SPLIT}, {"LS": LATEST})


class LeaveOneOutDataset(RecBoleDataset):
    """RecBole's Dataset with checked files, exact timestamps and the paper's split.

    With any other split than those of `is_our_split` it splits as RecBole does.

    Attributes:
        split: rows of train, valid and test in the interactions, once built.
        max_rating: highest rating in the files, where no option says it.
        dropped_duplicates: interactions removed because a later one has the same user and item.
        known_at_test: the interactions that a model that reads the order has for input at test,
            training and validation; None: those of training.
    """

    split: Split
    known_at_test: Interaction | None = None
    max_rating: float | None = None
    dropped_duplicates = 0

    @property
    def has_order(self) -> bool:
        """Whether the model reads the order of time, so that the interactions need it."""
        model = model_class(self.config["model"])
        return bool(self.config["recent_items"]) or getattr(model, "reads_order", False)

    def _load_inter_feat(self, token, dataset_path):
        folder, parts = Path(dataset_path), self.benchmark_filename_list
        names = [f"{token}.inter"] if parts is None else [f"{token}.{p}.inter" for p in parts]
        for name in names:
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder / name}: no such file. Put the interactions there, "
                    + ("or correct benchmark_filename." if parts else "or correct --data_path.")
                )
        check_columns(self.config, [folder / name for name in names], self.logger)
        super()._load_inter_feat(token, dataset_path)
        assumed = []
        rating = self.config["RATING_FIELD"]
        if rating not in self.inter_feat:
            assumed.append(f"no column {rating}, so every interaction counts as 1 (Eq. 1)")
        elif not self.config["max_rating"]:
            values = self.inter_feat[rating]
            self.max_rating = float(values.max())
            assumed.append(f"rating scale {values.min():g}..{values.max():g} from the data")
        if self.time_field not in self.inter_feat and parts is None:
            assumed.append("no timestamps, so the last row of each user is tested")
        if assumed and not is_described(self.config):
            self.logger.info(
                f"no property file for {token}: {', '.join(assumed)}; "
                f"`recbole-dmf init-dataset {folder}` writes it down"
            )

    def _get_load_and_unload_col(self, source):
        try:
            return super()._get_load_and_unload_col(source)
        except ValueError as error:
            raise UserError(
                "load_col and unload_col both name columns of one file; keep one of them."
            ) from error

    def _reset_index(self):
        try:
            super()._reset_index()
        except ValueError as error:
            raise UserError(
                "no rows of a file are left after filtering; loosen val_interval, "
                "user_inter_num_interval or item_inter_num_interval."
            ) from error

    def _load_feat(self, filepath, source):
        """Ids, ratings and times by our reader on every path, further columns as RecBole's."""
        load_col, unload_col = self._get_load_and_unload_col(source)
        if source not in _FILES or load_col == set():
            return super()._load_feat(filepath, source)
        path, separator = Path(filepath), self.config["field_separator"]
        types = {field.name: field.type for field in header_fields(path, separator)}
        there = [name for name in types if load_col is None or name in load_col]
        names = there + sorted((load_col or set()).difference(there))  # to be told what is missing
        names = [name for name in names if name not in (unload_col or ())]
        texts = {"separator": separator, "seq_separator": self.config["seq_separator"]}
        if source == FeatureSource.INTERACTION:
            frame = self._read_inter(path, names, texts)
        else:
            own = self.uid_field if source == FeatureSource.USER else self.iid_field
            frame = read_side(path, own, [name for name in names if name != own], **texts)
        for name in frame.columns:
            kind = FeatureType(types[name])
            self.field2source[name], self.field2type[name] = source, kind
            self.field2seqlen[name] = 1
            if kind in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
                self.field2bucketnum[name] = 2
            if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
                longest = (self.config["seq_len"] or {}).get(name)
                frame[name] = [values[:longest] for values in frame[name]]
                self.field2seqlen[name] = max(map(len, frame[name]))
        return frame

    def _read_inter(self, path: Path, names: list[str], texts: dict[str, str]):
        ids = self.uid_field, self.iid_field
        rating, time = (
            field if field in names else None
            for field in (self.config["RATING_FIELD"], self.time_field)
        )
        return read_inter(
            path,
            user_field=self.uid_field,
            item_field=self.iid_field,
            rating_field=rating,
            time_field=time,
            further=[name for name in names if name not in (*ids, rating, time)],
            rating_range=self._rating_range(),
            filtered=self._filters_ratings(),
            **texts,
        )

    def _rating_range(self) -> tuple[float, float] | None:
        top = self.config["max_rating"]
        return (0.0, float(top)) if top else None

    def _filters_ratings(self) -> bool:
        """Whether ratings are checked after the filter by value, of which 0 may mean none."""
        return bool(self.config["val_interval"]) and self.benchmark_filename_list is None

    def _filter_by_field_value(self):
        for name in self.config["val_interval"] or ():
            if name not in self.field2type:
                raise UserError(
                    f"val_interval names {name!r}, which is no column that is read; there are "
                    f"{', '.join(self.field2type)}. Correct it, or add the column to load_col."
                )
        super()._filter_by_field_value()
        rating = self.config["RATING_FIELD"]
        if self._filters_ratings() and rating in self.inter_feat:
            path = Path(self.dataset_path) / f"{self.dataset_name}.inter"
            check_ratings(path, self.inter_feat[rating], self._rating_range())

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

    def _filter_inter_by_user_or_item(self):
        """As RecBole's (dataset.py:1106), which copies all interactions to drop none."""
        if self.user_feat is not None or self.item_feat is not None:
            super()._filter_inter_by_user_or_item()

    def _filter_by_inter_num(self):
        """As RecBole's (dataset.py:892), which counts one by one what no interval shuts out."""
        names = ("user_inter_num_interval", "item_inter_num_interval")
        if any(self.config[name] not in (None, _ANY_NUMBER) for name in names):
            super()._filter_by_inter_num()

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
        check_labels(self.config, self.inter_feat)
        if not is_our_split(self.config["eval_args"]):
            if self.has_order:
                optional = self.config.internal_config_dict.get("recent_items") == 0
                raise UserError(
                    f"{self.config['model']}{' with recent_items' if optional else ''} needs the "
                    f"order of time that our split gives; leave eval_args.split at LS: {SPLIT}."
                )
            if parts and len(parts) != 3:
                raise UserError(
                    "RecBole's own evaluation needs three parts in benchmark_filename; add one, or "
                    f"leave eval_args.split at LS: {SPLIT}."
                )
            if self.config["eval_args"]["order"] == "TO" and not parts:
                # RecBole sorts by 32-bit times (interaction.py:347), stably: a minute is as one.
                self.inter_feat = self.inter_feat.sort_values(self.time_field, kind="stable")
            return super().build()
        if len(self.inter_feat) == 0:
            raise UserError("no interactions are left after filtering; loosen the filters.")
        self.split = self._split_of_parts(parts) if parts else self._leave_one_out()
        time = self._time()
        if self.has_order:
            user = self.inter_feat[self.uid_field].to_numpy()
            n_earlier = count_earlier(user, time, self.split.train)
            if self._validates_on_latest():
                known = np.sort(np.concatenate([self.split.train, self.split.valid]))
                at_test = count_earlier(user, time, known)
                n_earlier[self.split.test] = at_test[self.split.test]
            self.inter_feat = self.inter_feat.assign(**{N_EARLIER: n_earlier})
            self.set_field_property(N_EARLIER, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)
        self._change_feat_format()
        if time is not None and getattr(model_class(self.config["model"]), "reads_time", False):
            self.inter_feat.interaction[EXACT_TIME] = torch.tensor(time)
        if self.has_order and self._validates_on_latest():
            self.known_at_test = self._rows(torch.from_numpy(known))
            self.known_at_test.interaction[N_EARLIER] = torch.from_numpy(at_test[known])
        parts = (self.split.train, self.split.valid, self.split.test)
        return [self.copy(self._rows(torch.from_numpy(rows))) for rows in parts]

    def _rows(self, rows: torch.Tensor) -> Interaction:
        """As `inter_feat[rows]`, which makes a Python list of them (interaction.py:144)."""
        columns = self.inter_feat.interaction
        return Interaction({name: column[rows] for name, column in columns.items()})

    def _validates_on_latest(self) -> bool:
        return self.config["eval_args"]["split"]["LS"] == LATEST

    def _leave_one_out(self) -> Split:
        user = self.inter_feat[self.uid_field].to_numpy()
        if self._validates_on_latest():
            return leave_two_out(user, self._time())
        return leave_one_out(user, self._time(), int(self.config["split_seed"]))

    def _split_of_parts(self, names: list[str]) -> Split:
        """The split of `benchmark_filename`; RecBole filters no ready-made parts."""
        if self._validates_on_latest() and len(names) < 3:
            raise UserError(
                f"{LATEST} needs three ready-made parts, not {', '.join(names)}: the validation of "
                f"two is drawn from training. Leave eval_args.split at LS: {SPLIT}."
            )
        filters = ("user_inter_num_interval", "item_inter_num_interval", "val_interval")
        usual = recbole_properties("dataset", "sample")
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
