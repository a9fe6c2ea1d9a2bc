"""Network namespaces for the tests that need a network: addresses, routes, loss, walls, address translation.

Owns the namespaces, the veth pairs between them and this machine, and their nftables rules; removes all at the end.
Needs root, `ip` and `nft`. A namespace has a default route, since Firefox gathers no candidates without one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from typing import TYPE_CHECKING

from tests.e2e.support.turns import WORKER_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Namespace", "joined_by", "lone_namespace", "namespace"]

_NUMBERS = itertools.count(1)


def _run(*command: str, stdin: str | None = None) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, (
        f"{' '.join(command)}: {done.stderr.strip()} (these tests need root, iproute2, nftables)"
    )


def _block(number: int) -> str:
    """A network: two processes that run tests beside each other never use the same one."""
    return f"10.{213 + WORKER_NUMBER}.{(os.getpid() + number) % 250}"


def _is_taken(block: str) -> bool:
    """Whether somebody has left such a network behind: what was killed removes nothing."""
    listed = subprocess.run(["ip", "-4", "-br", "address"], capture_output=True, text=True, check=True, timeout=20)
    return f" {block}." in listed.stdout


class Namespace:
    """One namespace, joined to this machine: `here` is the machine's end, `there` the namespace's own address."""

    def __init__(self) -> None:
        number = next(number for number in _NUMBERS if not _is_taken(_block(number)))
        self.name = f"plenum-{os.getpid() % 10000}-{number}"
        block = _block(number)
        self.here, self.there = f"{block}.1", f"{block}.2"
        self._outside, self._inside = f"pl{os.getpid() % 10000}o{number}", f"pl{os.getpid() % 10000}i{number}"

    @property
    def enter_command(self) -> list[str]:
        """What to put before a command to run it inside."""
        return ["ip", "netns", "exec", self.name]

    def run(self, *command: str, stdin: str | None = None) -> None:
        """Run a command inside and wait for it."""
        _run(*self.enter_command, *command, stdin=stdin)

    def make(self) -> None:
        """Create it with its link and default route."""
        self.make_alone()
        _run("ip", "link", "add", self._outside, "type", "veth", "peer", "name", self._inside)
        _run("ip", "link", "set", self._inside, "netns", self.name)
        _run("ip", "addr", "add", f"{self.here}/24", "dev", self._outside)
        _run("ip", "link", "set", self._outside, "up")
        self.run("ip", "addr", "add", f"{self.there}/24", "dev", self._inside)
        self.run("ip", "link", "set", self._inside, "up")
        self.run("ip", "route", "add", "default", "via", self.here)

    def make_alone(self) -> None:
        """Create it with nothing but a loopback: the caller gives it its links."""
        _run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def take(self, device: str, *addresses: str) -> None:
        """Move one of this machine's network devices inside and set it up with addresses (and prefix lengths)."""
        _run("ip", "link", "set", device, "netns", self.name)
        # No link-local address, no router solicitation: what passes is the tests' own.
        self.run("ip", "link", "set", device, "addrgenmode", "none")
        for address in addresses:
            self.run("ip", "addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.run("ip", "link", "set", device, "up")

    def remove(self) -> None:
        """Remove it with all that is in it; a process still inside keeps running without a network."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._outside], capture_output=True, check=False)

    def rules(self, text: str) -> None:
        """Load nftables rules inside, replacing what was there."""
        self.run("nft", "-f", "-", stdin="flush ruleset\n" + text)

    def lose(self, percent: int) -> None:
        """Drop that share of all UDP packets, in each direction on its own."""
        drop = f"meta l4proto udp numgen random mod 100 < {percent} drop"
        self.rules(
            "table inet loss {\n"
            f" chain in {{ type filter hook input priority 0; iifname != lo {drop}; }}\n"
            f" chain out {{ type filter hook output priority 0; oifname != lo {drop}; }}\n"
            "}\n"
        )

    def block_udp(self) -> None:
        """A firewall that lets no UDP through."""
        self.rules(
            "table inet wall {\n"
            " chain in { type filter hook input priority 0; iifname != lo meta l4proto udp drop; }\n"
            " chain out { type filter hook output priority 0; oifname != lo meta l4proto udp drop; }\n"
            "}\n"
        )

    def move(self) -> None:
        """Another network: the address `there` is gone, another one is there in its place."""
        old, self.there = self.there, self.there.rpartition(".")[0] + ".77"
        self.run("ip", "addr", "del", f"{old}/24", "dev", self._inside)
        self.run("ip", "addr", "add", f"{self.there}/24", "dev", self._inside)
        self.run("ip", "route", "replace", "default", "via", self.here)

    def cut(self) -> None:
        """A pulled plug: nothing passes any more, and nobody is told."""
        self.rules(
            "table inet plug {\n"
            " chain in {\n  type filter hook input priority 0; policy drop; iifname lo accept;\n }\n"
            " chain out {\n  type filter hook output priority 0; policy drop; oifname lo accept;\n }\n"
            "}\n"
        )

    def open(self) -> None:
        """No rules any more."""
        self.rules("")


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace for the time of the block."""
    made = Namespace()
    try:
        made.make()
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def lone_namespace() -> Iterator[Namespace]:
    """A namespace without any link for the time of the block."""
    made = Namespace()
    try:
        made.make_alone()
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def joined_by(first: Namespace, second: Namespace, block: str) -> Iterator[tuple[str, str]]:
    """A second link between two namespaces, addresses `block`.1 and `block`.2."""
    names = (f"{first.name[-6:]}a", f"{second.name[-6:]}b")
    _run(
        "ip",
        "link",
        "add",
        names[0],
        "netns",
        first.name,
        "type",
        "veth",
        "peer",
        "name",
        names[1],
        "netns",
        second.name,
    )
    for space, name, address in ((first, names[0], f"{block}.1"), (second, names[1], f"{block}.2")):
        space.run("ip", "addr", "add", f"{address}/24", "dev", name)
        space.run("ip", "link", "set", name, "up")
    yield f"{block}.1", f"{block}.2"
