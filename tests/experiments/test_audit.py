"""The audit is silent on a clean set, and finds and names each planted defect."""

import json

import numpy as np
import pytest

from conftest import SHARED, needs_shared, write_inter
from recbole_dmf.commands.audit import main
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.audit import audit
from recbole_dmf.experiments.audit_file import HEADER, rows, summary

N_USERS, N_ITEMS, PER_USER = 250, 400, 20
DAY = 86_400


def clean_rows(seed=0):
    """(user, item, rating, time) in random order: skewed popularity, times all different."""
    generator = np.random.default_rng(seed)
    popularity = np.arange(1, N_ITEMS + 1) ** -0.7
    popularity = generator.permutation(popularity / popularity.sum())
    found = []
    for user in range(N_USERS):
        items = generator.choice(N_ITEMS, PER_USER, replace=False, p=popularity)
        times = generator.integers(0, 1000 * DAY, PER_USER) + 1_000_000_000
        found += [[f"u{user}", int(i) + 1, 4, int(t)] for i, t in zip(items, times, strict=True)]
    generator.shuffle(found)
    return found


def latest_of_each(found):
    latest = {}
    for row in found:
        if row[0] not in latest or row[3] >= latest[row[0]][3]:
            latest[row[0]] = row
    return latest


def found_in(tmp_path, planted, **options):
    data_path = write_inter(tmp_path / "data", planted)
    return audit("tiny", {"data_path": str(data_path), **options})


def values_of(found, name):
    return next(finding["values"] for finding in found["findings"] if finding["name"] == name)


def misleading(found):
    return {finding["name"] for finding in found["findings"] if finding["misleads"]}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_silent_on_a_clean_set(tmp_path, seed):
    found = found_in(tmp_path, clean_rows(seed))
    assert misleading(found) == set()
    assert not found["misleads"]
    assert found["headline"] == "expected"
    assert all(finding["verdict"].startswith("harmless: ") for finding in found["findings"])
    assert summary(found) == "tiny: all findings are harmless."
    assert found["counts"]["test"] == N_USERS


def test_cold_targets(tmp_path):
    planted = clean_rows()
    for number, row in enumerate(latest_of_each(planted).values()):
        if number % 4 == 0:
            row[1] = 10_000 + number
    found = found_in(tmp_path, planted)
    assert "cold items" in misleading(found)
    assert "rule: cold items first" in misleading(found)
    assert found["headline"] == "warm"
    values = found["findings"][0]["values"]
    assert values["targets"] == pytest.approx(63 / N_USERS, abs=0.02)
    assert values_of(found, "rule: cold items first")["hit@10"] > 0.15


def test_leaked_test_rows(tmp_path):
    planted = clean_rows()
    for number, row in enumerate(list(latest_of_each(planted).values())):
        if number % 20 == 0:
            planted.insert(number, [row[0], row[1], row[2], 900_000_000 + number])
    found = found_in(tmp_path, planted)
    assert misleading(found) == {"repeated pairs"}
    values = values_of(found, "repeated pairs")
    assert values == {"rows": 13, "test pairs": 13, "share of test": pytest.approx(13 / N_USERS)}


def test_repeated_pairs_elsewhere_are_harmless(tmp_path):
    planted = clean_rows()
    latest = latest_of_each(planted)
    other = [row for row in planted if latest[row[0]] is not row][:200]
    planted = [[r[0], r[1], r[2], 900_000_000 + n] for n, r in enumerate(other)] + planted
    found = found_in(tmp_path, planted)
    assert misleading(found) == set()
    values = values_of(found, "repeated pairs")
    assert (values["rows"], values["test pairs"]) == (200, 0)


def write_parts(tmp_path, planted, choose):
    """Ready-made parts with 50 candidates of each user, chosen from the unseen items."""
    latest = latest_of_each(planted)
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    parts = {
        "train": [row for row in planted if latest[row[0]] is not row],
        "test": list(latest.values()),
    }
    folder = tmp_path / "data" / "tiny"
    folder.mkdir(parents=True)
    for name, content in parts.items():
        lines = [header, *("\t".join(map(str, row)) for row in content)]
        (folder / f"tiny.{name}.inter").write_text("\n".join(lines) + "\n")
    seen, items = {}, sorted({row[1] for row in planted})
    for row in planted:
        seen.setdefault(row[0], set()).add(row[1])
    lines = ["user_id:token\titem_id:token"]
    for user in latest:
        unseen = [item for item in items if item not in seen[user]]
        lines += [f"{user}\t{item}" for item in choose(unseen)]
    (folder / "tiny.test.candidates").write_text("\n".join(lines) + "\n")
    return audit("tiny", {"data_path": str(tmp_path / "data")})


def test_popular_only_candidates(tmp_path):
    planted = clean_rows()
    items, counts = np.unique([row[1] for row in planted], return_counts=True)
    count = dict(zip(items.tolist(), counts.tolist(), strict=True))
    found = write_parts(
        tmp_path, planted, lambda unseen: sorted(unseen, key=count.__getitem__)[-50:]
    )
    assert "candidates" in misleading(found)
    assert values_of(found, "candidates")["mean rank"] > 0.3


def test_uniform_candidates_from_a_file_are_harmless(tmp_path):
    generator = np.random.default_rng(1)
    found = write_parts(
        tmp_path, clean_rows(), lambda unseen: generator.choice(unseen, 50, replace=False)
    )
    assert misleading(found) == set()


