"""Which system calls a domain needs for what it may do: Permissions in, a call filter out.

The shortest list with which numpy, ONNX Runtime, FFmpeg and trio work was found by leaving out one
call after another; tests/unit/runtime/sandbox runs them under it.
"""

from __future__ import annotations

__all__ = ["filter_for"]

import errno
import socket
from collections.abc import Collection

from runtime.sandbox.filter import CallFilter, Check
from runtime.sandbox.machine import Machine
from runtime.sandbox.permissions import Permissions

# Named as in the kernel's headers. Both machines share these numbers.
_PROT_READ_WRITE, _PROT_EXEC = 0x3, 0x4
_MAP_SHARED, _MAP_PRIVATE, _MAP_FIXED, _MAP_ANONYMOUS, _MAP_DENYWRITE = 0x1, 0x2, 0x10, 0x20, 0x800
_MAP_MOOT = 0x2000 | 0x4000 | 0x8000 | 0x20000  # LOCKED, NORESERVE, POPULATE, STACK
_MREMAP_MAYMOVE = 0x1
_O_READ_ONLY, _O_WRITE_ONLY, _O_READ_WRITE, _O_ACCESS = 0x0, 0x1, 0x2, 0x3
_O_CREAT, _O_TRUNC, _O_PATH, _O_TMPFILE = 0x40, 0x200, 0x20_0000, 0x40_0000
# VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID: what glibc starts
# a thread with. DETACHED, without effect, is musl's.
_CLONE_A_THREAD, _CLONE_DETACHED = 0x3D_0F00, 0x40_0000
_MSG_PEEK, _MSG_DONTWAIT, _MSG_WAITALL, _MSG_NOSIGNAL = 0x2, 0x40, 0x100, 0x4000
_SOCK_KIND, _SOCK_FLAGS = 0xF, 0x800 | 0x8_0000  # NONBLOCK, CLOEXEC
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA = 263, 1, 8
_F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC = 1, 2, 3, 4, 1030
_F_LOCKS = (5, 6, 7, 36, 37, 38)  # GETLK, SETLK, SETLKW, and the same for open descriptions
_FIOCLEX, _FIONCLEX, _FIONBIO, _FIONREAD, _TCGETS = 0x5451, 0x5450, 0x5421, 0x541B, 0x5401
_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2

_ALL = 0xFFFF_FFFF


def filter_for(
    permissions: Permissions, machine: Machine, *, loop: Collection[int] = ()
) -> CallFilter:
    """The filter of a domain with these permissions. ``loop``: the trio loop's own descriptors."""
    calls = CallFilter(machine)
    wakeups = {*permissions.wakeups, *loop}
    _talk(calls, set(permissions.links), wakeups)
    _live(calls)
    _map_memory(calls, permissions)
    _start_threads(calls)
    if permissions.opens_files:
        _use_files(calls, permissions)
    if permissions.write:
        _change_files(calls)
    if permissions.uses_sockets:
        _use_sockets(calls, permissions)
    if permissions.packets:
        _receive_packets(calls)
    _control(calls, permissions)
    _close(calls, permissions, wakeups)
    return calls


def _talk(calls: CallFilter, links: set[int], wakeups: set[int]) -> None:
    """Send and receive on the descriptors handed over, to whom they are connected.

    Never sendmsg: a descriptor could travel with it. Never with an address: MSG_FASTOPEN would
    connect where Landlock does not look.
    """
    no_address = Check(4, {0}, wide=True)
    plain = _without(3, _MSG_DONTWAIT | _MSG_NOSIGNAL)
    if links:
        calls.allow_if("sendto", Check(0, links), no_address, plain)
        calls.allow_if("shutdown", Check(0, links))
    if wakeups:
        calls.allow_if("sendto", Check(0, wakeups), Check(2, {1}, wide=True), no_address, plain)
    if links or wakeups:
        calls.allow_if(
            "recvfrom",
            Check(0, links | wakeups),
            no_address,
            _without(3, _MSG_DONTWAIT | _MSG_NOSIGNAL | _MSG_WAITALL | _MSG_PEEK),
        )


