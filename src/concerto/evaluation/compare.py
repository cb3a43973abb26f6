"""Compare a run with a flux-tower record, step by step and flag by flag.

A run is the NetCDF output of a site (CMIP names and units); an observation file has the ALMA-like names NEE,
GPP, GPP_DT, Reco (umol m-2 s-1), Qle, Qh, Qg, Rnet (W m-2), each with a flag ``<name>_qc`` (0 measured, 1 to
3 gap-filled). Time stamps are interval starts in local standard time on both sides and are matched exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.evaluation.benchmarks import DRIVERS, FLUXES, NAMES
from concerto.evaluation.metrics import scores

GRAMS_PER_MICROMOLE = 12.011e-6  # carbon
SECONDS_PER_DAY = 86400
SCALES = ("half-hourly", "daily", "monthly")
UNITS = {
    "NEE": "umol m-2 s-1",
    "GPP": "umol m-2 s-1",
    "GPP_DT": "umol m-2 s-1",
    "Reco": "umol m-2 s-1",
    "Qle": "W m-2",
    "Qh": "W m-2",
    "Qle_corrected": "W m-2",
    "Qh_corrected": "W m-2",
}
#: A day counts when this share of its steps is accepted; a month when it has this many counting days.
SHARE_OF_DAY = 0.5
DAYS_OF_MONTH = 5
#: Fewest pairs for a score at each scale.
MINIMUM = {"half-hourly": 48, "daily": 10, "monthly": 3}
COORDINATE_TOLERANCE = 0.05  # degrees


def _open(source, decode=True):
    """Dataset of a path (NetCDF, or Zarr by its ending) or the dataset itself."""
    import xarray

    if isinstance(source, xarray.Dataset):
        return source
    path = Path(source)
    if not path.exists():
        raise ConcertoError(f"{path}: the file does not exist.", hint="Check the path.")
    try:
        if path.suffix == ".zarr":
            return xarray.open_zarr(path)
        return xarray.open_dataset(path)
    except (OSError, ValueError, RuntimeError) as error:
        reason = "it is of another kind" if "IO backends" in str(error) else str(error).splitlines()[0]
        raise ConcertoError(
            f"{path}: cannot be read as NetCDF ({reason}).", hint="Is it the output of `concerto site`, and complete?"
        ) from error


def _name(source):
    return source if isinstance(source, str) else getattr(source, "name", None) or "dataset"


def _times(dataset, name):
    """Interval starts as datetime64[s]."""
    if "time" not in dataset.variables:
        raise ConcertoError(f"{name}: there is no variable 'time'.", hint="Give a file with a time axis.")
    values = dataset["time"].values
    if values.dtype == object:  # cftime, other calendars
        values = np.array([np.datetime64(value.isoformat()) for value in values])
    # Round, because times stored as fractional days miss the full second.
    values = values.astype("datetime64[ms]").astype("int64")
    return ((values + 500) // 1000).astype("datetime64[s]")


def _scalar(dataset, *names):
    for name in names:
        if name in dataset.variables and dataset[name].size >= 1:
            return float(np.ravel(dataset[name].values)[0])
        if name in dataset.attrs:
            try:
                return float(dataset.attrs[name])
            except (TypeError, ValueError):
                pass
    return None


def _series(dataset, name):
    """A variable over time as float64 (NaN where missing), or None."""
    if name not in dataset.variables or "time" not in dataset[name].dims:
        return None
    variable = dataset[name]
    extra = [dim for dim in variable.dims if dim != "time" and variable.sizes[dim] > 1]
    if extra:
        return None
    values = np.asarray(variable.values, float).reshape(variable.sizes["time"])
    return np.where(np.abs(values) < 1e19, values, np.nan)


def _json(text):
    """A dict from a JSON attribute; a plain text becomes {'text': ...}; nothing becomes {}."""
    if not text:
        return {}
    if isinstance(text, dict):
        return text
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {"text": str(text)}
    return value if isinstance(value, dict) else {"text": value}


@dataclass
class Observations:
    """A tower record: values and flags by name on ``time`` (datetime64[s], interval starts)."""

    path: str
    site: str
    title: str
    latitude: float | None
    longitude: float | None
    time: np.ndarray
    step: int  # s
    values: dict
    flags: dict
    drivers: np.ndarray | None  # (time, 3): SWdown, Tair, VPD
    attributes: dict
    notes: list = field(default_factory=list)

    def accepted(self, name, flags=(0,)):
        """Mask of the steps with a finite value and an accepted flag (no flag variable: every finite
        value)."""
        good = np.isfinite(self.values[name])
        if name in self.flags:
            good &= np.isin(self.flags[name], list(flags))
        return good


@dataclass
class Run:
    """Model output at one site: fluxes in tower units on ``time``, the other series in ``values`` as
    written."""

    path: str
    site: str
    title: str
    latitude: float | None
    longitude: float | None
    time: np.ndarray
    step: int
    fluxes: dict
    values: dict
    units: dict
    attributes: dict
    configuration: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)

    @property
    def time_stamp(self):
        """What the user said that the stamps of the tower file mark, or None."""
        facts = self.configuration.get("site facts")
        return facts.get("time_stamp") if isinstance(facts, dict) else None


def _step(time):
    return int(np.median(np.diff(time).astype("int64"))) if len(time) > 1 else 0


def _from_file(path, time_stamp):
    """Observations of a tower file in any layout that can be run (ALMA, PLUMBER2, FLUXNET and ICOS CSV)."""
    from concerto.forcing import checks, derive
    from concerto.forcing.units import KNOWN, conversion

    path, kind = checks.check_path(path)
    attributes = {}
    if kind == "netcdf":
        import netCDF4

        from concerto.forcing.alma import read_alma

        record = read_alma(path)
        with netCDF4.Dataset(str(path)) as dataset:
            attributes = {key: dataset.getncattr(key) for key in dataset.ncattrs()}
    else:
        from concerto.forcing.fluxnet_csv import read_fluxnet_csv

        record = read_fluxnet_csv(path)
    time, rows = np.unique(record.stamps, return_index=True)
    step = _step(time)
    position = time_stamp or record.stamp_position
    time = time - np.timedelta64({"end": step, "middle": step // 2}.get(position, 0), "s")
    values, flags, notes = {}, {}, []
    for name, variable in record.variables.items():
        unit = variable.unit
        if unit is None or not unit.strip():
            unit = "hPa" if name == "VPD" else KNOWN[name][0]
            if name in FLUXES:
                notes.append(f"{variable.name} has no unit in {record.file}: {unit} was taken.")
        try:
            scale, offset = conversion(name, unit, record.file, variable.name, step or 1)
        except ConcertoError as error:
            if name in FLUXES:
                notes.append(f"{error.message} It is left out.")
            continue
        series = variable.values[rows] * scale + offset
        if not np.isfinite(series).any():
            continue
        values[name] = series
        if variable.flag is not None:
            flags[name] = np.where(np.isfinite(series), variable.flag[rows], -1).astype(np.int8)
    if "Tair" in values and "VPD" not in values:
        saturated = derive.saturation_pressure_bolton(values["Tair"])
        if "RH" in values:
            values["VPD"] = saturated * (1.0 - values["RH"] / 100.0)
        elif "Qair" in values and "Psurf" in values:
            values["VPD"] = np.maximum(saturated - derive.vapour_pressure(values["Qair"], values["Psurf"]), 0.0)
    if "VPD" in values:
        values["VPD"] = values["VPD"] / 100.0  # hPa here
    drivers = None
    if all(driver in values for driver in DRIVERS):
        drivers = np.column_stack([values[driver] for driver in DRIVERS])
    place = {key: record.metadata.get(key) for key in ("latitude", "longitude")}
    place = {key: float(value) if value is not None and np.isfinite(value) else None for key, value in place.items()}
    return Observations(
        path=str(path),
        site=str(record.metadata.get("name") or ""),
        title=str(attributes.get("site_name", "")),
        time=time,
        step=step,
        values=values,
        flags=flags,
        drivers=drivers,
        attributes=attributes,
        notes=notes,
        **place,
    )


def read_observations(source, time_stamp=None):
    """Read a tower record into Observations.

    Parameters
    ----------
    source : path or xarray.Dataset
        File in any layout that ``concerto site`` reads; its units are converted. A dataset has the names and units of
        the example sites.
    time_stamp : {'start', 'end', 'middle'}, optional
        What the stamps of a file mark; default: what the file says.
    """
    if isinstance(source, str | Path) and Path(source).suffix != ".zarr":
        return _from_file(source, time_stamp)
    name = _name(str(source) if isinstance(source, Path) else source)
    dataset = _open(source)
    time = _times(dataset, name)
    values, flags = {}, {}
    for flux in (*FLUXES, "Qg", "Rnet", *DRIVERS, "SoilTemp", "SoilMoist", "LAI"):
        series = _series(dataset, flux)
        if series is None:
            continue
        if not np.isfinite(series).any():
            continue
        values[flux] = series
        flag = _series(dataset, f"{flux}_qc")
        if flag is not None:
            flags[flux] = np.where(np.isfinite(flag), flag, -1).astype(np.int8)
    drivers = None
    if all(driver in values for driver in DRIVERS):
        drivers = np.column_stack([values[driver] for driver in DRIVERS])
    attributes = dict(dataset.attrs)
    observations = Observations(
        path=str(name),
        site=str(attributes.get("site_id", attributes.get("site_code", attributes.get("site", "")))),
        title=str(attributes.get("site_name", "")),
        latitude=_scalar(dataset, "latitude", "lat"),
        longitude=_scalar(dataset, "longitude", "lon"),
        time=time,
        step=_step(time),
        values=values,
        flags=flags,
        drivers=drivers,
        attributes=attributes,
    )
    if dataset is not source:
        dataset.close()
    return observations


def read_run(source):
    """Read model output of one site (path or xarray.Dataset) into Run.

    Carbon fluxes are converted from kg m-2 s-1 to umol m-2 s-1 (12.011 g mol-1); Reco = ra + rh; NEE is
    ``nee`` or, where that is absent, Reco - GPP.
    """
    name = _name(str(source) if isinstance(source, Path) else source)
    dataset = _open(source)
    time = _times(dataset, name)
    values, units = {}, {}
    for variable in dataset.data_vars:
        series = _series(dataset, variable)
        if series is not None:
            values[variable] = series
            units[variable] = dataset[variable].attrs.get("units", "")
    per_second = 1.0 / (GRAMS_PER_MICROMOLE * 1e-3)  # umol per kg of carbon
    fluxes = {}
    if "gpp" in values:
        fluxes["GPP"] = fluxes["GPP_DT"] = values["gpp"] * per_second
    if "ra" in values and "rh" in values:
        fluxes["Reco"] = (values["ra"] + values["rh"]) * per_second
    if "nee" in values:
        fluxes["NEE"] = values["nee"]
    elif "GPP" in fluxes and "Reco" in fluxes:
        fluxes["NEE"] = fluxes["Reco"] - fluxes["GPP"]
    for flux, variable in (("Qle", "hfls"), ("Qh", "hfss")):
        if variable in values:
            fluxes[flux] = values[variable]
    if not fluxes:
        raise ConcertoError(
            f"{name}: none of gpp, nee, hfls, hfss is in the file as a series of one site.",
            hint="Give the output of a site run.",
        )
    attributes = dict(dataset.attrs)
    run = Run(
        path=str(name),
        site=str(attributes.get("site", attributes.get("site_id", ""))),
        title=str(attributes.get("title", "")),
        latitude=_scalar(dataset, "latitude", "lat"),
        longitude=_scalar(dataset, "longitude", "lon"),
        time=time,
        step=_step(time),
        fluxes=fluxes,
        values=values,
        units=units,
        attributes=attributes,
        configuration=_json(attributes.get("configuration")),
        summary=_json(attributes.get("summary")),
    )
    if dataset is not source:
        dataset.close()
    return run


def same_site(run, observations):
    """Raise unless the two places agree to 0.05 degree (or one of them gives none)."""
    for label in ("latitude", "longitude"):
        a, b = getattr(run, label), getattr(observations, label)
        if a is None or b is None:
            continue
        difference = abs(a - b)
        if label == "longitude":
            difference = min(difference, 360.0 - difference)
        if difference > COORDINATE_TOLERANCE:
            raise ConcertoError(
                f"{observations.path}: {label} {b:.3f} is not that of the run, {a:.3f} ({run.path}).",
                hint="Compare a run with the observations of its own site.",
            )


def match(run, observations):
    """Indices of the common time stamps in the run and in the observations; raises where there are none."""
    common, in_run, in_obs = np.intersect1d(run.time, observations.time, return_indices=True)
    if common.size == 0:
        raise ConcertoError(
            f"{observations.path}: no time stamp in common with the run "
            f"({run.time[0]} to {run.time[-1]} against {observations.time[0]} to {observations.time[-1]}).",
            hint="Both need interval starts in local standard time and overlapping periods.",
        )
    if run.step and observations.step and run.step != observations.step:
        raise ConcertoError(
            f"{observations.path}: steps of {observations.step} s against {run.step} s in the run ({run.path}).",
            hint="Run the model on the forcing of the tower, or average the finer record first.",
        )
    return in_run, in_obs


def daily_means(time, step, good, *series):
    """Means of series over the accepted steps of each day that counts.

    Parameters
    ----------
    time : datetime64 array
        Interval starts, local time.
    step : int
        Length of a step, s.
    good : bool array
        Accepted steps.
    series : arrays
        Series to average, all over the same steps.

    Returns
    -------
    days : datetime64[D] array; then one array of means per series
        Only days of which at least half of the steps are accepted.
    """
    days, inverse = np.unique(time.astype("datetime64[D]"), return_inverse=True)
    number = np.bincount(inverse, good, len(days))
    counts = number >= SHARE_OF_DAY * SECONDS_PER_DAY / step
    means = []
    for values in series:
        sums = np.bincount(inverse, np.where(good, values, 0.0), len(days))
        means.append((sums / np.maximum(number, 1))[counts])
    return (days[counts], *means)


def monthly_means(days, *series):
    """Means of daily means over each month with at least five counting days: months, then one array per
    series."""
    months, inverse = np.unique(days.astype("datetime64[M]"), return_inverse=True)
    number = np.bincount(inverse, minlength=len(months))
    counts = number >= DAYS_OF_MONTH
    means = [(np.bincount(inverse, values, len(months)) / np.maximum(number, 1))[counts] for values in series]
    return (months[counts], *means)


def closure(observations, flags=(0,)):
    """Energy-balance closure of the tower.

    Returns
    -------
    dict or None
        ``n`` steps; ``slope``, ``intercept`` (W m-2) and ``r`` of Qle + Qh on Rnet - Qg; ``ratio`` =
        sum(Qle + Qh) / sum(Rnet - Qg); ``without_Qg`` True where Qg is not measured and Rnet alone was taken.
        None where Rnet, Qle or Qh is not measured in at least 48 common steps. Heat storage is not counted.
    """
    values = observations.values
    if not all(name in values for name in ("Rnet", "Qle", "Qh")):
        return None
    good = np.isfinite(values["Rnet"]) & observations.accepted("Qle", flags) & observations.accepted("Qh", flags)
    has_ground = "Qg" in values
    ground = values["Qg"] if has_ground else np.zeros_like(values["Rnet"])
    good &= np.isfinite(ground)
    if good.sum() < MINIMUM["half-hourly"]:
        return None
    available, turbulent = (values["Rnet"] - ground)[good], (values["Qle"] + values["Qh"])[good]
    slope, intercept = np.polyfit(available, turbulent, 1)
    return {
        "n": int(good.sum()),
        "slope": float(slope),
        "intercept": float(intercept),
        "r": float(np.corrcoef(available, turbulent)[0, 1]),
        "ratio": float(turbulent.sum() / available.sum()),
        "without_Qg": not has_ground,
        "available": available,
        "turbulent": turbulent,
    }


def closure_corrected(observations, flags=(0,), window=15):
    """Qle and Qh scaled so that the tower closes its energy balance, the Bowen ratio kept.

    Both fluxes of a day are multiplied by sum(Rnet - Qg) / sum(Qle + Qh) over the measured steps of that day
    and the
    ``window`` days on either side, limited to 0.5 to 2; a window with fewer than 48 steps gives NaN.

    Returns
    -------
    dict with Qle and Qh (W m-2), or None where the balance is not measured
    """
    if closure(observations, flags) is None:
        return None
    values = observations.values
    ground = values.get("Qg", np.zeros_like(values["Rnet"]))
    available, turbulent = values["Rnet"] - ground, values["Qle"] + values["Qh"]
    good = np.isfinite(available) & observations.accepted("Qle", flags) & observations.accepted("Qh", flags)
    day = observations.time.astype("datetime64[D]").astype("int64")
    day -= day.min()
    total = day.max() + 1
    sums = [np.bincount(day, np.where(good, a, 0.0), total) for a in (available, turbulent, good.astype(float))]
    padded = [np.concatenate([[0.0], np.cumsum(a)]) for a in sums]
    low, high = np.maximum(np.arange(total) - window, 0), np.minimum(np.arange(total) + window + 1, total)
    energy, fluxes, number = (a[high] - a[low] for a in padded)
    enough = (number >= MINIMUM["half-hourly"]) & (fluxes > 0.0)
    factor = np.where(enough, np.clip(energy / np.where(enough, fluxes, 1.0), 0.5, 2.0), np.nan)[day]
    return {"Qle": values["Qle"] * factor, "Qh": values["Qh"] * factor}


@dataclass
class Evaluation:
    """Skill of one run at one site.

    ``scores[scale][flux][source]`` holds the metrics of ``metrics.scores`` as floats, source being ``model``
    or the name of a benchmark; ``series[flux]`` the paired half-hourly series; ``closure`` the tower's energy
    balance;
    ``notes`` what the reader must know.
    """

    site: str
    title: str
    period: tuple
    flags: tuple
    scores: dict
    closure: dict | None
    notes: list
    series: dict
    step: int
    run: Run
    observations: Observations

    def to_dict(self):
        """Everything but the series, ready for JSON (NaN becomes None)."""

        def clean(value):
            if isinstance(value, dict):
                return {k: clean(v) for k, v in value.items() if not isinstance(v, np.ndarray)}
            if isinstance(value, float):
                return value if np.isfinite(value) else None
            return value

        return clean(
            {
                "site": self.site,
                "title": self.title,
                "period": list(self.period),
                "flags": list(self.flags),
                "scores": self.scores,
                "closure": self.closure,
                "notes": self.notes,
            }
        )

    def rows(self):
        """Flat rows (scale, flux, source, metrics ...) as a list of dicts."""
        return [
            {"scale": scale, "flux": flux, "source": source, **values}
            for scale, by_flux in self.scores.items()
            for flux, by_source in by_flux.items()
            for source, values in by_source.items()
        ]

    def text(self):
        """The score table as plain text."""
        head = f"{'scale':12s}{'flux':14s}{'source':8s}{'n':>7s}{'mean obs':>10s}{'bias':>9s}{'RMSE':>8s}"
        lines = [
            f"{self.site} {self.title}, {self.period[0]} to {self.period[1]}",
            head + f"{'NME':>7s}{'r':>7s}{'sd':>7s}",
        ]
        for row in self.rows():
            lines.append(
                f"{row['scale']:12s}{row['flux']:14s}{row['source']:8s}{row['n']:7d}{row['mean_obs']:10.3f}"
                f"{row['bias']:9.3f}{row['rmse']:8.3f}{row['nme']:7.3f}{row['r']:7.3f}{row['sd_ratio']:7.3f}"
            )
        return "\n".join(lines + self.notes)


def plain_scores(simulated, observed, minimum):
    """Scores as Python numbers."""
    result = scores(simulated, observed, minimum=minimum)
    return {name: int(value) if name == "n" else float(value) for name, value in result.items()}


def evaluate(run, obs, flags=(0,), training=(), names=NAMES, closure_correction=False, fluxes=FLUXES):
    """Score a run against a tower record at half-hourly (or the record's own), daily and monthly scale.

    Parameters
    ----------
    run : path, xarray.Dataset or Run
        Output of a site run.
    obs : path, xarray.Dataset or Observations
        Tower record of the same site; its forcing drives the benchmarks.
    flags : sequence of int
        Accepted quality flags of the fluxes: (0,) measured only; (0, 1) with good gap-filling.
    training : sequence of paths
        Sites on which the benchmarks are trained (the site itself is left out); empty: embedded linear
        benchmarks.
    names : sequence of str
        Benchmarks wanted; empty for none.
    closure_correction : bool
        Adds ``Qle_corrected`` and ``Qh_corrected``: the tower's fluxes forced to close the energy balance.
    fluxes : sequence of str
        Fluxes wanted.

    Returns
    -------
    Evaluation

    Raises
    ------
    ConcertoError
        Different site, different step, no time stamp in common, no flux in common, or no accepted step.

    Examples
    --------
    >>> print(evaluate("out.nc", "DE-Tha_1998-1998.nc").text())  # doctest: +SKIP
    """
    from concerto.evaluation.benchmarks import benchmarks

    run = run if isinstance(run, Run) else read_run(run)
    observations = obs if isinstance(obs, Observations) else read_observations(obs, run.time_stamp)
    same_site(run, observations)
    in_run, in_obs = match(run, observations)
    time, step = run.time[in_run], observations.step or run.step
    present = [flux for flux in fluxes if flux in observations.values and flux in run.fluxes]
    notes = list(observations.notes)
    if not present:
        raise ConcertoError(
            f"{observations.path}: none of {', '.join(fluxes)} is measured there and simulated in {run.path}.",
            hint="Give a file with flux observations.",
        )
    wanted = [(flux, observations.values[flux], flux) for flux in present]
    if closure_correction:
        corrected = closure_corrected(observations, flags)
        if corrected is None:
            notes.append("The closure correction was asked for but Rnet, Qle and Qh are not all measured.")
        else:
            wanted += [(f"{f}_corrected", corrected[f], f) for f in ("Qle", "Qh") if f in present]
            notes.append(
                "Qle_corrected and Qh_corrected: tower fluxes scaled to close the energy balance over 31"
                " days, Bowen ratio kept."
            )
    predictions = benchmarks(observations, training, present, names) if names else {}
    if names and observations.drivers is None:
        notes.append("No benchmark: SWdown, Tair or humidity is not in the observation file.")
    elif names and not predictions:
        notes.append("No benchmark: no other site among the training files measures these fluxes.")
    elif names and not training:
        notes.append(
            "Benchmarks 1lin and 2lin use embedded coefficients (15 tower sites, this site left out where"
            " it is one of them); 3km27 needs training sites."
        )
    result = {scale: {} for scale in SCALES}
    series = {}
    for flux, values, base in wanted:
        observed, simulated = values[in_obs], run.fluxes[base][in_run]
        good = observations.accepted(base, flags)[in_obs] & np.isfinite(simulated) & np.isfinite(observed)
        if not good.any():
            notes.append(f"{flux}: no step with an accepted flag.")
            continue
        sources = {"model": simulated}
        sources |= {name: predicted[in_obs] for name, predicted in predictions.get(base, {}).items()}
        series[flux] = {"time": time, "observed": observed, "good": good, **sources}
        days, *daily = daily_means(time, step, good, observed, *sources.values())
        months, *monthly = monthly_means(days, *daily)
        series[flux]["days"], series[flux]["daily"] = (
            days,
            dict(zip(["observed", *sources], daily, strict=True)),
        )
        series[flux]["months"] = months
        series[flux]["monthly"] = dict(zip(["observed", *sources], monthly, strict=True))
        stepwise = [observed[good], *[values[good] for values in sources.values()]]
        for scale, columns in zip(SCALES, (stepwise, daily, monthly), strict=True):
            if len(columns[0]) < MINIMUM[scale]:
                continue
            result[scale][flux] = {
                source: plain_scores(column, columns[0], MINIMUM[scale])
                for source, column in zip(sources, columns[1:], strict=True)
            }
    if not series:
        raise ConcertoError(
            f"{observations.path}: no flux step in common has a flag among {', '.join(map(str, flags))}.",
            hint="Accept more flags, for example 0,1.",
        )
    if "Qle" in series and "Rnet" not in observations.values:
        notes.append("Energy-balance closure of the tower is unknown: Rnet is not measured.")
    if step != 1800:
        notes.append(f"The step of the record is {step // 60} min; 'half-hourly' stands for that step.")
    return Evaluation(
        site=observations.site or run.site,
        title=observations.title,
        period=(str(time[0])[:10], str(time[-1])[:10]),
        flags=tuple(int(flag) for flag in flags),
        scores={k: v for k, v in result.items() if v},
        closure=closure(observations, flags),
        notes=notes,
        series=series,
        step=step,
        run=run,
        observations=observations,
    )
