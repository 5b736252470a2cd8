"""Which entries an allowlist takes, what they open, and which addresses no name may lead to."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.kernels.allowlist import Allowlist, Rule, authority, is_public, leads_astray, literal, never, parse_authority
from workbench.kernels.policy import Policy

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
NAMES = st.lists(st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True), min_size=2, max_size=5).map(".".join)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("pypi.org", Rule("pypi.org")),
        ("PyPI.org.", Rule("pypi.org")),
        ("*.Example.org", Rule("example.org", below=True)),
        ("*.example.org:8443", Rule("example.org", below=True, port=8443)),
        ("example.org:8080", Rule("example.org", port=8080)),
        ("bücher.example", Rule("xn--bcher-kva.example")),
        ("_dmarc.example.org", Rule("_dmarc.example.org")),
        ("intranet", Rule("intranet")),
        ("localhost:8080", Rule("localhost", port=8080)),
        ("8.8.8.8", Rule("8.8.8.8")),
        ("10.0.0.7:80", Rule("10.0.0.7", port=80)),
        ("2606:4700::1", Rule("2606:4700::1")),
        ("[2606:4700:0::1]", Rule("2606:4700::1")),
        ("[::1]:8080", Rule("::1", port=8080)),
        ("[::ffff:10.0.0.7]:80", Rule("10.0.0.7", port=80)),
    ],
)
def test_entries(entry: str, rule: Rule) -> None:
    assert Allowlist([entry]).rules == (rule,)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "*",
        "*.",
        "*.org",
        "*.8.8.8.8",
        "*.[::1]:80",
        "a.*.org",
        "*example.org",
        "https://pypi.org",
        "pypi.org/simple",
        "user@pypi.org",
        "pypi.org:",
        "pypi.org:0",
        "pypi.org:65536",
        "pypi.org:http",
        "pypi.org:٤٤٣",
        "pypi..org",
        "-a.example.org",
        "a" * 64 + ".org",
        "a." * 127 + "org",
        "a b.org",
        "a\nb.org",
        "a\x00.org",
        "2130706433",
        "127.1:80",
        "0x7f.1:80",
        "0177.0.0.1:80",
        "example.0x7f",
        "\uff11\uff12\uff17.0.0.1",
        "[fe80::1%eth0]:80",
        "[::1",
        "::1]",
        "[]",
        "[8.8.8.8]",
        "localhost",
        "127.0.0.1",
        "10.0.0.1",
        "fd00::1",
        "169.254.169.254",
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[2002:a9fe:a9fe::]:80",
        "[fd00:ec2::254]:80",
        "168.63.129.16:80",
        "100.100.100.200:80",
        "0.0.0.0:80",
        "[::]:80",
        "224.0.0.1:80",
        "[ff02::1]:80",
        "255.255.255.255:80",
    ],
)
def test_what_cannot_be_allowed_is_named(entry: str) -> None:
    with pytest.raises(UsageError) as raised:
        Allowlist(["pypi.org", entry])
    assert repr(entry) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("entries", ["pypi.org", [443], [None]])
def test_what_is_no_list_of_texts_is_named(entries: object) -> None:
    with pytest.raises(UsageError, match=r"is no text|is the text"):
        Allowlist(entries)  # type: ignore[arg-type]


def test_a_policy_is_checked_when_it_is_made() -> None:
    assert Policy(network=("pypi.org",)).network == ("pypi.org",)
    with pytest.raises(UsageError, match=r"'pypi\.org/simple' cannot be allowed"):
        Policy(network=("pypi.org/simple",))


def test_a_private_address_says_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"as in \[::1\]:8080"):
        Allowlist(["::1"])


@pytest.mark.parametrize(
    ("entry", "host", "port", "opened"),
    [
        ("pypi.org", "pypi.org", 443, True),
        ("pypi.org", "pypi.org", 80, True),
        ("pypi.org", "pypi.org", 22, False),
        ("pypi.org", "evilpypi.org", 443, False),
        ("pypi.org", "a.pypi.org", 443, False),
        ("pypi.org", "pypi.org.evil.com", 443, False),
        ("pypi.org:22", "pypi.org", 22, True),
        ("pypi.org:22", "pypi.org", 443, False),
        ("*.pypi.org", "a.pypi.org", 443, True),
        ("*.pypi.org", "a.b.pypi.org", 443, True),
        ("*.pypi.org", "pypi.org", 443, False),
        ("*.pypi.org", "evilpypi.org", 443, False),
        ("8.8.8.8", "8.8.8.8", 443, True),
        ("8.8.8.8", "8.8.4.4", 443, False),
        ("localhost:80", "127.0.0.1", 80, False),
    ],
)
def test_what_an_entry_opens(entry: str, host: str, port: int, opened: bool) -> None:
    assert Allowlist([entry]).covers(host, port) is opened


def test_an_empty_list_opens_nothing() -> None:
    assert not Allowlist([]).covers("pypi.org", 443)


@given(NAMES, st.none() | st.integers(1, 65535), st.integers(1, 65535))
def test_a_name_opens_itself_however_it_is_written(name: str, port: int | None, asked: int) -> None:
    text = name if port is None else f"{name}:{port}"
    with contextlib.suppress(UsageError):
        allowlist = Allowlist([text])
        for written in (name, name.upper(), f"{name}."):
            host, _ = parse_authority(written)
            assert allowlist.covers(host, asked) is (asked in (80, 443) if port is None else asked == port)
        assert not allowlist.covers(f"a.{name}", asked)
        assert not allowlist.covers(f"a{name}", asked)


@given(NAMES, NAMES)
def test_a_star_opens_what_ends_in_its_name_and_a_dot(name: str, other: str) -> None:
    with contextlib.suppress(UsageError):
        assert Allowlist([f"*.{name}"]).covers(other, 443) is other.endswith(f".{name}")


@given(st.text(max_size=30) | st.from_regex(r"(\*\.)?[a-z0-9.\[\]:%@-]{0,20}(:\d{1,6})?", fullmatch=True))
@example("http://[")
@example("xn--a.example")
@example("ß.example")
@example("a\u200d.example")
def test_an_entry_is_a_rule_or_a_usage_error(entry: str) -> None:
    with contextlib.suppress(UsageError):
        (rule,) = Allowlist([entry]).rules
        assert rule.host.isascii() and rule.host == rule.host.lower()
        written = ("*." if rule.below else "") + (rule.host if rule.port is None else authority(rule.host, rule.port))
        assert Allowlist([written]).rules == (rule,), "the canonical form means the same"


@given(ADDRESSES, st.integers(1, 65535))
def test_an_address_is_opened_only_by_itself(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    host, parsed = parse_authority(authority(str(address), port))
    assert literal(host) is not None and parsed == port
    with contextlib.suppress(UsageError):
        assert Allowlist([authority(host, port)]).covers(host, port)
        assert not never(address)
    assert not Allowlist(["*.example.org", "pypi.org"]).covers(host, port)


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.0.223", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert not leads_astray("pypi.org", ipaddress.ip_address(address))
    assert leads_astray("localhost", ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "192.0.0.192",
        "198.18.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff0e::1",
    ],
)
def test_no_name_leads_to_these(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert leads_astray("pypi.org", ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_stays_as_private_as_it_is_however_it_is_wrapped(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    wrapped = [
        ipaddress.IPv6Address((0xFFFF << 32) + number),
        ipaddress.IPv6Address((0x64FF9B << 96) + number),
        ipaddress.IPv6Address((0x2002 << 112) + (number << 80)),
    ]
    assert {is_public(each) for each in wrapped} == {is_public(address)}
    assert {never(each) for each in wrapped} == {never(address)}


def test_localhost_is_this_machine_and_nothing_else() -> None:
    assert not leads_astray("localhost", ipaddress.ip_address("127.0.0.1"))
    assert not leads_astray("localhost", ipaddress.ip_address("::1"))
    assert leads_astray("localhost", ipaddress.ip_address("192.168.1.1"))
