"""Policies as documents: one YAML form, each fault with its place; the shipped floor is whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import catalogue, documents, holds, terms
from exchange.policy.catalogue import CONTEXT, FIELDS
from exchange.proof.refused import Refused
from indicators.stix import plain

SHIPPED = (Path(terms.__file__).parent / "floor.yaml").read_text(encoding="utf-8")
FLOOR = terms.Floor.parse(terms.shipped_floor())
DOCUMENT = FLOOR.document
SMALL = "version: 1\ndrop_types: [sighting]\n"


def faults(text: str, kind: documents.Kind = "member") -> list[tuple[str, int | None]]:
    return [(one.path, one.line) for one in documents.check(text, kind).faults]


# --- the form ------------------------------------------------------------------------------------


def test_the_shipped_floor_is_a_floor() -> None:
    checked = documents.check(SHIPPED, "floor")
    assert checked.faults == ()
    assert checked.document == terms.shipped_floor()


def test_the_demos_floor_is_a_floor() -> None:
    assert documents.faults_of(terms.shipped_floor(window_seconds=15), "floor") == ()


def test_what_is_written_out_reads_back_equal() -> None:
    text = documents.write(terms.shipped_floor())
    assert documents.read(text, "floor") == terms.shipped_floor()
    assert documents.digest(documents.read(text, "floor")).hex() == FLOOR.digest


def test_schemas_are_closed_and_of_one_draft() -> None:
    for kind in documents.KINDS:
        schema = documents.schema(kind, address=f"https://weir.example/schemas/{kind}.json")
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"] == f"https://weir.example/schemas/{kind}.json"
        assert schema["additionalProperties"] is False
        assert list(_open_objects(schema)) == []


def _open_objects(schema: Mapping[str, Any], at: str = "") -> list[str]:
    """The places where an object may have properties that nobody named."""
    found: list[str] = []
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        found.append(at)
    for key, value in schema.items():
        if isinstance(value, dict):
            found += _open_objects(value, f"{at}/{key}")
    return found


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version: 1\nversion: 2\n", ("version", 2)),
        ("a: &x 1\nb: *x\n", ("a", 1)),
        ("version: 1\nreasons: {a: &b c}\n", ("reasons.a", 2)),
        ("version: !!python/object/apply:os.system ['true']\n", ("version", 1)),
        ("version: !!int 1\n", ("version", 1)),
        ("version: 1\n---\nversion: 2\n", ("", 2)),
        ("version:\n", ("version", 1)),
        ("? [a, b]\n: 1\n", ("", 1)),
        ("1: 2\n", ("", 1)),
        ("version: [1, {a: [[[[[[[1]]]]]]]}]\n", ("version[1].a[0][0][0][0][0][0]", 1)),
        ("version: 'open\n", ("", 2)),
        ("", ("", 1)),
        ("version: \x07\n", ("", None)),
    ],
)
def test_what_cannot_be_read_safely_is_refused_with_its_line(
    text: str, place: tuple[str, int | None]
) -> None:
    checked = documents.check(text, "member")
    assert checked.document is None
    (fault,) = checked.faults
    assert fault.path == place[0]
    assert place[1] is None or fault.line == place[1]
    assert fault.sentence.endswith(".")


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert faults("\n".join(lines)) == [("a", 1)]


def test_a_text_that_is_too_long_or_has_too_many_values_is_refused() -> None:
    assert faults("version: 1\n#" + "x" * documents.MOST_OCTETS)
    assert faults("drop_types: [" + "a, " * documents.MOST_VALUES + "]")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("2026-09-30", "2026-09-30"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("1.5", "1.5"),
        ("0x1F", "0x1F"),
        ("true", True),
        ("null", None),
        ("-3", -3),
        ("'7'", "7"),
        ("=", "="),
    ],
)
def test_a_word_means_what_it_says(written: str, value: object) -> None:
    text = f"version: 1\nreasons: {{drop_types: {written}}}\n"
    document, _ = plain.read(text, plain.Limits(1_000, 100, deepest=8, noun="A policy"))
    assert document["reasons"]["drop_types"] == value


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("drop_typs: [sighting]", ""),
        ("drop_types: sighting", "drop_types"),
        ("drop_types: [sighting, sighting]", "drop_types"),
        ("drop_classes: [volumes]", "drop_classes[0]"),
        ("drop_kinds: [campaigns]", "drop_kinds[0]"),
        ("drop_properties: [sighting.counts]", "drop_properties[0]"),
        ("drop_properties: [indicator.id]", "drop_properties[0]"),
        ("drop_properties: [indicator.valid_until]", "drop_properties[0]"),
        ("reject_classes: [C13]", "reject_classes[0]"),
        ("deny_recipients: [borealis]", "deny_recipients[0]"),
        ("dates: week", "dates"),
        ("days_at_most: 0", "days_at_most"),
        ("days_at_most: 181", "days_at_most"),
        ("delay_seconds: {S4: 1}", "delay_seconds"),
        ("delay_seconds: {S2: -1}", "delay_seconds.S2"),
        ("statistics: {contributors: 4}", "statistics.contributors"),
        ("statistics: {share_percent: 26}", "statistics.share_percent"),
        ("statistics: {age_months: 2}", "statistics.age_months"),
        ("reasons: {dates: Because we say so.}", "reasons.dates"),
        ("two_people: 1", "two_people"),
    ],
)
def test_a_fault_in_a_members_policy_is_named_with_its_place(line: str, path: str) -> None:
    checked = documents.check(f"version: 1\n{line}\n", "member")
    assert [fault.path for fault in checked.faults] == [path]
    assert checked.faults[0].line == (2 if path else 1)
    assert documents.check(SMALL, "member").faults == ()


def test_every_fault_is_told_not_only_the_first() -> None:
    text = "version: 0\ndates: week\ncounts: some\n"
    assert faults(text) == [("version", 1), ("dates", 2), ("counts", 3)]


def test_who_is_named_may_have_a_reason_of_the_closed_list() -> None:
    one = "0d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
    text = f"version: 1\ndeny_recipients: [{one}]\nbecause: {{{one}: legal-advice}}\n"
    assert documents.check(text, "member").faults == ()
    assert faults(text.replace("legal-advice", "spite")) == [(f"because.{one}", 3)]
    assert faults(text.replace("deny_recipients", "deny_circles")) == []
    assert faults(f"version: 1\nbecause: {{{one}: legal-advice}}\n") == [(f"because.{one}", 2)]


Path_ = tuple[str, ...]


def changed(path: Path_, value: object) -> dict[str, Any]:
    """The shipped floor with one thing changed, or taken away by None."""
    document = terms.shipped_floor()
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("windows", "S2", "every_seconds"), -1, "windows.S2.every_seconds"),
        (("windows",), None, ""),
        (("sections",), {}, ""),
        (("minimum_circle",), 1, "minimum_circle"),
        (("address_days",), 15, "address_days"),
        (("days_at_most",), 181, "days_at_most"),
        (("rules", "narrative", "basis"), None, "rules.narrative"),
        (("rules", "narrative"), None, "rules"),
        (("classes", "narrative"), None, "classes.narrative"),
        (("classes", "narrative", "treatment"), "pass", "classes.narrative"),
        (("holds", "type-tool"), None, "types.held.tool"),
        (("holds", "type-tool", "class"), "C08", "types.held.tool"),
        (("holds", "few-prompts"), None, "holds"),
        (("holds", "D01-price"), None, "tripwires.D01-price"),
        (("catalogue", "C07"), None, "catalogue"),
        (("catalogue", "C07", "rules"), ["made-up"], "catalogue.C07.rules"),
        (("approvers", "C13"), ["forum-counsel"], "approvers.C13"),
        (("approvers", "C08"), ["contributor-counsel"], "approvers.C08"),
        (("types", "refused"), ["artifact", "indicator"], "types.refused"),
        (("reach", "withheld"), [], "reach.withheld"),
        (("kind_of_type", "campaign"), "campaigns", "kind_of_type.campaign"),
        (("drop_properties",), ["sighting.counts"], "drop_properties[0]"),
    ],
)
def test_a_floor_that_would_not_hold_is_refused_with_the_place(
    path: Path_, value: object, place: str
) -> None:
    found = documents.faults_of(changed(path, value), "floor")
    assert place in {fault.path for fault in found}


def test_a_basis_that_ends_before_it_begins_is_refused() -> None:
    document = terms.shipped_floor()
    document["legal_bases"][0]["until"] = "2015-12-17"
    assert [f.path for f in documents.faults_of(document, "floor")] == ["legal_bases[0].until"]


def test_a_refusal_names_line_and_path() -> None:
    with pytest.raises(Refused) as refused:
        documents.read("version: 1\ndates: week\n", "member")
    assert refused.value.code == "policy.document"
    assert refused.value.path == "line 2: dates"


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    checked = documents.check(text, "member")
    assert (checked.document is None) == bool(checked.faults)


# --- the shipped floor implements the catalogue --------------------------------------------------

CLASSES = tuple(f"C{n:02d}" for n in range(1, 21))


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_the_catalogue_has_rules_that_see_to_it(name: str) -> None:
    row = DOCUMENT["catalogue"][name]
    for rule in row["rules"]:
        assert rule in DOCUMENT["rules"] or rule in DOCUMENT["holds"], rule
    by_tripwire = {one["class"] for one in DOCUMENT["tripwires"].values()}
    by_removal = {"C17", "C18", "C19", "C20"}
    assert name in by_tripwire | by_removal


# What leaves of each type: the table of the allow-list, in the catalogue's own way of writing.
EVERY_SDO = {"type", "spec_version", "revoked", "object_marking_refs[]", "confidence"}
EVERY_SCO = {"type", "spec_version", "object_marking_refs[]"}
PHASES = {"kill_chain_phases[].kill_chain_name", "kill_chain_phases[].phase_name"}
SEEN = {"first_seen", "last_seen"}
ALLOWED = {
    "indicator": EVERY_SDO
    | PHASES
    | {"indicator_types[]", "pattern", "pattern_type", "pattern_version", "valid_from"}
    | {"valid_until"},
    "campaign": EVERY_SDO | SEEN,
    "infrastructure": EVERY_SDO | SEEN | PHASES | {"infrastructure_types[]"},
    "relationship": EVERY_SDO | {"relationship_type", "source_ref", "target_ref"},
    "sighting": EVERY_SDO | SEEN | {"sighting_of_ref", "observed_data_refs[]", "count"},
    "observed-data": EVERY_SDO
    | {"object_refs[]", "first_observed", "last_observed", "number_observed"},
    "ipv4-addr": EVERY_SCO | {"value"},
    "ipv6-addr": EVERY_SCO | {"value"},
    "domain-name": EVERY_SCO | {"value"},
    "autonomous-system": EVERY_SCO | {"number"},
    "url": EVERY_SCO | {"value"},
}


def passing(stix_type: str) -> set[str]:
    """The properties of a type that the floor does not drop, its context and extension apart."""
    found = set()
    for name, entry in catalogue.properties().items():
        owner, _, path = name.partition(".")
        inner = path.startswith(("context.", "extensions."))
        if owner == stix_type and not inner and FLOOR.ruling(entry.field_class, "S1").treatment < 3:
            found.add(path)
    return found


@pytest.mark.parametrize("stix_type", sorted(ALLOWED))
def test_exactly_the_allowed_properties_of_a_type_pass(stix_type: str) -> None:
    assert passing(stix_type) == ALLOWED[stix_type]


def test_files_pass_by_their_hashes_and_the_names_of_weights() -> None:
    names = {name for name in passing("file") if not name.startswith("hashes.")}
    assert names == EVERY_SCO | {"name"}
    entry = catalogue.properties()["file.name"]
    assert entry.grammar == "weights-file"
    assert not catalogue.fits("weights-file", "price list 2027.xlsx")


def test_traffic_passes_without_its_amounts() -> None:
    left = passing("network-traffic")
    assert {"src_ref", "dst_ref", "protocols[]", "src_port", "dst_port"} <= left
    assert not {name for name in left if "byte" in name or "packet" in name}


def test_the_context_extension_passes_but_the_contributors_own_words() -> None:
    rows = FIELDS["context"]["fields"].items()
    dropped = {p for p, t in rows if FLOOR.ruling(t.split()[0], "S1").treatment == 3}
    assert dropped == {"hold_reason"}
    assert CONTEXT.startswith("extension-definition--")


HELD = (
    "threat-actor intrusion-set course-of-action report grouping note opinion location malware "
    "tool vulnerability incident attack-pattern"
).split()


@pytest.mark.parametrize("stix_type", HELD)
def test_every_held_type_is_held_by_a_rule_with_reason_and_basis(stix_type: str) -> None:
    row = DOCUMENT["holds"][f"type-{stix_type}"]
    assert row["class"] == DOCUMENT["types"]["held"][stix_type]
    assert row["reason"]
    assert row["basis"]


def test_types_that_are_tokenised_withheld_or_refused() -> None:
    types = DOCUMENT["types"]
    assert set(types["tokenised"]) == {"email-addr", "user-account"}
    assert set(types["withheld"]) == set(
        "identity process x509-certificate mac-addr windows-registry-key language-content "
        "extension-definition marking-definition".split()
    )
    assert set(types["refused"]) == {"artifact", "email-message"}


@pytest.mark.parametrize(
    ("field_class", "treatment", "parameter"),
    [
        ("volume", "coarsen", ("decade", 1)),
        ("confidence", "coarsen", ("confidence", 5)),
        ("similarity", "coarsen", ("decimals", 1)),
        ("timing", "coarsen", ("calendar", 1)),
        ("traffic-volume", "drop", None),
        ("narrative", "drop", None),
        ("source", "drop", None),
        ("contributor", "drop", None),
        ("marking-detail", "drop", None),
        ("issued-anew", "drop", None),
        ("personal", "token", None),
        ("personal-detail", "drop", None),
        ("url", "coarsen", ("path-cut", 8)),
    ],
)
def test_rules_of_numbers_times_and_text(
    field_class: str, treatment: str, parameter: tuple[str, int] | None
) -> None:
    ruling = FLOOR.ruling(field_class, "S2")
    assert ruling.treatment.name.lower() == treatment
    found = ruling.parameter
    assert (found and (found.scale, found.step)) == parameter


def test_windows_lifetimes_and_circles() -> None:
    assert [FLOOR.window_seconds(name) for name in ("S0", "S1", "S2", "S3")] == [0, 0, 900, 3600]
    assert DOCUMENT["days_at_most"] == 180
    assert DOCUMENT["address_days"] == 14
    assert DOCUMENT["minimum_circle"] == 3
    assert DOCUMENT["threat_basis"]["not_enough_alone"] == ["terms-of-service-only"]
    assert set(DOCUMENT["relationships"]["pass"]) == set(
        "indicates uses consists-of based-on related-to derived-from".split()
    )


@pytest.mark.parametrize("name", sorted(DOCUMENT["hold_classes"]))
def test_every_hold_class_has_its_approvers(name: str) -> None:
    two = ("forum-counsel", "contributor-counsel")
    assert FLOOR.approvers(name) == (two if name in ("C13", "C16") else ("forum-counsel",))


def test_all_sixteen_detectors_mean_something() -> None:
    ids = [f"D{n:02d}" for n in range(1, 17)]
    assert [name[:3] for name in sorted(DOCUMENT["tripwires"])] == ids
    for name, row in DOCUMENT["tripwires"].items():
        assert row["class"] == f"C{name[1:3]}"
        assert DOCUMENT["holds"][name]["class"] == row["class"]
    without = {name for name, row in DOCUMENT["tripwires"].items() if not row["hold"]}
    assert without == {"D10-pii", "D11-content", "D14-secret"}


def test_legal_bases_are_dated_and_reviewed() -> None:
    by_id = {one["id"]: one for one in DOCUMENT["legal_bases"]}
    assert by_id["cisa-2015"]["until"] == "2026-09-30"
    assert {"cisa-2015", "eu-legitimate-interest", "contract-only"} == set(by_id)
    assert all(one["review"] and one["from"] for one in by_id.values())
    assert DOCUMENT["review"]


def test_every_rule_says_reason_and_basis() -> None:
    for section in ("rules", "holds"):
        for name, row in DOCUMENT[section].items():
            assert row["reason"].endswith("."), name
            assert row["basis"], name
    assert set(DOCUMENT["holds"]) >= holds.ALWAYS


def test_a_second_reader_of_yaml_reads_the_same() -> None:
    assert yaml.safe_load(SHIPPED) == documents.read(SHIPPED, "floor")
