"""Data set -> split, candidates, sampler, training matrix."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recbole_dmf.data.fingerprint import fingerprint
from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import interaction_matrix, train_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.candidates import Candidates, candidates_from, draw_candidates
from recbole_dmf.evaluation.evaluate import Counts, Phase, per_user, summarise
from recbole_dmf.evaluation.metrics import N_CANDIDATES
from recbole_dmf.host.lookup import train_loader
from recbole_dmf.options import Config

PHASES = ("valid", "test")
_STREAM = 0xCA4D  # of the candidates' random numbers, beside the seed
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]  # users, items


@dataclass
class Prepared:
    """A data set that is split and ready to train on and to be ranked.

    Attributes:
        train: RecBole's Dataset of the training interactions.
        sampler: of training negatives.
        phases: {"valid": Phase, "test": Phase}.
        counts: users, items, training interactions, and users that are ranked in each phase.
        sha256: of the ids, the interactions and their split; see `fingerprint`.
        user_ids, item_ids: the ids in the files, by their numbers.
        counted: where the targets of each phase stood when it was last measured.
    """

    train: Any
    sampler: NegativeSampler | None
    phases: dict[str, Phase]
    counts: dict[str, int]
    sha256: str
    user_ids: NDArray
    item_ids: NDArray
    counted: dict[str, Counts] = field(default_factory=dict)

    @property
    def candidates_sha256(self) -> dict[str, str]:
        """The hash of each phase's candidates."""
        return {name: phase.candidates.sha256 for name, phase in self.phases.items()}

    def train_loader(self, config: Config):
        """RecBole's loader of the training interactions, over our sampler."""
        return train_loader(config, self.train, self.sampler)

    def measure(self, trainer: Any, phase: str) -> dict[str, dict[str, float]]:
        """{reading: {metric: value}} of a phase, with the model as it is now."""
        self.counted[phase] = trainer.count(self.phases[phase])
        return summarise(self.counted[phase], trainer.config["metrics"], trainer.config["topk"])

    def per_user(self, config: Config, phase: str) -> dict[str, Any]:
        """The columns of per_user.csv, a row per ranked user, from the phase's last measuring."""
        candidates, counts = self.phases[phase].candidates, self.counted[phase]
        columns: dict[str, Any] = {
            "user_id": self.user_ids[candidates.user],
            "item_id": self.item_ids[candidates.target],
            **vars(counts),
        }
        for metric in config["metrics"]:
            for k in config["topk"]:
                for reading, values in per_user(counts, metric.lower(), k).items():
                    columns[f"{metric.lower()}@{k}_{reading}"] = [
                        "" if np.isnan(v) else repr(float(v)) for v in values
                    ]
        return columns


def prepare(config: Config, dataset) -> Prepared:
    """Split a data set, draw the candidates and say what was left out and why.

    Args:
        config: RecBole's Config.
        dataset: `host.dataset.LeaveOneOutDataset`, not yet built.

    Raises:
        UserError: nobody can be evaluated.
    """
    parts = dict(zip(("train", *PHASES), dataset.build(), strict=True))
    pairs: dict[str, Pairs] = {}
    for name, part in parts.items():
        feat = part.inter_feat
        pairs[name] = feat[dataset.uid_field].numpy(), feat[dataset.iid_field].numpy()
    shape = (dataset.user_num, dataset.item_num)
    seen = _seen(pairs, shape)
    _report_split(dataset)
    train = train_matrix(parts["train"])
    warm = train.getnnz(axis=0) > 0
    phases = {
        name: _phase(config, dataset, name, pairs[name], parts[name].inter_feat, seen, warm)
        for name in PHASES
    }
    if not len(phases["test"].n_unseen):
        raise UserError("no user has an unseen item, so there is nothing to rank.")
    counts = {"users": dataset.user_num - 1, "items": dataset.item_num - 1}
    counts["train"] = len(pairs["train"][0])
    counts.update({name: len(phase.candidates.user) for name, phase in phases.items()})
    columns = [column for part in pairs.values() for column in part]
    feat = parts["train"].inter_feat
    for name in (config["RATING_FIELD"], N_EARLIER):
        if name in feat:
            columns.append(feat[name].numpy())
    ids = [dataset.field2id_token[field] for field in (dataset.uid_field, dataset.iid_field)]
    sha256 = fingerprint(ids, columns)
    return Prepared(parts["train"], _sampler(config, train), phases, counts, sha256, *ids)


