#!/usr/bin/env python
"""Broken and made-up inputs: each has to be read, or refused with a message.

    python run_scripts/fuzz.py --inputs=10000 --out=run_scripts/measured

Targets are the atomic files' readers, the options, and the checkpoints. An input depends on the
seed and its number alone, so `--first=N --inputs=1` makes the one that failed again.
"""

import argparse
import faulthandler
import json
import logging
import pickle
import random
import shlex
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from copy import deepcopy
from functools import lru_cache
from io import StringIO
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
import yaml

from recbole_dmf.commands import convert
from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.commands.model_arguments import take_settings
from recbole_dmf.config import build_config
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.datasets.check import check_folder, show
from recbole_dmf.datasets.init_dataset import property_file
from recbole_dmf.datasets.mend import fix_folder
from recbole_dmf.errors import UserError
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.host.properties import default_settings
from recbole_dmf.literals import load_yaml
from recbole_dmf.manifest import versions
from recbole_dmf.serving.recommend import Recommender
from recbole_dmf.training.checkpoint import pack

Target = Callable[[random.Random, Path], tuple[object, Callable[[], object]]]

PIECES = [
    *(b"\t", b"\n", b"\r", b"\r\n", b"\0", b" ", b",", b";", b"|", b"::", b'"', b"'", b"#", b"\\"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", "é".encode(), "\u2028".encode()),
    *(b"nan", b"inf", b"-inf", b"-1", b"0", b"1e999", b"1e-400", b"9" * 400, b"1_0", b"0x1", b"+5"),
    *(b":token", b":float", b":token_seq", b":float_seq", b"user_id", b"item_id", b"rating"),
    *(b"[PAD]", b"NA", b"None", b"9007199254740993", b"99999999999999999999", b"1" * 100_000),
]


def mutated(rng: random.Random, data: bytes, pieces: list[bytes] = PIECES) -> bytes:
    """`data` with a few bytes changed, removed, repeated or put in."""
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.choice((0, 1, 4, 40, 400)))
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:start] + data[end:]
        elif kind == 1:
            data = data[:start] + rng.choice(pieces) + data[end:]
        elif kind == 2:
            data = data[:start] + data[start:end] * 2 + data[end:]
        elif kind == 3:
            data = data[:start] + rng.randbytes(end - start) + data[end:]
        else:
            data = data[:start]
    return data


def atomic(rng: random.Random, folder: Path):
    """Files of interactions, for all that reads them."""
    separator = rng.choice("\t\t\t,;| ")
    rows = [["user_id:token", "item_id:token", "rating:float", "timestamp:float"]]
    for _ in range(rng.choice((0, 1, 5, 40))):
        row = [f"u{rng.randrange(5)}", f"i{rng.randrange(9)}"]
        rows.append([*row, str(rng.randint(1, 5)), str(rng.randrange(10**9))])
    data = "".join(separator.join(row) + "\n" for row in rows).encode()
    data = rng.randbytes(rng.randrange(200)) if rng.random() < 0.1 else mutated(rng, data)
    given = {
        "rating_field": rng.choice(("rating", "rating", None)),
        "time_field": rng.choice(("timestamp", "timestamp", None, "rating")),
        "separator": rng.choice((separator, "\t")),
        "rating_range": rng.choice((None, (0.0, 5.0))),
    }
    which = rng.randrange(4)
    path = folder / "shop" / "shop.inter"

    def read():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        show(check_folder(path.parent))
        other = (
            lambda: fix_folder(path.parent, folder / "mended"),
            lambda: property_file(path.parent),
            lambda: convert.main(["table", str(path), str(folder / "out"), "--user=user_id:token"]),
            lambda: convert.main(["movielens", str(path), str(folder / "out")]),
        )
        with suppress(UserError, SystemExit):
            other[which]()
        return read_inter(path, **given)

    return data, read


