"""Each rule that learns nothing, against its words in plain Python."""

import numpy as np
import pytest

from recbole_dmf.evaluation.metrics import expected_gain, gains
from recbole_dmf.experiments.audit import audit

N_USERS, N_ITEMS, PER_USER, WIDTH = 40, 90, 8, 30


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Ready-made parts: (folder above, (train, valid, test), items by user, items)."""
    generator = np.random.default_rng(5)
    rows = []
    for user in range(N_USERS):
        # the 10 highest ids are rarely taken, so that some of them are cold
        items = generator.choice(N_ITEMS, PER_USER, False, p=_shares())
        times = generator.permutation(1000)[:PER_USER] + 900_000_000
        rows += [
            (f"u{user}", str(i + 1), 4, int(t)) for i, t in zip(items, np.sort(times), strict=True)
        ]
    test, valid = rows[PER_USER - 1 :: PER_USER], rows[::PER_USER]
    train = [row for row in rows if row not in test + valid]
    generator.shuffle(train)
    train = [(u, i, int(r), int(t)) for u, i, r, t in train]
    base = tmp_path_factory.mktemp("rules")
    folder = base / "tiny"
    folder.mkdir()
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    for name, content in (("train", train), ("valid", valid), ("test", test)):
        lines = [header, *("\t".join(map(str, row)) for row in content)]
        (folder / f"tiny.{name}.inter").write_text("\n".join(lines) + "\n")
    seen = {}
    for user, item, *_ in rows:
        seen.setdefault(user, set()).add(item)
    items = sorted({row[1] for row in rows}, key=int)
    lines = ["user_id:token\titem_id:token"]
    for user, own in seen.items():
        unseen = [item for item in items if item not in own]
        lines += [f"{user}\t{item}" for item in generator.choice(unseen, WIDTH, False)]
    (folder / "tiny.test.candidates").write_text("\n".join(lines) + "\n")
    return base, (train, valid, test), seen, items


def _shares():
    shares = np.concatenate([np.linspace(2, 1, N_ITEMS - 10), np.full(10, 0.08)])
    return shares / shares.sum()


def hits(parts, score):
    """HR@10 of `score(user, item)`, the exact mean over draws of WIDTH unseen items."""
    _, (_, _, test), seen, items = parts
    stood = []
    for user, target, *_ in test:
        unseen = [item for item in items if item not in seen[user]]
        scores = np.array([score(user, item) for item in unseen])
        own = score(user, target)
        stood.append((len(unseen), (scores > own).sum(), (scores == own).sum()))
    n, above, tied = np.array(stood).T
    return float(expected_gain(gains("hit", 10), n, above, tied, WIDTH).mean())


def test_rules(parts):
    base, (train, valid, test), _, _ = parts
    count, latest, place, last = {}, {}, {}, {}
    for _, item, _, time in train:
        count[item] = count.get(item, 0) + 1
        latest[item] = max(latest.get(item, 0), time)
    for number, (user, item, *_) in enumerate([*train, *valid, *test]):
        place.setdefault(item, number)
        if number < len(train):
            last[user] = item
    order = {item: number for number, item in enumerate(sorted(place, key=place.__getitem__))}

    def next_in_file(user, item):
        return -((order[item] - order[last[user]]) % (len(order) + 1))

    by_id = [hits(parts, lambda _, item: int(item)), hits(parts, lambda _, item: -int(item))]
    wanted = {
        "constant": hits(parts, lambda *_: 0),
        "popularity": hits(parts, lambda _, item: count.get(item, 0)),
        "cold items first": hits(parts, lambda _, item: item not in count),
        "latest items of all first": hits(parts, lambda _, item: latest.get(item, 0)),
        "item id": max(by_id),
        "next item in the file": hits(parts, next_in_file),
    }
    found = audit("tiny", {"data_path": str(base)})
    values = {
        finding["name"].removeprefix("rule: "): finding["values"]["hit@10"]
        for finding in found["findings"]
        if finding["name"].startswith("rule: ")
    }
    assert set(values) == set(wanted)
    for rule, hit in wanted.items():
        assert values[rule] == pytest.approx(hit, abs=1e-9), rule
    assert wanted["constant"] == pytest.approx(10 / (WIDTH + 1))
    assert len({round(hit, 6) for hit in wanted.values()}) == len(wanted)
