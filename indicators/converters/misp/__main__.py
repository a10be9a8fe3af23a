"""A process of its own that turns MISP events into STIX 2.1: text in, lines out, nothing else.

`exchange.children` starts it, without keys or settings, in so much memory and time. A line is
`o` and an object, `f` and what was left out, or `x` and why the file is refused; `.` ends them.
"""

import json
import logging
import sys
from typing import Any

from misp_stix_converter import MISPtoSTIX21Parser

from exchange.proof.refused import Refused
from indicators.converters.misp import events


def main() -> None:
    """Convert what stands on the input."""
    logging.disable()
    # What libraries print is no line of ours.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        found = events.events(sys.stdin.buffer.read())
        count = 0
        for number, event in enumerate(found, start=1):
            made = _converted(event)
            for obj in made:
                out.write(f"o{json.dumps(obj)}\n")
            ids = [str(obj.get("id", "")) for obj in made]
            for fault in events.left_out(event, ids, number=number, before=count):
                out.write(f"f{json.dumps([fault.place, fault.sentence])}\n")
            count += sum(1 for _ in events.attributes(event))
    except Refused as refused:
        out.write(f"x{json.dumps([refused.code, refused.sentence, refused.path])}\n")
    out.write(".\n")
    out.flush()


def _converted(event: object) -> list[dict[str, Any]]:
    """The objects of one event; of one that the library cannot read, none."""
    parser = MISPtoSTIX21Parser()
    try:
        parser.parse_misp_event(event)
        return [json.loads(obj.serialize()) for obj in parser.stix_objects]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a library of others does with hostile input
        return []


if __name__ == "__main__":
    main()
