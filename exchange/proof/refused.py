"""Say no with a stable code, a sentence that a person understands, and the place of the fault."""


class Refused(Exception):
    """What is not accepted, and why; turned into TAXII, JSON or HTML once, in that door's wire.

    `code` is stable and part of the API; `sentence` never holds a value of a withheld field;
    `path` is the place in the input, such as `objects[3].pattern`.
    """

    def __init__(self, code: str, sentence: str, path: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.path = path


class NotFound(Refused):
    """Missing, held, recalled and another's: one answer, so that it tells nothing."""

    def __init__(self) -> None:
        super().__init__("not-found", "There is nothing here.")


class Forbidden(Refused):
    """The caller may know of the thing, but may not do this with it."""

    def __init__(self, sentence: str) -> None:
        super().__init__("forbidden", sentence)