def test_ties_in_file_order(tmp_path):
    planted = clean_rows()
    for row in planted:
        row[3] -= row[3] % (100 * DAY)
    in_order = sorted(planted, key=lambda row: row[1])
    found = found_in(tmp_path, in_order)
    assert "ties at the latest time" in misleading(found)
    verdict = next(f for f in found["findings"] if f["name"] == "ties at the latest time")
    assert "highest item id" in verdict["verdict"]
    # the same ties in an order that tells nothing
    assert "ties at the latest time" not in misleading(found_in(tmp_path / "random", planted))


def test_file_order_that_tells_the_next_item(tmp_path):
    """Users' own items of their own, one user after another: numbered in the order of time."""
    planted = [
        [f"u{user}", 20 * user + place if place > 2 else place + 1, 4, 1000 * user + place]
        for user in range(N_USERS)
        for place in range(8)
    ]
    assert "rule: next item in the file" in misleading(found_in(tmp_path, planted))


def test_duplicated_users(tmp_path):
    planted = clean_rows()
    copied = {f"u{n}" for n in range(0, N_USERS, 20)}
    planted += [[f"copy-{row[0]}", *row[1:]] for row in planted if row[0] in copied]
    found = found_in(tmp_path, planted)
    assert misleading(found) == {"duplicated users"}
    values = values_of(found, "duplicated users")
    assert values["users"] == 26


def test_never_rated_ids_count_where_they_are_candidates(tmp_path):
    planted = [row for row in clean_rows() if row[1] % 5]
    found = found_in(tmp_path, planted)
    values = values_of(found, "never-rated ids")
    missing = N_ITEMS - len({row[1] for row in planted})
    assert values["ids"] in (missing, missing - 1)
    assert "never-rated ids" not in misleading(found)
    raw = found_in(tmp_path / "raw", planted, candidate_items="raw")
    assert {"never-rated ids", "cold items"} <= misleading(raw)


def test_popularity_that_comes_after_the_test(tmp_path):
    """Each hundred days other items are taken, so that popularity is known afterwards only."""
    generator = np.random.default_rng(3)
    planted = []
    for user in range(N_USERS):
        start = user * 700 // N_USERS
        for place in range(PER_USER):
            day = start + place
            block = day // 15
            planted.append([f"u{user}", block * 8 + int(generator.integers(8)) + 1, 4, day * DAY])
    unique = list({(row[0], row[1]): row for row in planted}.values())
    found = found_in(tmp_path, unique)
    values = values_of(found, "global time")
    assert values["popularity"] > values["popularity without the future"] + 0.05
    assert "global time" in misleading(found)
    assert values["users compared"] > 50
    gain = values["popularity"] - values["popularity without the future"]
    assert values["gain"] == pytest.approx(gain)
    assert 0 < values["standard error of the gain"] < values["gain"] / 2


def test_set_without_times_and_with_short_users(tmp_path):
    folder = tmp_path / "data" / "tiny"
    folder.mkdir(parents=True)
    kept = [row for row in clean_rows() if row[0] not in {f"u{n}" for n in range(60)}]
    kept += [[f"short{n}", n + 1, 4, 0] for n in range(60)]
    lines = ["user_id:token\titem_id:token", *(f"{row[0]}\t{row[1]}" for row in kept)]
    (folder / "tiny.inter").write_text("\n".join(lines) + "\n")
    found = audit("tiny", {"data_path": str(tmp_path / "data")})
    assert misleading(found) == {"few interactions"}
    values = values_of(found, "few interactions")
    assert values["users not evaluated"] == pytest.approx(60 / 250)


def test_command_prints_and_writes_plain_data(tmp_path, capsys):
    planted = clean_rows()
    for number, row in enumerate(latest_of_each(planted).values()):
        if number % 4 == 0:
            row[1] = 10_000 + number
    data_path = write_inter(tmp_path / "data", planted)
    out = tmp_path / "new" / "audit.json"
    assert main(["--dataset=tiny", f"--data_path={data_path}", f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert "tiny: figures mislead by cold items" in said
    content = json.loads(out.read_text())
    assert content["misleads"] is True
    assert content["command"].startswith("recbole-dmf audit --dataset=tiny")
    assert len(content["candidates_sha256"]) == 64
    table = rows(content)
    assert len(table[0]) == len(HEADER)
    assert table[0][0] == "cold items"
    assert "recbole_dmf" in content["versions"]


def test_command_without_a_data_set():
    with pytest.raises(UserError, match="--dataset is missing"):
        main(["--out=x.json"])


@pytest.mark.slow
@needs_shared("amazon-music")
def test_amazon_music_is_found_out():
    found = audit("amazon-music", {"data_path": str(SHARED)})
    assert {"cold items", "rule: cold items first"} <= misleading(found)
    values = found["findings"][0]["values"]
    assert values["targets"] == pytest.approx(0.31, abs=0.005)
    assert values["candidates"] == pytest.approx(0.02, abs=0.005)


@pytest.mark.slow
def test_ml_100k_is_harmless():
    found = audit("ml-100k", {})
    assert misleading(found) == set()
    hits = values_of(found, "rule: popularity")["hit@10"]
    assert hits == pytest.approx(0.4052, abs=1e-4)  # as ItemPop's run