VALUES = [
    *(
        "1",
        "0",
        "-1",
        "2.5",
        "1e-4",
        "1e999",
        "nan",
        "inf",
        "True",
        "none",
        "~",
        "",
        " ",
        "x",
        "[]",
    ),
    *("[64, 64]", "[[1]]", "['Hit']", "[0]", "[None]", "[-1]", "{}", "{'LS': 'x'}", "{'RS': [1]}"),
    *("{'RS': [0.8, 0.1, 0.1]}", "(1, 2)", "b'x'", "1j", "{1}", "...", "9" * 5000, "[" * 3000),
    *("{'mode': 'uni100'}", "{'split': None}", "{'distribution': 'uniform', 'sample_num': 'x'}"),
    *("{'order': 'TO', 'mode': {'valid': 1}}", "uni100", "full", "cosine", "NDCG@10", "cuda:7"),
    *("__import__('os')", "*a", "!!python/none", "\0", "\ud800", "é", "/", "..", "x" * 300),
]


def options(rng: random.Random, folder: Path):
    """Command lines and files of options, up to RecBole's Config."""
    names = [*default_settings("DMF", "ml-100k"), "model", "dataset", "epoch", "", "a.b", "set"]
    words = ["--model=DMF", "--dataset=ml-100k"]
    if rng.random() < 0.2:
        words[0] = f"--model={rng.choice((*VALUES, 'BPR', 'EALS', '__doc__', 'bpr.x'))}"
    if rng.random() < 0.2:
        words[1] = f"--dataset={rng.choice(VALUES)}"
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        name, value = rng.choice(names), rng.choice(VALUES)
        if rng.random() < 0.1:
            value = mutated(rng, value.encode(errors="replace")).decode(errors="replace")
        form = rng.randrange(8)
        words += (
            [f"--{name}", value]
            if form == 0
            else [f"--set=A.{name}={value}"]
            if form == 1
            else [f"-{name}={value}"]
            if form == 2
            else [f"--{name}={value}"]
        )
    text = f"{rng.choice(names)}: {rng.choice(VALUES)}\n".encode(errors="replace") * 2
    text = mutated(rng, text, [*PIECES, b"&a ", b"*a", b"!!python/object/apply:os.system [ls]"])

    def read():
        rest, chosen = take_settings(words)
        given = parse_open(rest, ("model", "dataset"), ("fresh",), {"m": "model"})
        path = folder / "a.yaml"
        path.write_bytes(text)
        try:
            load_yaml(path)
            files = [str(path)]
        except UserError:
            files = []
        for option in (given.options, *chosen.values()):
            build_config(given.named.get("model"), given.named.get("dataset"), None, option)
        build_config("DMF", "ml-100k", files)

    return (words, text), read


def _content(rng: random.Random) -> dict:
    n_users, n_items, width = 5, 7, 3
    settings = {
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "RATING_FIELD": "rating",
        "NEG_PREFIX": "neg_",
        "embedding_size": width,
        "max_rating": 5.0,
    }
    generator = torch.Generator().manual_seed(rng.randrange(1000))
    state = {
        "user_embedding.weight": torch.randn(n_users, width, generator=generator),
        "item_embedding.weight": torch.randn(n_items, width, generator=generator),
    }
    model = rng.choice(("BPR", "DMF"))
    if model == "DMF":
        settings |= default_settings("DMF", "ml-100k") | {"max_rating": 5.0}
        settings |= {"user_layers": [width], "item_layers": [width]}
        state = {
            "user_tower.weight": torch.randn(n_items, width, generator=generator),
            "item_tower.weight": torch.randn(n_users, width, generator=generator),
        }
    train = sp.random(n_users, n_items, 0.3, "csr", np.float32, random_state=1)
    train.data[:] = 4
    return {
        "format": 1,
        "model": model,
        "dataset": "shop",
        "settings": settings,
        "users": [f"u{n}" for n in range(n_users)],
        "items": [f"i{n}" for n in range(n_items)],
        "train": train,
        "state_dict": state,
        "other_parameter": {},
        "epoch": 3,
    }


def _strange(rng: random.Random) -> object:
    endless: list = []
    endless.append(endless)
    doubled: list = [1]
    for _ in range(40):
        doubled = [doubled, doubled]
    return rng.choice(
        [
            *(
                None,
                -1,
                0,
                1,
                1 << 40,
                1.5,
                float("nan"),
                float("inf"),
                "",
                "x",
                "u1",
                True,
                [],
                {},
            ),
            *([1], ["a"], {"a": 1}, {1: 2}, endless, doubled, torch.zeros(0), torch.ones(3)),
            *(torch.full((5, 3), float("nan")), torch.ones(7, 3, dtype=torch.int64)),
            *(torch.zeros(1).expand(1 << 40), torch.ones(5, 3, dtype=torch.complex64)),
            *(torch.eye(3).to_sparse(), torch.tensor(1), "BPR", "../x", "NeuMF", "LightGCN"),
            {"__numpy__": 3},
            {"__tuple__": 3},
            {"__scipy_sparse__": ["csr", [3, 3], 1, 2, 3]},
            {"__scipy_sparse__": ["lil", [-1, 1 << 40], *[torch.ones(1)] * 3]},
        ]
    )


