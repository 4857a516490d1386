"""The notes below a comparison's tables."""

from collections import Counter

from recbole_dmf.evaluation.metrics import WARM
from recbole_dmf.evaluation.significance import LEVEL
from recbole_dmf.experiments.checked_files import one_line
from recbole_dmf.experiments.finished_run import best_epoch, device, versions
from recbole_dmf.experiments.runs import Compared

READING_MEANS = {
    "expected": "the exact mean of the sampled figure over all draws of candidates: no "
    "sampling noise, the one to compare by, and the one set against the paper's figure",
    "sampled": "the target ranked among the candidates that were drawn once for this split, as "
    "the paper does, or that came with the data",
    "full": "the target ranked among all items that the user has not seen; lower by nature, not "
    "comparable with the paper's figure",
    WARM: "as expected, among the items that have a training interaction, and over the users whose "
    "target has one; shown because the audit says that the other figures mislead",
}
BOLD = "Best in bold."  # said wherever there is bold type


def papers_metrics(c: Compared) -> list[str]:
    """Metrics that were asked for and that the paper has figures of."""
    known = {
        metric for label, figures in c.expected.items() if label in c.runs for metric in figures
    }
    return [metric for metric in c.metrics if metric in known]


def _not_stopped(c: Compared) -> list[str]:
    """A line that names the runs which were best at the end, so that more epochs may help."""
    found = {
        label: [
            str(run.seed)
            for run in runs
            if len(run.history) > 1 and best_epoch(run.result) == run.history["epoch"].max()
        ]
        for label, runs in c.runs.items()
    }
    named = [f"{label} (seed {', '.join(seeds)})" for label, seeds in found.items() if seeds]
    if not named:
        return []
    return [f"The last epoch was the best of {'; '.join(named)}: more epochs may give more."]


def result_notes(c: Compared, tested: bool) -> list[str]:
    """What a reader must know to read the tables.

    Args:
        tested: whether models were tested against each other.
    """
    runs = [run for group in c.runs.values() for run in group]
    seeds = sorted({run.seed for run in runs})
    notes = [*c.failures, *_not_stopped(c)]
    if sum(map(bool, c.runs.values())) > 1:
        notes.append(BOLD)
    if len(seeds) > 1:
        notes.append("Figures: mean ± standard deviation over seeds.")
    two_blocks = len(set(c.reads_order.values())) == 2
    if two_blocks:
        notes.append(
            "Models that read the order of time are a block of their own: a lead over the others "
            "says what the order is worth."
        )
    if tested:
        notes.append(
            f"*: differs from the best other model{' of its block' * two_blocks}, beyond chance in "
            "the choice of users (two-sided paired permutation test of the means over seeds, p < "
            f"{LEVEL} after Holm's correction over all pairs of models) and in training (the same "
            "sign over seeds). 95 % interval: bootstrap over users, not corrected. Over seeds: the "
            "least and the greatest difference of a run of the one model and a run of the other."
        )
    notes += [
        f"{reading}: {READING_MEANS[reading]}."
        for reading in READING_MEANS
        if reading in c.readings
    ]
    chosen = Counter(
        f"{run.result.get('valid_metric', '?')} ({run.result.get('valid_reading', '?')})"
        for run in runs
    )
    notes.append(f"Epochs were chosen on validation by {', '.join(sorted(chosen))}.")
    sources = {k: v["source"] for k, v in c.expected.items() if k in c.runs and v.get("source")}
    if sources and papers_metrics(c):
        figures = "; ".join(f"{label}: {one_line(str(text))}" for label, text in sources.items())
        notes.append(f"Paper: {figures}. Diff.: ours (expected) minus the paper's figure.")
    warm = f" ({len(runs[0].per_user('hit@10', WARM)):,} warm)" if WARM in c.readings else ""
    users = f"{len(runs[0].users):,}{warm}"
    notes.append(f"Users tested: {users}. Seeds: {', '.join(map(str, seeds))}.")
    if c.audit is None:
        notes.append("There is no audit of this data; the command of this comparison makes one.")
    for phase in ("valid", "test"):
        digests = {str(run.result.get("candidates_sha256", {}).get(phase)) for run in runs}
        notes.append(f"Candidates ({phase}), SHA-256: {', '.join(sorted(digests))}")
    notes.append(f"Device: {'; '.join(sorted({device(run) for run in runs}))}.")
    notes.append(f"Versions: {'; '.join(sorted({versions(run) for run in runs}))}.")
    return notes
