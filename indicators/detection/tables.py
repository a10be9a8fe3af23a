"""The tables that detectors read: of a member's log at home, and of the pool.

Integers, booleans, dates and text only, and no NULL: what is absent is the empty string, or a flag.
So one expression runs on DuckDB, ClickHouse and Spark alike, and gives the same rows.

Accounts, templates and rows of the pool are numbers of one run, given by whoever loads the tables;
they mean nothing elsewhere. Lists stand as rows of a table of their own.
"""

from collections.abc import Mapping

# A member's log, folded: 45 days, one row for each account and day with any use.
LOG: Mapping[str, Mapping[str, str]] = {
    "account": {
        "account": "int64",
        "first_day": "date",  # of sign-up, or the first seen
        "carded": "boolean",
        "deviced": "boolean",
        "entity": "string",  # who pays, where the member knows: a keyed digest at home
    },
    "account_day": {
        "account": "int64",
        "day": "date",
        "events": "int64",
        "flat": "int64",  # evenness of the day's 24 hours, 0 to 9
        "am": "int64",  # twelve digits 0..9: the relative rates of hours 0 to 11 (UTC)
        "pm": "int64",  # of hours 12 to 23
        "mid": "boolean",  # a middle volume: neither a person's nor a batch's
        "mismatch": "boolean",  # the client is not what it says it is
        "moved": "boolean",  # to a model within 24 hours of its public release
        "client": "string",  # 32 hex, or empty
    },
    "account_token": {"account": "int64", "kind": "string", "token": "string"},
    "account_tag": {"account": "int64", "kind": "string", "tag": "string"},
    "account_template": {"account": "int64", "template": "int64"},
    "template": {
        "template": "int64",
        "length": "int64",  # index in schema.LENGTHS
        "samples": "int64",
        "languages": "string",  # sorted, with a space between
    },
    "template_band": {"template": "int64", "band": "int64", "value": "string"},
}

# The pool: extracts of several members, their lists exploded, buckets as indexes that order them.
POOL: Mapping[str, Mapping[str, str]] = {
    "cluster_row": {
        "row": "int64",
        "member": "int64",  # affiliates are one
        "day": "date",  # of the extract
        "cluster": "string",
        "size": "int64",  # index in schema.SIZES
        "payers": "int64",
        "devices": "int64",  # -1 for schema.FEW
        "first_day": "date",
        "last_day": "date",
        "flat": "int64",
        "am": "int64",
        "pm": "int64",
        "mid": "int64",  # tenths, as all shares
        "short": "int64",
        "fresh": "int64",
        "mismatch": "int64",
        "pivot": "int64",
        "carded": "int64",
        "deviced": "int64",
        "start_days": "int64",
        "start_peak": "int64",
    },
    "row_token": {"row": "int64", "kind": "string", "token": "string"},
    "row_client": {"row": "int64", "client": "string"},
    # Kinds: capability, method, surface.
    "row_tag": {"row": "int64", "kind": "string", "tag": "string"},
    "row_template": {"row": "int64", "template": "int64"},
    "template_row": {
        "template": "int64",
        "member": "int64",
        "day": "date",
        "length": "int64",
        "samples": "int64",  # index in schema.SAMPLES
        "base_rate": "int64",  # index in schema.BASE_RATES
        "languages": "string",
    },
    "template_band": {"template": "int64", "band": "int64", "value": "string"},
}