def _changed(rng: random.Random, value: object) -> object:
    """`value` with something in it replaced, removed or added."""
    if rng.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return _strange(rng)
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [*value[:place], _changed(rng, value[place]), *value[place + 1 :]]
    key = rng.choice(list(value))
    if rng.random() < 0.2:
        return {k: v for k, v in value.items() if k != key}
    if rng.random() < 0.1:
        return {**value, rng.choice(("x", 5, None)): _strange(rng)}
    return {**value, key: _changed(rng, value[key])}


def checkpoint(rng: random.Random, folder: Path):
    """Checkpoints with a changed content, or with changed bytes."""
    content = pack(_content(rng))
    for _ in range(rng.choice((0, 1, 1, 2))):
        content = _changed(rng, content)
    path = folder / "model.pt"
    kind = rng.randrange(8)
    if kind == 0:
        path.write_bytes(pickle.dumps(sys.exit))
    else:
        new_format = kind != 1
        torch.save(content, path, _use_new_zipfile_serialization=new_format)
    data = path.read_bytes()
    if kind in (1, 2, 3):
        data = mutated(rng, data)

    def read():
        path.write_bytes(data)
        recommender = Recommender.load(path)
        user = recommender.users[1:3].tolist()
        return recommender.recommend(user or "u1", k=3)

    return data, read


@contextmanager
def property_files_read_once():
    """RecBole parses five files for every Config, which takes longer than all else here."""
    original = yaml.load
    once = lru_cache(maxsize=64)(original)
    yaml.load = lambda text, Loader: deepcopy(once(text, Loader))
    try:
        yield
    finally:
        yaml.load = original


TARGETS: dict[str, Target] = {"atomic": atomic, "options": options, "checkpoint": checkpoint}


def fuzz(target: str, n_inputs: int, seed: int, first: int = 0) -> tuple[Counter, list[dict]]:
    """How often each outcome came, and the inputs that ended otherwise than they may."""
    outcomes: Counter = Counter()
    failures = []
    logging.disable(logging.CRITICAL)
    with property_files_read_once():
        for number in range(first, first + n_inputs):
            rng = random.Random(f"{seed} {target} {number}")
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                given, read = TARGETS[target](rng, Path(folder))
                try:
                    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                        read()
                    outcomes["read"] += 1
                except UserError as error:
                    outcomes["refused"] += 1
                    if len(str(error)) > 5000:
                        failures.append({"number": number, "error": str(error)[:5000]})
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    outcomes[type(error).__name__] += 1
                    told = {"number": number, "input": repr(given)[:2000]}
                    failures.append({**told, "error": traceback.format_exc()[-3000:]})
    logging.disable(logging.NOTSET)
    return outcomes, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--out", type=Path, help="folder; gets fuzz-TARGET.json")
    given = parser.parse_args()
    faulthandler.enable()
    bad = 0
    for target in given.targets.split(","):
        start = time.perf_counter()
        outcomes, failures = fuzz(target, given.inputs, given.seed, given.first)
        seconds = round(time.perf_counter() - start, 1)
        print(f"{target}: {dict(outcomes)} in {seconds} s", flush=True)
        for failure in failures[:5]:
            print(*(f"{name}: {text}" for name, text in failure.items()), sep="\n", flush=True)
        bad += len(failures)
        if given.out:
            about = {
                "command": shlex.join(["python", *sys.argv]),
                "target": target,
                "inputs": given.inputs,
                "seed": given.seed,
                "outcomes": dict(outcomes),
                "failures": failures,
                "seconds": seconds,
                "versions": versions(),
            }
            file = make_folder(given.out) / f"fuzz-{target}.json"
            write_text(file, json.dumps(about, indent=2) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
