"""What a daily run costs, stage by stage, beside the same tables built by bare DuckDB SQL.

    .venv/bin/python benchmarks/pipeline.py --accounts 100000 --events 10000000

Makes a company in the file form, runs the real flow for a first day and, when more data has
come, for the next. After each, plain DuckDB builds the same tables from the same files, and
both results are compared row by row. Every number is of a process of its own. Exits with 1
when a ratio is higher than promised (held from a million events on).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from big_company import FIRST, NEXT, BigCompany, arrive_next_day
from meter import Cost

DAYS = {"first": FIRST, "next": NEXT}
PROMISED_FROM = 1_000_000
"""Events. A smaller company's run is mostly imports and parsing, which no peer has."""


@dataclass(frozen=True)
class Ratio:
    """What one costs, as so many times the other, and what is promised of it."""

    what: str
    times: float
    at_most: float | None = None


@dataclass(frozen=True)
class Day:
    """One day's run, the bare tables beside it, and the run's own report."""

    run: list[Cost]
    bare: list[Cost]
    report: dict[str, Any]

    def cost(self, which: str, *stages: str) -> Cost:
        """The cost of these stages together (`run` or `bare`); of all of them without names."""
        result = [item for item in getattr(self, which) if not stages or item.stage in stages]
        return Cost(
            "+".join(stages) or "all",
            sum(item.seconds for item in result),
            sum(item.cpu_seconds for item in result),
            max(item.peak_mb for item in result),
        )


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = _arguments()
    company = BigCompany(asked.accounts, asked.events, asked.days)
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as temporary:
        folder = (asked.keep or Path(temporary)).absolute()
        _make(company, folder)
        days = {name: _measure(folder, name, as_of) for name, as_of in DAYS.items()}
        ratios = _ratios(days)
        result = json.dumps({"company": company, "ratios": ratios, "days": days}, default=asdict)
        (folder / "result.json").write_text(result, encoding="utf-8")
    if asked.json:
        print(result)
    else:
        _show(company, days, ratios)
    broken = [
        ratio for ratio in ratios if ratio.at_most is not None and ratio.times > ratio.at_most
    ]
    if broken and company.events >= PROMISED_FROM:
        sys.exit(
            "\n".join(
                f"{trigger.what}: {trigger.times:.2f} is more than promised" for trigger in broken
            )
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=2_000, help="default: %(default)s")
    parser.add_argument("--events", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument(
        "--days", type=int, default=365, help="how far back events go (default: %(default)s)"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="leave everything there; a company that DIR holds already is used again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _make(company: BigCompany, folder: Path) -> None:
    result, original = folder / "made.json", folder / "original"
    if not result.exists() or json.loads(result.read_text()) != asdict(company):
        shutil.rmtree(original, ignore_errors=True)
        company.write(original, lambda text: print(f"{text} …", file=sys.stderr, flush=True))
        result.write_text(json.dumps(asdict(company)))
    for name in ("state", "bare", "data"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(original, folder, dirs_exist_ok=True)


def _measure(folder: Path, name: str, as_of: datetime) -> Day:
    if name == "next":
        arrive_next_day(folder)
    run, bare = (_alone(what, folder, name, as_of) for what in ("run", "bare"))
    return Day(_costs(run), _costs(bare), run["report"])


def _alone(what: str, folder: Path, name: str, as_of: datetime) -> dict[str, Any]:
    """What `one_day.py` finds."""
    print(f"{name} day, {what}", file=sys.stderr, flush=True)
    result = folder / f"{name}_{what}.json"
    script = Path(__file__).with_name("one_day.py")
    command = [sys.executable, str(script), what, str(folder), as_of.isoformat(), str(result)]
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit(status)
    answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return answer


def _costs(values: dict[str, Any]) -> list[Cost]:
    return [Cost(**cost) for cost in values["costs"]]


def _ratios(days: dict[str, Day]) -> list[Ratio]:
    ratios = []
    for name, day in days.items():
        ours, theirs = day.cost("run", "pull", "build"), day.cost("bare", "pull", "build")
        what = f"{name} day: pull + build over bare,"
        ratios += [
            Ratio(f"{what} CPU seconds", ours.cpu_seconds / theirs.cpu_seconds, 4),
            Ratio(f"{what} seconds", ours.seconds / theirs.seconds),
            Ratio(f"{what} peak memory", ours.peak_mb / theirs.peak_mb, 2),
        ]
    first, following = (day.cost("run") for day in days.values())
    return [
        *ratios,
        Ratio("next day over first day, CPU seconds", following.cpu_seconds / first.cpu_seconds, 1),
        Ratio("next day over first day, seconds", following.seconds / first.seconds),
        Ratio("next day over first day, peak memory", following.peak_mb / first.peak_mb, 1),
    ]


def _show(company: BigCompany, days: dict[str, Day], ratios: list[Ratio]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=100, highlight=False)
    table = Table(title=f"{company.accounts:,} accounts, {company.events:,} events")
    table.add_column("stage")
    for name in days:
        for what in (f"{name} day s", "CPU s", "peak MB"):
            table.add_column(what, justify="right")
    for which in ("run", "bare"):
        stages = [item.stage for item in getattr(next(iter(days.values())), which)]
        for stage in [*stages, ""]:
            costs = [day.cost(which, *([stage] if stage else [])) for day in days.values()]
            table.add_row(
                f"{which}: {stage or 'all'}",
                *(
                    text
                    for cost in costs
                    for text in (
                        f"{cost.seconds:,.1f}",
                        f"{cost.cpu_seconds:,.1f}",
                        f"{cost.peak_mb:,.0f}",
                    )
                ),
                end_section=not stage,
            )
    console.print(table)
    for name, day in days.items():
        report = day.report
        console.print(
            f"{name} day: {report['accounts']:,} accounts, feed {report['feed_status']}, "
            f"{report['planned']:,} mails planned, {report['accepted']:,} accepted"
        )
    for ratio in ratios:
        promised = f" (promised: at most {ratio.at_most:g})" if ratio.at_most is not None else ""
        console.print(f"{ratio.what}: {ratio.times:.2f}{promised}")


if __name__ == "__main__":
    main()
