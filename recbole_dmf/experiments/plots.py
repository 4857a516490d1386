"""The report's plots. Needs matplotlib, the optional extra `recbole-dmf[report]`.

A plot is drawn once as a figure and saved twice: as SVG for the page, where text and grid follow
the page's light or dark colours, and as PNG on white.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INSTALL = "pip install 'recbole-dmf[report]'"
SHORTEST_SECONDS = 0.01  # a logarithmic axis has no zero

# One seed's epochs [n], expected NDCG@10 on valid [n], best epoch or None.
ValidCurve = tuple[NDArray[np.float64], NDArray[np.float64], int | None]

# Okabe and Ito's colours less black and yellow, which vanish on a dark and on a white page.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A8A")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_DASHES = ("-", "--", "-.", ":")
_INK = "#1b1c1d"  # replaced in the SVG by the page's own colours
_GRID = "#d9dadb"


@dataclass(frozen=True)
class Curves:
    """What the plots show of one model.

    Attributes:
        label: the model's name.
        hit, ndcg: float [n_seeds, K], metric at 1..K on test.
        valid: per seed.
        train_seconds: float [n_seeds].
    """

    label: str
    hit: NDArray[np.float64]
    ndcg: NDArray[np.float64]
    valid: Sequence[ValidCurve]
    train_seconds: NDArray[np.float64]


@dataclass(frozen=True)
class Plot:
    """One finished plot: file name without ending, caption, inline SVG text, PNG bytes."""

    name: str
    caption: str
    svg: str
    png: bytes


def available() -> bool:
    """Whether matplotlib can be imported."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def draw_all(models: Sequence[Curves], reading: str = "expected") -> list[Plot]:
    """All plots that these models have data for. Same input, same bytes.

    Args:
        models: at least one, in the order of the tables.
        reading: of the figures on test, for the captions.

    Returns:
        `metrics_at_k`, `validation_curves` (where some model has epochs), `quality_vs_time`.

    Raises:
        ImportError: matplotlib is absent; see `available`.
    """
    with _style():
        plots = [
            _save(
                "metrics_at_k",
                f"HR@K and NDCG@K on test for K = 1 to 10, {reading} reading. Lines: mean over "
                "seeds; bands: one standard deviation to each side.",
                _metrics_at_k(models),
            )
        ]
        if any(len(epochs) for model in models for epochs, _, _ in model.valid):
            plots.append(
                _save(
                    "validation_curves",
                    "NDCG@10 on validation by epoch, expected reading. One line per seed; the "
                    "large marker is the epoch that was kept.",
                    _validation_curves(models),
                )
            )
        plots.append(
            _save(
                "quality_vs_time",
                f"NDCG@10 on test ({reading} reading) against training time, mean over seeds. "
                "Bars: one standard deviation. Times below "
                f"{SHORTEST_SECONDS} s are drawn at {SHORTEST_SECONDS} s.",
                _quality_vs_time(models),
            )
        )
    return plots


def _metrics_at_k(models: Sequence[Curves]) -> "Figure":
    figure = _figure(4.6)
    for axes, metric in zip(figure.subplots(1, 2), ("hit", "ndcg"), strict=True):
        for index, model in enumerate(models):
            values = getattr(model, metric)
            k = np.arange(1, values.shape[1] + 1)
            _mean_and_spread(axes, k, values, _look(index))
        name = "HR" if metric == "hit" else "NDCG"
        axes.set_xlabel("K (length of the list, items)")
        axes.set_ylabel(f"{name}@K (mean over users, 0 to 1)")
        axes.set_xticks(k)
        axes.set_ylim(bottom=0)
    _legend(figure, models, range(len(models)))
    return figure


def _mean_and_spread(axes: Any, x: NDArray, values: NDArray[np.float64], look: dict) -> None:
    """Line: mean over seeds; band: one standard deviation to each side. `values` [n_seeds, n]."""
    mean = values.mean(axis=0)
    axes.plot(x, mean, **look)
    if len(values) > 1:
        spread = values.std(axis=0, ddof=1)
        band = {"color": look["color"], "alpha": 0.2, "linewidth": 0}
        axes.fill_between(x, mean - spread, mean + spread, **band)


