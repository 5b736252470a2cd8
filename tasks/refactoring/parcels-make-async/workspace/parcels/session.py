"""Requests with a token, again when the service is busy."""

import threading
import time

from parcels.errors import ClosedError, error_for
from parcels.transport import Request

ATTEMPTS = 4
FIRST_PAUSE = 0.5


class Session:
    """One user's connection to the service.

    ``on_event`` is an ordinary function that is told what happens: a name and a dictionary.
    """

    def __init__(self, transport, key, on_event=None):
        self.transport = transport
        self.key = key
        self.on_event = on_event or (lambda name, details: None)
        self.closed = False
        self._token = None
        self._lock = threading.Lock()

    def request(self, method, path, params=None, body=None):
        """Return the data of an answer; raise what the service complains of."""
        response = self._attempt(Request(method, path, params or {}, body, self.token()))
        if response.status == 401:
            self._forget()
            response = self._attempt(Request(method, path, params or {}, body, self.token()))
        if response.status >= 400:
            raise error_for(response)
        return response.data

    def token(self):
        """Return the token, which is asked for once, however many want it at the same time."""
        with self._lock:
            if self._token is None:
                response = self._attempt(Request("POST", "/token", body={"key": self.key}))
                if response.status >= 400:
                    raise error_for(response)
                self._token = response.data["token"]
                self.on_event("token", {})
            return self._token

    def close(self):
        if not self.closed:
            self.closed = True
            self.transport.close()
            self.on_event("closed", {})

    def _forget(self):
        self._token = None

    def _attempt(self, request):
        if self.closed:
            raise ClosedError("the client was closed")
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            response = self.transport.send(request)
            self.on_event("sent", {"path": request.path, "status": response.status})
            if response.status != 503 or attempt == ATTEMPTS:
                return response
            time.sleep(pause)
            pause *= 2
