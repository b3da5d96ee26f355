"""A mail that names a number of days names that of the day on which it leaves."""

from email import message_from_bytes

from sqlalchemy import select

from journey import SILENT
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import messages

ONE = SILENT + "steps:\n  - {id: check_in, after: 0d}\n"
MAIL = "Subject: {{ account.days_to_renewal }} days\n\nHello.\n"
RENEWAL = "as_of = 2026-06-{}T21:00:00, days_to_renewal = {}"


def subjects(journey, days, until):
    folder = journey.company.folder / "email_templates" / "win_back"
    for file in folder.glob("*.txt"):
        file.write_text(MAIL)
    mails = journey.live(days, until=until)
    ledger = Ledger.open(journey.settings.ledger_url)
    with ledger.read() as connection:
        sent = dict(connection.execute(select(messages.c.send_id, messages.c.mime)).all())
    ledger.close()
    words = [message_from_bytes(sent[mail.send.send_id])["Subject"] for mail in journey.left]
    return list(zip(mails, words, strict=True))


def test_a_mail_that_waits_over_a_weekend(prepare):
    # The run is on Saturday the 13th at six in Tokyo, the window opens on Monday.
    days = f"2026-06-13  silent, {RENEWAL.format(12, 5)}"
    assert subjects(prepare(ONE), days, "2026-06-15") == [("Mon 15 Jun 09:00 check_in", "3 days")]


def test_a_mail_whose_window_shut_before_it_left(prepare):
    days = f"""
        2026-06-10  silent, no mail, {RENEWAL.format(9, 5)}
        2026-06-11 03:00  mail
        2026-06-11  {RENEWAL.format(10, 4)}
    """
    assert subjects(prepare(ONE), days, "2026-06-11") == [("Thu 11 Jun 09:00 check_in", "4 days")]