def shared_epochs(valid: Sequence[ValidCurve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The epochs that all seeds have, and the seeds' values there.

    Args:
        valid: at least one seed.

    Returns:
        Epochs [n] and values [n_seeds, n], float64.
    """
    epochs = valid[0][0]
    for others, _, _ in valid[1:]:
        epochs = np.intersect1d(epochs, others)
    return epochs, np.array([values[np.isin(own, epochs)] for own, values, _ in valid])


def _validation_curves(models: Sequence[Curves]) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure = _figure(4.6)
    axes = figure.subplots()
    shown = [i for i, m in enumerate(models) if any(len(epochs) for epochs, _, _ in m.valid)]
    for index in shown:
        look = _look(index)
        seeds = [seed for seed in models[index].valid if len(seed[0])]
        shared, values = shared_epochs(seeds)
        marked = look | {"markevery": max(1, len(shared) // 8)}
        _mean_and_spread(axes, shared, values, marked)
        for epochs, own, best in seeds:
            on = epochs >= (shared[-1] if len(shared) else 0)
            thin = look | {"linewidth": 0.9, "marker": "none", "alpha": 0.6}
            axes.plot(epochs[on], own[on], **thin)
            kept = epochs == best
            axes.plot(epochs[kept], own[kept], **look | {"markersize": 9}, zorder=3)
    axes.set_xlabel("Epoch (passes over the training interactions)")
    axes.set_ylabel("NDCG@10 on validation (mean over users, 0 to 1)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, models, shown)
    return figure


def _quality_vs_time(models: Sequence[Curves]) -> "Figure":
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = _figure(4.6)
    axes = figure.subplots()
    axes.set_xscale("log")
    for index, model in enumerate(models):
        seconds = np.maximum(model.train_seconds, SHORTEST_SECONDS)
        ndcg = model.ndcg[:, -1]
        several = len(ndcg) > 1
        axes.errorbar(
            seconds.mean(),
            ndcg.mean(),
            xerr=seconds.std(ddof=1) if several else None,
            yerr=ndcg.std(ddof=1) if several else None,
            **_look(index) | {"markersize": 9, "linestyle": "none"},
            elinewidth=1.5,
        )
    axes.set_xlabel("Training time (seconds, logarithmic)")
    axes.set_ylabel("NDCG@10 on test (mean over users, 0 to 1)")
    axes.margins(y=0.08)
    times = np.maximum([m.train_seconds.mean() for m in models], SHORTEST_SECONDS)
    low, high = times.min() / 2, times.max() * 2
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend(figure, models, range(len(models)), linestyle="none")
    return figure


def _figure(height: float) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)  # inches
    return Figure(figsize=(9.6, height), layout=layout)


def _look(index: int) -> dict:
    """Colours, markers and dashes repeat after 7, 10 and 28 models: never all at once."""
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _DASHES[index // len(_COLOURS) % len(_DASHES)],
        "linewidth": 1.8,
        "markersize": 6,
    }


def _legend(figure: "Figure", models: Sequence[Curves], shown: Sequence[int], **look: Any) -> None:
    """Above the axes, where it covers no data."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_look(index) | look) for index in shown]
    # matplotlib drops labels that begin with "_"
    labels = [models[index].label for index in shown]
    labels = [label if len(label) <= 40 else label[:39] + "…" for label in labels]
    labels = [" " + label if label.startswith("_") else label for label in labels]
    longest = max(len(label) for label in labels)
    columns = max(1, min(len(labels), int(105 // (longest + 7))))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.21 * (rows - 1))
    length = 1 if look else 3  # a marker alone, or a piece of its line as well
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        handlelength=length,
    )


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    ink: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    )
    settings: dict[Any, Any] = {
        **ink,
        "text.parse_math": False,  # a "$" in a model's name is a "$"
        "font.family": ["DejaVu Sans"],
        "font.size": 10,
        "grid.color": _GRID,
        "grid.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "path",
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the report
        matplotlib.rcParams.update(settings)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # names in any script
        yield


def _save(name: str, caption: str, figure: "Figure") -> Plot:
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = name  # ids that are stable, and unique on the page
    svg, png = io.StringIO(), io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
    figure.savefig(png, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return Plot(name, caption, _inline(svg.getvalue(), name, caption), png.getvalue())


def _inline(svg: str, name: str, caption: str) -> str:
    """The SVG element alone, with the page's colours and ids that no other plot uses."""
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    head = f'<svg role="img" aria-label="{escape(caption, quote=True)}"'
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1).replace(
        "<svg", head, 1
    )
