"""The sockets Postfix connects to: made here, or passed by systemd; closed to the world in either case.

Only opens and closes; what comes over them is the server's.
"""

from __future__ import annotations

import errno
import grp
import ipaddress
import os
import select
import socket
import stat
from collections.abc import MutableMapping, Sequence
from typing import Final

from dnsbl.errors import DnsblError
from dnsbl.policyd.addresses import TcpAddress, UnixAddress

BACKLOG: Final = 1_024
FIRST_PASSED_FD: Final = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
MAX_PASSED: Final = 64


class ListenError(DnsblError):
    """A socket that cannot be, or must not be, listened on; one line, with the remedy."""


class Listener:
    """One listening socket. `close` also removes the file of a UNIX socket that was made here.

    passed: it is systemd's, and goes on when this process ends.
    """

    def __init__(self, sock: socket.socket, name: str, path: str = "", *, passed: bool = False) -> None:
        self.sock = sock
        self.name = name
        self.passed = passed
        self._path = path
        self._inode = os.stat(path).st_ino if path else 0

    def close(self) -> None:
        self.sock.close()
        self.unlink()

    def unlink(self) -> None:
        """Remove the file of a UNIX socket that was made here."""
        path, self._path = self._path, ""
        if path:
            try:
                # A daemon that has started meanwhile has its own socket there.
                if os.stat(path).st_ino == self._inode:
                    os.unlink(path)
            except FileNotFoundError:
                pass

    def has_waiting(self) -> bool:
        """A connection waits to be accepted."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


def open_listener(
    address: TcpAddress | UnixAddress, *, allow_remote: bool = False, mode: int = 0o660, group: str = ""
) -> Listener:
    """Listen on an address. mode, group: of a UNIX socket's file; group empty: as it comes.

    Raises ListenError for an address beyond loopback without `allow_remote`, for a mode that lets everybody
    write, for a path that something else has, and for whatever the system refuses.
    """
    try:
        if isinstance(address, UnixAddress):
            return _open_unix(address, mode, group)
        return _open_tcp(address, allow_remote)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}{_remedy(error)}") from None


def _remedy(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "; another program listens there: stop it, or choose another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "; run as a user who may, or choose a port above 1023 or a directory of its own"
    if error.errno == errno.ENOENT:
        return "; make the directory first"
    return ""


def _open_tcp(address: TcpAddress, allow_remote: bool) -> Listener:
    check_loopback(address.host, str(address), allow_remote)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is known to be TCP:
    # replies to requests sent together would wait for the client's delayed acknowledgements, 40 ms each.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(BACKLOG)
        return Listener(sock, str(TcpAddress(address.host, sock.getsockname()[1])))
    except BaseException:
        sock.close()
        raise


def check_address(address: TcpAddress | UnixAddress, *, allow_remote: bool, group: str) -> None:
    """Raise ListenError for what can be seen to be wrong with an address without listening on it."""
    if isinstance(address, TcpAddress):
        check_loopback(address.host, str(address), allow_remote)
    elif group:
        _gid(group, address)


def check_loopback(host: str, name: str, allow_remote: bool) -> None:
    """Raise ListenError where the address is not loopback and that was not asked for."""
    if not allow_remote and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        raise ListenError(
            f"{name} can be reached from other hosts, and the protocol has no access control; "
            "listen on loopback or a UNIX socket, or give --allow-remote behind a firewall"
        )


def _open_unix(address: UnixAddress, mode: int, group: str) -> Listener:
    check_mode(mode, str(address))
    gid = _gid(group, address) if group else -1
    _remove_stale(address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # nobody else may connect until mode and group are right
    try:
        sock.bind(address.path)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    listener = Listener(sock, str(address), address.path)
    try:
        os.chown(address.path, -1, gid)
        os.chmod(address.path, mode)
        sock.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def check_mode(mode: int, name: str) -> None:
    """Raise ListenError for a mode with which everybody could ask."""
    if mode & stat.S_IWOTH:
        raise ListenError(
            f"{name}: mode {mode:04o} lets every user of this machine connect; use 0660 and a group"
        )


def _gid(group: str, address: UnixAddress) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenError(f"{address}: there is no group {group!r}; Postfix's is usually postfix") from None


def _remove_stale(address: UnixAddress) -> None:
    """Remove the socket a killed daemon has left, and nothing else."""
    try:
        found = os.lstat(address.path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{address} is there already and is not a socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
        except TimeoutError:
            raise ListenError(f"{address}: another daemon listens there, and is too busy") from None
        else:
            raise ListenError(f"{address}: another daemon listens there; stop it, or choose another path")


def passed_listeners(env: MutableMapping[str, str], *, allow_remote: bool = False) -> Sequence[Listener]:
    """The sockets systemd passed (sd_listen_fds(3)), if it did; what named them is taken out of `env`.

    Raises ListenError for one that is not a listening stream socket, or that is open to the world.
    """
    pid, count = env.pop("LISTEN_PID", ""), env.pop("LISTEN_FDS", "")
    env.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return ()
    return [_passed(FIRST_PASSED_FD + place, allow_remote) for place in range(min(int(count), MAX_PASSED))]


def _passed(fd: int, allow_remote: bool) -> Listener:
    try:
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ListenError(
                f"descriptor {fd} from systemd does not listen; use ListenStream= and Accept=no"
            )
        if sock.family == socket.AF_UNIX:
            path = os.fsdecode(sock.getsockname())
            if path.startswith("\0"):
                raise ListenError("an abstract socket from systemd lets everybody connect; give it a path")
            check_mode(stat.S_IMODE(os.stat(path).st_mode), f"unix:{path} from systemd (SocketMode=)")
            return Listener(sock, f"unix:{path} from systemd", passed=True)
        host, port = sock.getsockname()[:2]
    except OSError as error:
        raise ListenError(f"descriptor {fd} from systemd: {error.strerror or error}") from None
    address = TcpAddress(host, port)
    check_loopback(host, f"{address} from systemd", allow_remote)
    return Listener(sock, f"{address} from systemd", passed=True)
