"""What pages of the pool say: states, kinds, look-alikes, steps; one word for each."""

from django import template

from exchange.algorithms import Seen
from exchange.web.forms import BASE_RATES

register = template.Library()

_STATES = {
    "draft": ("draft", "draft"),
    "submitted": ("waits for a second person", "submitted"),
    "approved": ("waits for the forum's counsel", "submitted"),
    "reviewed": ("reviewed", "pending"),
    "active": ("in force", "live"),
    "suspended": ("suspended", "refused"),
    "withdrawn": ("withdrawn", "discarded"),
    "replaced": ("replaced by its next version", "discarded"),
    "discarded": ("put aside", "discarded"),
}
_KINDS = {"sigma": "Sigma rule", "sigma-correlation": "Sigma correlation"}
_RUNS_ON = {
    "log": "members' logs",
    "pool": "the pool",
    "both": "members' logs and the pool",
}
_TROUBLES = {
    "time": "it took too long",
    "memory": "it took too much memory",
    "broken": "it broke down",
    "refused": "its document was refused",
}
_ACTS = {
    "submit": "Tests run, submitted",
    "approve": "Approved",
    "send-back": "Sent back",
    "review": "Reviewed",
    "activate": "Put in force",
    "suspend": "Suspended by a failing run",
    "lift": "Suspension lifted",
    "withdraw": "Withdrawn",
    "discard": "Put aside",
}
_ROLES = {
    "analyst": "analyst",
    "officer": "compliance officer",
    "counsel": "counsel",
    "forum-counsel": "the forum's counsel",
    "operator": "the forum's operator",
    "machine": "a run",
}
_BASE_RATES = dict(BASE_RATES) | {"unknown": "not known"}


@register.filter
def algorithm_state(state: str) -> str:
    """Where an algorithm stands."""
    return _STATES[state][0]


@register.filter
def algorithm_chip(state: str) -> str:
    """The look of that state."""
    return _STATES[state][1]


@register.filter
def algorithm_kind(kind: str, detector: str) -> str:
    """A Sigma rule, a correlation, or which detector."""
    return _KINDS.get(kind) or f"detector {detector}"


@register.filter
def runs_on(place: str) -> str:
    """Where an algorithm runs."""
    return _RUNS_ON[place]


# Where a scene of the shipped world was tried, and what is counted there.
_TRIED_ON = {"log": "a member's log", "pool": "the pool's rows"}
_UNITS = {"log": "account", "pool": "row"}


@register.filter
def tried_on(place: str) -> str:
    """Where a scene was tried."""
    return _TRIED_ON[place]


@register.filter
def taken(seen: Seen) -> str:
    """What an algorithm takes of a scene, in words."""
    units = _UNITS[seen.runs_on] + ("" if seen.subject == 1 else "s")
    if not seen.hit:
        return f"none of {seen.subject} {units}"
    return f"{'all' if seen.hit == seen.subject else seen.hit} of {seen.subject} {units}"


@register.filter
def taken_chip(seen: Seen) -> str:
    """Its look: a look-alike that is taken is bad, a campaign that is not may be meant so."""
    if not seen.is_campaign:
        return "refused" if seen.hit else "live"
    return "live" if seen.hit else ""


@register.filter
def trouble(code: str) -> str:
    """Why a run of it came to no end."""
    return _TROUBLES.get(code, code)


@register.filter
def algorithm_act(act: str) -> str:
    """What somebody did on it."""
    return _ACTS[act]


@register.filter
def algorithm_role(role: str) -> str:
    """In which role."""
    return _ROLES.get(role, role)


@register.filter
def base_rate(bucket: str) -> str:
    """How much of ordinary traffic also matches, in words."""
    return _BASE_RATES.get(bucket, bucket)


@register.filter
def words(closed: str) -> str:
    """A word of a closed list, as one reads it."""
    return closed.replace("-", " ")


_EXTRACTS = {
    "taken": ("in the pool", "live"),
    "replaced": ("replaced by a later one", "discarded"),
    "refused": ("refused", "refused"),
    "erased": ("erased, its key destroyed", "discarded"),
}


@register.filter
def extract_state(state: str) -> str:
    """What became of an extract."""
    return _EXTRACTS[state][0]


@register.filter
def extract_chip(state: str) -> str:
    """The look of that."""
    return _EXTRACTS[state][1]


_RUNS = {
    "done": ("whole", "live"),
    "stopped": ("stopped: nothing of it left", "refused"),
    "failed": ("failed", "refused"),
}
_ALARMS = {
    "giant-group": "one group of more than a tenth of all rows: the run stopped, and nothing left",
    "crowded-member": "rows of a member hang together as no honest rows do, and were left out",
    "run-failed": "the run came to no end",
}


@register.filter
def run_state(state: str) -> str:
    """How a run ended."""
    return _RUNS[state][0]


@register.filter
def run_chip(state: str) -> str:
    """The look of that."""
    return _RUNS[state][1]


@register.filter
def run_alarm(code: str) -> str:
    """What the operator has to look at."""
    why = _TROUBLES.get(code.removeprefix("algorithm-"))
    return _ALARMS.get(code) or (f"an algorithm was suspended: {why}" if why else code)
