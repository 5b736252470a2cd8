"""Which hosts a sandbox may reach by name, and which addresses no name may lead to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import idna

from workbench.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

USUAL_PORTS = (80, 443)
"""Where an entry without a port leads."""

_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ROUTED_6 = ipaddress.ip_network("2000::/3")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "::/128",
        # where a cloud hands a machine its credentials; some of these lie in public ranges
        "169.254.0.0/16",
        "fe80::/10",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/64",
    )
]


def parse_authority(text: str) -> tuple[str, int | None]:
    """Return the host of ``host:port`` in its one canonical form, and the port where there is one.

    Raises
    ------
    ValueError
        If it is anything else; the message says why.

    Examples
    --------
    >>> parse_authority("Bücher.Example.:8080")
    ('xn--bcher-kva.example', 8080)
    >>> parse_authority("[0:0::1]:80")
    ('::1', 80)
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("it is no host with an optional port")
    host, port = match["host"], None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port < 2**16:
        raise ValueError(f"there is no port {port}")
    if host.startswith("["):
        return str(_plain(ipaddress.IPv6Address(_unscoped(host[1:-1])))), port
    if (address := literal(host)) is not None:
        return str(address), port
    return _canonical_name(host), port


def authority(host: str, port: int) -> str:
    """Write a host and a port the way a URL does.

    Examples
    --------
    >>> authority("example.org", 8080), authority("::1", 8080)
    ('example.org:8080', '[::1]:8080')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unscoped(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone leads to this machine's own links")
    return text


def _canonical_name(name: str) -> str:
    if not name.isascii():
        name = idna.encode(name, uts46=True).decode()
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("it is no host name")
    # resolvers take 2130706433, 0x7f.1 and the like for addresses
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("it ends in a number but is no address")
    return name


def literal(host: str) -> Address | None:
    """Return the address that a canonical host is, or None for a name."""
    try:
        return _plain(ipaddress.ip_address(host))
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _destination(address: Address) -> Address:
    """Return where packets to ``address`` end up: IPv6 has several ways to write an address of IPv4."""
    address = _plain(address)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED:
            return ipaddress.IPv4Address(int(address) % 2**32)
        return address.sixtofour or address
    return address


def never(address: Address) -> bool:
    """Say whether ``address`` can never be allowed: a metadata service, a broadcast, or not the address of one host."""
    end = _destination(address)
    return end.is_multicast or end == ipaddress.IPv4Address("255.255.255.255") or any(end in network for network in _NEVER)


def is_public(address: Address) -> bool:
    """Say whether ``address`` belongs to one host on the internet.

    Examples
    --------
    >>> [is_public(ipaddress.ip_address(text)) for text in ("8.8.8.8", "10.0.0.1", "169.254.169.254", "2002:7f00:1::")]
    [True, False, False, False]
    """
    end = _destination(address)
    if isinstance(end, ipaddress.IPv6Address) and end not in _ROUTED_6:
        return False
    return end.is_global and not never(end)


@dataclass(frozen=True)
class Rule:
    """One entry of an allowlist.

    Attributes
    ----------
    host : str
        A name or an address in canonical form.
    below : bool
        Whether it stands for the names below ``host``, at any depth, rather than for ``host`` itself.
    port : int or None
        The one port it opens; None for 80 and 443.
    """

    host: str
    below: bool = False
    port: int | None = None

    @classmethod
    def parse(cls, entry: str) -> Rule:
        """Return the rule that ``entry`` writes.

        Raises
        ------
        UsageError
            If it is not a valid entry, or would allow what can never be allowed.
        """
        if not isinstance(entry, str):
            raise UsageError(f"network: {entry!r} is no text", hint='write hosts such as "pypi.org"')
        below = entry.startswith("*.")
        try:
            bare = literal(entry)
            host, port = (str(bare), None) if bare is not None else parse_authority(entry.removeprefix("*."))
        except ValueError as error:
            raise UsageError(
                f"network: {entry!r} cannot be allowed: {error}",
                hint="write hosts such as pypi.org, *.example.org, example.org:8080 or [2001:db8::1]:8080, without a scheme or a path",
            ) from None
        address = literal(host)
        if below and (address is not None or "." not in host):
            raise UsageError(f"network: {entry!r} is too wide", hint="write at least two names after the star, as in *.example.org")
        if address is not None and never(address):
            raise UsageError(f"network: {entry!r} can never be allowed: it is no host of the internet or of yours", hint="leave it out")
        if port is None and (host == "localhost" or (address is not None and not is_public(address))):
            raise UsageError(f"network: {entry!r} is on your own network", hint=f"name the one port to open, as in {authority(host, 8080)}")
        return cls(host, below, port)

    def covers(self, host: str, port: int) -> bool:
        """Say whether this rule opens ``port`` of ``host``, which is in canonical form."""
        named = host.endswith(f".{self.host}") if self.below else host == self.host
        return named and (port in USUAL_PORTS if self.port is None else port == self.port)


class Allowlist:
    """The hosts that a sandbox may reach by HTTP and HTTPS.

    Parameters
    ----------
    entries : iterable of str
        Names (``pypi.org``), all names below one (``*.example.org``), or addresses, each with ``:port`` for another
        port than 80 and 443. A name must lead to the internet, or to an address that is on the list too. What is on
        this machine or its own network is opened only by ``localhost`` or its address, with the port.

    Raises
    ------
    UsageError
        If an entry is malformed or cannot be allowed; the message names it.

    Examples
    --------
    >>> allowlist = Allowlist(["pypi.org", "*.example.org:8080"])
    >>> allowlist.covers("pypi.org", 443), allowlist.covers("a.b.example.org", 8080), allowlist.covers("example.org", 8080)
    (True, True, False)
    """

    def __init__(self, entries: Iterable[str]) -> None:
        if isinstance(entries, str):
            raise UsageError(f"network is the text {entries!r}", hint=f"write a list of hosts: [{entries!r}]")
        self.rules = tuple(dict.fromkeys(Rule.parse(entry) for entry in entries))

    def covers(self, host: str, port: int) -> bool:
        """Say whether an entry opens ``port`` of ``host``, which is in canonical form."""
        return any(rule.covers(host, port) for rule in self.rules)


def leads_astray(host: str, address: Address) -> bool:
    """Say whether ``address``, to which an allowed ``host`` was resolved, is not one that its name may stand for."""
    if host == "localhost":
        return not _plain(address).is_loopback
    return not is_public(address)
