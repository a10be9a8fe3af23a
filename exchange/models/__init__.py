"""Rows and constraints, no behaviour."""

from exchange.models.archives import Archive
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
from exchange.models.search import SearchEntry, SearchValue
from exchange.models.sightings import Backfill, Fold, FoldPart, ReleaseAgain
from exchange.models.statistics import StatisticsBlock, StatisticsCell, StatisticsTable
from exchange.models.tokens import TokenAlarm, TokenCall, TokenDay

__all__ = [
    "Affected",
    "Archive",
    "Attempt",
    "Backfill",
    "Bundle",
    "ColumnMapping",
    "Delivery",
    "Erasure",
    "Feedback",
    "File",
    "FileFault",
    "FilePart",
    "FloorPolicy",
    "Fold",
    "FoldPart",
    "Following",
    "Forum",
    "Hold",
    "HoldAct",
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
    "Mail",
    "MemberPolicyVersion",
    "Missing",
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
    "Recall",
    "Reissue",
    "Release",
    "ReleaseAgain",
    "ReleaseItem",
    "ReleaseRecipient",
    "Rendition",
    "RetentionRun",
    "Revocation",
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
]
