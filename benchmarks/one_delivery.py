"""One way to hand mails over, in a process of its own: `one_delivery.py WHAT FOLDER RESULT …`.

plan MAILS             make FOLDER/ledger with that many queued mails, and FOLDER/requests.bin
deliver URL BATCH CA   deliver them all from a copy of the ledger, every state durable
bare URL CA            post the same bytes over one pool, with nothing around it
stock URL CA COUNT     send some of them with the stock client

CA is a PEM file, or - for none.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from meter import Meter

KEY = "SG.benchmark"
TOML = """\
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan"
contact = "support@example.com"

[source]
kind = "files"
path = "data"

[delivery]
provider = "sendgrid"

[warmup]
start = 0
"""
BODY = """{name} 様

いつもご利用いただき、誠にありがとうございます。担当の山田です。
ここ三週間ほどログインが確認できず、お困りのことがないか気になり、ご連絡いたしました。

レポートの共有をお試しになった企業さまからは、朝の会議が十五分短くなったという声を
いただいています。手順は次の三つだけです。

1. 画面の右上から「レポート」を開く
2. 見せたい相手を選ぶ
3. 「共有」を押す

ご不明な点がございましたら、このメールにそのままご返信ください。

株式会社さくらワークス
東京都千代田区丸の内1-2-3
配信停止: mailto:success@example.com
"""


def plan(folder: Path, mails: str) -> int:
    """A company whose mails are all queued, and the requests that they become."""
    from http.client import HTTPMessage

    from lifecycle.ledger import delivery, feedback, runs
    from lifecycle.ledger.decisions import Decisions, Entry, PlannedSend
    from lifecycle.ledger.record import record
    from lifecycle.ledger.store import Ledger
    from lifecycle.ledger.tables import send_identity
    from lifecycle.mail.message import Message
    from lifecycle.mail.providers import Mail
    from lifecycle.mail.providers.keep_alive import Answer
    from lifecycle.mail.providers.pause import Pause
    from lifecycle.mail.providers.sendgrid import SendGrid

    home, now = folder / "ledger", datetime.now(UTC).replace(microsecond=0)
    home.mkdir()
    (home / "lifecycle.toml").write_text(TOML, encoding="utf-8")
    with (folder / "requests.bin").open("wb") as requests:

        class Recorder:
            """Writes down what would be posted."""

            def request(
                self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
            ) -> Answer:
                assert body is not None
                requests.write(struct.pack(">I", len(body)) + body)
                return Answer(202, "", HTTPMessage(), b"")

            def close(self) -> None:
                pass

        recorder = SendGrid(KEY, transport=Recorder(), pause=Pause(folder / "pause"))
        decisions = Decisions()
        for number in range(int(mails)):
            account, contact = f"a{number}", f"c{number}"
            send_id = send_identity(account, contact, "win_back", "check_in", 1)
            message = Message(
                send_id=send_id,
                from_name="株式会社さくらワークス",
                from_email="success@example.com",
                to_name="佐藤 葵",
                to_email=f"{contact}@example.com",
                reply_to=("山田 花", "hana@example.com"),
                subject="その後、レポートの共有はいかがですか",
                body=BODY.format(name=account),
                date=now,
                list_unsubscribe=f"https://example.com/u/{send_id}",
                locale="ja",
                trigger="win_back",
                step="check_in",
            )
            mime = message.as_bytes()
            recorder.send([Mail(send_id, mime)])
            decisions.entries.append(
                Entry(
                    *(account, "win_back", 1, "v1", now, "Asia/Tokyo", "account", "JP", None),
                    (contact,),
                )
            )
            decisions.sends.append(
                PlannedSend(
                    send_id=send_id,
                    account_id=account,
                    contact_id=contact,
                    trigger="win_back",
                    step="check_in",
                    cycle=1,
                    trigger_version="v1",
                    address=message.to_email,
                    locale="ja",
                    locale_source="contact",
                    priority=50,
                    account_cap="3/7d",
                    contact_cap="1/7d",
                    not_again_days=30,
                    due_at=now,
                    not_before=now,
                    closes_at=now + timedelta(days=1),
                    expires_at=now + timedelta(days=3),
                    mime=mime,
                )
            )
    with Ledger.open(f"sqlite:///{home / '.lifecycle' / 'ledger.db'}") as ledger:
        runs.begin(ledger, run_id="r1", as_of=now, source="files")
        with ledger.write() as connection:
            record(connection, decisions, run_id="r1", at=now)
            delivery.release(connection, now)
            for source in feedback.LISTS["sendgrid"]:
                feedback.record_sync(connection, source, read_until=now, now=now)
    return int(mails)


def deliver(folder: Path, url: str, batch: str, ca_file: str) -> int:
    """All of them, as `lifecycle deliver` does it."""
    from sqlalchemy import func, select

    from lifecycle import settings
    from lifecycle.ledger.store import Ledger
    from lifecycle.ledger.tables import State, sends
    from lifecycle.mail.deliver import deliver

    home = folder / "delivery"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(folder / "ledger", home)
    given = {"api_key": KEY, "base_url": url, "batch_size": int(batch)}
    if ca_file != "-":
        given["ca_file"] = ca_file
    company = settings.load(home / "lifecycle.toml", sendgrid=given)
    with Ledger.open(company.ledger_url) as ledger:
        with measured("deliver"):
            deliver(company, ledger, now=datetime.now(UTC) + timedelta(seconds=1))
        with ledger.read() as connection:
            states = select(sends.c.state, func.count().label("number")).group_by(sends.c.state)
            counted = {row.state: row.number for row in connection.execute(states)}
    assert set(counted) == {State.ACCEPTED}, counted
    return int(counted[State.ACCEPTED])


def bare(folder: Path, url: str, ca_file: str) -> int:
    """The same bytes, as fast as one pool posts them."""
    import ssl
    from urllib.parse import urlsplit

    import urllib3

    from lifecycle.ledger.delivery import IN_FLIGHT

    address = urlsplit(url)
    if ca_file == "-":
        pool = urllib3.HTTPConnectionPool(str(address.hostname), address.port, maxsize=IN_FLIGHT)
    else:
        context = ssl.create_default_context(cafile=ca_file)
        pool = urllib3.HTTPSConnectionPool(
            str(address.hostname), address.port, maxsize=IN_FLIGHT, ssl_context=context
        )
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    def post(body: bytes) -> None:
        answer = pool.urlopen("POST", "/v3/mail/send", body=body, headers=headers, retries=False)
        assert answer.status == 202

    bodies = list(_requests(folder))
    with measured("bare"), ThreadPoolExecutor(IN_FLIGHT) as threads:
        for _ in threads.map(post, bodies):
            pass
    return len(bodies)


def stock(folder: Path, url: str, ca_file: str, count: str) -> int:
    """The official client as it comes, one call after the other as its documentation has it."""
    if ca_file != "-":
        # It reads the system's authorities anew for each connection; ours is one more.
        import certifi

        authorities = folder / "authorities.pem"
        texts = (Path(name).read_text(encoding="utf-8") for name in (certifi.where(), ca_file))
        authorities.write_text("".join(texts), encoding="utf-8")
        os.environ["SSL_CERT_FILE"] = str(authorities)
    from sendgrid import SendGridAPIClient

    client = SendGridAPIClient(KEY, host=url)
    bodies = [json.loads(body) for body in islice(_requests(folder), int(count))]
    with measured("stock"):
        for body in bodies:
            assert client.send(body).status_code == 202
    return len(bodies)


def _requests(folder: Path) -> Iterator[bytes]:
    with (folder / "requests.bin").open("rb") as file:
        while size := file.read(4):
            yield file.read(struct.unpack(">I", size)[0])


class measured:  # noqa: N801 - reads as a word
    """Measures what happens inside; before and after is not counted."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __enter__(self) -> None:
        meter.stage(self.stage)

    def __exit__(self, *_: object) -> None:
        meter.stage("end")


if __name__ == "__main__":
    meter = Meter("start")
    what, where, result, *rest = sys.argv[1:]
    work: Callable[..., int] = {"plan": plan, "deliver": deliver, "bare": bare, "stock": stock}[
        what
    ]
    mails = work(Path(where), *rest)
    costs = {cost.stage: asdict(cost) for cost in meter.stop()}
    matches: dict[str, Any] = {"mails": mails, **costs.get(what, costs["start"])}
    Path(result).write_text(json.dumps(matches), encoding="utf-8")
