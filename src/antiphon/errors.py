"""Every error Antiphon raises on purpose, in one tree that says whose fault it is.

::

    AntiphonError
    ├── RequestError            the client's fault; one HTTP status each (api/errors.py maps them)
    │   ├── InvalidRequest      400  a field is wrong; ``fields`` names each
    │   ├── Unauthorized        401  no key, or a wrong one
    │   ├── Forbidden           403  the key is good, the thing is not yours
    │   ├── NotFound            404  no such thing
    │   ├── Conflict            409
    │   ├── TooLarge            413
    │   ├── WrongState          422  not possible in the call's present state
    │   ├── TooManyWaiting      429  too many calls of a key wait for their join: ``retry_after_s``
    │   └── Overloaded          503  try later: ``retry_after_s``
    │       └── ServerStopping  503  there is no later here
    ├── JoinRefused             the join URL serves nobody (any more); carries a WebSocket close code
    ├── CallEnded               a client's call was closed by the other side; carries the close code
    ├── NoAnswer                a client's call in which the other side did not answer
    ├── MessageError            a client's data message that cannot be understood
    ├── EngineError             a model or a server behind an engine failed; ``retryable``
    ├── StoreError              the database or the recordings folder failed
    └── SetupError              the operator's to mend; its text is one plain line with the way out
        ├── ConfigError         a key of the configuration is unknown or of the wrong type
        ├── ModelMissing        weights are not in the cache: ``antiphon models pull``
        ├── ModelCorrupt        weights do not match their SHA-256
        ├── PortInUse
        └── DataFolderError     the data folder cannot be written, or another server uses it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class AntiphonError(Exception):
    """The root of the tree."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its dotted ``path`` in the request body and what was expected there."""

    path: str
    message: str


class RequestError(AntiphonError):
    """The client's fault. ``status`` is the HTTP status it is answered with."""

    status = 400

    def __init__(self, detail: str, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = tuple(fields)


class InvalidRequest(RequestError):
    """A field of the request is missing, unknown or wrong."""

    @classmethod
    def of(cls, path: str, message: str) -> InvalidRequest:
        """One wrong field, named in ``detail`` as well as in ``fields``."""
        return cls.all([FieldError(path, message)])

    @classmethod
    def all(cls, fields: Sequence[FieldError]) -> InvalidRequest:
        """Several wrong fields, of which ``detail`` names the first and counts the others."""
        first = fields[0]
        detail = f"{first.path}: {first.message}" if first.path else first.message
        return cls(f"{detail} (and {len(fields) - 1} more)" if len(fields) > 1 else detail, fields)


class Unauthorized(RequestError):
    """No API key, or one that is not known, revoked or expired."""

    status = 401


class Forbidden(RequestError):
    """The key is good; what was asked for belongs to somebody else."""

    status = 403


class NotFound(RequestError):
    """There is no such thing."""

    status = 404


class Conflict(RequestError):
    """The request contradicts what is already there."""

    status = 409


class TooLarge(RequestError):
    """The request body is over the limit."""

    status = 413


class WrongState(RequestError):
    """The thing exists, but not in a state in which this can be done."""

    status = 422


class TooManyWaiting(RequestError):
    """Too many calls of one API key wait for their join. ``retry_after_s`` goes into ``Retry-After``."""

    status = 429

    def __init__(self, detail: str, retry_after_s: int = 5) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Overloaded(RequestError):
    """The server takes no more for now. ``retry_after_s`` goes into ``Retry-After``."""

    status = 503

    def __init__(self, detail: str, retry_after_s: int = 5) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class ServerStopping(Overloaded):
    """The server is being stopped and takes no new calls."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class JoinRefused(AntiphonError):
    """A join that cannot be served. ``close_code`` is the WebSocket close code, the text its reason."""

    def __init__(self, reason: str, close_code: int = 4404) -> None:
        super().__init__(reason)
        self.reason = reason
        self.close_code = close_code


class CallEnded(AntiphonError):
    """Seen by a client: the other side closed the call. The text is the reason it gave."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason or f"close code {close_code}")
        self.close_code = close_code
        self.reason = reason


class NoAnswer(AntiphonError):
    """Seen by a client: the agent did not answer what was said to it. The text says what was waited for."""


class MessageError(AntiphonError):
    """A data message that is not JSON, has no known type, or has bad fields. Never ends a call."""


class EngineError(AntiphonError):
    """An engine failed. ``retryable`` says whether the same request may work a moment later."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class StoreError(AntiphonError):
    """The database or the recordings folder could not do what was asked.

    ``retryable`` says whether the same may work a moment later (locked, full, unreachable).
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class SetupError(AntiphonError):
    """The operator's to mend. ``str()`` of it is one plain line that says what to do."""


class ConfigError(SetupError):
    """A key of the configuration is unknown, missing or of the wrong type; the line names it."""


class ModelMissing(SetupError):
    """Model weights are not in the cache folder."""


class ModelCorrupt(SetupError):
    """Model weights are there but do not match their SHA-256."""


class PortInUse(SetupError):
    """Another process listens on the port."""


class DataFolderError(SetupError):
    """The data folder cannot be made or written, or another server uses it."""
