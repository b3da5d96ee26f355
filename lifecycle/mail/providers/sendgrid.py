"""SendGrid's v3 Mail Send: build the request, post it, read the status.

Only 202 is acceptance. A refusal of the mail (4xx) is a no. A refusal of the account or of our
pace leaves the mail in the queue, and so does a connection that was never made. Everything else
is uncertain, a redirect and a 200 included: to send again what such an answer followed could
send it twice, for 303 is what a server says that has done the work.

A single mail's request is a function of its bytes, so every attempt posts the same ones. In a
batch each body is put in by substitution under a tag that is new for each request, so that no
text can name it; what the reader gets is the same bytes all the same. A request is taken whole
or not at all: a batch that is refused is halved until the mail that is to blame is alone, unless
the first few mails are refused alone in the same words.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from http.client import HTTPMessage
from math import inf
from typing import Any, Literal, NamedTuple

import orjson
from python_http_client.exceptions import HTTPError  # type: ignore[import-untyped]
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import (
    Category,
    ClickTracking,
    CustomArg,
    Email,
    From,
    Ganalytics,
    Header,
    OpenTracking,
    Personalization,
    PlainTextContent,
    ReplyTo,
    SubscriptionTracking,
    Substitution,
    To,
    TrackingSettings,
)
from sendgrid.helpers.mail import Mail as Request
from sendgrid.helpers.mail.exceptions import ApiKeyIncludedException

from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.message import PREVIEW, Message
from lifecycle.mail.providers import ALIKE, TOO_LATE_TO_BEGIN, Mail, Outcome, alike
from lifecycle.mail.providers.keep_alive import (
    KeepAlive,
    NoAnswer,
    NotConnected,
    PooledClient,
    Transport,
)
from lifecycle.mail.providers.pause import Pause
from lifecycle.mail.providers.preflight import MAX_SUBSTITUTION_BYTES, complaint
from lifecycle.masking import mask_addresses
from lifecycle.settings import Settings

DEFAULT_PAUSE_SECONDS = 60.0
"""The pause after a 429 that names none."""
TAG_LENGTH = 34
AT_ONCE = 16
"""Requests of one call in flight: a batch can be split into many."""

OF_THE_ACCOUNT = frozenset({401, 402, 403, 404, 405, 407})
"""The key, the plan, the sender or base_url is wrong; every other mail would fare the same."""
TOO_LARGE = 413
NO_TRACKING = TrackingSettings(
    ClickTracking(False, False), OpenTracking(False), SubscriptionTracking(False), Ganalytics(False)
)


class _Letter(NamedTuple):
    """A mail of the batch: its position, and its request when sent alone."""

    place: int
    message: Message
    request: bytes


class _SaidOnce(NamedTuple):
    """The parts of a request that all of its mails share."""

    from_name: str
    from_email: str
    reply_to: tuple[str, str] | None
    trigger: str
    step: str
    is_preview: bool

    @classmethod
    def of(cls, message: Message) -> _SaidOnce:
        return cls(
            *(message.from_name, message.from_email, message.reply_to),
            *(message.trigger, message.step, message.is_preview),
        )


class _NotForSendGrid(Exception):
    """The preflight's objection."""


