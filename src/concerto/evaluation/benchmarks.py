"""Empirical benchmarks of PLUMBER: what a flux would be if it were only a statistical answer to the weather.

``1lin``   linear regression on SWdown;
``2lin``   linear regression on SWdown and Tair;
``3km27``  27 k-means clusters of the standardised SWdown, Tair and VPD, a linear regression on the three in
each.

They are trained out of sample, on other sites than the one they judge (Abramowitz 2012,
doi:10.5194/gmd-5-819-2012; Best et al. 2015, doi:10.1175/JHM-D-14-0158.1). Steps: flux measured (flag 0) and
the three drivers finite; of the m such steps of a training site every max(1, floor(m / 17520))-th is taken,
so that no site weighs much more than a year. Without training sites the two linear benchmarks come from the
coefficients in ``linear_benchmarks.csv``.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError

DRIVERS = ("SWdown", "Tair", "VPD")
NAMES = ("1lin", "2lin", "3km27")
FLUXES = ("NEE", "GPP", "GPP_DT", "Reco", "Qle", "Qh")
STEPS_PER_SITE = 17520
CLUSTERS = 27
SEED = 1
_CLUSTER_SAMPLE = 40000


def thin(usable, steps=STEPS_PER_SITE):
    """Indices of the usable steps, every max(1, floor(m / steps))-th of m: at most about two years' worth."""
    index = np.flatnonzero(usable)
    return index[:: max(1, index.size // steps)]


def _regression(drivers, flux):
    """Intercept and slopes of ordinary least squares."""
    design = np.column_stack([np.ones(len(flux)), drivers])
    return np.linalg.lstsq(design, flux, rcond=None)[0]


def nearest(points, centres):
    """Index of the nearest centre of each point (n, d) among centres (k, d)."""
    return np.argmin((centres * centres).sum(1) - 2.0 * points @ centres.T, axis=1)


def k_means(points, clusters=CLUSTERS, seed=SEED, iterations=200, tolerance=1e-4):
    """Centres of k-means clusters by Lloyd's iteration from a k-means++ start (Arthur and Vassilvitskii
    2007).

    Parameters
    ----------
    points : array (n, d)
        Standardised data.
    clusters, seed, iterations : int
        Number of clusters; seed of the start; most iterations.
    tolerance : float
        The iteration ends when the summed squared shift of the centres is below ``tolerance`` x mean
        variance.

    Returns
    -------
    array (clusters, d)
    """
    points = np.ascontiguousarray(points, float)
    if len(points) < clusters:
        raise ConcertoError(
            f"{len(points)} training steps are too few for {clusters} clusters.",
            hint="Give more training sites.",
        )
    random = np.random.default_rng(seed)
    centres = [points[random.integers(len(points))]]
    distance = ((points - centres[0]) ** 2).sum(1)
    for _ in range(clusters - 1):
        sums = np.cumsum(distance)
        chosen = min(int(np.searchsorted(sums, random.random() * sums[-1])), len(points) - 1)
        centres.append(points[chosen])
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(1))
    centres = np.array(centres)
    limit = tolerance * points.var(axis=0).mean()
    for _ in range(iterations):
        member = nearest(points, centres)
        size = np.bincount(member, minlength=clusters)
        sums = np.column_stack([np.bincount(member, column, clusters) for column in points.T])
        moved = np.where(size[:, None] > 0, sums / np.maximum(size, 1)[:, None], centres)
        shift = ((moved - centres) ** 2).sum()
        centres = moved
        if shift <= limit:
            break
    return centres


class Linear:
    """Linear benchmark on the first ``order`` drivers; ``coefficients`` = intercept and slopes."""

    def __init__(self, coefficients):
        self.coefficients = np.asarray(coefficients, float)

    @classmethod
    def fit(cls, drivers, flux, order):
        """Ordinary least squares on the first ``order`` columns of drivers (n, 3)."""
        return cls(_regression(drivers[:, :order], flux))

    def predict(self, drivers):
        """Flux from drivers (n, 3)."""
        slopes = self.coefficients[1:]
        return self.coefficients[0] + drivers[:, : len(slopes)] @ slopes


class Clustered:
    """Cluster-wise linear benchmark: k-means of the standardised drivers, a regression in each cluster."""

    def __init__(self, drivers, flux, clusters=CLUSTERS, seed=SEED):
        self.mean, self.spread = drivers.mean(0), drivers.std(0)
        self.spread = np.where(self.spread > 0.0, self.spread, 1.0)
        points = (drivers - self.mean) / self.spread
        # Centres need no more than a sample: 40,000 steps place them to well within the spread between seeds.
        sample = points[:: max(1, len(points) // _CLUSTER_SAMPLE)]
        self.centres = k_means(sample, clusters, seed)
        member = nearest(points, self.centres)
        self.coefficients = np.zeros((clusters, points.shape[1] + 1))
        for cluster in range(clusters):
            inside = member == cluster
            if inside.any():
                self.coefficients[cluster] = _regression(points[inside], flux[inside])

    def predict(self, drivers):
        """Flux from drivers (n, 3)."""
        points = (drivers - self.mean) / self.spread
        finite = np.isfinite(points).all(1)
        coefficients = self.coefficients[nearest(np.where(finite[:, None], points, 0.0), self.centres)]
        return np.where(finite, coefficients[:, 0] + (coefficients[:, 1:] * points).sum(1), np.nan)


@lru_cache(maxsize=64)
def _training_site(path, changed):
    """Identity, drivers and measured fluxes of a training site."""
    from concerto.evaluation.compare import read_observations

    observations = read_observations(path)
    return observations.site, (observations.latitude, observations.longitude), observations


def _is_output(path):
    """A run of concerto that lies among the tower files."""
    import netCDF4

    try:
        with netCDF4.Dataset(str(path)) as dataset:
            return "source" in dataset.ncattrs() and str(dataset.getncattr("source")).startswith("concerto ")
    except (OSError, RuntimeError):
        return False  # the reader says what is wrong with it


def expand(training):
    """Site files of a mixture of files, folders and Observations."""
    files = []
    for item in training:
        if not hasattr(item, "values") and Path(item).is_dir():
            inside = sorted(path for path in Path(item).glob("*.nc") if not _is_output(path))
            if not inside:
                raise ConcertoError(
                    f"{item}: the training folder holds no tower file (*.nc).", hint="Name a folder of tower files."
                )
            files += inside
        else:
            files.append(item)
    return files


def _same_place(a, b):
    return all(x is not None and y is not None and abs(x - y) < 0.02 for x, y in zip(a, b, strict=True))


def training_steps(training, flux, target=None):
    """Drivers (n, 3) and flux (n,) of all training sites that measure the flux, the target left out.

    Parameters
    ----------
    training : sequence of paths or Observations
        Site files, or folders of them.
    flux : str
        NEE, GPP, GPP_DT, Reco, Qle or Qh.
    target : Observations, optional
        The site to be judged: left out by its site name or its coordinates.

    Returns
    -------
    drivers, flux, sites : array (n, 3), array (n,), list of the names of the sites used
    """
    drivers, fluxes, sites = [], [], []
    for item in expand(training):
        if hasattr(item, "values"):
            site, place, data = item.site, (item.latitude, item.longitude), item
        else:
            path = Path(item)
            if not path.exists():
                raise ConcertoError(f"{path}: the training file does not exist.", hint="Check the path.")
            site, place, data = _training_site(str(path), path.stat().st_mtime_ns)
        if target is not None and (site == target.site or _same_place(place, (target.latitude, target.longitude))):
            continue
        if flux not in data.values or data.drivers is None:
            continue
        usable = data.accepted(flux, (0,)) & np.isfinite(data.drivers).all(1)
        index = thin(usable)
        if index.size:
            drivers.append(data.drivers[index])
            fluxes.append(data.values[flux][index])
            sites.append(site)
    if not sites:
        return np.empty((0, len(DRIVERS))), np.empty(0), []
    return np.concatenate(drivers), np.concatenate(fluxes), sites


def train(drivers, flux, names=NAMES, seed=SEED):
    """Benchmark models of the names asked for, from drivers (n, 3) and flux (n,)."""
    models = {}
    for name in names:
        if name == "1lin":
            models[name] = Linear.fit(drivers, flux, 1)
        elif name == "2lin":
            models[name] = Linear.fit(drivers, flux, 2)
        elif name == "3km27":
            models[name] = Clustered(drivers, flux, seed=seed)
        else:
            raise ConcertoError(f"There is no benchmark '{name}'.", hint=f"Choose from {', '.join(NAMES)}.")
    return models


@lru_cache(maxsize=1)
def _embedded_table():
    table = {}
    with open(Path(__file__).with_name("linear_benchmarks.csv"), newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            values = [float(row[key]) for key in ("intercept", "SWdown", "Tair") if row[key] != ""]
            table[row["left_out"], row["flux"], row["benchmark"]] = values
    return table


def embedded(flux, name, site=None):
    """Linear benchmark trained on the 15 tower sites of the project's data set, ``site`` left out if it is
    one.

    Returns
    -------
    Linear or None
        None for a flux or benchmark without embedded coefficients.
    """
    table = _embedded_table()
    values = table.get((site, flux, name), table.get(("none", flux, name)))
    return None if values is None else Linear(values)


def benchmarks(target_site, training_sites=(), fluxes=None, names=NAMES, seed=SEED):
    """Predictions of the benchmarks at one site, trained on other sites.

    Parameters
    ----------
    target_site : path or Observations
        Site with SWdown (W m-2), Tair (K) and VPD (hPa); its fluxes are not looked at.
    training_sites : sequence of paths or Observations
        Other sites; the target itself is left out if it is among them. Empty: embedded linear coefficients.
    fluxes, names : sequence of str, optional
        Fluxes (all) and benchmarks (all) wanted.
    seed : int
        Seed of the k-means++ start.

    Returns
    -------
    dict flux -> dict benchmark -> array on the time axis of the target (umol m-2 s-1 or W m-2)
        A benchmark that cannot be trained is left out. Nothing is stored on disk.

    Examples
    --------
    >>> predictions = benchmarks("DE-Tha_1998-1998.nc", glob("sites/*.nc"))  # doctest: +SKIP
    >>> predictions["Qle"]["2lin"].shape  # doctest: +SKIP
    (17520,)
    """
    from concerto.evaluation.compare import read_observations

    target = target_site if hasattr(target_site, "values") else read_observations(target_site)
    if target.drivers is None:
        return {}
    predictions = {}
    for flux in fluxes if fluxes is not None else FLUXES:
        models = {}
        if training_sites:
            drivers, observed, sites = training_steps(training_sites, flux, target)
            if sites:
                models = train(drivers, observed, names, seed)
        else:
            for name in names:
                model = embedded(flux, name, target.site)
                if model is not None:
                    models[name] = model
        if models:
            predictions[flux] = {name: model.predict(target.drivers) for name, model in models.items()}
    return predictions


def write_embedded(path, training):
    """Write the table of embedded linear coefficients: all sites, and each site left out in turn.

    Parameters
    ----------
    path : path
        CSV file to write.
    training : sequence of paths
        Site files of the project's data set.
    """
    from concerto.evaluation.compare import read_observations

    sites = [read_observations(item) for item in training]
    lines = [
        "# Linear benchmarks: flux = intercept + SWdown * a + Tair * b; SWdown in W m-2, Tair in K;",
        "# NEE, GPP, GPP_DT, Reco in umol m-2 s-1, Qle and Qh in W m-2. Ordinary least squares over all",
        "# sites but `left_out`, measured steps only, each site thinned as in benchmarks.py. Training data:",
        "# FLUXNET2015 (Pastorello et al. 2020, doi:10.1038/s41597-020-0534-3), AmeriFlux US-Tw3 and US-Wkg,",
        "# ICOS SE-Htm; CC-BY-4.0.",
        "left_out,flux,benchmark,intercept,SWdown,Tair,steps,sites",
    ]
    for left in [None, *sites]:
        for flux in FLUXES:
            if left is not None and flux not in left.values:
                continue
            drivers, observed, used = training_steps(sites, flux, left)
            for name, model in train(drivers, observed, ("1lin", "2lin")).items():
                values = [f"{value:.8g}" for value in model.coefficients] + [""] * (3 - len(model.coefficients))
                label = "none" if left is None else left.site
                lines.append(",".join([label, flux, name, *values, str(len(observed)), str(len(used))]))
    Path(path).write_text("\n".join(lines) + "\n")
