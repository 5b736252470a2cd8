"""What can go wrong."""


class ApiError(Exception):
    """The service refused a request."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status


class NotFound(ApiError):
    """There is no such thing."""


class Unavailable(ApiError):
    """The service did not answer, however often it was asked."""


class ClosedError(RuntimeError):
    """The client was closed."""


def error_for(response):
    kind = {404: NotFound, 503: Unavailable}.get(response.status, ApiError)
    return kind(response.status, response.data.get("error", "no reason given"))