class _Paused(NotConnected):
    """SendGrid asked for a pause of that many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a pause of {seconds:.0f} seconds")
        self.seconds = seconds


class SendGrid:
    """One account at SendGrid, for any number of threads."""

    name = "sendgrid"
    live = True

    def __init__(
        self,
        api_key: str,
        *,
        transport: Transport,
        pause: Pause,
        base_url: str = "https://api.sendgrid.com",
        batch_size: int = 1,
        email_logs: bool = False,
    ) -> None:
        """`email_logs`: the account may ask what became of a mail, which settles doubts.

        Raises DeliveryError for what cannot be a key.
        """
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise DeliveryError(
                "sendgrid.api_key is no API key; give it as LIFECYCLE__SENDGRID__API_KEY"
            )
        self.batch_size = batch_size
        self._transport = transport
        self._pause = pause
        self._may_ask = email_logs
        api = SendGridAPIClient(api_key, host=base_url)
        client = PooledClient(base_url, api.client.request_headers, 3, transport)
        self._send: Callable[..., Any] = client.mail.send.post
        self._search: Callable[..., Any] = client.messages.get
        self._threads = ThreadPoolExecutor(AT_ONCE, "sendgrid") if batch_size > 1 else None

    def send(self, mails: Sequence[Mail], begin_by: float = inf) -> list[Outcome]:
        """Hand over the mails; an outcome for each, in their order."""
        outcomes = dict(self.send_each(mails, begin_by))
        return [outcomes[place] for place in range(len(mails))]

    def send_each(
        self, mails: Sequence[Mail], begin_by: float = inf
    ) -> Iterator[tuple[int, Outcome]]:
        """Hand over the mails; each one's place and outcome, as it comes.

        A batch that is refused is halved, by one request at a time until SendGrid takes a mail
        or has refused a few alone in the same words. Then the fault is not the mails', and what
        is left stays in the queue.
        """
        letters = []
        for place, mail in enumerate(mails):
            try:
                letters.append(_letter(place, mail))
            except _NotForSendGrid as objection:
                yield place, Outcome(State.REJECTED, f"not sent: {objection}", was_asked=False)
        requests = _requests(letters, self.batch_size)
        post = partial(self._post, begin_by)
        refused: list[list[_Letter]] = []
        for request, outcome in self._each(post, requests):
            if outcome is None:
                refused.append(request)
            else:
                yield from _told(request, outcome)
        for request in refused:
            yield from self._halved(post, request)

    def _halved(
        self, post: Callable[[list[_Letter]], Outcome | None], request: list[_Letter]
    ) -> Iterator[tuple[int, Outcome]]:
        """A refused batch in ever smaller ones, each mail's place and outcome."""
        left, refused_alone = _halves(request), list[tuple[_Letter, Outcome]]()
        while left:
            next_request = left.pop(0)
            outcome = post(next_request)
            if outcome is None:
                left = _halves(next_request) + left
            elif outcome.state is State.REJECTED:
                refused_alone += [(letter, outcome) for letter in next_request]
                if _are_alike(outcome for _, outcome in refused_alone):
                    yield from _left_in_the_queue(refused_alone, left, outcome)
                    return
            else:
                yield from _told(next_request, outcome)
                if outcome.state is State.ACCEPTED:
                    break
        yield from ((letter.place, outcome) for letter, outcome in refused_alone)
        while left:
            smaller = []
            for next_request, outcome in self._each(post, left):
                if outcome is None:
                    smaller += _halves(next_request)
                else:
                    yield from _told(next_request, outcome)
            left = smaller

    def rest(self) -> float:
        """The seconds until the reset that a 429 named."""
        return self._pause.left()

    def resolve(self, send_id: str) -> Literal[State.ACCEPTED, State.QUEUED] | None:
        """Accepted where SendGrid's Email Activity knows the send, else None.

        Never provably absent: activity is written minutes after a mail was taken.
        """
        if not self._may_ask:
            return None
        query = f"(unique_args['send_id']=\"{send_id}\")"
        try:
            answer = self._search(query_params={"query": query, "limit": 1})
            messages = json.loads(answer.body)["messages"]
        except (HTTPError, NoAnswer, ValueError, KeyError, TypeError):
            # Not bought, not allowed, asked too often, out of order: each further question could
            # cost a timeout, and mails are waiting. The next delivery asks again.
            self._may_ask = False
            return None
        return State.ACCEPTED if messages else None

    def close(self) -> None:
        """Close every connection and thread."""
        if self._threads is not None:
            self._threads.shutdown()
        self._transport.close()

    def _each(
        self, post: Callable[[list[_Letter]], Outcome | None], requests: list[list[_Letter]]
    ) -> Iterator[tuple[list[_Letter], Outcome | None]]:
        """Each request with its answer, in the order of the answers."""
        if self._threads is None or len(requests) == 1:
            yield from ((request, post(request)) for request in requests)
            return
        asked = {self._threads.submit(post, request): request for request in requests}
        for answer in as_completed(asked):
            yield asked[answer], answer.result()

    def _post(self, begin_by: float, letters: list[_Letter]) -> Outcome | None:
        """One request. None: the batch was refused for the sake of one of its mails."""
        if time.time() >= begin_by:
            return TOO_LATE_TO_BEGIN
        request = letters[0].request if len(letters) == 1 else _encoded(_batch(letters))
        try:
            answer = self._send(request_body=request)
        except _Paused as error:
            return _wait("SendGrid asked for a pause", error.seconds)
        except NotConnected as error:
            return Outcome(State.QUEUED, f"no connection: {error}")
        except NoAnswer as error:
            return Outcome(State.UNCERTAIN, mask_addresses(f"no answer: {error}"))
        except HTTPError as refusal:
            return self._read(refusal, len(letters))
        if answer.status != 202:
            return Outcome(State.UNCERTAIN, f"answered {answer.status}, not 202")
        number = answer.headers.get("X-Message-Id", "")
        return Outcome(State.ACCEPTED, f"as {number}"[:100] if number else "")

    def _read(self, refusal: HTTPError, mails: int) -> Outcome | None:
        status: int = refusal.status_code
        answered = f"answered {status}{_first_error(refusal)}"
        if status == 429:
            return _wait(answered, self._pause.extend(_asked_pause(refusal.headers)))
        if status == 408 or status in OF_THE_ACCOUNT:
            return Outcome(State.QUEUED, answered)
        if 400 <= status < 500:
            if mails > 1 and status in (400, TOO_LARGE):
                return None
            return Outcome(State.REJECTED, answered)
        return Outcome(State.UNCERTAIN, answered)


