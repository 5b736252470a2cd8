"""Sending requests: the only place that touches the network."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    params: dict = field(default_factory=dict)
    body: dict | None = None
    token: str | None = None


@dataclass(frozen=True)
class Response:
    status: int
    data: dict


class UrllibTransport:
    """Sends requests with the standard library.

    Any object with the methods ``send`` and ``close`` can stand in for it.
    """

    def __init__(self, base, timeout=30):
        self.base = base
        self.timeout = timeout

    def send(self, request):
        return self._send(request)

    def close(self):
        pass

    def _send(self, request):
        url = self.base + request.path
        if request.params:
            url += "?" + urllib.parse.urlencode(request.params)
        body = None if request.body is None else json.dumps(request.body).encode()
        headers = {"Content-Type": "application/json"}
        if request.token:
            headers["Authorization"] = f"Bearer {request.token}"
        prepared = urllib.request.Request(url, data=body, headers=headers, method=request.method)
        try:
            with urllib.request.urlopen(prepared, timeout=self.timeout) as answer:
                return Response(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            return Response(error.code, {"error": error.reason})
