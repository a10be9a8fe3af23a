"""The extract, exactly: its tables, their columns, and the closed words that may stand in them.

An extract is what a member sends for one day: `clusters` and `templates`, one Parquet file each,
and a manifest. Standard library only: the exchange reads these words without the extra `pool`.
"""

from collections.abc import Mapping

NAME = "weir-extract/1"
ROWS = 300  # of `clusters`, always: their number tells nothing (R3)
DAYS = 45  # that an extract looks back, and that the pool keeps it (R9)
HOURS = 24

# Half decades of accounts; the index of a bucket orders it.
SIZES = ("3-4", "5-9", "10-29", "30-99", "100-299", "300-999", "1k-up")
# Its lower ends.
SIZE_FLOORS = (3, 5, 10, 30, 100, 300, 1_000)
# Of devices only: fewer than three, none included; accounts and payers are never so few (R1, R2).
FEW = "lt-3"

KINDS = ("payment", "device", "egress")
# How a kind of ours is called where a value becomes a keyed token (`exchange.proof.oprf`).
TOKEN_KINDS: Mapping[str, str] = {
    "payment": "payment-instrument",
    "device": "device",
    "egress": "ip-address",
}
MOST_TOKENS: Mapping[str, int] = {"payment": 64, "device": 64, "egress": 32}
MOST_CLIENTS = 4
MOST_TEMPLATES = 32
MOST_FILE_TEMPLATES = 9_600  # 300 rows with 32 each; in practice some hundred

TENTHS = (0, 2, 4, 6, 8, 10)  # shares in fifths, written as tenths
START_DAYS = (1, 2, 4, 8, 16, 32)
# Columns of `clusters` that are shares in fifths.
SHARES = ("mid", "short", "fresh", "mismatch", "pivot", "carded", "deviced", "start_peak")

FINGERPRINT = "minhash128/w3/bands32x4/hmac64/normalise-v1"
BANDS = 32
PROMPTS = 8  # that a template is made of, at least
LENGTHS = ("1-9-tokens", "10-99-tokens", "100-999-tokens", "1k-9k-tokens", "10k-up-tokens")
SAMPLES = ("2-9", "10-99", "100-999", "1k-9k", "10k-99k", "100k-999k", "1M-9M", "10M-99M")
# Share of a member's accounts that use a template; a more usual one is left out (R4).
BASE_RATES = ("lt-1e-7", "lt-1e-6", "lt-1e-5", "lt-1e-4", "lt-1e-3", "lt-1e-2")

# The vocabularies of E1 (announced features only), as published in indicators/stix/schemas; said
# again here because that room needs more than the standard library.
CAPABILITIES = (
    "reasoning-trace", "reward-grading", "agentic-tool-use", "software-engineering", "computer-use",
    "vision", "long-context", "mathematics", "multilingual", "refusal-behaviour", "alignment-data",
    "system-prompt", "logprobs", "embedding-geometry", "other",
)  # fmt: skip
METHODS = (
    "chain-of-thought-elicitation", "rubric-grading", "tool-trace-capture",
    "preference-pair-generation", "synthetic-instruction-generation", "multi-turn-self-play",
    "censorship-safe-rewriting", "logprob-harvest", "temperature-sweep", "translation-fanout",
)  # fmt: skip
SURFACES = (
    "first-party-api", "first-party-app", "cloud-marketplace", "aggregator", "partner-integration",
    "unknown",
)  # fmt: skip
MOST_WORDS: Mapping[str, int] = {"capabilities": 12, "methods": 12, "surface": 6}
MOST_LANGUAGES = 16
MOST_ALGORITHMS = 200  # that one manifest names

# Name and type of each column, in the order of the file. Types: u8, u16, date, text, and lists.
CLUSTERS: Mapping[str, str] = {
    "row": "u16",
    "cluster": "text",
    "size": "text",
    "payers": "text",
    "devices": "text",
    "first_day": "date",
    "last_day": "date",
    "payment": "texts",
    "device": "texts",
    "egress": "texts",
    "client": "texts",
    "templates": "u16s",
    "flat": "u8",
    "hours": "text",
    "mid": "u8",
    "short": "u8",
    "fresh": "u8",
    "mismatch": "u8",
    "pivot": "u8",
    "carded": "u8",
    "deviced": "u8",
    "start_days": "u8",
    "start_peak": "u8",
    "capabilities": "texts",
    "methods": "texts",
    "surface": "texts",
}
TEMPLATES: Mapping[str, str] = {
    "template": "u16",
    "bands": "texts",
    "length_bucket": "text",
    "sample_bucket": "text",
    "base_rate_bucket": "text",
    "languages": "texts",
}
MANIFEST = ("schema", "day", "key_epoch", "extractor", "algorithms", "clusters", "templates")
