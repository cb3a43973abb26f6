module concerto_radiation
  !! Shortwave radiation in a canopy of sunlit and shaded leaves, in two bands (visible and near infrared).
  !!
  !! Two-stream solution for leaves of any mean inclination over a ground with different albedos for beam and
  !! diffuse light (Sellers 1985, Int. J. Remote Sens. 6; Dai et al. 2004, J. Climate 17 for sunlit and shaded leaves).
  !! It is written with decaying exponentials only, so that it neither overflows in deep canopies nor divides by the
  !! ground albedo, and its absorption is the remainder of what is reflected and transmitted: energy is conserved to
  !! round-off. The alternative is the scheme of de Pury & Farquhar (1997, Plant Cell Environ. 20) with the ground
  !! seen through the canopy after Goudriaan (Wang & Leuning 1998, Agric. For. Meteorol. 91).
  !!
  !! "Area" is one-sided leaf plus stem area per ground area (m2 m-2). Clumping multiplies the beam extinction only.
  !! Shares are per unit of incident beam or diffuse radiation on a horizontal surface. All fluxes are positive.
  use concerto_kinds, only: wp
  use concerto_constants, only: photons_per_joule, standard_pressure, pi
  use concerto_options, only: canopy_light_dpf97
  implicit none
  private
  public :: canopy_optics, two_stream, sun_shade_leaves, dpf97_band, canopy_shortwave, split_shortwave

  real(wp), parameter :: least_cosine = 1.0e-3_wp  !! smallest cosine of the zenith angle in use, -
  real(wp), parameter :: least_area = 1.0e-4_wp  !! leaf plus stem area below which there is no canopy, m2 m-2
  real(wp), parameter :: largest_scattering = 0.999_wp  !! largest single-scattering albedo of leaves, -
  real(wp), parameter :: snow_scattering_vis = 0.8_wp, snow_scattering_nir = 0.4_wp  !! of snow on leaves, -
  real(wp), parameter :: black_diffuse_extinction = 0.78_wp  !! of diffuse light by black leaves (de Pury 1997), -