def _seen(pairs: dict[str, Pairs], shape: tuple[int, int]) -> sp.csr_matrix:
    """Every (user, item) pair of all parts, CSR [n_users, n_items]."""
    users, items = (np.concatenate(column) for column in zip(*pairs.values(), strict=True))
    seen = interaction_matrix(users, items, None, shape)
    if seen.nnz < len(users):
        raise UserError(
            "a (user, item) pair occurs more than once; remove the duplicates or leave "
            "rm_dup_inter at 'latest'."
        )
    return seen


def _sampler(config: Config, train: sp.csr_matrix) -> NegativeSampler | None:
    args = config["train_neg_sample_args"]
    if args["distribution"] == "none":
        return None
    return NegativeSampler(train, config["seed"], args["distribution"], float(args["alpha"]))


def _phase(
    config: Config,
    dataset,
    name: str,
    pairs: Pairs,
    feat,
    seen: sp.csr_matrix,
    warm: NDArray[np.bool_],
) -> Phase:
    """What is ranked in a phase: each user's target and its candidates."""
    user, target = pairs
    n_candidates = number_of_candidates(config, name)
    n_unseen = dataset.item_num - 1 - np.diff(seen.indptr)
    keep = n_unseen[user] > 0
    ready = dataset.ready_candidates(
        name, dict(zip(user.tolist(), target.tolist(), strict=True)), seen
    )
    if ready is None:
        stream = [int(config["split_seed"]), _STREAM, PHASES.index(name)]
        generator = np.random.default_rng(stream)
        candidates = draw_candidates(seen, user[keep], target[keep], generator, n_candidates)
    else:
        candidates = candidates_from(user[keep], target[keep], ready[keep])
    n_earlier = None
    if N_EARLIER in feat:
        n_earlier = np.zeros(dataset.user_num, np.int64)
        n_earlier[user] = feat[N_EARLIER].numpy()
    known = dataset.known_at_test if name == "test" else None
    phase = Phase(candidates, seen, config["device"], n_earlier, warm, known)
    few = int((phase.n_unseen < n_candidates).sum()) if ready is None else 0
    _report_candidates(name, candidates, int((~keep).sum()), few, n_candidates)
    return phase


def number_of_candidates(config: Config, phase: str) -> int:
    """N of `eval_args.mode: uniN` in a phase.

    Raises:
        UserError: the mode is another one.
    """
    mode = str(config["eval_args"]["mode"][phase])
    if not mode.startswith("uni") or not mode[3:].isdecimal() or int(mode[3:]) < 1:
        raise UserError(
            f"eval_args.mode is {mode!r} for {phase}; give uni100, or another number of "
            "candidates. All unseen items are ranked besides, as the reading 'full', and "
            "valid_reading: full chooses the epoch by it."
        )
    return int(mode[3:])


def _report_candidates(
    name: str, candidates: Candidates, n_without: int, n_few: int, n_candidates: int
) -> None:
    logger = logging.getLogger()
    width = candidates.items.shape[1]
    if width != N_CANDIDATES:
        logger.info(
            f"{name}: the target is ranked among {width} candidates, in the expected reading as "
            f"well; the paper takes {N_CANDIDATES}."
        )
    if name != "test":
        return
    if n_without:
        logger.warning(
            f"{n_without} user(s) have interacted with every item and are not evaluated: there is "
            "nothing to rank."
        )
    if n_few:
        logger.warning(
            f"{n_few} user(s) have fewer than {n_candidates} unseen items; all of them are ranked."
        )


def _report_split(dataset) -> None:
    logger = logging.getLogger()
    split, n_users = dataset.split, dataset.user_num - 1
    if len(split.short_users):
        logger.warning(
            f"{len(split.short_users)} user(s) with fewer than 3 interactions are trained on but "
            "not evaluated."
        )
    if len(split.untimed_users):
        logger.warning(
            f"{len(split.untimed_users)} user(s) have no known timestamp (all 0), so their latest "
            "interaction is unknown: they are trained on but not evaluated."
        )
    if split.tied:
        logger.info(
            f"{split.tied} user(s) have several interactions at their latest timestamp; the last "
            "one in the file is tested."
        )
    if len(split.test):
        return
    if len(split.untimed_users):
        raise UserError(
            "every timestamp is 0, so nobody's latest interaction is known; leave the timestamp "
            "out of load_col to take the last one in the file as the latest."
        )
    raise UserError(
        f"none of the {n_users} users has the 3 interactions that leave-one-out needs (test, "
        "validation, training); is this the right file?"
    )
