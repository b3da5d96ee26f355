"""What a mail costs on its way from `queued` to `accepted`, every state durable.

    .venv/bin/python benchmarks/delivery.py --mails 100000

Delivers the same mails to a local HTTP and a local TLS server, singly and in batches; beside
it, in the same run, a bare loop posts the same bytes over one pool of connections, and the
stock `sendgrid` client sends some of them. Each way is a process of its own; the server too.
Exits with 1 where single mails go at less than half of the bare loop's rate, or less than 20
times the stock client's over TLS (held from 100,000 mails on).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests" / "support"))  # for the certificate that its servers use

from certificate import make_certificate  # noqa: E402

BATCH = 1_000
PROMISED = {
    "http: delivery, single over bare loop": 0.5,
    "https: delivery, single over bare loop": 0.5,
    "https: delivery, single over stock client": 20,
}
"""Mails a second, as so many times those of the other way."""
PROMISED_FROM = 100_000


@dataclass(frozen=True)
class Way:
    """One way to hand mails over, and what it cost."""

    server: str
    way: str
    mails: int
    seconds: float
    cpu_seconds: float
    peak_mb: float

    @property
    def per_second(self) -> float:
        """Mails a second."""
        return self.mails / self.seconds


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as temporary:
        folder = Path(temporary)
        certificate = make_certificate(folder / "server.pem")
        _alone("plan", folder, str(asked.mails))
        ways = [
            way
            for server, ca_file in (("http", None), ("https", certificate))
            for way in _measure(folder, server, ca_file, asked.stock)
        ]
    ratios = _ratios(ways)
    if asked.json:
        print(json.dumps({"ratios": ratios, "ways": [asdict(way) for way in ways]}))
    else:
        _show(ways)
    missed = [
        f"{what}: {ratios[what]} of {least}"
        for what, least in PROMISED.items()
        if ratios[what] < least
    ]
    if missed and asked.mails >= PROMISED_FROM:
        sys.exit("less than promised: " + ", ".join(missed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=5_000, help="default: %(default)s")
    parser.add_argument(
        "--stock", type=int, default=300, help="mails for the stock client (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _measure(folder: Path, server: str, ca_file: Path | None, stock: int) -> Iterator[Way]:
    ca = str(ca_file) if ca_file else "-"
    for way, what, more in (
        ("bare loop", "bare", [ca]),
        ("delivery, single", "deliver", ["1", ca]),
        (f"delivery, batches of {BATCH:,}", "deliver", [str(BATCH), ca]),
        ("stock client", "stock", [ca, str(stock)]),
    ):
        with _sink(ca_file) as port:
            result = _alone(what, folder, f"{server}://127.0.0.1:{port}", *more)
        del result["stage"]
        yield Way(server, way, **result)


@contextmanager
def _sink(certificate: Path | None) -> Iterator[int]:
    command = [sys.executable, str(HERE / "sink.py"), *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _alone(what: str, folder: Path, *more: str) -> dict[str, float]:
    """What `one_delivery.py` finds."""
    result = folder / "result.json"
    script = HERE / "one_delivery.py"
    command = [sys.executable, str(script), what, str(folder), str(result), *more]
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit(status)
    answer: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
    return answer


def _ratios(ways: list[Way]) -> dict[str, float]:
    """Mails a second, as so many times those of another way."""
    rate = {(way.server, way.way): way.per_second for way in ways}
    single, batch = "delivery, single", f"delivery, batches of {BATCH:,}"
    ratios = {}
    for server in ("http", "https"):
        for way in (single, batch):
            for other in ("bare loop", "stock client"):
                ratio = rate[server, way] / rate[server, other]
                ratios[f"{server}: {way} over {other}"] = round(ratio, 2)
    return ratios


def _show(ways: list[Way]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=100, highlight=False)
    table = Table("server", "way", title="From queued to accepted")
    for what in ("mails", "mails/s", "s", "CPU s", "peak MB"):
        table.add_column(what, justify="right")
    for way in ways:
        numbers = (way.mails, way.per_second, way.seconds, way.cpu_seconds, way.peak_mb)
        texts = (f"{number:,.{1 if i in (2, 3) else 0}f}" for i, number in enumerate(numbers))
        table.add_row(way.server, way.way, *texts)
    console.print(table)
    for what, ratio in _ratios(ways).items():
        console.print(f"{what}: {ratio}")


if __name__ == "__main__":
    main()