contains

  subroutine canopy_optics(n, leaf_orientation, clumping, cosine_zenith, &
                           extinction, diffuse_path, beam_upscatter, leaf_tilt)
    !! Geometry of light and leaves that both bands share (Sellers 1985; Ross-Goudriaan leaf angles).
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: leaf_orientation(n)  !! departure from random leaf angles (chi_L), -0.4 to 0.6, -
    real(wp), intent(in) :: clumping(n)  !! clumping index, 1 for random placement, -
    real(wp), intent(in) :: cosine_zenith(n)  !! cosine of the solar zenith angle, -; at or below 0 (night) taken as 1
    real(wp), intent(out) :: extinction(n)  !! extinction of the beam per area, clumping included, -
    real(wp), intent(out) :: diffuse_path(n)  !! mean optical path of diffuse light per area (mu bar), -
    real(wp), intent(out) :: beam_upscatter(n)  !! upscattered share of the scattered beam, before snow, -
    real(wp), intent(out) :: leaf_tilt(n)  !! mean squared cosine of leaf inclination, -
    integer :: i
    real(wp) :: chi, phi1, phi2, mu, projection, path, ratio, series, closed, scatter

    do i = 1, n
      chi = min(max(leaf_orientation(i), -0.4_wp), 0.6_wp)
      chi = merge(0.01_wp, chi, abs(chi) < 0.01_wp)  ! random leaves make phi2 zero and the path 0/0
      mu = cosine_zenith(i)
      mu = merge(max(mu, least_cosine), 1.0_wp, mu > 0.0_wp)
      phi1 = 0.5_wp - 0.633_wp * chi - 0.33_wp * chi * chi
      phi2 = 0.877_wp * (1.0_wp - 2.0_wp * phi1)
      projection = phi1 + phi2 * mu
      path = (1.0_wp - (phi1 / phi2) * log((phi1 + phi2) / phi1)) / phi2
      ! single scattering of the beam over omega: 0.5 G [1 - ln(1 + e)/e] / t0, e = t0/t1, has no loss of digits
      ! for erect leaves and high sun (e -> 0) in the series; t1 > 0 always
      scatter = mu * phi1
      ratio = (projection + mu * phi2) / scatter
      series = 0.5_wp - ratio * (1.0_wp / 3.0_wp - ratio * (0.25_wp - ratio * (0.2_wp - ratio &
        * (1.0_wp / 6.0_wp - ratio * (1.0_wp / 7.0_wp - ratio * 0.125_wp)))))
      closed = merge(1.0_wp, ratio, abs(ratio) < 0.01_wp)
      closed = (1.0_wp - log(1.0_wp + closed) / closed) / closed
      scatter = 0.5_wp * projection / scatter * merge(series, closed, abs(ratio) < 0.01_wp)
      diffuse_path(i) = path
      beam_upscatter(i) = scatter * (mu / (path * projection) + 1.0_wp)
      extinction(i) = clumping(i) * projection / mu
      leaf_tilt(i) = 0.25_wp * (1.0_wp + chi) * (1.0_wp + chi)
    end do
  end subroutine canopy_optics

  subroutine two_stream(n, area, extinction, diffuse_path, beam_upscatter, leaf_tilt, reflectance, transmittance, &
                        snow_fraction, snow_scattering, ground_albedo_beam, ground_albedo_diffuse, &
                        albedo_beam, albedo_diffuse, sunlit_beam, shaded_beam, sunlit_diffuse, shaded_diffuse, &
                        beam_to_beam, beam_to_diffuse, diffuse_to_diffuse)
    !! Two-stream solution of one band for unit beam and unit diffuse light (Sellers 1985; closed form for unequal
    !! ground albedos). Absorbed by canopy = sunlit + shaded = 1 - albedo - absorbed by the ground, exactly.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: area(n)  !! leaf plus stem area, m2 m-2
    real(wp), intent(in) :: extinction(n)  !! from canopy_optics, -
    real(wp), intent(in) :: diffuse_path(n)  !! from canopy_optics, -
    real(wp), intent(in) :: beam_upscatter(n)  !! from canopy_optics, -
    real(wp), intent(in) :: leaf_tilt(n)  !! from canopy_optics, -
    real(wp), intent(in) :: reflectance(n)  !! of leaves and stems, area-weighted mean, -
    real(wp), intent(in) :: transmittance(n)  !! of leaves and stems, area-weighted mean, -
    real(wp), intent(in) :: snow_fraction(n)  !! share of the canopy covered by snow, 0 for none, -
    real(wp), intent(in) :: snow_scattering  !! single-scattering albedo of that snow in this band, -
    real(wp), intent(in) :: ground_albedo_beam(n)  !! albedo of the ground for beam light, -
    real(wp), intent(in) :: ground_albedo_diffuse(n)  !! albedo of the ground for diffuse light, -
    real(wp), intent(out) :: albedo_beam(n)  !! reflected share of the beam, -
    real(wp), intent(out) :: albedo_diffuse(n)  !! reflected share of diffuse light, -
    real(wp), intent(out) :: sunlit_beam(n)  !! share of the beam absorbed by sunlit leaves and stems, -
    real(wp), intent(out) :: shaded_beam(n)  !! share of the beam (scattered) absorbed by shaded ones, -
    real(wp), intent(out) :: sunlit_diffuse(n)  !! share of diffuse light absorbed by sunlit ones, -
    real(wp), intent(out) :: shaded_diffuse(n)  !! share of diffuse light absorbed by shaded ones, -
    real(wp), intent(out) :: beam_to_beam(n)  !! share of the beam that meets the ground as beam, -
    real(wp), intent(out) :: beam_to_diffuse(n)  !! share of the beam that meets the ground as diffuse light, -
    real(wp), intent(out) :: diffuse_to_diffuse(n)  !! share of diffuse light that meets the ground, -
    integer :: i
    real(wp) :: depth, path, inverse_path, k, mk, omega, back, omega_beta, omega_beta0, snow, co_albedo
    real(wp) :: root, h, r, difference, source_up, source_down, up, down, e, s, ab, ad, denominator, ground
    real(wp) :: a, b, q, i1, i2, i3, absorbed, near

    do i = 1, n
      depth = max(area(i), 0.0_wp)
      path = diffuse_path(i)
      snow = snow_fraction(i)
      ab = ground_albedo_beam(i)
      ad = ground_albedo_diffuse(i)
      omega = reflectance(i) + transmittance(i)
      omega_beta = 0.5_wp * (omega + (reflectance(i) - transmittance(i)) * leaf_tilt(i))
      omega_beta0 = omega * beam_upscatter(i)
      omega_beta = omega_beta + snow * (0.5_wp * snow_scattering - omega_beta)
      omega_beta0 = omega_beta0 + snow * (0.5_wp * snow_scattering - omega_beta0)
      omega = min(omega + snow * (snow_scattering - omega), largest_scattering)
      co_albedo = 1.0_wp - omega

      inverse_path = 1.0_wp / path
      back = co_albedo + omega_beta
      root = sqrt(co_albedo * (back + omega_beta))
      h = root * inverse_path
      r = omega_beta / (back + root)
      e = exp(-h * depth)

      ! at resonance of beam and diffuse extinction the particular solution is 0/0: step aside by 1e-6
      k = extinction(i)
      mk = path * k
      near = 1.0_wp + merge(1.0e-6_wp, 0.0_wp, abs(root * root - mk * mk) < 1.0e-8_wp)
      k = k * near
      mk = mk * near
      difference = 1.0_wp / ((root - mk) * (root + mk))
      s = exp(-k * depth)
      source_up = mk * omega_beta0
      source_down = mk * (omega - omega_beta0)
      up = (source_up * (back - mk) + omega_beta * source_down) * difference
      down = (source_down * (back + mk) + omega_beta * source_up) * difference

      ground = r - ad
      denominator = 1.0_wp / ((1.0_wp - r * ad) - r * e * e * ground)
      i1 = (1.0_wp - s * s) / (2.0_wp * k)
      i2 = (1.0_wp - s * e) / (k + h)
      i3 = (e - s) / (k - h)

      ! beam
      q = s * (ab + ad * down - up)
      a = (-down * (1.0_wp - r * ad) - r * e * q) * denominator
      b = (q + down * e * ground) * denominator
      albedo_beam(i) = r * a + b * e + up
      beam_to_beam(i) = s
      beam_to_diffuse(i) = max(a * e + r * b + down * s, 0.0_wp)
      absorbed = max(1.0_wp - albedo_beam(i) - (1.0_wp - ab) * s - (1.0_wp - ad) * beam_to_diffuse(i), 0.0_wp)
      shaded_beam(i) = max(absorbed - co_albedo * (1.0_wp - s + ((up + down) * i1 &
        + (1.0_wp + r) * (a * i2 + b * i3)) * inverse_path), 0.0_wp)
      sunlit_beam(i) = absorbed - shaded_beam(i)

      ! diffuse
      a = (1.0_wp - r * ad) * denominator
      b = -e * ground * denominator
      albedo_diffuse(i) = r * a + b * e
      diffuse_to_diffuse(i) = a * e + r * b
      absorbed = max(1.0_wp - albedo_diffuse(i) - (1.0_wp - ad) * diffuse_to_diffuse(i), 0.0_wp)
      shaded_diffuse(i) = max(absorbed - co_albedo * inverse_path * (1.0_wp + r) * (a * i2 + b * i3), 0.0_wp)
      sunlit_diffuse(i) = absorbed - shaded_diffuse(i)
    end do
  end subroutine two_stream

  subroutine sun_shade_leaves(n, leaf_area, stem_area, extinction, cosine_zenith, nitrogen_extinction, &
                              leaf_area_sunlit, leaf_area_shaded, scale_sunlit, scale_shaded)
    !! Sunlit and shaded leaf area, and the capacity of their leaves relative to the top of the canopy, where leaf
    !! nitrogen falls as exp(-kn x leaf area above). Stems are mixed evenly among the leaves and shade them.
    !! scale_sunlit x leaf_area_sunlit + scale_shaded x leaf_area_shaded = (1 - exp(-kn leaf_area))/kn.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: leaf_area(n)  !! exposed leaf area, m2 m-2
    real(wp), intent(in) :: stem_area(n)  !! exposed stem area, m2 m-2
    real(wp), intent(in) :: extinction(n)  !! of the beam per area (canopy_optics), -
    real(wp), intent(in) :: cosine_zenith(n)  !! cosine of the solar zenith angle, -; at or below 0 all is shade
    real(wp), intent(in) :: nitrogen_extinction(n)  !! decay of leaf nitrogen per leaf area (kn), -
    real(wp), intent(out) :: leaf_area_sunlit(n)  !! sunlit leaf area, m2 m-2
    real(wp), intent(out) :: leaf_area_shaded(n)  !! shaded leaf area, m2 m-2
    real(wp), intent(out) :: scale_sunlit(n)  !! mean of exp(-kn x) over sunlit leaves, -
    real(wp), intent(out) :: scale_shaded(n)  !! mean of exp(-kn x) over shaded leaves, -
    integer :: i
    real(wp) :: leaves, depth, kl, nl, sunlit, whole, both, shaded, fraction

    do i = 1, n
      leaves = max(leaf_area(i), 0.0_wp)
      depth = leaves + max(stem_area(i), 0.0_wp)
      kl = extinction(i) * max(depth, least_area)
      nl = nitrogen_extinction(i) * leaves
      fraction = mean_transmission(kl)
      whole = mean_transmission(nl)
      both = mean_transmission(nl + kl)
      shaded = 1.0_wp - fraction
      sunlit = cosine_zenith(i)
      shaded = merge(shaded, 1.0_wp, sunlit > 0.0_wp)
      fraction = merge(fraction, 0.0_wp, sunlit > 0.0_wp)
      both = merge(both, 0.0_wp, sunlit > 0.0_wp)
      leaf_area_sunlit(i) = fraction * leaves
      leaf_area_shaded(i) = shaded * leaves
      scale_sunlit(i) = merge(both / max(fraction, tiny(1.0_wp)), whole, fraction > 0.0_wp)
      scale_shaded(i) = (whole - both) / shaded
    end do
  end subroutine sun_shade_leaves

  subroutine dpf97_band(n, area, extinction, scattered_extinction, diffuse_extinction, scattering, &
                        canopy_albedo_beam, canopy_albedo_diffuse, ground_reflectance, beam, diffuse, &
                        sunlit, shaded, ground)
    !! Absorption of one band by sunlit and shaded leaves after de Pury & Farquhar (1997), with the light that the
    !! ground reflects absorbed by the canopy (Ryu et al. 2011, Global Biogeochem. Cycles 25: BESS).
    !! sunlit + shaded + ground = (1 - albedo) x incoming.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: area(n)  !! leaf plus stem area, m2 m-2
    real(wp), intent(in) :: extinction(n)  !! of the beam by black leaves (kb), -
    real(wp), intent(in) :: scattered_extinction(n)  !! of beam and scattered beam (kb'), -
    real(wp), intent(in) :: diffuse_extinction(n)  !! of diffuse and scattered diffuse light (kd'), -
    real(wp), intent(in) :: scattering(n)  !! leaf scattering, reflectance plus transmittance, -
    real(wp), intent(in) :: canopy_albedo_beam(n)  !! albedo of canopy and ground for the beam, -
    real(wp), intent(in) :: canopy_albedo_diffuse(n)  !! the same for diffuse light, -
    real(wp), intent(in) :: ground_reflectance(n)  !! share of light at the ground sent back into the canopy, -
    real(wp), intent(in) :: beam(n)  !! incoming beam, W m-2
    real(wp), intent(in) :: diffuse(n)  !! incoming diffuse light, W m-2
    real(wp), intent(out) :: sunlit(n)  !! absorbed by sunlit leaves, W m-2 of ground
    real(wp), intent(out) :: shaded(n)  !! absorbed by shaded leaves, W m-2 of ground
    real(wp), intent(out) :: ground(n)  !! absorbed by the ground, W m-2
    integer :: i
    real(wp) :: depth, kb, ks, kd, into_beam, into_diffuse, s, e_scattered, e_diffuse, absorbed, direct, scattered
    real(wp) :: sky, at_ground, back

    do i = 1, n
      depth = max(area(i), 0.0_wp)
      kb = extinction(i)
      ks = scattered_extinction(i)
      kd = diffuse_extinction(i)
      into_beam = (1.0_wp - canopy_albedo_beam(i)) * beam(i)
      into_diffuse = (1.0_wp - canopy_albedo_diffuse(i)) * diffuse(i)
      s = exp(-kb * depth)
      e_scattered = exp(-ks * depth)
      e_diffuse = exp(-kd * depth)
      absorbed = into_beam * (1.0_wp - e_scattered) + into_diffuse * (1.0_wp - e_diffuse)
      direct = beam(i) * (1.0_wp - scattering(i)) * (1.0_wp - s)
      sky = into_diffuse * (1.0_wp - e_diffuse * s) * kd / (kd + kb)
      scattered = max(into_beam * (1.0_wp - e_scattered * s) * ks / (ks + kb) &
        - 0.5_wp * beam(i) * (1.0_wp - scattering(i)) * (1.0_wp - s * s), 0.0_wp)
      direct = min(direct + sky + scattered, absorbed)
      at_ground = into_beam * e_scattered + into_diffuse * e_diffuse
      back = at_ground * ground_reflectance(i)
      sunlit(i) = direct + back * e_diffuse
      shaded(i) = absorbed - direct + back * (1.0_wp - e_diffuse)
      ground(i) = at_ground - back
    end do
  end subroutine dpf97_band

  subroutine canopy_shortwave(n, canopy_light, leaf_area, stem_area, leaf_orientation, &
                              leaf_reflectance_vis, leaf_reflectance_nir, leaf_transmittance_vis, &
                              leaf_transmittance_nir, stem_reflectance_vis, stem_reflectance_nir, &
                              stem_transmittance_vis, stem_transmittance_nir, clumping, snow_fraction, cosine_zenith, &
                              beam_vis, beam_nir, diffuse_vis, diffuse_nir, ground_albedo_beam_vis, &
                              ground_albedo_beam_nir, ground_albedo_diffuse_vis, ground_albedo_diffuse_nir, &
                              absorbed_canopy, absorbed_ground, reflected, par_sunlit, par_shaded, &
                              leaf_area_sunlit, leaf_area_shaded, extinction)
    !! Shortwave radiation of one step: absorbed by canopy and ground, reflected, and absorbed photosynthetic photons
    !! per area of sunlit and shaded leaves. absorbed_canopy + absorbed_ground + reflected = incoming.
    !! With the sun at or below the horizon all incoming light is diffuse and all leaves are shaded; no incoming light
    !! gives zeros. Without a canopy (area below 1e-4) the ground receives everything.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: canopy_light  !! canopy_light_twostream or canopy_light_dpf97
    real(wp), intent(in) :: leaf_area(n)  !! exposed leaf area, m2 m-2
    real(wp), intent(in) :: stem_area(n)  !! exposed stem area, m2 m-2
    real(wp), intent(in) :: leaf_orientation(n)  !! departure from random leaf angles (chi_L), -
    real(wp), intent(in) :: leaf_reflectance_vis(n)  !! leaf reflectance, visible, -
    real(wp), intent(in) :: leaf_reflectance_nir(n)  !! leaf reflectance, near infrared, -
    real(wp), intent(in) :: leaf_transmittance_vis(n)  !! leaf transmittance, visible, -
    real(wp), intent(in) :: leaf_transmittance_nir(n)  !! leaf transmittance, near infrared, -
    real(wp), intent(in) :: stem_reflectance_vis(n)  !! stem reflectance, visible, -
    real(wp), intent(in) :: stem_reflectance_nir(n)  !! stem reflectance, near infrared, -
    real(wp), intent(in) :: stem_transmittance_vis(n)  !! stem transmittance, visible, -
    real(wp), intent(in) :: stem_transmittance_nir(n)  !! stem transmittance, near infrared, -
    real(wp), intent(in) :: clumping(n)  !! clumping index, -
    real(wp), intent(in) :: snow_fraction(n)  !! share of the canopy covered by snow, -
    real(wp), intent(in) :: cosine_zenith(n)  !! cosine of the solar zenith angle, mean over the sunlit part, -
    real(wp), intent(in) :: beam_vis(n)  !! incoming beam, visible, W m-2
    real(wp), intent(in) :: beam_nir(n)  !! incoming beam, near infrared, W m-2
    real(wp), intent(in) :: diffuse_vis(n)  !! incoming diffuse light, visible, W m-2
    real(wp), intent(in) :: diffuse_nir(n)  !! incoming diffuse light, near infrared, W m-2
    real(wp), intent(in) :: ground_albedo_beam_vis(n)  !! ground albedo for the beam, visible, -
    real(wp), intent(in) :: ground_albedo_beam_nir(n)  !! ground albedo for the beam, near infrared, -
    real(wp), intent(in) :: ground_albedo_diffuse_vis(n)  !! ground albedo for diffuse light, visible, -
    real(wp), intent(in) :: ground_albedo_diffuse_nir(n)  !! ground albedo for diffuse light, near infrared, -
    real(wp), intent(out) :: absorbed_canopy(n)  !! absorbed by leaves and stems, W m-2
    real(wp), intent(out) :: absorbed_ground(n)  !! absorbed by the ground, W m-2
    real(wp), intent(out) :: reflected(n)  !! reflected to the sky, W m-2
    real(wp), intent(out) :: par_sunlit(n)  !! absorbed photons per sunlit leaf area, umol m-2 s-1
    real(wp), intent(out) :: par_shaded(n)  !! absorbed photons per shaded leaf area, umol m-2 s-1
    real(wp), intent(out) :: leaf_area_sunlit(n)  !! sunlit leaf area, m2 m-2
    real(wp), intent(out) :: leaf_area_shaded(n)  !! shaded leaf area, m2 m-2
    real(wp), intent(out) :: extinction(n)  !! extinction of the beam per area, clumping included, -
    integer :: i
    real(wp), dimension(n) :: area, leaf_share, beam, diffuse, reflectance, transmittance
    real(wp), dimension(n) :: path, upscatter, tilt, sunlit, shaded, ground, sunlit_nir, shaded_nir, ground_nir
    real(wp) :: leaves, total, present, fraction, sun_area, shade_area, canopy, incoming, day, lit

    call canopy_optics(n, leaf_orientation, clumping, cosine_zenith, extinction, path, upscatter, tilt)
    do i = 1, n
      leaves = max(leaf_area(i), 0.0_wp)
      total = leaves + max(stem_area(i), 0.0_wp)
      leaf_share(i) = leaves / max(total, least_area)
      area(i) = merge(total, 0.0_wp, total >= least_area)
    end do

    call mix_and_turn(n, cosine_zenith, leaf_share, leaf_reflectance_vis, leaf_transmittance_vis, &
                      stem_reflectance_vis, stem_transmittance_vis, beam_vis, diffuse_vis, &
                      reflectance, transmittance, beam, diffuse)
    if (canopy_light == canopy_light_dpf97) then
      call band_dpf97(n, area, extinction, reflectance, transmittance, snow_fraction, snow_scattering_vis, &
                      ground_albedo_beam_vis, ground_albedo_diffuse_vis, beam, diffuse, sunlit, shaded, ground)
    else
      call band_two_stream(n, area, extinction, path, upscatter, tilt, reflectance, transmittance, snow_fraction, &
                           snow_scattering_vis, ground_albedo_beam_vis, ground_albedo_diffuse_vis, &
                           beam, diffuse, sunlit, shaded, ground)
    end if
    call mix_and_turn(n, cosine_zenith, leaf_share, leaf_reflectance_nir, leaf_transmittance_nir, &
                      stem_reflectance_nir, stem_transmittance_nir, beam_nir, diffuse_nir, &
                      reflectance, transmittance, beam, diffuse)
    if (canopy_light == canopy_light_dpf97) then
      call band_dpf97(n, area, extinction, reflectance, transmittance, snow_fraction, snow_scattering_nir, &
                      ground_albedo_beam_nir, ground_albedo_diffuse_nir, beam, diffuse, sunlit_nir, shaded_nir, &
                      ground_nir)
    else
      call band_two_stream(n, area, extinction, path, upscatter, tilt, reflectance, transmittance, snow_fraction, &
                           snow_scattering_nir, ground_albedo_beam_nir, ground_albedo_diffuse_nir, &
                           beam, diffuse, sunlit_nir, shaded_nir, ground_nir)
    end if

    do i = 1, n
      total = area(i)
      ! masks are factors: a selection would bring back the branch that keeps baseline builds from vectorising
      present = merge(1.0_wp, 0.0_wp, total > 0.0_wp)
      fraction = mean_transmission(extinction(i) * max(total, least_area))
      day = merge(1.0_wp, 0.0_wp, cosine_zenith(i) > 0.0_wp)
      fraction = day * fraction
      sun_area = fraction * total
      shade_area = total - sun_area
      canopy = present * (sunlit(i) + shaded(i) + sunlit_nir(i) + shaded_nir(i))
      incoming = beam_vis(i) + beam_nir(i) + diffuse_vis(i) + diffuse_nir(i)
      absorbed_canopy(i) = canopy
      absorbed_ground(i) = ground(i) + ground_nir(i)
      reflected(i) = max(incoming - canopy - absorbed_ground(i), 0.0_wp)
      ! the floor of the area is met only where a class of leaves is empty (night, no canopy)
      lit = day * sunlit(i)
      par_sunlit(i) = present * photons_per_joule * lit / max(sun_area, 1.0e-12_wp)
      par_shaded(i) = present * photons_per_joule * (sunlit(i) + shaded(i) - lit) / max(shade_area, 1.0e-12_wp)
      leaves = present * max(leaf_area(i), 0.0_wp)
      leaf_area_sunlit(i) = fraction * leaves
      leaf_area_shaded(i) = leaves - fraction * leaves
    end do
  end subroutine canopy_shortwave

  subroutine split_shortwave(n, visible_share, shortwave_down, cosine_zenith, day_of_year, air_pressure, &
                             beam_vis, beam_nir, diffuse_vis, diffuse_nir)
    !! Splits global radiation into bands, beam and diffuse after Weiss & Norman (1985, Agric. For. Meteorol. 34):
    !! the beam fraction of each band follows from measured over potential clear-sky radiation.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: visible_share  !! visible share of global radiation; 0 or less: that of Weiss & Norman, -
    real(wp), intent(in) :: shortwave_down(n)  !! global radiation, W m-2
    real(wp), intent(in) :: cosine_zenith(n)  !! cosine of the solar zenith angle, mean over the sunlit part, -
    real(wp), intent(in) :: day_of_year(n)  !! day of the year, 1 to 366 (distance of the sun)
    real(wp), intent(in) :: air_pressure(n)  !! air pressure, Pa
    real(wp), intent(out) :: beam_vis(n)  !! beam, visible, W m-2
    real(wp), intent(out) :: beam_nir(n)  !! beam, near infrared, W m-2
    real(wp), intent(out) :: diffuse_vis(n)  !! diffuse, visible, W m-2
    real(wp), intent(out) :: diffuse_nir(n)  !! diffuse, near infrared, W m-2
    real(wp), parameter :: solar_constant_visible = 600.0_wp, solar_constant_nir = 720.0_wp  !! W m-2
    integer :: i
    real(wp) :: mu, air_mass, logarithm, water, distance, direct_vis, direct_nir, scattered_vis, scattered_nir
    real(wp) :: total_vis, total_nir, ratio, fraction_vis, fraction_nir, share, down, depth

    do i = 1, n
      mu = cosine_zenith(i)
      down = max(shortwave_down(i), 0.0_wp)
      share = max(mu, 0.01_wp)
      air_mass = 1.0_wp / share
      depth = air_pressure(i) * air_mass / standard_pressure
      distance = 1.0_wp + 0.033_wp * cos(2.0_wp * pi * day_of_year(i) / 365.25_wp)
      logarithm = log(air_mass) * (1.0_wp / log(10.0_wp))
      water = 1320.0_wp * exp(log(10.0_wp) * (-1.195_wp + (0.4459_wp - 0.0345_wp * logarithm) * logarithm))
      direct_vis = solar_constant_visible * exp(-0.185_wp * depth) * share
      scattered_vis = 0.4_wp * (solar_constant_visible * share - direct_vis)
      direct_nir = max(solar_constant_nir * exp(-0.06_wp * depth) - water, 0.0_wp) * share
      scattered_nir = 0.6_wp * max((solar_constant_nir - water) * share - direct_nir, 0.0_wp)
      total_vis = direct_vis + scattered_vis
      total_nir = direct_nir + scattered_nir
      ratio = down / (distance * (total_vis + total_nir))
      ! beam share of potential radiation, less 1 - [(a - ratio)/b]**(2/3) under clouds
      fraction_vis = direct_vis / total_vis * cloud_beam((0.90_wp - min(ratio, 0.90_wp)) / 0.70_wp)
      fraction_nir = direct_nir / total_nir * cloud_beam((0.88_wp - min(ratio, 0.88_wp)) / 0.68_wp)
      fraction_vis = merge(fraction_vis, 0.0_wp, mu > 0.0_wp)
      fraction_nir = merge(fraction_nir, 0.0_wp, mu > 0.0_wp)
      share = merge(visible_share, total_vis / (total_vis + total_nir), visible_share > 0.0_wp)
      beam_vis(i) = fraction_vis * (share * down)
      diffuse_vis(i) = share * down - beam_vis(i)
      beam_nir(i) = fraction_nir * (down - share * down)
      diffuse_nir(i) = down - share * down - beam_nir(i)
    end do
  end subroutine split_shortwave

  subroutine mix_and_turn(n, cosine_zenith, leaf_share, leaf_reflectance, leaf_transmittance, stem_reflectance, &
                          stem_transmittance, beam_in, diffuse_in, reflectance, transmittance, beam, diffuse)
    !! Area-weighted optics of leaves and stems, and the beam turned into diffuse light when the sun is down.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: cosine_zenith(n)  !! cosine of the solar zenith angle, -
    real(wp), intent(in) :: leaf_share(n)  !! leaves in leaf plus stem area, -
    real(wp), intent(in) :: leaf_reflectance(n)  !! -
    real(wp), intent(in) :: leaf_transmittance(n)  !! -
    real(wp), intent(in) :: stem_reflectance(n)  !! -
    real(wp), intent(in) :: stem_transmittance(n)  !! -
    real(wp), intent(in) :: beam_in(n)  !! W m-2
    real(wp), intent(in) :: diffuse_in(n)  !! W m-2
    real(wp), intent(out) :: reflectance(n)  !! -
    real(wp), intent(out) :: transmittance(n)  !! -
    real(wp), intent(out) :: beam(n)  !! W m-2
    real(wp), intent(out) :: diffuse(n)  !! W m-2
    integer :: i
    real(wp) :: share, direct

    do i = 1, n
      share = leaf_share(i)
      reflectance(i) = stem_reflectance(i) + share * (leaf_reflectance(i) - stem_reflectance(i))
      transmittance(i) = stem_transmittance(i) + share * (leaf_transmittance(i) - stem_transmittance(i))
      direct = beam_in(i) * merge(1.0_wp, 0.0_wp, cosine_zenith(i) > 0.0_wp)
      beam(i) = direct
      diffuse(i) = diffuse_in(i) + (beam_in(i) - direct)
    end do
  end subroutine mix_and_turn

  subroutine band_two_stream(n, area, extinction, path, upscatter, tilt, reflectance, transmittance, snow_fraction, &
                             snow_scattering, ground_albedo_beam, ground_albedo_diffuse, beam, diffuse, &
                             sunlit, shaded, ground)
    !! Absorption of one band in W m-2 by the two-stream scheme.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: area(n), extinction(n), path(n), upscatter(n), tilt(n)  !! as in two_stream
    real(wp), intent(in) :: reflectance(n), transmittance(n), snow_fraction(n)  !! as in two_stream, -
    real(wp), intent(in) :: snow_scattering  !! -
    real(wp), intent(in) :: ground_albedo_beam(n), ground_albedo_diffuse(n)  !! -
    real(wp), intent(in) :: beam(n), diffuse(n)  !! incoming, W m-2
    real(wp), intent(out) :: sunlit(n), shaded(n), ground(n)  !! absorbed, W m-2
    integer :: i
    real(wp), dimension(n) :: albedo_beam, albedo_diffuse, sunlit_beam, shaded_beam, sunlit_diffuse, shaded_diffuse
    real(wp), dimension(n) :: beam_to_beam, beam_to_diffuse, diffuse_to_diffuse

    call two_stream(n, area, extinction, path, upscatter, tilt, reflectance, transmittance, snow_fraction, &
                    snow_scattering, ground_albedo_beam, ground_albedo_diffuse, albedo_beam, albedo_diffuse, &
                    sunlit_beam, shaded_beam, sunlit_diffuse, shaded_diffuse, &
                    beam_to_beam, beam_to_diffuse, diffuse_to_diffuse)
    do i = 1, n
      sunlit(i) = sunlit_beam(i) * beam(i) + sunlit_diffuse(i) * diffuse(i)
      shaded(i) = shaded_beam(i) * beam(i) + shaded_diffuse(i) * diffuse(i)
      ground(i) = (1.0_wp - ground_albedo_beam(i)) * beam_to_beam(i) * beam(i) &
        + (1.0_wp - ground_albedo_diffuse(i)) * (beam_to_diffuse(i) * beam(i) + diffuse_to_diffuse(i) * diffuse(i))
    end do
  end subroutine band_two_stream

  subroutine band_dpf97(n, area, extinction, reflectance, transmittance, snow_fraction, snow_scattering, &
                        ground_albedo_beam, ground_albedo_diffuse, beam, diffuse, sunlit, shaded, ground)
    !! Absorption of one band in W m-2 after de Pury & Farquhar (1997). The albedo is that of a deep canopy plus the
    !! ground seen through it (Goudriaan), which already holds the light that the ground sends back.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: area(n), extinction(n)  !! as in dpf97_band
    real(wp), intent(in) :: reflectance(n), transmittance(n), snow_fraction(n)  !! -
    real(wp), intent(in) :: snow_scattering  !! -
    real(wp), intent(in) :: ground_albedo_beam(n), ground_albedo_diffuse(n)  !! -
    real(wp), intent(in) :: beam(n), diffuse(n)  !! incoming, W m-2
    real(wp), intent(out) :: sunlit(n), shaded(n), ground(n)  !! absorbed, W m-2
    integer :: i
    real(wp), dimension(n) :: scattering, scattered_extinction, diffuse_extinction, albedo_beam, albedo_diffuse, none
    real(wp) :: omega, root, horizontal, kb, deep, seen

    do i = 1, n
      omega = reflectance(i) + transmittance(i)
      omega = min(omega + snow_fraction(i) * (snow_scattering - omega), largest_scattering)
      root = sqrt(1.0_wp - omega)
      horizontal = (1.0_wp - root) / (1.0_wp + root)
      kb = extinction(i)
      scattering(i) = omega
      scattered_extinction(i) = kb * root
      diffuse_extinction(i) = black_diffuse_extinction * root
      deep = 1.0_wp - exp(-2.0_wp * horizontal * kb / (1.0_wp + kb))
      seen = exp(-2.0_wp * kb * root * area(i))
      albedo_beam(i) = deep + (ground_albedo_beam(i) - deep) * seen
      deep = 1.0_wp - exp(-2.0_wp * horizontal * (black_diffuse_extinction / (1.0_wp + black_diffuse_extinction)))
      seen = exp(-2.0_wp * diffuse_extinction(i) * area(i))
      albedo_diffuse(i) = deep + (ground_albedo_diffuse(i) - deep) * seen
      none(i) = 0.0_wp
    end do
    call dpf97_band(n, area, extinction, scattered_extinction, diffuse_extinction, scattering, albedo_beam, &
                    albedo_diffuse, none, beam, diffuse, sunlit, shaded, ground)
  end subroutine band_dpf97

  elemental function mean_transmission(depth) result(mean)
    !! (1 - exp(-x))/x without loss of digits at small x.
    real(wp), intent(in) :: depth  !! optical depth x, -
    real(wp) :: mean, series, closed
    series = 1.0_wp - depth * (0.5_wp - depth * (1.0_wp / 6.0_wp - depth * (1.0_wp / 24.0_wp - depth &
      * (1.0_wp / 120.0_wp - depth * (1.0_wp / 720.0_wp)))))
    closed = (1.0_wp - exp(-depth)) / max(depth, 0.01_wp)
    mean = merge(series, closed, depth < 0.01_wp)
  end function mean_transmission

  elemental function cloud_beam(shortfall) result(factor)
    !! 1 - x**(2/3), within 0 to 1.
    real(wp), intent(in) :: shortfall  !! x, at least 0, -
    real(wp) :: factor
    factor = max(1.0_wp - exp((2.0_wp / 3.0_wp) * log(max(shortfall, 1.0e-30_wp))), 0.0_wp)
  end function cloud_beam
end module concerto_radiation
