"""A child: it gets its input and nothing else, and a bad end of it is one clear refusal."""

import threading
import time
from pathlib import Path
from typing import IO

import pytest

from exchange import children
from exchange.children import Bounds
from exchange.proof.refused import Refused


def run(given: bytes, *, memory: int = 200 << 20, seconds: int = 20, most: int = 1 << 20) -> bytes:
    return children.run("tests.child", given, memory=memory, seconds=seconds, most=most)


def test_a_child_answers_what_it_made_and_nothing_of_its_chatter() -> None:
    assert run(b"echo what was asked") == b"what was asked"


def test_both_pipes_are_served_at_once_however_much_stands_in_them() -> None:
    long = b"0123456789abcdef" * (1 << 18)
    assert run(b"echo " + long, most=8 << 20) == long


def test_a_refusal_comes_out_as_it_was_raised() -> None:
    with pytest.raises(Refused) as caught:
        run(b"refuse")
    refused = caught.value
    assert (refused.code, refused.sentence) == ("row.size", "Row 3 has no size.")
    assert refused.path == "clusters[3].size"


def test_a_failure_says_nothing_of_what_it_failed_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Refused) as caught:
        run(b"fail the-canary-of-content")
    assert caught.value.code == "child.failed"
    assert "canary" not in caught.value.sentence + caught.value.path
    said = capfd.readouterr()
    assert "canary" not in said.out + said.err


def test_no_variable_of_the_parent_reaches_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOL_KEY", "the-canary-of-keys")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    said = run(b"environment").decode()
    assert "POOL_KEY" not in said
    assert "PYTHONPATH" not in said
    assert "PosixPath('/')" in said


def test_a_child_leaves_no_file_and_no_core(tmp_path: Path) -> None:
    assert run(b"write " + str(tmp_path / "left").encode()) != b"written"
    left = tmp_path / "left"
    assert not left.exists() or not left.read_bytes()
    assert run(b"limits") == repr([(200 << 20,) * 2, (0, 0), (1, 1)]).encode()


@pytest.mark.parametrize(
    ("given", "code"),
    [(b"eat", "child.failed"), (b"spin", "child.time"), (b"sleep", "child.time")],
)
def test_memory_and_time_have_an_end(given: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        run(given, seconds=1 if code == "child.time" else 20)
    assert caught.value.code == code


def test_an_answer_has_its_most() -> None:
    assert len(run(b"talk 1000", most=1_000)) == 1_000
    with pytest.raises(Refused) as caught:
        run(b"talk 1001", most=1_000)
    assert caught.value.code == "child.size"


# --- a child that is fed by who asks it -----------------------------------------------------------


def ask(*pieces: bytes, seconds: int = 20, most: int = 64 << 20) -> bytes:
    def feed(sink: IO[bytes]) -> None:
        assert threading.current_thread() is threading.main_thread()
        for piece in pieces:
            sink.write(piece)

    return children.ask("tests.child", feed, Bounds(200 << 20, seconds), most=most)


def test_a_child_that_is_fed_piece_by_piece_answers_once_it_has_all() -> None:
    piece = b"0123456789abcdef" * (1 << 16)
    assert ask(b"echo ", piece, piece, piece) == piece * 3


@pytest.mark.parametrize(
    ("given", "seconds", "most"),
    [(b"refuse", 20, 99), (b"fail x", 20, 99), (b"sleep", 1, 99), (b"talk 1001", 20, 1_000)],
)
def test_a_child_of_no_good_end_says_nothing(given: bytes, seconds: int, most: int) -> None:
    assert ask(given, seconds=seconds, most=most) == b""


def test_a_child_that_is_killed_while_it_is_fed_ends_the_feeding() -> None:
    """It reads nothing, and more is written than a pipe holds."""
    begun = time.monotonic()

    def feed(sink: IO[bytes]) -> None:
        while True:
            sink.write(b"x" * (1 << 20))

    assert children.ask("tests.deaf", feed, Bounds(200 << 20, 1), most=99) == b""
    assert time.monotonic() - begun < 30


def test_what_fails_while_a_child_is_fed_ends_the_child() -> None:
    def feed(sink: IO[bytes]) -> None:
        sink.write(b"echo half of it")
        raise Refused("seal.broken", "Sealed bytes do not open.")

    with pytest.raises(Refused, match="do not open"):
        children.ask("tests.child", feed, Bounds(200 << 20, 20), most=99)
