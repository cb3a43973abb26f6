"""Shortwave radiation in canopies with sunlit and shaded leaves (see ``docs/processes/radiation.md``)."""

from __future__ import annotations

from concerto import _core as core
from concerto.errors import ConcertoError
from concerto.kernels._call import call

_CANOPY_LIGHT = {"twostream": 1, "dpf97": 2}  # the order of options.toml


def _choice(table, name, what):
    if name not in table:
        raise ConcertoError(f"Unknown {what} '{name}'.", hint=f"Choose one of: {', '.join(table)}.")
    return table[name]


def canopy_optics(leaf_orientation, cosine_zenith, clumping=1.0):
    """Extinction of the beam, path of diffuse light, upscatter of the beam and mean squared leaf cosine.

    Parameters
    ----------
    leaf_orientation : array_like
        Departure from random leaf angles (chi_L), -0.4 to 0.6.
    cosine_zenith : array_like
        Cosine of the solar zenith angle; at or below 0 taken as 1.
    clumping : array_like
        Clumping index, multiplies the beam extinction.

    Returns
    -------
    extinction, diffuse_path, beam_upscatter, leaf_tilt : arrays
        As the arguments of :func:`two_stream`.

    Notes
    -----
    Sellers 1985, Int. J. Remote Sens. 6.
    """
    arrays = dict(leaf_orientation=leaf_orientation, clumping=clumping, cosine_zenith=cosine_zenith)
    return call(core.concerto_radiation.canopy_optics, arrays)


def two_stream(
    area,
    leaf_orientation,
    reflectance,
    transmittance,
    cosine_zenith,
    ground_albedo_beam,
    ground_albedo_diffuse,
    *,
    clumping=1.0,
    snow_fraction=0.0,
    snow_scattering=0.8,
):
    """Two-stream solution of one band for unit beam and unit diffuse light.

    Parameters
    ----------
    area : array_like
        Leaf plus stem area, m2 m-2.
    leaf_orientation : array_like
        chi_L, -0.4 to 0.6.
    reflectance, transmittance : array_like
        Of leaves and stems in this band, area-weighted.
    cosine_zenith : array_like
        Cosine of the solar zenith angle.
    ground_albedo_beam, ground_albedo_diffuse : array_like
        Albedo of the ground for either kind of light.
    clumping : array_like
        Clumping index.
    snow_fraction : array_like
        Share of the canopy covered by snow.
    snow_scattering : float
        Single-scattering albedo of that snow: 0.8 visible, 0.4 near infrared.

    Returns
    -------
    dict of arrays
        Shares of the incident light: ``albedo_beam``, ``albedo_diffuse``; absorbed ``sunlit_beam``,
        ``shaded_beam``, ``sunlit_diffuse``, ``shaded_diffuse``; at the ground ``beam_to_beam``,
        ``beam_to_diffuse``, ``diffuse_to_diffuse``.

    Examples
    --------
    >>> out = two_stream(3.0, 0.1, 0.1, 0.05, 0.7, 0.1, 0.1)
    >>> float(out["albedo_beam"]) < 0.1
    True
    """
    extinction, path, upscatter, tilt = canopy_optics(leaf_orientation, cosine_zenith, clumping)
    out = call(
        core.concerto_radiation.two_stream,
        dict(
            area=area,
            extinction=extinction,
            diffuse_path=path,
            beam_upscatter=upscatter,
            leaf_tilt=tilt,
            reflectance=reflectance,
            transmittance=transmittance,
            snow_fraction=snow_fraction,
            ground_albedo_beam=ground_albedo_beam,
            ground_albedo_diffuse=ground_albedo_diffuse,
        ),
        snow_scattering=snow_scattering,
    )
    names = (
        "albedo_beam albedo_diffuse sunlit_beam shaded_beam sunlit_diffuse shaded_diffuse "
        "beam_to_beam beam_to_diffuse diffuse_to_diffuse"
    )
    return dict(zip(names.split(), out, strict=True))


def sun_shade_leaves(leaf_area, stem_area, extinction, cosine_zenith, nitrogen_extinction=0.3):
    """Sunlit and shaded leaf area and their capacity relative to leaves at the top.

    Parameters
    ----------
    leaf_area, stem_area : array_like
        Exposed leaf and stem area, m2 m-2.
    extinction : array_like
        Of the beam per area, from :func:`canopy_optics`.
    cosine_zenith : array_like
        At or below 0 all leaves are shaded.
    nitrogen_extinction : array_like
        Decay of leaf nitrogen per leaf area.

    Returns
    -------
    leaf_area_sunlit, leaf_area_shaded, scale_sunlit, scale_shaded : arrays
        m2 m-2 and the mean of exp(-kn x) over either class.
    """
    arrays = dict(
        leaf_area=leaf_area,
        stem_area=stem_area,
        extinction=extinction,
        cosine_zenith=cosine_zenith,
        nitrogen_extinction=nitrogen_extinction,
    )
    return call(core.concerto_radiation.sun_shade_leaves, arrays)