def open_sendgrid(settings: Settings) -> SendGrid:
    """The account of `[sendgrid]`. Raises DeliveryError when it cannot be used."""
    section, pause = settings.sendgrid, Pause(settings.state_dir / "sendgrid.pause")
    try:
        transport = KeepAlive(
            section.base_url,
            connect_timeout=section.connect_timeout_seconds,
            read_timeout=section.read_timeout_seconds,
            ca_file=section.ca_file,
            may_leave=partial(_may_leave, pause),
        )
    except OSError as error:
        raise DeliveryError(f"sendgrid.ca_file: {section.ca_file}: {error.strerror}") from None
    return SendGrid(
        section.api_key.get_secret_value(),
        transport=transport,
        pause=pause,
        base_url=section.base_url,
        batch_size=section.batch_size,
        email_logs=section.email_logs,
    )


def _may_leave(pause: Pause) -> None:
    if seconds := pause.left():
        raise _Paused(seconds)


def _halves(request: list[_Letter]) -> list[list[_Letter]]:
    half = len(request) // 2
    return [request[:half], request[half:]]


def _told(request: list[_Letter], outcome: Outcome) -> Iterator[tuple[int, Outcome]]:
    return ((letter.place, outcome) for letter in request)


def _are_alike(refusals: Iterable[Outcome]) -> bool:
    answers = [alike(refusal.detail) for refusal in refusals]
    return len(answers) >= ALIKE and len(set(answers)) == 1


def _left_in_the_queue(
    refused_alone: list[tuple[_Letter, Outcome]], left: list[list[_Letter]], last: Outcome
) -> Iterator[tuple[int, Outcome]]:
    """What is left of a batch of which SendGrid takes nothing: no mail is to blame for it."""
    stays = replace(last, state=State.QUEUED)
    letters = [letter for letter, _ in refused_alone] + [
        letter for request in left for letter in request
    ]
    return ((letter.place, stays) for letter in letters)


# The request. -----------------------------------------------------------------------------


def _requests(letters: list[_Letter], batch_size: int) -> list[list[_Letter]]:
    """The letters as requests: alone, or with those that share all that a request says once."""
    if batch_size == 1:
        return [[letter] for letter in letters]
    batches: list[list[_Letter]] = []
    open_batch: dict[object, list[_Letter]] = {}
    readers: dict[object, set[str]] = {}
    for letter in letters:
        message = letter.message
        texts = len(message.body.encode()) + len(message.subject.encode())
        if texts + 2 * TAG_LENGTH > MAX_SUBSTITUTION_BYTES:
            batches.append([letter])
            continue
        once, address = _SaidOnce.of(message), message.to_email.lower()
        batch = open_batch.get(once)
        # SendGrid refuses an address that is in a request twice.
        if batch is None or len(batch) == batch_size or address in readers[once]:
            batch = open_batch[once] = []
            readers[once] = set()
            batches.append(batch)
        batch.append(letter)
        readers[once].add(address)
    return batches


def _letter(place: int, mail: Mail) -> _Letter:
    """The mail and its request. Raises _NotForSendGrid for what SendGrid would refuse."""
    try:
        message = Message.from_bytes(mail.mime)
        if mail.trigger:
            message = replace(message, trigger=mail.trigger, step=mail.step)
        request = _request(message, [_personalization(message)], message.body, message.subject)
    except ValueError as error:
        raise _NotForSendGrid(mask_addresses(str(error))) from None
    except ApiKeyIncludedException:
        raise _NotForSendGrid("the body begins with an API key of SendGrid") from None
    encoded = _encoded(request)
    if objection := complaint(request, len(encoded), time.time()):
        raise _NotForSendGrid(objection)
    return _Letter(place, message, encoded)


