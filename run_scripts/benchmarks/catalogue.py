"""Serving and evaluation over a large catalogue: our blocks, whole rows, RecBole's way and FAISS.

The vectors are generated. Each `measure_` function runs in a process of its own and reads them from
`--scratch`; top 100 are those of some users alone, by the number of users per second.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from tabulate import tabulate

from benchmarks.children import run_child
from benchmarks.timing import report, report_memory, seconds_of
from recbole_dmf.evaluation.candidates import draw_candidates
from recbole_dmf.evaluation.evaluate import Phase, summarise
from recbole_dmf.evaluation.products import BLOCK_USERS, Blocks, Products
from recbole_dmf.serving.top_items import top_k, top_k_of_products

K, FACTORS, CENTRES, SEED = 100, 64, 300, 2020
NOISE = 1.0  # its length beside that of a centre
ASKED = 2_048  # users whose items are looked for
ASKED_IN_ROWS = 64
USERS_PER_ROWS = 4  # at a time: 4 million scores of a million items
N_LISTS = 1_024
N_PROBED = (4, 16, 64)
NEIGHBOURS, SEARCHED = 16, (100, 400)  # of HNSW
WAYS = {
    "catalogue_blocks": "blocks (ours)",
    "catalogue_rows": "whole rows",
    "catalogue_recbole": "RecBole's full_sort_predict and topk",
    "catalogue_flat": "FAISS IndexFlatIP",
    "catalogue_ivf": "FAISS IVFFlat",
    "catalogue_hnsw": "FAISS HNSW",
}


def measure_vectors(args) -> None:
    """Write unit vectors and interactions of `--size`, number 0 as padding.

    Users and items are around common centres, of which some have many; some items are popular.
    """
    n_users, n_items, n_interactions = args.size
    folder = Path(args.scratch)
    generator = np.random.default_rng(SEED)
    centre = generator.standard_normal((CENTRES, FACTORS), dtype=np.float32)
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    share = 1 / np.arange(1, CENTRES + 1) ** 0.5
    for name, n in (("users", n_users), ("items", n_items)):
        vectors = generator.standard_normal((n + 1, FACTORS), dtype=np.float32)
        vectors *= NOISE / FACTORS**0.5
        vectors += centre[generator.choice(CENTRES, n + 1, p=share / share.sum())]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[0] = 0
        np.save(folder / f"{name}.npy", vectors)
    user = generator.integers(1, n_users + 1, n_interactions)
    user[:n_users] = np.arange(1, n_users + 1)  # everybody has one
    item = 1 + (generator.random(n_interactions) ** 3 * n_items).astype(np.int64)
    np.save(folder / "pairs.npy", np.unique(np.stack([user, item], axis=1), axis=0))


def _read(args) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of users and items."""
    folder = Path(args.scratch)
    p, q = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("users", "items"))
    return p, q


def _asked(n_users: int, wanted: int = ASKED) -> NDArray[np.int64]:
    """The users that are asked for, the same ones first however many."""
    return 1 + np.random.default_rng(SEED).permutation(n_users)[:wanted]


def _report_answers(args, name: str, answer: Callable[[], NDArray], n_users: int) -> None:
    """Report the speed of an answer, int [n_users, K], and how much of the exact one it has."""
    found: list[NDArray] = []
    cpu = time.process_time()
    seconds = seconds_of(lambda: found.append(answer()))
    cpu = time.process_time() - cpu
    path = Path(args.scratch) / "exact.npy"
    if not path.is_file():
        np.save(path, found[0])
    exact = np.load(path)[:n_users]
    pairs = zip(exact, found[0], strict=True)
    common = sum(len(np.intersect1d(one, other)) for one, other in pairs)
    speed = {"users": n_users, "users_per_second": n_users / seconds}
    speed["cpu_ms_per_user"] = 1000 * cpu / n_users
    report(**{name: {**speed, "recall": common / exact.size}})


