"""What dev mode prints: a link that works, the keys, the ports."""

from __future__ import annotations

import io

from rich.console import Console

from plenum.banner import Endpoints, banner
from plenum.startup import Flags, prepare


def shown(*bind: str, http: str = "127.0.0.1", secure: bool = False) -> str:
    startup = prepare(Flags(dev=True, bind=bind), {})
    endpoints = Endpoints(
        http=((http, 7880),),
        udp=("192.0.2.5:7882",),
        tcp=("192.0.2.5:7881",),
        metrics_port=6789,
        secure=secure,
        lan=("192.0.2.5",),
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(banner(startup, endpoints))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_on_this_machine() -> None:
    text = shown()
    assert "http://127.0.0.1:7880/?room=demo" in text
    assert "ws://127.0.0.1:7880" in text
    assert "devkey" in text
    assert "7880/tcp web, 7882/udp media, 7881/tcp media, 6789/tcp metrics" in text
    assert "--tls-cert" not in text
    assert "whoever" not in text


def test_for_other_machines() -> None:
    text = shown("0.0.0.0", http="0.0.0.0")
    assert "http://192.0.2.5:7880/?room=demo" in text
    assert "devkey" not in text
    assert "--tls-cert" in text
    assert "whoever opens the page may join" in text
    assert "whoever opens the page may join" in shown("0.0.0.0", http="0.0.0.0", secure=True)
    assert "https://192.0.2.5:7880/?room=demo" in shown("0.0.0.0", http="0.0.0.0", secure=True)
