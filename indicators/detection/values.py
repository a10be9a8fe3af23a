"""What passes between the parts of the pool, as values. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """One row of `clusters`: a group of accounts that a member tied together (schema.CLUSTERS)."""

    row: int
    cluster: str
    size: str
    payers: str
    devices: str
    first_day: date
    last_day: date
    payment: tuple[str, ...]
    device: tuple[str, ...]
    egress: tuple[str, ...]
    client: tuple[str, ...]
    templates: tuple[int, ...]
    flat: int
    hours: str
    mid: int
    short: int
    fresh: int
    mismatch: int
    pivot: int
    carded: int
    deviced: int
    start_days: int
    start_peak: int
    capabilities: tuple[str, ...]
    methods: tuple[str, ...]
    surface: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """One row of `templates` (schema.TEMPLATES)."""

    template: int
    bands: tuple[str, ...]
    length_bucket: str
    sample_bucket: str
    base_rate_bucket: str
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands beside the two files (schema.MANIFEST)."""

    day: date
    key_epoch: str
    extractor: str
    algorithms: tuple[tuple[str, str], ...]  # id and SHA-256 (hex) of each that was used at home
    clusters: str  # SHA-256 of the file, hex
    templates: str


@dataclass(frozen=True, slots=True)
class Extract:
    """One member's day, read and checked by form."""

    manifest: Manifest
    clusters: tuple[ClusterRow, ...]
    templates: tuple[TemplateRow, ...]


@dataclass(frozen=True, slots=True)
class Pooled:
    """One row of the pool with where it comes from; templates are resolved."""

    member: int  # a number of this run; affiliates are one
    day: date
    row: ClusterRow
    templates: tuple[TemplateRow, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run says of one group of rows; everything in it but `rows` may become STIX.

    Same inputs give the same findings, field by field, in the same order.
    """

    rows: tuple[Pooled, ...]
    score: int
    accounts: str  # decade, as `account_count_bucket`
    strength: str  # weak, moderate, strong
    linkage: tuple[str, ...]  # as `linkage_features`
    payment: tuple[str, ...]
    device: tuple[str, ...]
    egress: tuple[str, ...]
    clients: tuple[str, ...]
    templates: tuple[TemplateRow, ...]  # one for each family, with the bands that rows share
    hours: str  # 24 digits, or empty where they do not agree
    flat: int
    first_day: date
    last_day: date
    start_peak: int
    pivot: int
    capabilities: tuple[str, ...]
    methods: tuple[str, ...]
    surface: tuple[str, ...]
    confidence: int  # steps of 5, at most 90
    algorithms: tuple[tuple[str, int], ...]  # id and version of each that had a part in it

    @property
    def members(self) -> frozenset[int]:
        """Whose rows these are: one member's become its draft, several members' a finding."""
        return frozenset(pooled.member for pooled in self.rows)


Parameters = Mapping[str, int]
