"""A stand-in for the E2B service, for tests: it speaks the service's wire on this machine's loopback and really runs the processes.

It is not the service. The unmodified ``e2b`` SDK talks to it through ``E2B_API_URL`` and ``E2B_SANDBOX_URL``. A sandbox
is a bubblewrap of its own instead of a microVM; what cannot be stood in for is refused, not pretended: it builds no
templates (a build only gives a name to a local environment) and copies no running machine (fork and snapshot answer 501).
"""

from .envd import refused
from .service import KEY, StandIn

__all__ = ["KEY", "StandIn", "refused"]
