"""How long each class of data is kept, and why: the shipped table of the clocks.

Values in days; a forum states others with the setting RETENTION, never less than the least. Counsel
confirms them before live use. What has no clock here is kept: leaves, tiles and checkpoints of the
ledger, key and policy entries, policies, decisions on holds, openings of originals, the log of the
officers' questions, legal holds and erasures; what people wrote in them is sealed. Files on their
way in and archives have clocks of their own, in hours and days, beside their work.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """One class of data: what it is, how long it is kept, and why so long."""

    name: str
    what: str
    days: int
    least: int
    reason: str
    most: int | None = None  # of what was promised to go


CLOCKS: tuple[Clock, ...] = (
    Clock(
        "unreleased",
        "Originals of contributions of which nothing left and nothing waits",
        180,
        30,
        "What counsel did not release, and what nobody completed, serves no purpose after half a "
        "year; until then its contributor may still ask why.",
    ),
    Clock(
        "originals",
        "Originals of contributions of which nothing is served any more",
        730,
        90,
        "While anything of a contribution is served it may have to be decided again. Two years "
        "after that, a question about what left can be answered from renditions and ledger.",
    ),
    Clock(
        "renditions",
        "Bytes of what was recalled or withdrawn, with their bundles",
        2_555,
        365,
        "Seven years: the audit term. A regulator may ask for the exact bytes that somebody got.",
    ),
    Clock(
        "openings",
        "Slots of ledger entries: values and salts, for all whom an entry concerns",
        3_650,
        2_555,
        "Ten years, longer than the bytes that they prove. The leaves stay for ever.",
    ),
    Clock(
        "notes",
        "Which person or key took which page",
        400,
        60,
        "The ledger's receipts keep what was taken and when. Who pressed the button is needed for "
        "a yearly audit, and is personal data after it.",
    ),
    Clock(
        "attempts",
        "Each try of a delivery, with the endpoint's address",
        90,
        30,
        "To find out why a delivery failed. Its state, and the receipt, stay.",
    ),
    Clock(
        "token-calls",
        "How many values a member asked tokens for, call by call",
        400,
        90,
        "To judge an alarm against the year before. No value was ever kept.",
    ),
    Clock(
        "extracts",
        "Extracts in the pool, with their keys",
        45,
        1,
        "As far back as a campaign is looked for. After that the day's key is destroyed, which "
        "a legal hold alone puts off; digest and day stay.",
        most=45,
    ),
    Clock(
        "inquiries",
        "By what officers looked persons up, sealed",
        400,
        90,
        "To show that a person's request was answered, until the yearly audit. That somebody asked "
        "stays in the log of questions.",
    ),
    Clock(
        "previews",
        "Finished previews of policies, with their lines",
        400,
        60,
        "They show what was looked at before a policy was approved, until the yearly audit.",
    ),
    Clock(
        "mails",
        "That a mail of a kind was sent to a person",
        90,
        7,
        "To answer whether a reminder went out. A mail's text is the same for everybody.",
    ),
    Clock(
        "sign-ins",
        "Failed and past sign-ins with their addresses, links and invitations that are over",
        90,
        7,
        "To notice who tries doors. Addresses are personal data, so no longer than that takes.",
    ),
)
BY_NAME: Mapping[str, Clock] = {one.name: one for one in CLOCKS}


def stated(changes: Mapping[str, int]) -> Mapping[str, int]:
    """Days of each clock with a forum's own; ValueError names what is none or too short."""
    for name, days in changes.items():
        clock = BY_NAME.get(name)
        if clock is None:
            raise ValueError(f"{name}: one of {', '.join(BY_NAME)}")
        if days < clock.least:
            raise ValueError(f"{name}={days}: at least {clock.least} days")
        if clock.most is not None and days > clock.most:
            raise ValueError(f"{name}={days}: at most {clock.most} days")
    return {one.name: changes.get(one.name, one.days) for one in CLOCKS}