def measure_blocks(args) -> None:
    p, q = _read(args)
    user, blocks = _asked(len(p) - 1), Blocks(len(q))

    def answer() -> NDArray:
        found = []
        for part in np.split(user, range(BLOCK_USERS, len(user), BLOCK_USERS)):
            nothing = sp.csr_matrix((len(part), len(q)))
            best = top_k_of_products(p[part], q, K, nothing, blocks, lambda score: None)
            found.append(best[1].reshape(len(part), K))
        return np.concatenate(found)

    _report_answers(args, "blocks", answer, len(user))
    report_memory()


def measure_rows(args) -> None:
    p, q = _read(args)
    user = _asked(len(p) - 1, ASKED_IN_ROWS)

    def answer() -> NDArray:
        found = []
        for part in np.split(user, range(USERS_PER_ROWS, len(user), USERS_PER_ROWS)):
            score = p[part] @ q.T
            score[:, 0] = -torch.inf
            found.append(top_k(score, K)[1].reshape(len(part), K))
        return np.concatenate(found)

    _report_answers(args, "rows", answer, len(user))
    report_memory()


def measure_recbole(args) -> None:
    """RecBole's BPR with these vectors, a user at a time, as its loader has them at such a size."""
    from benchmarks.peer import run_on_current_libraries

    run_on_current_libraries()
    from recbole.data.interaction import Interaction
    from recbole.model.general_recommender import BPR

    p, q = _read(args)
    sizes = {"user_id": len(p), "item_id": len(q)}
    config = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "NEG_PREFIX": "neg_"}
    config |= {"device": "cpu", "embedding_size": FACTORS}
    model = BPR(config, SimpleNamespace(num=sizes.__getitem__)).eval()
    model.load_state_dict({"user_embedding.weight": p, "item_embedding.weight": q})
    user = _asked(len(p) - 1, ASKED_IN_ROWS)

    @torch.no_grad()
    def answer() -> NDArray:
        found = []
        for one in torch.from_numpy(user).split(1):
            score = model.full_sort_predict(Interaction({"user_id": one})).view(1, len(q))
            score[:, 0] = -torch.inf
            found.append(score.topk(K, dim=-1).indices.numpy())
        return np.concatenate(found)

    _report_answers(args, "recbole", answer, len(user))
    report_memory()


def measure_flat(args) -> None:
    import faiss

    _measure_index(args, lambda items: faiss.IndexFlatIP(FACTORS), lambda index: iter(["flat"]))


