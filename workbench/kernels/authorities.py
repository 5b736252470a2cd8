"""Certificate authorities of the user's own, for what is downloaded: by uv on this machine, and by programs in a kernel.

An organisation may look into its network's traffic, or have an index of its own, with certificates that only its own
authority vouches for. The user names a file with that authority's certificate, in one of the variables that Python programs
know.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

NAMES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
"""Variables that name the file, in the order in which they are asked: OpenSSL's and uv's own, pip's, that of requests."""
INSIDE = (*NAMES, "CURL_CA_BUNDLE")
"""Variables that programs in a kernel find it by."""
FILE = "authorities.pem"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?\n-----END CERTIFICATE-----\n", re.DOTALL)


def named() -> str | None:
    """Return the file that the user's variables name; None if they name none."""
    return next((str(Path(value).absolute()) for name in NAMES if (value := os.environ.get(name))), None)


def certificates() -> str:
    """Return the certificates in that file, and nothing else that it may hold; empty if there are none.

    A private key, which some keep in the same file, never enters a kernel.
    """
    path = named()
    if path is None:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        # the machine's own are used then, as OpenSSL does
        return ""
    return "".join(found.group() for found in _CERTIFICATE.finditer(f"{text}\n"))


def environ(path: str) -> dict[str, str]:
    """Return the variables by which programs find the certificates at ``path``."""
    return dict.fromkeys(INSIDE, path)
