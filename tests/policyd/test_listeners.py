"""The daemon's sockets: who may connect, and what is never removed or opened."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsbl.policyd.addresses import TcpAddress, UnixAddress, parse_listen, parse_tcp
from dnsbl.policyd.listeners import Listener, ListenError, open_listener, passed_listeners


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:10040", TcpAddress("127.0.0.1", 10040)),
        ("[::1]:10040", TcpAddress("::1", 10040)),
        ("[0:0::1]:0", TcpAddress("::1", 0)),
        ("unix:/run/dnsbl/policy.sock", UnixAddress("/run/dnsbl/policy.sock")),
    ],
)
def test_addresses(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_listen(text) == address
    assert parse_listen(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "10040", ":10040", "localhost:10040", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:-1", "::1:10040", "[127.0.0.1]:10040", "127.0.0.01:1", "*:1", "unix:", "unix:run/x",
        "unix:/" + "x" * 107, "unix:/a\0b",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|path|longer") as caught:
        parse_listen(text)
    assert "\n" not in str(caught.value)


def test_metrics_take_no_unix_socket() -> None:
    with pytest.raises(ValueError, match="not a valid address"):
        parse_tcp("unix:/run/x")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.sock"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_unix_socket_is_closed_to_the_world(path: Path) -> None:
    before = os.umask(0)
    try:
        listener = open_listener(UnixAddress(str(path)))
    finally:
        assert os.umask(before) == 0
    assert mode_of(path) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()


def test_mode_and_group(path: Path) -> None:
    group = grp.getgrgid(os.getgroups()[0] if os.geteuid() else grp.getgrnam("nogroup").gr_gid)
    listener = open_listener(UnixAddress(str(path)), mode=0o600, group=group.gr_name)
    assert (mode_of(path), os.stat(path).st_gid) == (0o600, group.gr_gid)
    listener.close()


@pytest.mark.parametrize("mode", [0o666, 0o662, 0o777, 0o002])
def test_never_world_writable(path: Path, mode: int) -> None:
    with pytest.raises(ListenError, match="every user"):
        open_listener(UnixAddress(str(path)), mode=mode)
    assert not path.exists()


def test_an_unknown_group(path: Path) -> None:
    with pytest.raises(ListenError, match="no group 'nobody-has-this'"):
        open_listener(UnixAddress(str(path)), group="nobody-has-this")
    assert not path.exists()


def test_what_a_killed_daemon_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = open_listener(UnixAddress(str(path)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert listener.has_waiting()
    listener.close()


def test_a_living_daemon_is_not_replaced(path: Path) -> None:
    listener = open_listener(UnixAddress(str(path)))
    with pytest.raises(ListenError, match="another daemon listens"):
        open_listener(UnixAddress(str(path)))
    assert path.exists()
    listener.close()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_nothing_but_a_socket_is_removed(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(ListenError, match="not a socket"):
        open_listener(UnixAddress(str(path)))
    assert path.is_symlink() or path.exists()


def test_the_socket_of_a_later_daemon_is_left_alone(path: Path) -> None:
    first = open_listener(UnixAddress(str(path)))
    os.unlink(path)
    second = open_listener(UnixAddress(str(path)))
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="make the directory first"):
        open_listener(UnixAddress(str(tmp_path / "no" / "policy.sock")))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_nothing_beyond_loopback_unless_asked_for(host: str) -> None:
    with pytest.raises(ListenError, match="--allow-remote"):
        open_listener(TcpAddress(host, 0))


def test_allow_remote() -> None:
    listener = open_listener(TcpAddress("0.0.0.0", 0), allow_remote=True)
    assert listener.sock.getsockname()[0] == "0.0.0.0"
    listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_loopback(host: str) -> None:
    listener = open_listener(TcpAddress(host, 0))
    assert listener.name == str(TcpAddress(host, listener.sock.getsockname()[1]))
    listener.close()


def test_replies_do_not_wait_for_acknowledgements() -> None:
    """Nagle's algorithm is off on a connection that asyncio serves from this listener."""

    async def nodelay() -> int:
        made: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.set_result(transport)

        listener = open_listener(TcpAddress("127.0.0.1", 0))
        server = await asyncio.get_running_loop().create_server(Accepted, sock=listener.sock)
        host, port = listener.sock.getsockname()
        _, writer = await asyncio.open_connection(host, port)
        transport = await made
        found: int = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        transport.close()
        server.close()
        await server.wait_closed()
        return found

    assert asyncio.run(nodelay())


def test_a_port_in_use() -> None:
    listener = open_listener(TcpAddress("127.0.0.1", 0))
    with pytest.raises(ListenError, match="another program listens"):
        open_listener(TcpAddress("127.0.0.1", listener.sock.getsockname()[1]))
    listener.close()


# Passed by systemd: descriptors from 3 on, so each test runs in a child of its own


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for sock in opened:
        sock.close()


def passed(sock: socket.socket, **env: str) -> str:
    """What a child says of `sock` as its descriptor 3: the listener's name, or the error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        text = "nothing"
        try:
            os.dup2(writing, 200)
            os.dup2(sock.fileno(), 3)
            variables = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", **env}
            found = passed_listeners(variables)
            text = ", ".join(listener.name for listener in found) or "none"
            text += "" if not any(name.startswith("LISTEN") for name in variables) else " and variables"
            if any(os.get_inheritable(listener.sock.fileno()) for listener in found):
                text += ", inherited by programs it starts"
        except ListenError as error:
            text = f"error: {error}"
        finally:
            os.write(200, text.encode())
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def listening(sockets: list[socket.socket], address: tuple[str, int] | str, family: int) -> socket.socket:
    sock = socket.socket(family)
    sockets.append(sock)
    sock.bind(address)
    sock.listen()
    return sock


def test_passed_tcp(sockets: list[socket.socket]) -> None:
    sock = listening(sockets, ("127.0.0.1", 0), socket.AF_INET)
    assert passed(sock) == f"127.0.0.1:{sock.getsockname()[1]} from systemd"


def test_passed_to_another_process(sockets: list[socket.socket]) -> None:
    sock = listening(sockets, ("127.0.0.1", 0), socket.AF_INET)
    assert passed(sock, LISTEN_PID="1") == "none"
    assert passed(sock, LISTEN_FDS="x") == "none"
    assert passed(sock, LISTEN_FDS="0") == "none"


def test_passed_unix(sockets: list[socket.socket], path: Path) -> None:
    sock = listening(sockets, str(path), socket.AF_UNIX)
    path.chmod(0o660)
    assert passed(sock) == f"unix:{path} from systemd"
    path.chmod(0o666)
    assert "every user" in passed(sock)
    assert "SocketMode=" in passed(sock)


def test_passed_beyond_loopback(sockets: list[socket.socket]) -> None:
    assert "--allow-remote" in passed(listening(sockets, ("0.0.0.0", 0), socket.AF_INET))


def test_passed_abstract_or_not_listening(sockets: list[socket.socket]) -> None:
    assert "abstract" in passed(listening(sockets, "\0dnsbl-test-abstract", socket.AF_UNIX))
    sock = socket.socket()
    sockets.append(sock)
    sock.bind(("127.0.0.1", 0))
    assert "does not listen" in passed(sock)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sockets.append(udp)
    assert "does not listen" in passed(udp)


def test_a_listener_closes_once_only(path: Path) -> None:
    listener: Listener = open_listener(UnixAddress(str(path)))
    listener.close()
    with socket.socket(socket.AF_UNIX) as next_one:
        next_one.bind(str(path))
        listener.close()
        assert path.exists()  # it is another's now
