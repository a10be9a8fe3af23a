"""A file that comes in through a page and is larger than a body: sealed while it comes."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import HttpRequest

from exchange import files
from exchange.proof.refused import Refused
from exchange.web import wire

_PAGE = "contribute-file"


class SealedUpload(UploadedFile):  # type: ignore[type-arg] # generic for the checker alone
    """What a form gets of it: its name and size, and where it is sealed, or why it is not."""

    def __init__(
        self, name: str, size: int, writer: files.Writer | None, refused: Refused | None
    ) -> None:
        super().__init__(file=None, name=name, size=size)
        self._writer = writer
        self._refused = refused
        self._is_taken = False

    def take(self) -> files.Writer:
        """The sealed file, for who keeps it; Refused where none came in."""
        if self._refused is not None or self._writer is None:
            raise self._refused or Refused("body.cut", "The file did not come in whole.", "file")
        self._is_taken = True
        return self._writer

    def close(self) -> None:
        """At the end of the request: what nobody took is given up."""
        if self._writer is not None and not self._is_taken:
            self._writer.give_up()


class SealingHandler(FileUploadHandler):
    """Stands before the one that keeps files in memory, for the one page that takes large ones."""

    _is_on = False
    _writer: files.Writer | None = None
    _refused: Refused | None = None

    def handle_raw_input(
        self,
        input_data: Any,  # noqa: ANN401 - Django's signature
        META: dict[str, Any],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        """Only a body that would not fit into memory, and only on that page."""
        request = self.request
        match = request.resolver_match if isinstance(request, HttpRequest) else None
        is_page = match is not None and match.url_name == _PAGE
        self._is_on = is_page and content_length > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        self._announced = content_length

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        """A refusal is kept until the form asks: here nothing could be answered."""
        super().new_file(*args, **kwargs)
        if not self._is_on:
            return
        self._writer = None
        try:
            if not isinstance(self.request, HttpRequest):
                raise Refused("body.cut", "The file did not come in whole.", "file")
            asker = wire.asker(self.request)
            self._writer = files.receive(asker, announced=self._announced)
        except Refused as refused:
            self._refused = refused
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Seal it, and hand it on to nobody."""
        if not self._is_on:
            return raw_data
        if self._writer is not None:
            try:
                self._writer.write(raw_data)
            except Refused as refused:
                self._refused = refused
                self._writer.give_up()
                self._writer = None
        return None

    def file_complete(self, file_size: int) -> SealedUpload | None:
        """What the form gets."""
        if not self._is_on:
            return None
        return SealedUpload(self.file_name or "", max(1, file_size), self._writer, self._refused)

    def upload_interrupted(self) -> None:
        """The other side went away in the middle."""
        if self._writer is not None:
            self._writer.give_up()
