"""Plenum: a media server that speaks the LiveKit protocol; what people run and import."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("plenum")
except PackageNotFoundError:  # a source tree that was never built
    __version__ = "0.0.0"
