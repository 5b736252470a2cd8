"""Certificate authorities of the user's own: which file is meant, and what of it a kernel is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from workbench.kernels import authorities


@pytest.fixture(autouse=True)
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in authorities.NAMES:
        monkeypatch.delenv(name, raising=False)


def test_none_is_named() -> None:
    assert authorities.named() is None
    assert authorities.certificates() == ""


def test_the_first_that_names_one_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert authorities.named() == "/requests.pem"
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert authorities.named() == "/requests.pem"
    monkeypatch.setenv("SSL_CERT_FILE", "/openssl.pem")
    assert authorities.named() == "/openssl.pem"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_certificates_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newline: str) -> None:
    first, second = trustme.CA(), trustme.CA()
    parts = [b"# ours\n", first.private_key_pem.bytes(), first.cert_pem.bytes(), b"\xff\n", second.cert_pem.bytes().rstrip()]
    file = tmp_path / "authorities.pem"
    file.write_bytes(b"".join(parts).replace(b"\n", newline.encode()))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert authorities.certificates() == (first.cert_pem.bytes() + second.cert_pem.bytes()).decode()


def test_a_file_that_cannot_be_read_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "gone.pem", tmp_path):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert authorities.certificates() == ""
