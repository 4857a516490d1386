"""Tables and notes for a console, as Markdown and as LaTeX."""

import re
from collections.abc import Sequence

from recbole_dmf.experiments.checked_files import one_line
from recbole_dmf.experiments.measured_figures import MINUS
from recbole_dmf.experiments.result_notes import BOLD
from recbole_dmf.experiments.result_tables import DASH, ResultTable
from recbole_dmf.experiments.runs import Compared

ASCII_SIGNS = str.maketrans({"±": "+-", MINUS: "-", DASH: "-"})  # all that a console may know


def render_console(c: Compared, tables: Sequence[ResultTable], notes: Sequence[str]) -> str:
    """Plain text, at most ASCII signs of our own."""
    from tabulate import tabulate  # comes with RecBole

    parts = [f"{c.title} ({c.dataset})", *(f"WARNING: {w}" for w in c.warnings)]
    for table in tables:
        rows = [[text.translate(ASCII_SIGNS) for text, _ in row] for row in table.rows]
        others = "left" if table.prose else "right"
        align = ["left"] + [others] * (len(table.header) - 1)
        parts.append(
            f"{table.title}\n"
            + tabulate(
                rows,
                table.header,
                disable_numparse=True,
                colalign=align,
                maxcolwidths=[26, 34, 56] if table.prose else None,
            )
        )
    parts.append("\n".join(note.translate(ASCII_SIGNS) for note in notes if note != BOLD))
    return "\n\n".join(parts)


def _escape_md(text: str) -> str:
    text = one_line(text, 10_000).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text)


def render_markdown(c: Compared, tables: Sequence[ResultTable], notes: Sequence[str]) -> str:
    """summary.md."""
    parts = [f"# {_escape_md(c.title)} ({_escape_md(c.dataset)})"]
    parts += [f"> **Warning:** {_escape_md(warning)}" for warning in c.warnings]
    for table in tables:
        lines = [
            "| " + " | ".join(_escape_md(name) for name in table.header) + " |",
            "|---|" + ("---|" if table.prose else "---:|") * (len(table.header) - 1),
        ]
        for row in table.rows:
            cells = (f"**{_escape_md(t)}**" if bold else _escape_md(t) for t, bold in row)
            lines.append("| " + " | ".join(cells) + " |")
        parts.append(f"## {_escape_md(table.title)}\n\n" + "\n".join(lines))
    parts.append("## Notes\n\n" + "\n".join(f"- {_escape_md(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    MINUS: "$-$",
    DASH: r"\textendash{}",
    "…": r"\ldots{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def _escape_tex(text: str) -> str:
    text = "".join(_LATEX.get(sign, sign) for sign in one_line(text, 10_000))
    text = re.sub("-(?=-)", "-{}", text)  # two hyphens stay two hyphens
    text = re.sub("[0-9a-f]{8}(?=[0-9a-f])", r"\g<0>\\allowbreak{}", text)  # a SHA-256
    return text.replace("[", "{[}")  # else an option, after the end of a row


def render_latex(c: Compared, tables: Sequence[ResultTable], notes: Sequence[str]) -> str:
    """summary.tex: one table each, and the notes as a list."""
    parts = [r"% Needs \usepackage[T1]{fontenc} and \usepackage{booktabs}."]
    parts += [f"% WARNING: {_escape_tex(warning)}" for warning in c.warnings]
    for table in tables:
        lines = [r"\begin{table}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"]
        lines.append(rf"\caption{{{_escape_tex(f'{c.title} ({c.dataset}). {table.title}.')}}}")
        columns = r"p{.2\linewidth}p{.32\linewidth}p{.4\linewidth}" if table.prose else ""
        columns = columns or "l" + "r" * (len(table.header) - 1)
        lines += [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule"]
        lines += [" & ".join(_escape_tex(name) for name in table.header) + r" \\", r"\midrule"]
        for row in table.rows:
            cells = (rf"\textbf{{{_escape_tex(t)}}}" if b else _escape_tex(t) for t, b in row)
            lines.append(" & ".join(cells) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    items = "\n".join(rf"\item {_escape_tex(note)}" for note in notes)
    parts.append(f"\\begin{{itemize}}\n\\footnotesize\n{items}\n\\end{{itemize}}")
    return "\n\n".join(parts) + "\n"
