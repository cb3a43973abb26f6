"""The configuration of gridded runs: one YAML file, checked before anything is computed.

>>> from concerto.config import load
>>> load("globe.yaml", ["domain.resolution=4"]).domain.resolution  # doctest: +SKIP
4.0
"""

from concerto.config.load import differences, digest, from_dict, load, resolved
from concerto.config.schema import Config, parameter_values, schema_json, stream_variables

__all__ = [
    "Config",
    "differences",
    "digest",
    "from_dict",
    "load",
    "parameter_values",
    "resolved",
    "schema_json",
    "stream_variables",
]