def measure_ivf(args) -> None:
    import faiss

    def index(items: NDArray):
        n_lists = min(N_LISTS, max(1, len(items) // 40))  # FAISS wants 39 items a list
        made = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(FACTORS), FACTORS, n_lists, faiss.METRIC_INNER_PRODUCT
        )
        made.train(items)
        return made

    def settings(index) -> Iterator[str]:
        for index.nprobe in N_PROBED:
            yield f"nprobe {index.nprobe}"

    _measure_index(args, index, settings)


def measure_hnsw(args) -> None:
    import faiss

    def index(items: NDArray):
        return faiss.IndexHNSWFlat(FACTORS, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)

    def settings(index) -> Iterator[str]:
        for index.hnsw.efSearch in SEARCHED:
            yield f"efSearch {index.hnsw.efSearch}"

    _measure_index(args, index, settings)


def _measure_index(args, build: Callable, settings: Callable[..., Iterator[str]]) -> None:
    """Build an index of the items and answer with each of its settings."""
    p, q = (vectors.numpy() for vectors in _read(args))
    user = _asked(len(p) - 1)
    start = time.perf_counter()
    index = build(q[1:])
    index.add(q[1:])
    report(build_seconds=time.perf_counter() - start)
    for name in settings(index):
        _report_answers(args, name, lambda: 1 + index.search(p[user], K)[1], len(user))
        report_memory()


def _phase(args, n_items: int, wanted: int) -> tuple[Phase, float]:
    """Some users' phase, and the seconds that it took to draw their candidates."""
    pairs = np.load(Path(args.scratch) / "pairs.npy")
    user, item = pairs[np.random.default_rng(SEED).permutation(len(pairs))].T
    n_users = int(user.max())
    seen = sp.csr_matrix((np.ones(len(user), np.float32), (user, item)), (n_users + 1, n_items))
    user, first = np.unique(user, return_index=True)
    chosen = np.sort(_asked(n_users, wanted)) - 1
    start = time.perf_counter()
    generator = np.random.default_rng(SEED)
    candidates = draw_candidates(seen, user[chosen], item[first][chosen], generator)
    warm = np.bincount(item, minlength=n_items) > 0
    phase = Phase(candidates, seen, "cpu", warm=warm)
    return phase, time.perf_counter() - start


def measure_expected(args) -> None:
    """The expected reading of all users in blocks, and of some in whole rows."""
    p, q = _read(args)
    products = Products(lambda user: p[user], q)
    few, _ = _phase(args, len(q), ASKED_IN_ROWS)
    few.count(lambda user: p[user] @ q[:1].T.expand(-1, len(q)))  # sorts what is seen
    counts: list = []

    def timed(name: str, count: Callable, n_users: int) -> None:
        cpu = time.process_time()
        seconds = seconds_of(count)
        cpu = 1000 * (time.process_time() - cpu) / n_users
        speed = {"users": n_users, "seconds": seconds, "users_per_second": n_users / seconds}
        report(**{name: {**speed, "cpu_ms_per_user": cpu}})

    timed("rows", lambda: counts.append(few.count(lambda user: p[user] @ q.T)), few.n_users)
    counts.append(few.count(products))
    differ = np.abs(counts[0].full_above - counts[1].full_above)
    report(users_that_differ=int((differ > 0).sum()), largest_difference=int(differ.max()))
    phase, prepared = _phase(args, len(q), len(p))
    report(prepare_seconds=prepared)
    timed("blocks", lambda: summarise(phase.count(products), ["hit", "ndcg"], [10]), phase.n_users)
    report_memory()


def catalogue(args) -> dict:
    """All ways of finding the top 100, and the expected reading; prints and returns a table."""
    run_child("catalogue_vectors", args, size=",".join(map(str, args.size)))
    runs = {child: run_child(child, args) for child in (*WAYS, "catalogue_expected")}
    rows = []
    for child, way in WAYS.items():
        found = runs[child]
        settings = {name: value for name, value in found.items() if isinstance(value, dict)}
        for name, measured in settings.items():
            row = {"way": f"{way}, {name}" if len(settings) > 1 else way, **measured}
            row |= {key: found.get(key) for key in ("build_seconds", "peak_memory_mb")}
            rows.append(row)
    print(f"top {K} of {args.size[1]:,} items")
    print(tabulate(rows, "keys", floatfmt=".3f"))
    expected = runs["catalogue_expected"]
    print("expected reading")
    ways = [{"way": way, **expected[way]} for way in ("rows", "blocks") if way in expected]
    print(tabulate(ways, "keys", floatfmt=".3f"))
    kept = {"users": args.size[0], "items": args.size[1], "interactions": args.size[2]}
    kept |= {"factors": FACTORS, "centres": CENTRES, "noise": NOISE, "seed": SEED, "k": K}
    # What other measurements have and this one doesn't.
    kept |= dict.fromkeys(("dataset", "batch_size", "layers", "negatives"))
    kept["faiss"] = faiss_version()
    return {**kept, "threads": torch.get_num_threads(), "rows": rows, "runs": runs}


def faiss_version() -> str | None:
    """Of the package `faiss-cpu`; None without it."""
    try:
        return metadata.version("faiss-cpu")
    except metadata.PackageNotFoundError:
        return None


def plot_catalogue(measured: dict, axes) -> None:
    """Users per second of CPU time, which a busy machine changes less, by recall."""
    markers = itertools.cycle("osD^vP*X<>")
    for row, marker in zip(measured["rows"], markers, strict=False):
        speed = 1000 / row["cpu_ms_per_user"]
        axes.plot(row["recall"], speed, marker, markersize=8, label=row["way"], linestyle="")
    axes.set_yscale("log")
    axes.set_xlabel(f"share of the exact top {measured['k']} found")
    axes.set_ylabel("users per second of CPU time")
    axes.legend(fontsize="small")
