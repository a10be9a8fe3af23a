"""Rows and constraints, no behaviour.

Those of the pool are known to the database here, and to nobody by name: see the contract `pool`.
"""

import exchange.models.pool  # noqa: F401 - so that Django knows its tables
from exchange.models.algorithms import Algorithm, AlgorithmAct, AlgorithmText, DryRun
from exchange.models.archives import Archive
from exchange.models.compliance import (
    AnswerExport,
    AnswerFile,
    Attestation,
    Inquiry,
    JudgedTable,
    LookBack,
    LookedBack,
    Nature,
    QuestionView,
    VerdictDocument,
)
from exchange.models.deliveries import Attempt, Bundle, Delivery, Subscription
from exchange.models.desk import HoldAct, OriginalRead, OriginalRequest, OriginalWord
from exchange.models.entries import (
    LedgerAccount,
    LedgerCheckpoint,
    LedgerCosignature,
    LedgerEntry,
    LedgerEvent,
    LedgerGate,
    LedgerHead,
    LedgerIntake,
    LedgerSlot,
    LedgerTile,
    LedgerWitness,
    SigningKey,
)
from exchange.models.files import ColumnMapping, File, FileFault, FilePart
from exchange.models.following import Following, Mail
from exchange.models.pages import SealedPage
from exchange.models.policies import (
    FloorPolicy,
    Forum,
    Hold,
    MemberPolicyVersion,
    Outcome,
    PolicyDraft,
)
from exchange.models.previews import Preview, PreviewAudience, PreviewLine, PreviewPart
from exchange.models.recalls import (
    Affected,
    Feedback,
    Kept,
    Preparation,
    Recall,
    Reissue,
    Twin,
)
from exchange.models.releases import (
    Missing,
    Release,
    ReleaseItem,
    ReleaseRecipient,
    Rendition,
    Revocation,
    ServedNote,
)
from exchange.models.retention import Erasure, KeptList, LegalHold, PersonRequest, RetentionRun
from exchange.models.runs import Finding, FindingObject, Run
from exchange.models.search import SearchEntry, SearchValue
from exchange.models.sightings import Backfill, Fold, FoldPart, ReleaseAgain
from exchange.models.statistics import StatisticsBlock, StatisticsCell, StatisticsTable
from exchange.models.tokens import TokenAlarm, TokenCall, TokenDay

__all__ = [
    "Affected",
    "Algorithm",
    "AlgorithmAct",
    "AlgorithmText",
    "AnswerExport",
    "AnswerFile",
    "Archive",
    "Attempt",
    "Attestation",
    "Backfill",
    "Bundle",
    "ColumnMapping",
    "Delivery",
    "DryRun",
    "Erasure",
    "Feedback",
    "File",
    "FileFault",
    "FilePart",
    "Finding",
    "FindingObject",
    "FloorPolicy",
    "Fold",
    "FoldPart",
    "Following",
    "Forum",
    "Hold",
    "HoldAct",
    "Inquiry",
    "JudgedTable",
    "Kept",
    "KeptList",
    "LedgerAccount",
    "LedgerCheckpoint",
    "LedgerCosignature",
    "LedgerEntry",
    "LedgerEvent",
    "LedgerGate",
    "LedgerHead",
    "LedgerIntake",
    "LedgerSlot",
    "LedgerTile",
    "LedgerWitness",
    "LegalHold",
    "LookBack",
    "LookedBack",
    "Mail",
    "MemberPolicyVersion",
    "Missing",
    "Nature",
    "OriginalRead",
    "OriginalRequest",
    "OriginalWord",
    "Outcome",
    "PersonRequest",
    "PolicyDraft",
    "Preparation",
    "Preview",
    "PreviewAudience",
    "PreviewLine",
    "PreviewPart",
    "QuestionView",
    "Recall",
    "Reissue",
    "Release",
    "ReleaseAgain",
    "ReleaseItem",
    "ReleaseRecipient",
    "Rendition",
    "RetentionRun",
    "Revocation",
    "Run",
    "SealedPage",
    "SearchEntry",
    "SearchValue",
    "ServedNote",
    "SigningKey",
    "StatisticsBlock",
    "StatisticsCell",
    "StatisticsTable",
    "Subscription",
    "TokenAlarm",
    "TokenCall",
    "TokenDay",
    "Twin",
    "VerdictDocument",
]
