"""Unit strings at the border: a closed table of known spellings, no guessing.

`cf-units` would carry all of udunits; a dozen linear conversions do.
"""

from __future__ import annotations

import re

from concerto.errors import ConcertoError

_CHARACTERS = {
    "µ": "u", "μ": "u", "°": "deg", "º": "deg", "²": "2", "³": "3", "¹": "1", "⁻": "-", "−": "-",
    "–": "-", "·": " ", "⋅": " ", "×": " ", "\u00a0": " ",
}  # fmt: skip


def normalise(unit: str) -> str:
    """Bring a unit string to one spelling: ASCII, lower case, negative exponents instead of slashes.

    Examples
    --------
    >>> normalise("W/m²"), normalise("W m^-2"), normalise("kg m**-2 s**-1")
    ('w m-2', 'w m-2', 'kg m-2 s-1')
    """
    text = "".join(_CHARACTERS.get(character, character) for character in str(unit))
    text = text.encode("ascii", "ignore").decode().strip().lower()
    text = re.sub(r"[\[\]{}()^_]", lambda m: " " if m[0] in "_()" else "", text).replace("**", "")
    text = re.sub(r"\bper\b", "/", text)
    text = re.sub(r"(?<=[a-z0-9])[.*](?=[a-z])", " ", text)
    numerator, *denominators = text.split("/")
    tokens = numerator.split()
    for part in denominators:
        for token in part.split():
            match = re.fullmatch(r"(\d*[a-z%]+?)(\d*)", token)
            tokens.append(f"{match[1]}-{match[2] or 1}" if match else "/" + token)
    return " ".join(tokens)


_TEMPERATURE = {
    "k|kelvin|degk|deg k|degrees k|degree kelvin|degrees kelvin": (1.0, 0.0),
    "c|degc|deg c|oc|celsius|degrees c|degree c|degree celsius|degrees celsius|deg celsius|centigrade|celcius": (
        1.0,
        273.15,
    ),
}
_FLUX_DENSITY = {"w m-2|watt m-2|watts m-2|wm-2|j m-2 s-1|j s-1 m-2": (1.0, 0.0)}
_PRESSURE = {
    "pa|pascal|pascals": (1.0, 0.0),
    "hpa|mbar|mb|millibar|hectopascal|millibars": (100.0, 0.0),
    "kpa|kilopascal": (1000.0, 0.0),
}
_CARBON = {
    "umol m-2 s-1|umolm-2s-1|umol co2 m-2 s-1|umolco2 m-2 s-1|umol m-2s-1|micromol m-2 s-1|mumol m-2 s-1"
    "|umol co2 m-2s-1|umol s-1 m-2|umol c m-2 s-1|umolc m-2 s-1": (1.0, 0.0),
    "gc m-2 d-1|g c m-2 d-1|gc m-2 day-1|g c m-2 day-1|gc d-1 m-2": (1e6 / 12.011 / 86400.0, 0.0),
    "gc m-2 s-1|g c m-2 s-1": (1e6 / 12.011, 0.0),
    "kgc m-2 s-1|kg c m-2 s-1": (1e9 / 12.011, 0.0),
}
_SPEED = {"m s-1|ms-1|meters s-1|metre s-1|meter s-1|m sec-1": (1.0, 0.0), "km h-1|kmh": (1 / 3.6, 0.0)}

# Scale "step" means: the amount of one interval, divided by its length in seconds.
_PRECIPITATION = {
    "kg m-2 s-1|kgm-2s-1|kg m-2s-1|mm s-1|kg s-1 m-2|mm sec-1|mms-1": (1.0, 0.0),
    "mm h-1|mm hr-1|mm hour-1|kg m-2 h-1": (1 / 3600.0, 0.0),
    "mm d-1|mm day-1|kg m-2 d-1": (1 / 86400.0, 0.0),
    "m s-1": (1000.0, 0.0),
    "mm|kg m-2|mm step-1|mm timestep-1|mm interval-1|mm time step-1|kg m-2 step-1": ("step", 1.0),
    "mm 30min-1|mm hh-1|mm halfhour-1|mm half-hour-1|mm 30minutes-1|mm 30minute-1": ("fixed", 1800.0),
}

