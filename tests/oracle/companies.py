"""Random companies: their triggers, and two weeks in which much goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from hypothesis import strategies as st

from oracle.civil import Span, Window
from oracle.model import Cap, Step, Trigger

TOWNS = 4
"""Each with three accounts and four people, and troubles of its own."""
PEOPLE = {
    f"c{4 * town + number}": f"a{3 * town + of}"
    for town in range(TOWNS)
    for number, of in ((1, 1), (2, 1), (3, 2), (4, 3))
}
ACCOUNTS = tuple(dict.fromkeys(PEOPLE.values()))
PLACES = {"Asia/Tokyo": "JP", "Europe/Berlin": "DE", "America/New_York": "US"}
LIVED = 9

BEGINS = [
    *(date(2026, 4, 27),) * 3,  # Golden Week is near, Ascension Day, Memorial Day
    date(2026, 3, 5),  # New York's clock goes forward
    date(2026, 3, 24),  # Berlin's does
    date(2026, 10, 22),  # both go back
    date(2026, 12, 24),
]

STEPS = ["0d 1d 2d", "0d 2d 5d", "0h 3h 30h", "0bd 1bd 3bd", "1d 1d", "0d 6h 3bd", "0d"]
WINDOWS = [
    Window(frozenset(range(5)), time(9), time(17)),
    Window(frozenset(range(7)), time(8), time(20), "none"),
    Window(frozenset({1, 3}), time(10), time(11)),
    Window(frozenset(range(5)), time(9), time(9, 20)),
    Window(frozenset(range(7)), time(), time(23, 59), "JP"),
]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CAPS: list[tuple[Cap | None, Cap | None]] = [
    (None, None),
    (Cap(1, 1), None),
    (Cap(2, 7), None),
    (None, Cap(1, 1)),
    (None, Cap(3, 2)),
]
LATE = [(Span(3, "d"), False), (Span(8, "h"), False), (Span(2, "d"), True), (Span(1, "d"), False)]

WEATHER = [
    *("no mail", "no mail", "mail", "mail", "mail", "no runs", "runs", "runs"),
    *("run",) * 8,
    *("feed late", "feed fresh", "feed fresh", "pause t0", "resume t0", "resume t0"),
    *("approve", "approve"),
]
"""What comes over all towns."""


def troubles_of(town: int) -> list[str]:
    """What happens to a town's accounts and people."""
    a1, a2, a3 = (f"a{3 * town + number}" for number in (1, 2, 3))
    c1, c2, c3, c4 = (f"c{4 * town + number}" for number in (1, 2, 3, 4))
    mail = "email_normalized"
    return [
        *(f"{name}: silent" for name in (a1, a2, a3)),
        *(f"{a1}: active", f"{a2}: active", f"{a3}: unknown"),
        *(f"{a1}: deleted", f"{a1}: back", f"{a1}: back", f"{a2}: deleted", f"{a2}: back"),
        *(f"{a1}: plan = pro", f"{a2}: plan = pro", f"{a1}: plan = trial", f"{a2}: plan = null"),
        *(f"{c1}: deleted", f"{c1}: back", f"{c1}: role = null", f"{c1}: role = admin"),
        *(f"{c2}: role = admin", f"{c2}: role = admin", f"{c2}: role = user"),
        *(f"{c3}: consent_basis = null", f"{c3}: consent_basis = contract"),
        *(f"{c4}: unsubscribes", f"{c1}: complains", f"{c3}: {mail} = {c3}new@example.com"),
        *(f"{c2}: {mail} = {c1}@example.com", f"{c2}: {mail} = {c2}@example.com"),
        *(f"{c3}: {mail} = {c1}@example.com", f"{c1}: {mail} = {c1}new@example.com"),
        *(f"{c3}: account_id = {a1}", f"{c3}: account_id = {a2}"),
        *(f"hold {a1} 30", f"hold {a3} 80", f"hold {a1} 5"),
        *(f"{a1}: stage = churned", f"{a1}: stage = mature", f"{a3}: stage = churned"),
        *(f"{a1}: ladder_step = 4", f"{a1}: ladder_step = 2", f"{a2}: ladder_step = null"),
        *(
            f"{name}: time_zone = {zone}, {name}: country_code = {country}"
            for name in (a1, a2)
            for zone, country in PLACES.items()
        ),
    ]


