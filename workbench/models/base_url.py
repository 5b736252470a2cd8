"""The address of a model's server: the base URL from the user, validated before anything is sent."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

import idna

from workbench.errors import UsageError


@dataclass(frozen=True)
class BaseUrl:
    """A valid base URL.

    Examples
    --------
    >>> base = BaseUrl.parse(" https://me:p%40ss@models.example:8443/v1/ ")
    >>> base.url, base.authorization, base.secrets
    ('https://models.example:8443/v1', 'Basic bWU6cEBzcw==', ('bWU6cEBzcw==', 'p@ss', 'p%40ss'))
    >>> BaseUrl.parse("localhost:8000/v1")
    Traceback (most recent call last):
    workbench.errors.UsageError: the base URL 'localhost:8000/v1' does not begin with http:// or https:// (write http://localhost:8000/v1)
    """

    url: str
    """Without user and password, and without a trailing slash."""
    authorization: str | None = field(default=None, repr=False)
    """The header in which user and password are sent."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The parts of it that no message may contain."""

    @classmethod
    def parse(cls, given: str) -> BaseUrl:
        """Return a base URL for what the user wrote.

        Raises
        ------
        UsageError
            If it is invalid. The message contains neither user nor password.
        """
        text = given.strip()
        shown = _shown(text)
        if not re.match("https?://", text, re.IGNORECASE):
            remedy = f"write http://{shown}" if re.match(r"(?!http)[\w.-]+(:\d+)?(/|$)", shown) else ""
            raise UsageError(f"the base URL {shown!r} does not begin with http:// or https://", hint=remedy)
        if re.search(r"[\s\\\x00-\x1f\x7f\ud800-\udfff]", text):
            raise UsageError(f"the base URL {shown!r} has a space, a backslash or a character in it that no URL can have")
        if "?" in text or "#" in text:
            raise UsageError(
                f"the base URL {shown!r} has a query or a fragment, and no path can be added after that",
                hint="end it before the ? or #, or write %3F or %23 in a password; settings go into --model-option extra.NAME=VALUE",
            )
        parts, fault = _parts(text)
        if fault:
            raise UsageError(f"the base URL {shown!r} cannot be asked: {fault}")
        authority = _host(parts.hostname or "") if parts.port is None else f"{_host(parts.hostname or '')}:{parts.port}"
        url = f"{parts.scheme}://{authority}{parts.path.rstrip('/')}"
        if not parts.username and not parts.password:
            return cls(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(url, f"Basic {token}", tuple(secret for secret in (token, password, parts.password) if secret))


def _parts(text: str) -> tuple[SplitResult, str]:
    """Return the parts of a URL and what is wrong with them, in our own words: Python's messages quote the password."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return urlsplit(""), "what stands in brackets is not an IPv6 address" if "[" in text else "the host is not a host name"
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return parts, "the port is not a number from 1 to 65535"
    try:
        _host(parts.hostname or "")
    except ValueError as error:
        return parts, str(error)
    return parts, ""


def _host(host: str) -> str:
    """Return a host in the form in which it is sent; raise ValueError if it is not a valid name."""
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host if '%' not in host else '')}]"  # a zone is specific to this machine
        except ValueError:
            raise ValueError("what stands in brackets is not an IPv6 address") from None
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("the host is not an IPv4 address") from None
    try:
        name = idna.encode(host, uts46=True).decode() if not host.isascii() or "xn--" in host else host
    except idna.IDNAError:
        name = ""
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(re.fullmatch("[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label) for label in labels):
        raise ValueError("the host is not a host name" if host else "there is no host in it")
    return name


def _shown(text: str) -> str:
    """Return the text without user, password and query, even if it is not a URL."""
    text = re.sub(r"^([a-z][a-z0-9+.-]*://|//)?.*@", r"\1***@", text, flags=re.IGNORECASE | re.DOTALL)
    return re.sub(r"[?#].*", "", text, flags=re.DOTALL)[:200]