_FRACTION = {"1|kg kg-1|kgkg-1|m2 m-2|m3 m-3|-|unitless|fraction|frac|none|dimensionless": (1.0, 0.0)}

KNOWN = {
    "Tair": ("K", _TEMPERATURE),
    "SoilTemp": ("K", _TEMPERATURE),
    "Qair": ("kg kg-1", {"kg kg-1|kgkg-1|1|kg kg": (1.0, 0.0), "g kg-1|gkg-1": (1e-3, 0.0)}),
    "VPD": ("Pa", _PRESSURE),
    "RH": ("%", {"%|percent|pct|per cent": (1.0, 0.0), "1|fraction|-": (100.0, 0.0)}),
    "Psurf": ("Pa", _PRESSURE),
    "SWdown": ("W m-2", _FLUX_DENSITY),
    "LWdown": ("W m-2", _FLUX_DENSITY),
    "Wind": ("m s-1", _SPEED),
    "Wind_N": ("m s-1", _SPEED),
    "Wind_E": ("m s-1", _SPEED),
    "Precip": ("kg m-2 s-1", _PRECIPITATION),
    "Rainf": ("kg m-2 s-1", _PRECIPITATION),
    "Snowf": ("kg m-2 s-1", _PRECIPITATION),
    "CO2air": (
        "ppm",
        {
            "ppm|ppmv|umol mol-1|umolco2 mol-1|umol co2 mol-1|1e-6|1.e-6|10-6|umolmol-1": (1.0, 0.0),
            "mol mol-1|1": (1e6, 0.0),
        },
    ),
    "LAI": ("m2 m-2", _FRACTION),
    "NEE": ("umol m-2 s-1", _CARBON),
    "GPP": ("umol m-2 s-1", _CARBON),
    "GPP_DT": ("umol m-2 s-1", _CARBON),
    "Reco": ("umol m-2 s-1", _CARBON),
    "Qle": ("W m-2", _FLUX_DENSITY),
    "Qh": ("W m-2", _FLUX_DENSITY),
    "Qg": ("W m-2", _FLUX_DENSITY),
    "Rnet": ("W m-2", _FLUX_DENSITY),
    "Ustar": ("m s-1", _SPEED),
    "SoilMoist": ("m3 m-3", _FRACTION | {"%|percent|pct": (0.01, 0.0), "kg m-3": (1e-3, 0.0)}),
}


def _lookup(unit, table):
    key = normalise(unit)
    for spellings, conversion in table.items():
        if key in spellings.split("|"):
            return conversion
    return None


# Gridded products also hold amounts of energy and depths of water per interval, and a few more variables.
_ENERGY = {
    "j m-2|joule m-2|joules m-2|j m-2 step-1": ("step", 1.0),
    "kj m-2": ("step", 1e3),
    "mj m-2": ("step", 1e6),
    "j m-2 6h-1|j m-2 6hr-1|j m-2 6hrs-1|j m-2 6hours-1": (1 / 21600.0, 0.0),
    "j m-2 3h-1|j m-2 3hr-1|j m-2 3hrs-1|j m-2 3hours-1": (1 / 10800.0, 0.0),
    "j m-2 h-1|j m-2 hr-1|j m-2 hour-1": (1 / 3600.0, 0.0),
    "j m-2 d-1|j m-2 day-1": (1 / 86400.0, 0.0),
    "kj m-2 d-1|kj m-2 day-1": (1e3 / 86400.0, 0.0),
    "mj m-2 d-1|mj m-2 day-1": (1e6 / 86400.0, 0.0),
}
_DEPTH = {
    "m|m of water equivalent|m water equivalent|meter|metre|meters|metres|m step-1": ("step", 1000.0),
    "mm 6h-1|mm 6hr-1|mm 6hrs-1|mm 6hours-1|kg m-2 6h-1|kg m-2 6hr-1": (1 / 21600.0, 0.0),
    "mm 3h-1|mm 3hr-1|mm 3hrs-1|mm 3hours-1|kg m-2 3h-1|kg m-2 3hr-1": (1 / 10800.0, 0.0),
}
GRID = (
    KNOWN
    | {name: ("K", _TEMPERATURE) for name in ("Tdew", "Tmin", "Tmax")}
    | {name: ("W m-2", _FLUX_DENSITY | _ENERGY) for name in ("SWdown", "LWdown")}
    | {name: ("kg m-2 s-1", _PRECIPITATION | _DEPTH) for name in ("Precip", "Rainf", "Snowf")}
    | {"Trange": ("K", {"k|c|degc|deg c|kelvin|celsius|degree celsius|degrees celsius": (1.0, 0.0)})}
    | {
        "WetDays": ("days", {"days|day|d|1|days month-1|d month-1|day month-1": (1.0, 0.0)}),
        "Vapour": ("Pa", _PRESSURE),
    }
)

