"""The help for authors names what there is: each field, code and detector, and one whole text."""

import re
from pathlib import Path

import yaml

from indicators.detection import document, fields

ROOT = Path(document.__file__).resolve().parents[2]
HELP = (ROOT / "exchange/web/templates/web/help/algorithms.html").read_text(encoding="utf-8")
SAID = set(re.findall(r"<code>([^<]+)</code>", HELP))


def test_the_help_names_every_field_and_every_detector() -> None:
    for service in fields.SERVICES.values():
        (row,) = re.findall(rf"<li><code>{service.name}</code>.*?</li>", HELP, re.DOTALL)
        assert set(service.fields) <= set(re.findall(r"<code>([a-z_]+)</code>", row))
    assert set(document.DETECTORS) <= SAID


def test_the_help_names_every_code_that_a_body_can_be_refused_with() -> None:
    modules = ("sigma", "terms", "windows", "finds", "ties")
    texts = [(ROOT / f"indicators/detection/{name}.py").read_text() for name in modules]
    codes = set(re.findall(r"\"((?:sigma|detector)\.[a-z-]+)\"", "".join(texts)))
    assert len(codes) > 20
    assert codes - SAID == set()


def test_the_text_in_the_help_is_read_as_far_as_it_goes() -> None:
    (text,) = re.findall(r"<pre class=\"json\"><code>(.*?)</code></pre>", HELP, re.DOTALL)
    shown = yaml.safe_load(text)
    assert set(shown) == set(document.schema()["properties"])
    faults = document.check(text.encode()).faults
    assert {one.path.split("[")[0] for one in faults} == {"tests"}