@dataclass(frozen=True)
class Case:
    """A company's two weeks, in the words of `journey.py`; times are Tokyo's."""

    begins: date
    triggers: tuple[Trigger, ...]
    events: tuple[tuple[datetime, str], ...]
    deliveries: tuple[datetime, ...]
    """Empty: at each minute at which a mail may leave."""
    spread_minutes: int
    people_limit: int | None

    def __str__(self) -> str:
        lines = [f"{at:%Y-%m-%d %H:%M}  {what}" for at, what in self.events]
        files = [file_of(trigger) for trigger in self.triggers]
        return "\n".join([*files, *lines, f"deliveries: {self.deliveries}", repr(self)])


def file_of(trigger: Trigger) -> str:
    """The trigger file that says this."""
    audience = "is_dormant" if trigger.asks_usage else "plan = 'pro'"
    enter = f"{{every: {trigger.every}d}}" if trigger.enter == "every" else trigger.enter
    caps = {"contact": trigger.contact_cap, "account": trigger.account_cap}
    cap_text = ", ".join(f"{k}: {cap.count}/{cap.days}d" for k, cap in caps.items() if cap)
    window = trigger.window
    days = ", ".join(DAYS[day] for day in sorted(window.days))
    lines = [
        f"audience: {audience}",
        "recipients: role = 'admin'",
        f"launch: {trigger.launch}",
        f"enter: {enter}",
        *(["exit_when: not is_dormant"] if trigger.asks_usage else []),
        f"priority: {trigger.priority}",
        f"caps: {{{cap_text}}}",
        f"late: {{after: {trigger.late}, do: {'send' if trigger.sends_late else 'skip'}}}",
        f'send_window: {{days: [{days}], from: "{window.from_:%H:%M}", to: "{window.to:%H:%M}",'
        f" holidays: {window.holidays}}}",
        "steps:",
    ]
    for step in trigger.steps:
        when = "" if step.below is None else f", when: ladder_step < {step.below}"
        lines.append(f"  - {{id: {step.id}, after: {step.after}{when}}}")
    return "\n".join(lines)


@st.composite
def triggers(draw: st.DrawFn, name: str) -> Trigger:
    afters = draw(st.sampled_from(STEPS)).split()
    steps = tuple(
        Step(
            f"s{number}",
            Span(int(after.rstrip("bdh")), after.lstrip("0123456789")),
            draw(st.sampled_from([None, None, 3])),
        )
        for number, after in enumerate(afters)
    )
    late, sends_late = draw(st.sampled_from(LATE))
    contact_cap, account_cap = draw(st.sampled_from(CAPS))
    enter = draw(st.sampled_from(["once", "once_per_episode", "every"]))
    return Trigger(
        name,
        steps,
        draw(st.sampled_from(WINDOWS)),
        asks_usage=draw(st.sampled_from([True, True, False])),
        enter=enter,
        every=5 if enter == "every" else 0,
        launch=draw(st.sampled_from(["existing", "existing", "new_only"])),
        priority=draw(st.integers(0, 3)),
        contact_cap=contact_cap,
        account_cap=account_cap,
        late=late,
        sends_late=sends_late,
    )


def minutes(begins: date) -> st.SearchStrategy[datetime]:
    start = datetime.combine(begins, time())
    return st.integers(0, LIVED * 24 * 60 - 1).map(lambda at: start + timedelta(minutes=at))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    begins = draw(st.sampled_from(BEGINS))
    moments = minutes(begins)
    drawn = tuple(draw(triggers(f"t{number}")) for number in range(draw(st.integers(1, 2))))
    drawn = tuple(
        replace(trigger, priority=trigger.priority * 2 + number)  # none is equal to another
        for number, trigger in enumerate(drawn)
    )
    troubles = draw(st.lists(st.tuples(moments, st.sampled_from(WEATHER)), max_size=12))
    for town in range(TOWNS):
        of_town = st.sampled_from(troubles_of(town))
        for at, what in draw(st.lists(st.tuples(moments, of_town), max_size=14)):
            troubles += [(at, each) for each in what.split(", ")]
    deliveries = draw(st.one_of(st.just([]), st.lists(moments, min_size=20, max_size=70)))
    return Case(
        begins,
        drawn,
        tuple(sorted(troubles, key=lambda item: item[0])),
        tuple(sorted(set(deliveries))),
        draw(st.sampled_from([0, 30])),
        draw(st.sampled_from([None, None, None, 3])),
    )


def first_events() -> list[str]:
    """What is so before the first run."""
    users = [f"c{4 * town + 2}: role = user" for town in range(TOWNS)]
    return ["silent", "ladder_step = 2", *users]


def people() -> str:
    return ", ".join(f"{who} of {of}" for who, of in PEOPLE.items())
