"""Configuration: LiveKit's YAML keys and our own section.

`load` makes a `Config` from YAML, environment and flags; `base`, `reference` and `ours` are the models.
"""

from sfu.config.load import ConfigError, boolean_keys, ineffective_keys, load, scalar_keys, unknown_variables
from sfu.config.ours import Config, Plenum, SignalCaps

__all__ = [
    "Config",
    "ConfigError",
    "Plenum",
    "SignalCaps",
    "boolean_keys",
    "ineffective_keys",
    "load",
    "scalar_keys",
    "unknown_variables",
]
