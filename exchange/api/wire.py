"""The REST API on the wire: each field is written out; refusals become JSON once."""

from typing import Any

from exchange.contribute import Status
from exchange.proof.refused import Forbidden, NotFound, Refused


def status(found: Status) -> dict[str, Any]:
    """What became of a contribution, object by object."""
    return {
        "id": str(found.id),
        "state": found.state,
        "received_at": found.received_at.isoformat(),
        "total": found.total,
        "successes": found.successes,
        "failures": found.failures,
        "pendings": found.pendings,
        "items": [
            {
                "position": one.position,
                "id": one.stix_id,
                "version": one.version,
                "success": one.success,
                "message": one.message,
            }
            for one in found.items
        ],
    }


def refusal(refused: Refused) -> tuple[dict[str, str], int]:
    """Code, sentence and place, and the HTTP status for them."""
    status_code = 400
    if isinstance(refused, NotFound):
        status_code = 404
    elif isinstance(refused, Forbidden):
        status_code = 403
    elif refused.code == "body.size":
        status_code = 413
    body = {"code": refused.code, "sentence": refused.sentence, "path": refused.path}
    return body, status_code
