"""The floor for lawyers: a document in words, whole, each rule with its id, made from the floor."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from exchange.policy import catalogue, detectors
from exchange.policy.catalogue import FIELDS, Entry
from exchange.policy.lattice import Ruling, Treatment
from exchange.policy.terms import Floor

Document = Mapping[str, Any]
Row = tuple[str, ...]
DONE = {
    Treatment.PASS: "passes",
    Treatment.COARSEN: "is made coarser",
    Treatment.TOKEN: "becomes a keyed token",
    Treatment.DROP: "is removed",
}
SCALES = {
    "calendar": {1: "cut to the day", 2: "cut to the month"},
    "decade": {1: "cut to the lower edge of its decade"},
    "decimals": {1: "rounded to two decimals"},
}
SENSITIVITIES = (
    ("S0", "public"),
    ("S1", "technical: a plain value may pass"),
    ("S2", "technical: coarse, or limited to a circle"),
    ("S3", "personal, attributive or from a credential: keyed values only"),
    ("S4", "never leaves its contributor's side"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under one head."""

    caption: str
    head: Row
    rows: tuple[Row, ...]

    @property
    def cells(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """Each row as pairs of head and cell."""
        return tuple(tuple(zip(self.head, row, strict=True)) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Section:
    """One chapter: sentences, then tables."""

    anchor: str
    title: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Basis:
    """One legal basis on a day."""

    id: str
    title: str
    since: str
    until: str
    review: str
    is_in_force: bool
    has_lapsed: bool


def bases(document: Document, *, on: date) -> tuple[Basis, ...]:
    """The legal bases, and which of them are in force on a day."""
    day = on.isoformat()
    return tuple(
        Basis(
            id=one["id"],
            title=one["title"],
            since=one["from"],
            until=one["until"] or "",
            review=one.get("review", ""),
            is_in_force=one["from"] <= day and (one["until"] is None or day <= one["until"]),
            has_lapsed=one["until"] is not None and one["until"] < day,
        )
        for one in document["legal_bases"]
    )


def whole(floor: Floor, *, on: date) -> tuple[Section, ...]:
    """Every rule of a floor in words: nothing that it states is left out."""
    document = floor.document
    return (
        _about(floor),
        _bases(document, on),
        _catalogue(floor),
        _types(floor),
        _classes(floor),
        _properties(floor),
        _patterns(floor),
        _numbers(document),
        _kinds(document),
        _windows(document),
        _reach(document),
        _holds(floor),
        _ranges(document),
        _statistics(floor),
        _pool(document),
        _rules(floor),
        _words(),
    )


def _listed(words: Iterable[object]) -> str:
    said = [str(word) for word in words]
    return ", ".join(said) if said else "none"


def _about(floor: Floor) -> Section:
    document = floor.document
    return Section(
        "about",
        "About this floor",
        (
            f"{document['title']} ({document['id']}), version {document['version']}.",
            document["note"],
            document["review"],
            "It is what no member can loosen. A member's own policy may only remove more, delay "
            "more, or send to fewer.",
            "What is not named here does not leave: unknown is removed.",
        ),
    )


def _bases(document: Document, on: date) -> Section:
    rows = tuple(
        (
            one.id,
            one.title,
            one.since,
            one.until or "no end",
            "in force" if one.is_in_force else ("lapsed" if one.has_lapsed else "not yet"),
            one.review,
        )
        for one in bases(document, on=on)
    )
    head = ("Basis", "Title", "From", "Until", f"On {on.isoformat()}", "Review")
    sentence = (
        "Each release names the first basis of this list that is in force. Where none is, releases "
        "and deliveries stop; what was released can still be read."
    )
    return Section("bases", "Legal bases", (sentence,), (Table("Legal bases", head, rows),))


def _catalogue(floor: Floor) -> Section:
    document = floor.document
    rows = tuple(
        (name, row["title"], row["done"], _listed(_rule_id(floor, rule) for rule in row["rules"]))
        for name, row in document["catalogue"].items()
    )
    head = ("Class", "What it is", "What is done", "Rules")
    sentence = "The classes of information that must not pass between competitors here."
    table = Table("Classes of what must not leave", head, rows)
    return Section("classes", "What must not leave", (sentence,), (table,))


def _rule_id(floor: Floor, rule: str) -> str:
    held = floor.document["holds"].get(rule)
    return floor.rule_id(f"hold/{held['class']}/{rule}" if held else rule)


def _types(floor: Floor) -> Section:
    types = floor.document["types"]
    rows = [(name, "may pass, property by property", "") for name in types["pass"]]
    rows += [
        (name, "leaves as a keyed token", floor.rule_id("personal")) for name in types["tokenised"]
    ]
    rows += [
        (name, f"held for {_people(floor, held)}", _rule_id(floor, f"type-{name}"))
        for name, held in types["held"].items()
    ]
    withheld = floor.rule_id("withheld-type")
    rows += [(name, "does not leave", withheld) for name in types["withheld"]]
    rows += [(name, "refused: its bytes are not kept", "") for name in types["refused"]]
    relationships = floor.document["relationships"]
    links = [(name, "may pass", "") for name in relationships["pass"]]
    links += [
        (name, f"held for {_people(floor, held)}", _rule_id(floor, f"relationship-{name}"))
        for name, held in relationships["held"].items()
    ]
    basis = floor.document["threat_basis"]
    sentences = (
        "A type that is not listed does not leave. Anything that carries a secret is refused.",
        f"A threat basis is asked of {_listed(basis['asked_of'])}; "
        f"{_listed(basis['not_enough_alone'])} alone is held.",
    )
    tables = (
        Table("Objects", ("Type", "What becomes of it", "Rule"), tuple(rows)),
        Table("Relationships", ("Type", "What becomes of it", "Rule"), tuple(links)),
    )
    return Section("types", "Objects", sentences, tables)


def _people(floor: Floor, hold_class: str) -> str:
    names = {
        "forum-counsel": "the forum's counsel",
        "contributor-counsel": "the contributor's counsel",
    }
    return " and ".join(names.get(one, one) for one in floor.approvers(hold_class))


def _done(ruling: Ruling) -> str:
    if ruling.parameter is None:
        return DONE[ruling.treatment]
    scale, step = ruling.parameter.scale, ruling.parameter.step
    if scale == "path-cut":
        return f"is cut to scheme, host and {10 - step} path segments"
    if scale == "confidence":
        return f"is rounded down to steps of {step}"
    return f"is {SCALES.get(scale, {}).get(step, f'made coarser ({scale}, step {step})')}"


def _classes(floor: Floor) -> Section:
    rows = []
    for name, ruling in floor.rulings.items():
        at_s3 = floor.rulings_s3[name]
        able = sorted(floor.abilities[name])
        rows.append(
            (
                name,
                _done(ruling),
                "the same" if _done(at_s3) == _done(ruling) else f"{_done(at_s3)} ({at_s3.rule})",
                _listed(one.name.lower() for one in able),
                ruling.rule,
                ruling.reason,
                ruling.basis,
            )
        )
    head = ("Class of fields", "It", "At S3 it", "Able to", "Rule", "Why", "Rests on")
    sentence = (
        "Each property belongs to one class by what it gives away. Where a member's policy asks "
        "for what a class is not able to do, the field is removed."
    )
    table = Table("Classes of fields", head, tuple(rows))
    return Section("fields", "What is done with each class of fields", (sentence,), (table,))


def _properties(floor: Floor) -> Section:
    dropped = floor.document["drop_properties"]
    by_type: dict[str, list[Row]] = {}
    for name, entry in catalogue.properties().items():
        owner, _, path = name.partition(".")
        by_type.setdefault(owner, []).append(_property(floor, path, entry, name in dropped))
    head = ("Property", "Class", "It", "Passes only as", "Rule")
    tables = tuple(
        Table(stix_type, head, tuple(rows)) for stix_type, rows in sorted(by_type.items())
    )
    sentences = (
        "Every property that is known, by type; one that is not listed is removed "
        f"({floor.rule_id('unknown')}). `context` is the forum's extension of model extraction.",
        f"Further properties that do not pass: {_listed(dropped)}.",
    )
    return Section("properties", "Each property", sentences, tables)


def _property(floor: Floor, path: str, entry: Entry, is_dropped: bool) -> Row:  # noqa: FBT001 - a fact
    ruling = floor.rulings[entry.field_class]
    if is_dropped:
        ruling = floor.rule("drop-property", entry.field_class)
    form = entry.grammar if ruling.treatment is not Treatment.DROP else ""
    return (path, entry.field_class, _done(ruling), form, ruling.rule)


def _patterns(floor: Floor) -> Section:
    rows = []
    for path, text in FIELDS["pattern"].items():
        field_class, grammar, *operators = text.split(" ")
        ruling = floor.rulings[field_class]
        rows.append((path, field_class, _done(ruling), grammar, _listed(operators), ruling.rule))
    head = ("Object path", "Class", "It", "Passes only as", "With", "Rule")
    sentences = (
        "A pattern is parsed, each comparison is judged, and what is left is written anew. A "
        f"comparison whose path is not listed is removed ({floor.rule_id('unknown')}); one that "
        f"would change its meaning falls with it ({floor.rule_id('unfit-pattern')}).",
        f"Qualifiers that pass: {_listed(floor.document['pattern_qualifiers'])}.",
    )
    table = Table("Comparisons in patterns", head, tuple(rows))
    return Section("patterns", "Patterns", sentences, (table,))


def _numbers(document: Document) -> Section:
    sentences = (
        f"Confidence is at most {document['confidence_cap']}.",
        f"Of a web address at most {document['url_path_segments']} path segments pass.",
        f"An indicator is valid for at most {document['days_at_most']} days, "
        f"{document['default_days']} where its kind is not known, and "
        f"{document['address_days']} where it names an address.",
        "Free text does not travel. A detector's hit in it holds the object; a clean text "
        "releases nothing.",
        f"Capabilities that are announced: {_listed(document['announced_capabilities'])}.",
    )
    return Section("numbers", "Numbers, times and text", sentences)


def _kinds(document: Document) -> Section:
    sensed = document["sensitivities"]
    kinds = tuple(
        (name, row["sensitivity"], str(row["days"]), row.get("held", ""))
        for name, row in document["kinds"].items()
    )
    types = tuple(sorted(sensed["types"].items()))
    by_type = [(name, kind) for name, kind in document["kind_of_type"].items()]
    by_type += [(name, kind) for name, kind in document["kind_of_observable"].items()]
    by_type.append(("an API key", document["kind_of_api_key"]))
    sentences = (
        f"Where nothing else is said an object is {sensed['default']}; a range of addresses is "
        f"{sensed['address_range']}, a single one {sensed['address_single']}.",
        f"From what it is linked to, an object inherits at most {sensed['inherited_at_most']}.",
        "The strictest of kind or type, of the values stated and of what was declared holds.",
    )
    tables = (
        Table("Sensitivities", ("Level", "Meaning"), SENSITIVITIES),
        Table("Kinds of indicators", ("Kind", "Sensitivity", "Days", "Held as"), kinds),
        Table("Sensitivity by type", ("Type", "Sensitivity"), types),
        Table("Kind, where none is declared", ("Of", "Kind"), tuple(by_type)),
    )
    return Section("kinds", "Sensitivity and kind", sentences, tables)


def _windows(document: Document) -> Section:
    rows = tuple(
        (name, f"every {row['every_seconds']} seconds" if row["every_seconds"] else "at once (0)")
        for name, row in document["windows"].items()
    )
    sentences = (
        "What is due leaves together when the window of its sensitivity opens.",
        f"Ordinary revocations leave at {document['revocations']['daily_at']} UTC. Recalls and "
        "corrections leave at once.",
    )
    table = Table("Windows", ("Sensitivity", "Opens"), rows)
    return Section("windows", "When it leaves", sentences, (table,))


def _reach(document: Document) -> Section:
    reach = document["reach"]
    least = [f"{name}: TLP {level}" for name, level in reach["at_least"].items()]
    sentences = (
        f"An object without a TLP mark counts as {reach['default']}; marked "
        f"{_listed(reach['withheld'])} it does not leave.",
        f"At least, by sensitivity: {_listed(least)}. Observables are marked "
        f"{reach['observables']}, all alike.",
        f"A circle has at least {document['minimum_circle']} members, or it carries nothing.",
        "A recipient is active, has accepted the agreement, sits in the circle, and may receive "
        "what is marked so.",
    )
    return Section("reach", "Whom it may reach", sentences)


def _holds(floor: Floor) -> Section:
    document = floor.document
    wires = document["tripwires"]
    rows = []
    for name, row in document["holds"].items():
        is_wire = name in wires
        said = row["reason"]
        if is_wire and not wires[name]["hold"]:
            said = f"{said} It explains, and holds nothing."
        who = _people(floor, row["class"])
        rows.append((_rule_id(floor, name), row["class"], said, row["basis"], who))
    classes = tuple(
        (name, title, _people(floor, name)) for name, title in document["hold_classes"].items()
    )
    declared = [f"{name} ({held})" for name, held in document["declared_holds"].items()]
    sentences = (
        "A person judges these before anything leaves; nothing is ever released by its age. Who "
        "contributed an object never approves it.",
        "Where no others are named the approvers are: "
        f"{_listed(document['approvers']['default'])}.",
        f"What a contributor may declare: {_listed(declared)}.",
        f"Sources that restrict what is passed on: {_listed(document['restricted_sources'])}.",
        f"Detectors: {_listed(f'{one.id} ({one.title})' for one in detectors.DETECTORS.values())}.",
    )
    tables = (
        Table("Hold rules", ("Rule", "Class", "Why", "Rests on", "Approvers"), tuple(rows)),
        Table("Approvers by class", ("Class", "What it is", "Approvers"), classes),
    )
    return Section("holds", "What a person judges first", sentences, tables)


def _ranges(document: Document) -> Section:
    ranges = document["ranges"]
    sentences = (
        f"A range larger than /{ranges['ipv4_prefix']} (IPv4) or /{ranges['ipv6_prefix']} (IPv6) "
        "is held.",
        "A range on one of these lists is held unless it is said to be shared: "
        f"{_listed(document['shared_lists'])}.",
        "A prompt template from so many prompts is held: "
        f"{_listed(document['fewest_prompts_held'])}.",
        "A fingerprint needs its share of ordinary traffic: kinds "
        f"{_listed(document['fingerprint_kinds'])}; {_listed(document['no_base_rate'])} is none.",
    )
    return Section("ranges", "Ranges and fingerprints", sentences)


def _statistics(floor: Floor) -> Section:
    asked = floor.document["statistics"]
    sentences = (
        f"A figure has at least {asked['contributors']} contributors, none with more than "
        f"{asked['share_percent']} percent of it, and everything in it is older than "
        f"{asked['age_months']} months.",
        "Suppressed is the ordinary answer. These numbers are a lower bound, never a permission.",
    )
    rows = tuple(
        (floor.rule_id(name), row["reason"], row["basis"])
        for name, row in floor.document["rules"].items()
        if name.startswith("statistics-")
    )
    table = Table("Rules of statistics", ("Rule", "Says", "Rests on"), rows)
    return Section("statistics", "Statistics", sentences, (table,))


def _pool(document: Mapping[str, Any]) -> Section:
    asked = document.get("pool")
    if asked is None:
        return Section("pool", "The pool", ("What is sent to the pool follows the shipped rules.",))
    sentences = (
        f"A member sends one extract for a day, and may replace it after {asked['every_hours']}"
        " hours; it is never added to.",
        f"A row is about {asked['accounts']} accounts and {asked['payers']} payers or more.",
        f"It is new (share {asked['fresh']} of 10 or more) and machine-paced (evenness"
        f" {asked['flat']} of 9 or more) or by clients that are not what they say (share"
        f" {asked['mismatch']} of 10 or more), or names a way of eliciting.",
        "A prompt pattern is left out if more than"
        f" {asked['template_permille']} in 1,000 accounts use it, and ties nothing at home above"
        f" {asked['home_template_permille']} in 1,000.",
        f"A card or device is left out if more than {asked['token_accounts']} accounts hold it, a"
        f" network address above {asked['egress_accounts']}, or if fewer than"
        f" {asked['egress_holders']} accounts of the row do.",
        "No row is shown to anybody; after 45 days its key is destroyed.",
    )
    return Section("pool", "The pool", sentences)


def _rules(floor: Floor) -> Section:
    rows = tuple(
        (floor.rule_id(name), row["reason"], row["basis"])
        for name, row in floor.document["rules"].items()
    )
    sentence = "Every removal names one of these, with the version of the floor."
    table = Table("Rules of removal", ("Rule", "What a person reads", "Rests on"), rows)
    return Section("rules", "Every rule", (sentence,), (table,))


def _words() -> Section:
    rows = tuple((name, _listed(words)) for name, words in catalogue.WORDS.items())
    sentence = "Where a property passes only as a list, these are its words; no other passes."
    return Section(
        "words", "Closed lists of words", (sentence,), (Table("Words", ("List", "Words"), rows),)
    )