def _live(calls: CallFilter) -> None:
    """Wait, wake, tell the time, end. Nothing here reaches another process.

    A refused futex or rseq crashes the C library. abort() needs no signal: where it may not send
    itself one, it ends the process by an instruction that can't be executed.
    """
    calls.allow("futex", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl")
    calls.allow("exit", "exit_group", "rseq", "set_robust_list", "restart_syscall")
    calls.allow("rt_sigprocmask", "rt_sigreturn")
    calls.allow("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday")
    calls.allow("sched_yield", "getpid", "gettid", "getrandom")
    calls.allow("sched_getaffinity", "getcpu")
    calls.allow("munmap", "madvise", "brk", "mlock", "munlock")


def _map_memory(calls: CallFilter, permissions: Permissions) -> None:
    """Memory of the process's own, never executable, unless a file that may be read is a library.

    Shared maps are memory that others may see, or a file written without a system call: only
    SQLite's index of its log (in a folder that may be written to) and devices have them.
    """
    not_executable = _without(2, _PROT_READ_WRITE, wide=True)
    own = _MAP_PRIVATE | _MAP_ANONYMOUS
    calls.allow_if("mmap", not_executable, Check(3, {own}, mask=_ALL & ~_MAP_MOOT, wide=True))
    calls.allow_if("mprotect", not_executable)
    calls.allow_if("mremap", _without(3, _MREMAP_MAYMOVE, wide=True))
    if permissions.opens_files:
        moot = _MAP_MOOT | _MAP_DENYWRITE | _MAP_FIXED
        of_a_file = Check(3, {_MAP_PRIVATE, own}, mask=_ALL & ~moot, wide=True)
        calls.allow_if("mmap", not_executable, of_a_file)
        library = Check(3, {_MAP_PRIVATE}, mask=_ALL & ~moot, wide=True)
        calls.allow_if("mmap", Check(2, {0x1 | _PROT_EXEC}, wide=True), library)
    if permissions.write or permissions.devices:
        moot = _MAP_MOOT | _MAP_FIXED
        shared = Check(3, {_MAP_SHARED}, mask=_ALL & ~moot, wide=True)
        calls.allow_if("mmap", not_executable, shared)
        calls.allow("msync")


def _start_threads(calls: CallFilter) -> None:
    """Threads, which inherit the walls, and no processes.

    What clone3 is asked for lies in memory where a filter can't look; told that it does not exist,
    the C library takes clone.
    """
    calls.allow_if("clone", Check(0, {_CLONE_A_THREAD}, mask=_ALL & ~_CLONE_DETACHED, wide=True))
    calls.answer("clone3", errno.ENOSYS)


def _use_files(calls: CallFilter, permissions: Permissions) -> None:
    """Open for reading (which Landlock holds to the folders granted), read, look around."""
    odd = _O_CREAT | _O_TRUNC | _O_PATH | _O_TMPFILE
    calls.allow_if("openat", Check(2, {_O_READ_ONLY}, mask=_O_ACCESS | odd))
    if permissions.write:
        # Truncating by a descriptor that is only read with is left out: Landlock before level 3
        # would not see it.
        calls.allow_if("openat", Check(2, {_O_WRITE_ONLY, _O_READ_WRITE}, mask=_O_ACCESS | _O_PATH))
        calls.allow_if("openat", Check(2, {_O_CREAT}, mask=_O_ACCESS | odd))
    elif permissions.devices:
        calls.allow_if("openat", Check(2, {_O_WRITE_ONLY, _O_READ_WRITE}, mask=_O_ACCESS | odd))
        calls.allow("eventfd2")
    calls.allow("read", "pread64", "readv", "preadv", "preadv2", "lseek", "fadvise64")
    calls.allow("fstat", "newfstatat", "stat", "lstat", "statx", "statfs", "fstatfs")
    calls.allow("access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd")
    calls.allow("getdents64", "getuid", "geteuid", "getgid", "getegid", "uname")


def _change_files(calls: CallFilter) -> None:
    """Write, rename, remove, lock, where Landlock lets it be opened or named.

    Not chmod, chown, times and extended attributes, which Landlock leaves alone; not links of
    either kind. Not sendfile and its like, with which Python's shutil can do without.
    """
    calls.allow("write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate")
    calls.allow("fsync", "fdatasync", "sync_file_range", "flock")
    calls.allow("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "rename", "renameat")
    calls.allow_if("renameat2", _without(4, _RENAME_NOREPLACE | _RENAME_EXCHANGE))
    calls.allow_if("fcntl", Check(1, _F_LOCKS))
    # Whether the wall clock is synchronised: who keeps files must know how old they are. Nobody can
    # set the clock by it, because no domain keeps the capability for that (CAP_SYS_TIME).
    calls.allow("adjtimex")


def _use_sockets(calls: CallFilter, permissions: Permissions) -> None:
    """TCP over the internet's protocols, to the ports which Landlock holds it to.

    Only plain TCP: for its relatives (MPTCP, SCTP, SMC) Landlock has no rules. No Unix sockets:
    names are looked up without them.
    """
    internet = Check(0, {socket.AF_INET, socket.AF_INET6})
    bare = _ALL & ~_SOCK_FLAGS
    if permissions.connect or permissions.listen:
        stream = Check(1, {socket.SOCK_STREAM}, mask=bare)
        calls.allow_if("socket", internet, stream, Check(2, {0, socket.IPPROTO_TCP}))
    if permissions.resolve:
        datagram = Check(1, {socket.SOCK_DGRAM}, mask=bare)
        calls.allow_if("socket", internet, datagram, Check(2, {0, socket.IPPROTO_UDP}))
        # Both questions, for either kind of address, at once. Its flags exclude MSG_FASTOPEN.
        calls.allow_if("sendmmsg", _without(3, _MSG_DONTWAIT | _MSG_NOSIGNAL))
        calls.allow("recvmsg")
    if permissions.connect or permissions.resolve:
        calls.allow("connect")
    if permissions.listen:
        calls.allow("bind", "listen", "accept4")
    elif permissions.resolve:
        calls.allow("bind")
    calls.allow("getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown")
    calls.allow("poll", "ppoll", "select", "pselect6")
    no_address = Check(4, {0}, wide=True)
    calls.allow_if("sendto", no_address, _without(3, _MSG_DONTWAIT | _MSG_NOSIGNAL))
    calls.allow("recvfrom")
    calls.allow_if(
        "fcntl", Check(1, {_F_DUPFD_CLOEXEC})
    )  # a listening socket is handed on as a copy


def _receive_packets(calls: CallFilter) -> None:
    """Packet sockets that hear and never speak: no send, no ring to send from."""
    kind = Check(1, {socket.SOCK_RAW}, mask=_ALL & ~_SOCK_FLAGS)
    calls.allow_if("socket", Check(0, {socket.AF_PACKET}), kind, Check(2, {0}))
    calls.allow("bind", "getsockname", "getsockopt", "recvfrom", "poll", "ppoll")
    calls.allow_if("setsockopt", Check(1, {socket.SOL_SOCKET}))
    calls.allow_if(
        "setsockopt",
        Check(1, {_SOL_PACKET}),
        Check(2, {_PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA}),
    )


def _control(calls: CallFilter, permissions: Permissions) -> None:
    """ioctl and fcntl: what Python and FFmpeg ask of files and sockets; of a device, everything."""
    if permissions.opens_nothing:
        return
    calls.allow_if("fcntl", Check(1, {_F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL}))
    if permissions.devices:
        calls.allow("ioctl", "poll", "ppoll", "select", "pselect6")
        return
    commands = {_FIOCLEX, _FIONCLEX, _FIONBIO, _FIONREAD, _TCGETS}
    if permissions.packets:
        commands |= {_SIOCGIFNAME, _SIOCGIFINDEX}
    calls.allow_if("ioctl", Check(1, commands))


def _close(calls: CallFilter, permissions: Permissions, wakeups: set[int]) -> None:
    """Close what the domain opened; only pretend to, for what it was handed.

    Descriptors are known to the filter by number. Once one of them is closed, its number may come
    to mean another's file or connection, and what may be sent here would go there.
    """
    kept = {*permissions.links, *wakeups}
    if permissions.opens_nothing:
        calls.answer("close", 0)
        return
    if kept:
        calls.answer("close", 0, Check(0, kept))
    calls.allow("close")


def _without(argument: int, allowed: int, *, wide: bool = False) -> Check:
    """Holds where no other bit than those allowed is set."""
    return Check(argument, {0}, mask=_ALL & ~allowed, wide=wide)
