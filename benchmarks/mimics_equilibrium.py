"""Periodic state of MIMICS: Newton's method against time stepping, forcing cycles and seconds by climate.

python benchmarks/mimics_equilibrium.py [--cycles 20000]

Both start from the steady state under the mean of the cycle's drivers (mean temperature, moisture factor and
litter). Time stepping is done when every pool is within 0.1 % of the solved state, looked at every ten cycles; the
solver must reach a residual of 1e-9 in log X.
"""

import argparse
import time

import numpy as np

from concerto.kernels import microbial

CLIMATES = {  # mean and amplitude of temperature (degC), liquid saturation, litter (kg m-2 yr-1), metabolic share
    "tropical": (26.0, 1.0, 0.6, 1.0, 0.3),
    "subtropical": (20.0, 9.0, 0.3, 0.4, 0.5),
    "temperate": (10.0, 10.0, 0.8, 0.6, 0.5),
    "boreal": (2.0, 14.0, 0.7, 0.4, 0.6),
    "permafrost": (-8.0, 18.0, 0.6, 0.15, 0.6),
    "mediterranean": (15.0, 6.0, 0.2, 0.5, 0.5),
}


def drivers(mean, swing, wet, production, fraction, days=365):
    """Daily drivers of a year."""
    phase = 2.0 * np.pi * np.arange(days) / days
    temperature = 273.15 + mean - swing * np.cos(phase)
    frozen = temperature < 273.15
    liquid = np.clip(wet + 0.25 * np.cos(phase), 0.02, 0.98) * np.where(frozen, 0.1, 1.0)
    litter = production / days * (1.0 + 0.9 * np.cos(phase + 1.0))
    return dict(
        temperature=temperature,
        moisture_factor=microbial.mimics_moisture(liquid, np.where(frozen, 0.8 * wet, 0.0)),
        clay=20.0,
        metabolic_fraction=fraction,
        annual_production=production,
        input_metabolic=fraction * litter,
        input_structural=(1.0 - fraction) * litter,
    )


def stepped(solved, start, driver, most):
    """Cycles and seconds of time stepping until every pool is within 0.1 % of the solved state."""
    carbon, cycles, begin = start, 0, time.perf_counter()
    while cycles < most and np.max(np.abs(carbon / solved - 1.0)) > 1e-3:
        carbon, _ = microbial.mimics_cycle(carbon, **driver, n_cycle=10)
        cycles += 10
    return cycles, time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=20000, help="most cycles of time stepping")
    most = parser.parse_args().cycles
    print(f"{'climate':14s} {'solver':>8s} {'residual':>9s} {'multiplier':>11s} {'stepping':>9s} {'ratio':>6s}", end="")
    print(f" {'seconds':>8s} {'seconds':>8s} {'ratio':>6s}")
    for name, climate in CLIMATES.items():
        driver = drivers(*climate)
        begin = time.perf_counter()
        solved, _, residual, cycles, multiplier = microbial.mimics_periodic(**driver, tolerance=1e-9)
        seconds = time.perf_counter() - begin
        mean = {key: np.mean(value) for key, value in driver.items()}
        for key in ("input_metabolic", "input_structural"):
            mean[key] = mean[key] / microbial.DAY
        start, _, _ = microbial.mimics_steady_state(**mean)
        count, long = stepped(solved, start, driver, most)
        print(
            f"{name:14s} {cycles:8.0f} {residual:9.1e} {abs(multiplier):11.6f} {count:9d} {count / cycles:6.0f}"
            f" {seconds:8.4f} {long:8.3f} {long / seconds:6.0f}"
        )


if __name__ == "__main__":
    main()
