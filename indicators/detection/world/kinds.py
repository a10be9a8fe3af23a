"""Who uses a model: the kinds of groups that a world is made of, each with what is assumed of it.

Every figure here is an assumption, made before anything was measured on the world and changed for
no bar. What it rests on stands beside it: the public record of campaigns (each account light,
about 26 exchanges a day; accounts bought in lots, replaced, on shared cards and devices; mixed
with ordinary traffic; nearly half moved to a new model in a day), and for ordinary use what makes
a group look like a campaign without being one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """How the groups of one kind behave; ranges are drawn for each group."""

    name: str
    why: str
    size: tuple[float, float, int, int]  # accounts of a group: median, spread, least, most
    lot: tuple[int, int] = (10**6, 10**6)  # accounts that came together, on cards of their own
    carded: float = 0.85  # share of accounts with a card
    per_card: Range = (1, 1)  # accounts to a card
    deviced: float = 0.9
    per_device: Range = (1, 1)
    per_egress: Range = (0, 0)  # accounts to an address of the group; 0: it has none
    fresh: float = 0.12  # share of groups that began in the window
    joined: float = 0.1  # of other groups: share of accounts that joined in the window
    waves: tuple[int, int] = (20, 45)  # days on which a new group's accounts began
    short: Range = (0.05, 0.05)  # share of accounts that ended in the window
    events: tuple[float, float] = (6, 0.9)  # of an account's active day: median, spread
    active: Range = (0.04, 0.4)  # share of its days
    width: tuple[int, int] = (3, 8)  # hours of the day in which it works; 24: a machine
    apart: float = 1.5  # hours by which its accounts differ
    mismatch: Range = (0.01, 0.01)  # share whose client is not what it says
    moved: float = 0.06  # share that moved to a new model within 24 hours of its release
    own_client: float = 0.0  # share of groups with a client of their own
    templates: tuple[int, int] = (0, 0)  # of the group
    uses: tuple[int, int] = (1, 1)  # how many of them an account uses
    steady: Range = (0.9, 0.97)  # likeness of one template at two members, after slots are cut
    popular: float = 0.25  # share of accounts that also use what everybody uses
    known: float = 0.0  # share of groups whose legal entity the member knows
    tagged: Range = (0.02, 0.02)  # share of accounts of which an elicitation method is noted
    surface: str = ""  # noted for its accounts


_PERSON = Kind(
    "person",
    "Somebody with an account of their own: most accounts, light and at a person's hours.",
    size=(1, 0.0, 1, 1),
    events=(6, 1.0),
)

# Ordinary use, and the share of a member's accounts that it has.
ORDINARY: Mapping[str, tuple[float, Kind]] = MappingProxyType(
    {
        kind.name: (share, kind)
        for share, kind in (
            (
                0.020,
                Kind(
                    "many-accounts",
                    "A person with two to six accounts (work, home, trials), on one to three"
                    " cards and one or two devices.",
                    size=(2, 0.4, 2, 6),
                    per_card=(1, 3),
                    per_device=(1.5, 4),
                    per_egress=(1, 3),
                    fresh=0.3,
                    short=(0.1, 0.4),
                ),
            ),
            (
                0.070,
                Kind(
                    "family",
                    "Two to five people on one or two cards and shared devices.",
                    size=(3, 0.4, 2, 5),
                    per_card=(2, 5),
                    per_device=(1, 3),
                    per_egress=(2, 5),
                    fresh=0.12,
                ),
            ),
            (
                0.150,
                Kind(
                    "firm",
                    "A firm: few cards, office hours, prompts of its own that colleagues pass on;"
                    " people join and leave.",
                    size=(10, 1.0, 3, 400),
                    per_card=(4, 40),
                    per_device=(1, 2),
                    per_egress=(3, 30),
                    fresh=0.12,
                    joined=0.15,
                    waves=(1, 20),
                    events=(12, 0.9),
                    active=(0.2, 0.6),
                    width=(7, 11),
                    templates=(0, 5),
                    uses=(1, 2),
                    own_client=0.1,
                    mismatch=(0.0, 0.05),
                    known=0.7,
                ),
            ),
            (
                0.020,
                Kind(
                    "many-cards",
                    "A company whose people each have a card of the company.",
                    size=(20, 0.8, 6, 300),
                    per_card=(1, 2),
                    per_device=(1, 2),
                    per_egress=(5, 30),
                    fresh=0.15,
                    waves=(1, 15),
                    events=(14, 0.9),
                    active=(0.3, 0.6),
                    width=(7, 12),
                    templates=(1, 6),
                    uses=(1, 3),
                    own_client=0.2,
                    known=0.7,
                ),
            ),
            (
                0.004,
                Kind(
                    "automated-firm",
                    "A young company that runs agents around the clock: new, paced by machines,"
                    " several cards, its own prompts. The look-alike that is hardest to tell.",
                    size=(8, 0.7, 3, 60),
                    per_card=(1, 6),
                    per_device=(1, 4),
                    per_egress=(2, 8),
                    fresh=0.4,
                    waves=(1, 12),
                    events=(60, 1.0),
                    active=(0.5, 0.95),
                    width=(14, 24),
                    apart=3,
                    templates=(2, 8),
                    uses=(1, 4),
                    own_client=0.5,
                    mismatch=(0.0, 0.2),
                    known=0.4,
                    tagged=(0.02, 0.15),
                ),
            ),
            (
                0.030,
                Kind(
                    "school",
                    "A class signs up on one day, in one room, for one exercise.",
                    size=(40, 0.7, 12, 300),
                    carded=0.15,
                    deviced=0.95,
                    per_device=(1, 3),
                    per_egress=(15, 60),
                    fresh=0.5,
                    waves=(1, 3),
                    short=(0.2, 0.7),
                    events=(10, 0.7),
                    active=(0.05, 0.25),
                    width=(3, 7),
                    apart=0.5,
                    templates=(1, 3),
                    uses=(1, 2),
                ),
            ),
            (
                0.008,
                Kind(
                    "hackathon",
                    "Teams for a week-end, at all hours, on a sponsor's credit, then gone.",
                    size=(40, 0.6, 15, 200),
                    carded=0.5,
                    per_card=(2, 8),
                    per_device=(1, 2),
                    per_egress=(10, 40),
                    fresh=0.9,
                    waves=(1, 2),
                    short=(0.6, 0.95),
                    events=(50, 0.8),
                    active=(0.3, 0.9),
                    width=(10, 18),
                    apart=3,
                    templates=(2, 6),
                    uses=(1, 3),
                    mismatch=(0.0, 0.05),
                    tagged=(0.02, 0.1),
                ),
            ),
            (
                0.006,
                Kind(
                    "lawful-reseller",
                    "Resells with leave: many end users behind few accounts, so hours are even;"
                    " several cards, old, its client says so.",
                    size=(25, 0.8, 6, 200),
                    per_card=(3, 12),
                    per_device=(3, 12),
                    per_egress=(4, 20),
                    fresh=0.1,
                    waves=(2, 20),
                    events=(80, 0.8),
                    active=(0.7, 1.0),
                    width=(18, 24),
                    apart=3,
                    own_client=1.0,
                    templates=(0, 6),
                    uses=(1, 2),
                    mismatch=(0.0, 0.3),
                    known=0.8,
                    surface="aggregator",
                ),
            ),
            (
                0.003,
                Kind(
                    "benchmark",
                    "People of many places who run the same published tests by script.",
                    size=(30, 0.6, 8, 120),
                    per_device=(1, 1),
                    fresh=0.2,
                    events=(90, 0.9),
                    active=(0.05, 0.3),
                    width=(10, 24),
                    apart=5,
                    templates=(4, 12),
                    uses=(2, 6),
                    mismatch=(0.0, 0.1),
                    moved=0.4,
                    tagged=(0.1, 0.3),
                ),
            ),
            (
                0.010,
                Kind(
                    "open-source-tool",
                    "Strangers who use one tool: it ships several prompts and one client.",
                    size=(90, 0.8, 20, 600),
                    fresh=0.3,
                    waves=(30, 45),
                    events=(15, 0.9),
                    active=(0.1, 0.5),
                    width=(4, 12),
                    apart=5,
                    templates=(3, 6),
                    uses=(2, 4),
                    own_client=1.0,
                    mismatch=(0.0, 0.3),
                ),
            ),
            (
                0.040,
                Kind(
                    "carrier-nat",
                    "Strangers behind the addresses of a carrier or a VPN.",
                    size=(300, 0.6, 120, 1_500),
                    per_egress=(20, 150),
                    apart=3,
                    fresh=0.1,
                ),
            ),
            (
                0.015,
                Kind(
                    "scheduled-job",
                    "Somebody's or a small team's job that runs each hour: even, old, one card.",
                    size=(1.5, 0.8, 1, 12),
                    per_card=(12, 12),
                    per_device=(1, 6),
                    per_egress=(1, 6),
                    fresh=0.15,
                    waves=(1, 10),
                    events=(60, 0.8),
                    active=(0.8, 1.0),
                    width=(24, 24),
                    templates=(1, 2),
                    uses=(1, 2),
                    own_client=0.3,
                    mismatch=(0.0, 0.05),
                    known=0.3,
                ),
            ),
            (
                0.030,
                Kind(
                    "launch-rush",
                    "Strangers who came or moved on the day of a release.",
                    size=(300, 0.5, 100, 1_200),
                    fresh=0.5,
                    waves=(1, 4),
                    short=(0.2, 0.4),
                    events=(12, 0.8),
                    apart=4,
                    moved=0.9,
                ),
            ),
            (
                0.020,
                Kind(
                    "market-place",
                    "Customers of a cloud market place or a card service: strangers who share the"
                    " payment tokens of the one that bills them.",
                    size=(200, 0.6, 60, 900),
                    carded=1.0,
                    per_card=(20, 120),
                    fresh=0.15,
                    waves=(20, 45),
                    events=(12, 1.0),
                    active=(0.1, 0.6),
                    width=(4, 14),
                    apart=5,
                    surface="cloud-marketplace",
                ),
            ),
        )
    }
)
PERSON = _PERSON

# Campaigns, and how many of ten are of the kind. Sizes are over all members together.
CAMPAIGNS: Mapping[str, tuple[int, Kind]] = MappingProxyType(
    {
        kind.name: (weight, kind)
        for weight, kind in (
            (
                3,
                Kind(
                    "hydra-relay",
                    "A commercial relay over many accounts: load is balanced, so hours are even;"
                    " mixed with unrelated traffic; banned accounts are replaced.",
                    size=(60, 0.7, 20, 400),
                    lot=(8, 30),
                    carded=0.8,
                    per_card=(2, 5),
                    deviced=0.85,
                    per_device=(3, 8),
                    per_egress=(3, 12),
                    fresh=1.0,
                    waves=(8, 24),
                    short=(0.3, 0.6),
                    events=(26, 0.5),
                    active=(0.5, 0.9),
                    width=(18, 24),
                    apart=2,
                    mismatch=(0.3, 0.9),
                    moved=0.15,
                    own_client=0.8,
                    templates=(3, 8),
                    uses=(1, 3),
                    steady=(0.85, 0.96),
                    popular=0.5,
                    tagged=(0.2, 0.6),
                ),
            ),
            (
                2,
                Kind(
                    "account-factory",
                    "Accounts made in waves on few stolen or virtual cards, by one machine.",
                    size=(50, 0.7, 20, 300),
                    lot=(15, 40),
                    carded=0.95,
                    per_card=(3, 8),
                    deviced=0.9,
                    per_device=(4, 12),
                    per_egress=(5, 20),
                    fresh=1.0,
                    waves=(2, 8),
                    short=(0.3, 0.7),
                    events=(26, 0.5),
                    active=(0.4, 0.9),
                    width=(12, 24),
                    mismatch=(0.2, 0.8),
                    own_client=0.6,
                    templates=(2, 6),
                    uses=(1, 3),
                    steady=(0.85, 0.96),
                    popular=0.15,
                    tagged=(0.2, 0.6),
                ),
            ),
            (
                2,
                Kind(
                    "low-and-slow",
                    "Careful: aged accounts among new ones, a card for one or two, few devices"
                    " shared, a person's volumes and nearly a person's hours, short templates.",
                    size=(40, 0.6, 15, 200),
                    lot=(6, 20),
                    carded=0.8,
                    per_card=(1.3, 2.5),
                    deviced=0.7,
                    per_device=(1.5, 3),
                    fresh=0.0,
                    joined=0.65,
                    waves=(20, 45),
                    short=(0.1, 0.3),
                    events=(14, 0.6),
                    active=(0.3, 0.7),
                    width=(8, 16),
                    apart=4,
                    mismatch=(0.05, 0.4),
                    own_client=0.2,
                    templates=(3, 8),
                    uses=(1, 3),
                    steady=(0.7, 0.9),
                    popular=0.4,
                    tagged=(0.1, 0.4),
                ),
            ),
            (
                1,
                Kind(
                    "pivot",
                    "Moves nearly half of its traffic to a new model within a day.",
                    size=(60, 0.6, 20, 300),
                    lot=(10, 30),
                    per_card=(2, 5),
                    deviced=0.85,
                    per_device=(3, 8),
                    per_egress=(4, 15),
                    fresh=1.0,
                    waves=(6, 20),
                    short=(0.2, 0.5),
                    events=(30, 0.5),
                    active=(0.6, 0.95),
                    width=(14, 24),
                    mismatch=(0.2, 0.8),
                    moved=0.5,
                    own_client=0.6,
                    templates=(3, 8),
                    uses=(1, 3),
                    steady=(0.85, 0.96),
                    tagged=(0.2, 0.6),
                ),
            ),
            (
                2,
                Kind(
                    "pipeline",
                    "A multi-stage pipeline: many templates (ask, grade, rewrite), each account"
                    " uses several.",
                    size=(50, 0.6, 20, 250),
                    lot=(8, 25),
                    per_card=(1.5, 4),
                    deviced=0.8,
                    per_device=(2, 6),
                    per_egress=(3, 12),
                    fresh=1.0,
                    waves=(8, 30),
                    short=(0.2, 0.5),
                    events=(28, 0.5),
                    active=(0.5, 0.9),
                    width=(14, 24),
                    apart=2,
                    mismatch=(0.1, 0.7),
                    own_client=0.5,
                    templates=(6, 14),
                    uses=(3, 6),
                    steady=(0.8, 0.95),
                    tagged=(0.3, 0.7),
                ),
            ),
        )
    }
)

# Lawful firms that are customers of two members, with the same cards and machines.
MULTI_HOME = Kind(
    "multi-home",
    "A firm that is a customer of two members, with the same cards, devices and prompts.",
    size=(24, 0.8, 8, 300),
    per_card=(3, 20),
    per_device=(1, 2),
    per_egress=(4, 25),
    fresh=0.2,
    joined=0.15,
    waves=(1, 20),
    events=(16, 0.9),
    active=(0.3, 0.7),
    width=(7, 14),
    templates=(1, 6),
    uses=(1, 3),
    own_client=0.15,
    mismatch=(0.0, 0.05),
    known=0.7,
)
# Some of them run machines around the clock: one in so many.
MULTI_HOME_AUTOMATED = 5