_SHOWN = {
    "k": "K",
    "c": "degC",
    "pa": "Pa",
    "hpa": "hPa",
    "kpa": "kPa",
    "w m-2": "W m-2",
    "gc m-2 d-1": "gC m-2 d-1",
    "gc m-2 s-1": "gC m-2 s-1",
    "kgc m-2 s-1": "kgC m-2 s-1",
    "j m-2": "J m-2 (per interval)",
    "kj m-2": "kJ m-2 (per interval)",
    "mj m-2": "MJ m-2 (per interval)",
    "mj m-2 d-1": "MJ m-2 d-1",
    "j m-2 d-1": "J m-2 d-1",
    "kj m-2 d-1": "kJ m-2 d-1",
    "j m-2 6h-1": "J m-2 6h-1",
    "j m-2 3h-1": "J m-2 3h-1",
    "j m-2 h-1": "J m-2 h-1",
    "m": "m (of water per interval)",
}


def accepted(name: str, known: dict = KNOWN) -> str:
    """One readable spelling of every unit that `name` may have."""
    first = [spellings.split("|")[0] for spellings in known[name][1]]
    return ", ".join(_SHOWN.get(text, text) for text in first)


def conversion(name: str, unit: str | None, file: str, found: str, step_seconds: int, known: dict = KNOWN):
    """Scale and offset that bring `name` from `unit` to SI.

    Parameters
    ----------
    name : str
        Canonical name, a key of `KNOWN`.
    unit : str or None
        As spelt in the file; None or blank when absent.
    file, found : str
        File and variable name, for the message.
    step_seconds : int
        Length of the interval, s, for amounts per interval.
    known : dict, optional
        Table of units: `KNOWN` (towers) or `GRID` (gridded products).

    Returns
    -------
    scale, offset : float
        SI value = scale * value + offset.

    Raises
    ------
    ConcertoError
        The unit is absent or not in the table.
    """
    table = known[name][1]
    if unit is None or not str(unit).strip():
        if name == "LAI":  # dimensionless in every convention: nothing to guess
            return 1.0, 0.0
        raise ConcertoError(
            f"{file}: {found} has no unit, and concerto does not guess one.",
            hint=f"Set the attribute 'units' of {found} to one of: {accepted(name, known)}.",
        )
    result = _lookup(unit, table)
    if result is None:
        raise ConcertoError(
            f"{file}: {found} has the unit '{unit}', which is not known for {name}.",
            hint=f"Convert it, or correct the attribute 'units' of {found}; known are: {accepted(name, known)}.",
        )
    scale, offset = result
    if scale == "step":
        return offset / step_seconds, 0.0
    if scale == "fixed":
        if abs(offset - step_seconds) > 1:
            raise ConcertoError(
                f"{file}: {found} has the unit '{unit}', but the interval of the file is {step_seconds} s.",
                hint=f"Correct the unit of {found}, for instance to 'mm' (amount of one interval).",
            )
        return 1.0 / offset, 0.0
    return float(scale), float(offset)


def is_amount(name: str, unit: str | None, known: dict = GRID) -> bool:
    """True when `unit` is an amount of the interval (J m-2, mm, m), not a rate."""
    found = None if unit is None else _lookup(unit, known[name][1])
    return found is not None and found[0] == "step"


def is_identity(name: str, unit: str | None) -> bool:
    """True when `unit` is just another spelling of the SI unit of `name`."""
    return unit is None or _lookup(unit, KNOWN[name][1]) == (1.0, 0.0)
