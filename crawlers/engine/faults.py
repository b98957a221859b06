"""What a container engine and its client say when they refuse, sorted by what becomes of the work.

Nothing the engine wrote goes into a message: its refusals repeat commands, and so what stands in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError

__all__ = ["broken_body", "faults"]

_ADDRESS_HINT: Final = "is base_url right, and does the engine run?"
_PROXY_HINT: Final = "a proxy of the socket or a plugin stands before the engine: let it pass GET requests"


@contextmanager
def faults(what: str) -> Iterator[None]:
    """What the docker SDK raises within becomes one of ours. ``what`` is what was asked for."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        raise answered(error.status_code, what) from None
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise _unanswered(error, what) from None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(
            f"{what}: the answer could not be understood ({type(error).__name__})", hint=_ADDRESS_HINT
        ) from None


def answered(status: int | None, what: str) -> SourceError:
    """The error for a refusal with this status."""
    if status == 404:
        return UnreadableError(f"{what}: no longer there", hint="it was there when it was listed")
    if status in (401, 403):
        return UnreadableError(f"{what}: the engine refuses ({status})", hint=_PROXY_HINT)
    if status == 501:
        return UnreadableError(f"{what}: the engine cannot do this (501)")
    if status is not None and status >= 500:
        return RetryableError(f"{what}: the engine failed ({status})", hint="its own log says why")
    return UnreadableError(f"{what}: refused ({status})")


def broken_body() -> tuple[type[Exception], ...]:
    """The exceptions of an answer that broke off."""
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    return (HTTPError, RequestException, OSError)


def _unanswered(error: BaseException, what: str) -> SourceError:
    from requests.exceptions import SSLError, TooManyRedirects

    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        hint = "run as a user of the group that owns the socket"
        return AuthError("this user may not talk to the engine", hint=hint)
    if any(isinstance(cause, TooManyRedirects) for cause in causes):
        return UnreadableError(f"{what}: a redirect, which no engine sends", hint=_ADDRESS_HINT)
    if any(isinstance(cause, SSLError) for cause in causes):
        hint = "give tls_ca, and tls_cert with tls_key where the engine asks for them"
        return AuthError("the engine's certificate or ours is not trusted", hint=hint)
    if any(isinstance(cause, KeyError | ValueError) and not isinstance(cause, OSError) for cause in causes):
        return UnreadableError(f"{what}: the answer is not one of an engine", hint=_ADDRESS_HINT)
    name = type(causes[-1]).__name__
    return RetryableError(f"{what}: the engine does not answer ({name})", hint=_ADDRESS_HINT)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and what its arguments hold, outermost first."""
    waiting: list[BaseException] = [error]
    for _ in range(20):
        if not waiting:
            return
        one = waiting.pop(0)
        yield one
        waiting += [
            arg for arg in (*one.args, one.__cause__, one.__context__) if isinstance(arg, BaseException)
        ]
        reason = getattr(one, "reason", None)
        if isinstance(reason, BaseException):
            waiting.append(reason)