def dpf97_band(
    area,
    extinction,
    scattered_extinction,
    diffuse_extinction,
    scattering,
    canopy_albedo_beam,
    canopy_albedo_diffuse,
    ground_reflectance,
    beam,
    diffuse,
):
    """Absorption of one band by sunlit leaves, shaded leaves and the ground (de Pury & Farquhar 1997; BESS).

    All light is in W m-2 of ground, areas in m2 m-2, the rest dimensionless.

    Returns
    -------
    sunlit, shaded, ground : arrays
        W m-2.
    """
    return call(
        core.concerto_radiation.dpf97_band,
        dict(
            area=area,
            extinction=extinction,
            scattered_extinction=scattered_extinction,
            diffuse_extinction=diffuse_extinction,
            scattering=scattering,
            canopy_albedo_beam=canopy_albedo_beam,
            canopy_albedo_diffuse=canopy_albedo_diffuse,
            ground_reflectance=ground_reflectance,
            beam=beam,
            diffuse=diffuse,
        ),
    )


def canopy_shortwave(
    leaf_area,
    stem_area,
    cosine_zenith,
    beam,
    diffuse,
    *,
    leaf_orientation=0.01,
    leaf_reflectance=(0.08, 0.41),
    leaf_transmittance=(0.06, 0.40),
    stem_reflectance=(0.21, 0.49),
    stem_transmittance=(0.001, 0.001),
    clumping=1.0,
    snow_fraction=0.0,
    ground_albedo_beam=(0.1, 0.2),
    ground_albedo_diffuse=(0.1, 0.2),
    canopy_light="twostream",
):
    """Shortwave radiation absorbed by canopy and ground, and photons absorbed by sunlit and shaded leaves.

    Parameters
    ----------
    leaf_area, stem_area : array_like
        Exposed leaf and stem area, m2 m-2.
    cosine_zenith : array_like
        Cosine of the solar zenith angle (mean over the sunlit part of the step).
    beam, diffuse : pair of array_like
        Incoming visible and near-infrared light, W m-2.
    leaf_orientation : array_like
        chi_L.
    leaf_reflectance, leaf_transmittance, stem_reflectance, stem_transmittance : pair of array_like
        Optical properties, visible and near infrared.
    clumping, snow_fraction : array_like
        Clumping index; share of the canopy under snow.
    ground_albedo_beam, ground_albedo_diffuse : pair of array_like
        Ground albedo, visible and near infrared.
    canopy_light : {"twostream", "dpf97"}
        Scheme.

    Returns
    -------
    dict of arrays
        ``absorbed_canopy``, ``absorbed_ground``, ``reflected`` (W m-2), ``par_sunlit``, ``par_shaded``
        (umol per m2 of leaf and s), ``leaf_area_sunlit``, ``leaf_area_shaded`` (m2 m-2), ``extinction``.

    Raises
    ------
    ConcertoError
        If ``canopy_light`` is no scheme.
    """
    arrays = dict(leaf_area=leaf_area, stem_area=stem_area, leaf_orientation=leaf_orientation)
    arrays |= dict(clumping=clumping, snow_fraction=snow_fraction, cosine_zenith=cosine_zenith)
    pairs = dict(
        leaf_reflectance=leaf_reflectance,
        leaf_transmittance=leaf_transmittance,
        stem_reflectance=stem_reflectance,
        stem_transmittance=stem_transmittance,
        beam=beam,
        diffuse=diffuse,
        ground_albedo_beam=ground_albedo_beam,
        ground_albedo_diffuse=ground_albedo_diffuse,
    )
    for name, (vis, nir) in pairs.items():
        arrays |= {f"{name}_vis": vis, f"{name}_nir": nir}
    scheme = _choice(_CANOPY_LIGHT, canopy_light, "canopy light scheme")
    out = call(core.concerto_radiation.canopy_shortwave, arrays, canopy_light=scheme)
    names = (
        "absorbed_canopy absorbed_ground reflected par_sunlit par_shaded leaf_area_sunlit leaf_area_shaded extinction"
    )
    return dict(zip(names.split(), out, strict=True))


def split_shortwave(shortwave_down, cosine_zenith, day_of_year, air_pressure=101325.0, visible_share=0.5):
    """Beam and diffuse light in two bands from global radiation (Weiss & Norman 1985).

    Parameters
    ----------
    shortwave_down : array_like
        Global radiation, W m-2.
    cosine_zenith : array_like
        Cosine of the solar zenith angle (mean over the sunlit part of the step).
    day_of_year : array_like
        1 to 366.
    air_pressure : array_like
        Pa.
    visible_share : float
        Visible share of global radiation; 0 for that of Weiss & Norman.

    Returns
    -------
    beam_vis, beam_nir, diffuse_vis, diffuse_nir : arrays
        W m-2; their sum is ``shortwave_down``.

    Examples
    --------
    >>> parts = split_shortwave(800.0, 0.8, 180)
    >>> round(float(sum(parts)), 6)
    800.0
    """
    arrays = dict(
        shortwave_down=shortwave_down,
        cosine_zenith=cosine_zenith,
        day_of_year=day_of_year,
        air_pressure=air_pressure,
    )
    return call(core.concerto_radiation.split_shortwave, arrays, visible_share=visible_share)
