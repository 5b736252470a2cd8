"""uv: its failure is an error of ours that says why."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from workbench.errors import SandboxError
from workbench.kernels import authorities, installer

from .package_index import NAME, index


def test_the_installers_last_words_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="uv pip sync failed") as raised:
        installer.uv("pip", "sync", str(tmp_path / "no-such.lock"))
    assert "no-such.lock" in raised.value.message


def test_an_active_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    active = tmp_path / "active"
    installer.uv("venv", "--quiet", str(active))
    monkeypatch.setenv("VIRTUAL_ENV", str(active))
    done = installer.run("python", "find", cwd="/")
    assert done.returncode == 0 and str(active) not in done.stdout


def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    done = installer.run("venv", "--quiet", "made", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "pyvenv.cfg").is_file()


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An index that only an authority of the user's own vouches for; yields that authority's certificate, which nothing names yet."""
    for name in (*authorities.NAMES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with index(tmp_path, tls=server) as port:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"https://localhost:{port}/simple")
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.setenv("UV_NO_CACHE", "1")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        yield tmp_path / "authority.pem"


def fetched(folder: Path) -> bool:
    return installer.run("pip", "install", "--no-deps", "--target", str(folder), NAME).returncode == 0


@pytest.mark.parametrize("name", authorities.NAMES)
def test_an_authority_of_the_users_own(private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not fetched(tmp_path / "refused")
    monkeypatch.setenv(name, str(private))
    assert fetched(tmp_path / "taken")
    assert (tmp_path / "taken" / "made_up.py").is_file()
