"""What a data set and the protocol give away by themselves, each finding with a verdict."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recbole_dmf.config import build_config
from recbole_dmf.evaluation.metrics import WARM
from recbole_dmf.experiments.audit_findings import (
    cold_items,
    drawn_candidates,
    duplicated_users,
    few_interactions,
    global_time,
    never_rated,
    repeated_pairs,
    rule_findings,
    ties_at_latest,
)
from recbole_dmf.experiments.audit_rules import Audited
from recbole_dmf.host.lookup import load_dataset
from recbole_dmf.prepare import prepare

MODEL = "ItemPop"  # whose options hold where none is named; no model is trained


def audit(dataset: str, options: Mapping[str, Any], model: str = MODEL) -> dict[str, Any]:
    """All findings about a data set under the configured split and candidates.

    Args:
        dataset: name.
        options: of the data set and the protocol, for example `data_path`.
        model: whose split it is; models that read the order of time have another validation.

    Returns:
        Plain data: `dataset`; `misleads`, whether a finding does; `headline`, the reading to lead
        with; `counts`; the hashes of the candidates and the data; and `findings`, a list of
        {"name", "values", "misleads", "verdict"}.

    Raises:
        UserError: as `build_config` and `prepare`.
    """
    (users, items, time), tests, data, prepared = _read(dataset, options, model)
    raw = data.shape[1] - 1 > len(np.unique(data.item))
    findings = [
        cold_items(data),
        *rule_findings(data),
        repeated_pairs(users, items, time, tests),
        ties_at_latest(data),
        duplicated_users(data),
        few_interactions(data),
        drawn_candidates(data),
        global_time(data),
        never_rated(data, raw),
    ]
    return {
        "dataset": dataset,
        "misleads": any(finding["misleads"] for finding in findings),
        "headline": WARM if findings[0]["misleads"] else "expected",
        "counts": prepared.counts,
        "candidates_sha256": data.phase.candidates.sha256,
        "data_sha256": prepared.sha256,
        "findings": findings,
    }


def _read(dataset: str, options: Mapping[str, Any], model: str):
    """The file's rows and the test pairs, as ids, the data set as it is used, and `Prepared`."""
    whole = load_dataset(build_config(model, dataset, None, {**options, "rm_dup_inter": None}))
    user, item, time = _columns(whole)
    rows = (*_ids(whole, user, item), time)
    config = build_config(model, dataset, None, dict(options))
    read = load_dataset(config)
    user, item, time = _columns(read)
    prepared = prepare(config, read)
    data = Audited(
        user,
        item,
        time,
        read.split.train,
        read.split.test,
        (read.user_num, read.item_num),
        read.field2id_token[read.iid_field],
        prepared.phases["test"],
    )
    tests = set(zip(*_ids(read, user[data.test], item[data.test]), strict=True))
    return rows, tests, data, prepared


def _columns(dataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64] | None]:
    """Users, items and times in the order of the file; before the data set is split."""
    frame, time = dataset.inter_feat, dataset.time_field
    user, item = (frame[f].to_numpy(np.int64) for f in (dataset.uid_field, dataset.iid_field))
    return user, item, frame[time].to_numpy(np.float64) if time in frame else None


def _ids(dataset, user: NDArray, item: NDArray) -> tuple[NDArray, NDArray]:
    """The ids in the file of internal numbers."""
    ids = dataset.field2id_token
    return ids[dataset.uid_field][user], ids[dataset.iid_field][item]
