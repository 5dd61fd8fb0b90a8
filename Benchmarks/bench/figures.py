"""Figures: what a benchmark hands back, how it is printed, stored and compared."""
import json
import statistics
import subprocess
from dataclasses import asdict, dataclass
from datetime import datetime, timezone


@dataclass
class Figure:
    """One number. `ratio` is against the reference of the same run (None where there is none)."""

    name: str
    median: float
    spread: float
    unit: str
    ratio: float | None = None
    reference: str = ""
    goal: str = ""
    better: str = "less"
    build: str = ""
    commit: str = ""
    date: str = ""

    def line(self):
        ratio = f"  ratio {self.ratio:.2f} to {self.reference}" if self.ratio is not None else ""
        goal = f"  goal {self.goal}" if self.goal else ""
        return f"{self.name:<28} {show(self.median)} {self.unit} ± {show(self.spread)}{ratio}{goal}"


def show(number):
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def spread(values):
    """Half of what lies between the quartiles: one slow round does not move it."""
    if len(values) < 2:
        return 0.0
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return (third - first) / 2


def alone(name, values, unit, **more):
    """A figure of values that have no reference."""
    return Figure(name, statistics.median(values), spread(values), unit, **more)


def against(name, ours, theirs, unit, reference, **more):
    """A figure of interleaved pairs: the ratio is the median of the pairs' ratios."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    return Figure(name, statistics.median(ours), spread(ours), unit, ratio=ratio, reference=reference, **more)


def commit():
    def git(*arguments):
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def stamp(figures, build):
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    version = commit()
    for figure in figures:
        figure.build, figure.commit, figure.date = build, version, when


def write(path, figures):
    with open(path, "w", encoding="utf-8") as file:
        json.dump([asdict(figure) for figure in figures], file, indent=2)
        file.write("\n")


def compare(figures, path):
    """Lines that name what got worse by a fifth since the file was written, and whether there are any.

    A figure with a reference is judged by its ratio, which a faster or slower machine hardly moves.
    """
    with open(path, encoding="utf-8") as file:
        before = {old["name"]: old for old in json.load(file)}
    lines, worse = [], False
    for figure in figures:
        old = before.get(figure.name)
        if old is None:
            lines.append(f"new    {figure.name}")
            continue
        if old["build"] != figure.build:
            lines.append(f"apart  {figure.name}: {figure.build} here, {old['build']} there")
            continue
        by_ratio = figure.ratio is not None and old.get("ratio") is not None
        now, then = (figure.ratio, old["ratio"]) if by_ratio else (figure.median, old["median"])
        # A ratio of rates grows as the rate does.
        change = (now / then if figure.better == "less" else then / now) if now and then else 1.0
        if change >= 1.2:
            worse = True
            lines.append(f"WORSE  {figure.name}: {'ratio ' if by_ratio else ''}{show(then)} -> {show(now)}")
        else:
            lines.append(f"ok     {figure.name}: {'ratio ' if by_ratio else ''}{show(then)} -> {show(now)}")
    return lines, worse