def _batch(letters: list[_Letter]) -> Mapping[str, Any]:
    body, subject_tag = _new_tag(), _new_tag()
    if len({letter.message.subject for letter in letters}) == 1:
        subject, subject_tag = letters[0].message.subject, ""
    else:
        subject = subject_tag
    readers = [_personalization(letter.message, body, subject_tag) for letter in letters]
    return _request(letters[0].message, readers, body, subject)


def _request(
    message: Message, readers: list[Personalization], body: str, subject: str
) -> Mapping[str, Any]:
    """The request as the official client builds it.

    The subject stands at both levels: not every implementation of this API reads each reader's.
    """
    return {
        **_shared(_SaidOnce.of(message)),
        "subject": subject,
        "personalizations": [reader.get() for reader in readers],
        "content": [PlainTextContent(body).get()],
    }


@lru_cache(maxsize=1_000)
def _shared(once: _SaidOnce) -> Mapping[str, Any]:
    """The request parts that the mails of a step share; built once for thousands of mails."""
    request = Request(from_email=_person(From, once.from_name, once.from_email))
    if once.reply_to is not None:
        request.reply_to = _person(ReplyTo, *once.reply_to)
    categories = [f"{once.trigger}/{once.step}", once.trigger]
    # Preview mails must not count in the statistics of customers' mails.
    request.category = [Category(name) for name in (["preview"] if once.is_preview else categories)]
    request.tracking_settings = NO_TRACKING
    built: Mapping[str, Any] = request.get()
    return built


def _personalization(
    message: Message, body_tag: str = "", subject_tag: str = ""
) -> Personalization:
    """The parts of the request that belong to one reader; in a batch, with the texts that its
    tags stand for."""
    personalization = Personalization()
    # SendGrid takes a comma or semicolon in a reader's name for a list of people.
    name = " ".join(message.to_name.replace(",", " ").replace(";", " ").split())
    personalization.add_to(_person(To, name, message.to_email))
    personalization.subject = message.subject
    for header, value in _headers(message):
        personalization.add_header(Header(header, value))
    personalization.add_custom_arg(CustomArg("send_id", message.send_id))
    if body_tag:
        personalization.add_substitution(Substitution(body_tag, message.body))
    if subject_tag:
        personalization.add_substitution(Substitution(subject_tag, message.subject))
    return personalization


def _headers(message: Message) -> Iterable[tuple[str, str]]:
    yield "Message-ID", message.message_id
    if message.list_unsubscribe is not None:
        yield "List-Unsubscribe", f"<{message.list_unsubscribe}>"
    if message.is_one_click:
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"
    yield "Auto-Submitted", "auto-generated"
    yield "Content-Language", message.locale
    if message.is_preview:
        name, _, value = PREVIEW.partition(": ")
        yield name, value


def _person(kind: type[Email], name: str, address: str) -> Email:
    person = kind()  # given an address alone, its constructor would parse it again
    person.email = address
    if name:
        person.name = name
    return person


def _new_tag() -> str:
    return f"%{secrets.token_hex(TAG_LENGTH // 2 - 1)}%"


def _encoded(request: Mapping[str, Any]) -> bytes:
    return orjson.dumps(request)


# The answer. ------------------------------------------------------------------------------


def _wait(why: str, seconds: float) -> Outcome:
    return Outcome(State.QUEUED, why, timedelta(seconds=seconds))


def _first_error(refusal: HTTPError) -> str:
    """The first error of the answer, masked and cut for a log."""
    try:
        message = str(refusal.to_dict["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return f": {mask_addresses(' '.join(message.split()))[:200]}"


def _asked_pause(headers: HTTPMessage) -> float:
    """The seconds that a 429 asks for: the longest that any header says.

    A moment is compared with the clock that set it, where the answer says what that shows.
    """
    now = _moment(headers.get("Date", "")) or time.time()
    seconds = []
    for name in ("X-RateLimit-Reset", "Retry-After"):
        text = headers.get(name, "").strip()
        try:
            number = float(text)
        except ValueError:
            moment = _moment(text)
            if moment is not None:
                seconds.append(moment - now)
        else:
            # Unix time in the one header, seconds in the other; some gateways swap them.
            seconds.append(number - now if number > 1e9 else number)
    return max(1.0, *seconds) if seconds else DEFAULT_PAUSE_SECONDS


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
