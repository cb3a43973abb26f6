"""The library as a weather or climate model links it: a small hostile host, compiled against an installed prefix."""

import shutil
import subprocess

import pytest
from test_fortran_host import EXAMPLE, PROJECT, TOOLS, environment, run_tool

pytestmark = [pytest.mark.slow, pytest.mark.release]

# One program; the first argument chooses the test. It prints only what went wrong, so silence is success and any word
# of the library itself would be noticed.
HOST = """
program host
  use concerto
  use, intrinsic :: ieee_arithmetic
  implicit none
  type(land_model) :: a, b, models(4)
  character(32) :: test
  integer :: status, each(4), k, n
  integer, parameter :: sizes(3) = [1, 17, 1000], blocks(4) = [1, 100, 512, 100000]
  integer, parameter :: wrong_sizes(5) = [0, -1, huge(1), 5, 5], wrong_layers(4) = [0, -1, 11, huge(1)]
  real(wp), parameter :: wrong_lengths(5) = [60._wp, 60._wp, 60._wp, 0._wp, 1e6_wp]  ! s
  real(wp) :: nan, v(100), w(100), forcing(3, n_forcing_column), nothing(0), columns(100, n_state_column)
  real(wp), allocatable :: expected(:), values(:)

  call get_command_argument(1, test)
  nan = ieee_value(nan, ieee_quiet_nan)
  call weather(forcing, 24)
  v = 285
  select case (test)
  case ('misuse')
    call a%step(3, forcing, .false., status)
    call due(status_size, 'step before init')
    call a%initialise(nothing, status)
    call due(status_size, 'initialise before init')
    call a%set('state', 'leaf_area', nothing, status)
    call due(status_size, 'set before init')
    call a%get('state', 'leaf_area', nothing, status)
    call due(status_size, 'get before init')
    do k = 1, 5
      call a%init(wrong_sizes(k), wrong_lengths(k), status)
      call due(status_size, 'init')
    end do
    call a%init(5, nan, status)
    call due(status_size, 'time step nan')
    call start(a, 100, 64)
    call a%set_tile(101, 1, 1, status)
    call due(status_size, 'tile 101')
    call a%set_tile(1, n_pft, 1, status)
    call due(status_size, 'type')
    call a%set_tile(1, 1, 0, status)
    call due(status_size, 'cell 0')
    call a%step(2, forcing(1:2, :), .false., status)
    call due(status_size, 'cell 3 of 2')
    call a%set('state', 'leaf_area', v(1:99), status)
    call due(status_size, '99 values')
    call a%set('stat', 'leaf_area', v, status)
    call due(status_name, 'kind')
    call a%set('state', 'leaf_are', v, status)
    call due(status_name, 'name')
    call a%set('diagnostic', 'nee', v, status)
    call due(status_name, 'set of a diagnostic')
    call a%set('forcing', 'co2', v, status)
    call due(status_name, 'set of forcing')
    do k = 1, 4
      call a%get('state', 'soil_temperature', w, status, wrong_layers(k))
      call due(status_name, 'layer')
    end do
    call a%get('state', 'soil_temperature', w, status, 10)
    call due(status_ok, 'layer 10')
    a%options%stomata = option_number('stomata', 'no such scheme')
    call a%step(3, forcing, .false., status)
    call due(status_option, 'option')
    a%options = model_options()
    a%options%drought_memory = option_number('drought_memory', 'plc_damage')
    call a%step(3, forcing, .false., status)
    call due(status_option, 'memory of drought without hydraulics')
    a%options%plant_hydraulics = option_number('plant_hydraulics', 'on')
    call a%initialise(v, status)
    call a%step(3, forcing, .false., status)
    call due(status_ok, 'memory of drought with hydraulics')
    a%options%isotopes = option_number('isotopes', 'on')
    a%options%soil_carbon = option_number('soil_carbon', 'mimics')
    call a%step(3, forcing, .false., status)
    call due(status_option, 'isotopes in a nonlinear scheme')
    a%options = model_options()
    call a%finalize()
    call a%finalize()
    call a%get('state', 'leaf_area', w, status)
    call due(status_size, 'get after finalize')
    do k = -1, 6
      if (len_trim(status_message(k)) < 5) print *, 'no message for', k
    end do
  case ('sizes')
    do k = 1, 3
      allocate (expected(sizes(k)), values(sizes(k)))
      do n = 1, 4
        call start(a, sizes(k), blocks(n))
        call run(a, 1, 48)
        if (mod(a%nproma, 16) /= 0 .or. mod(a%nproma, 512) == 0) print *, 'block size', a%nproma
        call a%get('state', 'soil_temperature', values, status)
        if (n == 1) expected = values
        if (any(values /= expected)) print *, 'values depend on the block size', sizes(k), blocks(n)
      end do
      deallocate (expected, values)
    end do
  case ('forcing')
    do k = 1, n_forcing_column
      do n = 1, 2
        call start(a, 100, 16)
        call run(a, 1, 23)
        call a%get_columns('state', columns, status)
        forcing(2, k) = merge(nan, ieee_value(nan, ieee_positive_inf), n == 1)
        call a%step(3, forcing, .true., status)
        call due(status_forcing, forcing_names(k))
        if (a%failed_tile /= 2 .or. a%failed_column /= k) print *, 'reported', a%failed_tile, a%failed_column
        if (column_name('forcing', k) /= forcing_names(k)) print *, column_name('forcing', k)
        if (any(a%state(1:16, :, 1) /= columns(1:16, :))) print *, 'the state changed'
        call weather(forcing, 24)
        call a%step(3, forcing, .false., status)
        call due(status_ok, 'after bad forcing')
        if (a%failed_tile /= 0) print *, 'still reported'
      end do
    end do
    call start(a, 100, 16, cells=2)  ! the third cell is ocean
    forcing(3, :) = nan
    call a%step(3, forcing, .true., status)
    call due(status_ok, 'a cell without tiles')
  case ('state')
    call start(a, 100, 16)
    call start(b, 100, 16)
    call a%get('state', 'leaf_area', v, status)
    v([90, 40]) = nan
    call a%set('state', 'leaf_area', v, status)
    a%n_thread = 2
    call a%step(3, forcing, .false., status)
    call due(status_state, 'NaN in the state')
    call b%step(3, forcing, .false., status)
    if (a%failed_tile /= 40) print *, 'reported tile', a%failed_tile
    call a%get('state', 'soil_temperature', v, status)
    call b%get('state', 'soil_temperature', w, status)
    if (any(v /= w .and. [(k /= 40 .and. k /= 90, k = 1, 100)])) print *, 'other tiles suffered'
  case ('derived')
    call start(a, 100, 64)
    call run(a, 1, 10)
    call start(b, 100, 64)
    call run(b, 1, 10)
    v = 80
    call b%set('parameter', 'sand', v, status)
    call run(a, 11, 48)
    call run(b, 11, 48)
    call a%get('state', 'soil_temperature', v, status)
    call b%get('state', 'soil_temperature', w, status)
    if (all(v == w)) print *, 'a parameter set between steps is not used'
    a%options%soil_carbon = option_number('soil_carbon', 'rothc')
    call start(b, 100, 64)
    b%options%soil_carbon = option_number('soil_carbon', 'rothc')
    call run(a, 49, 50)
    call run(b, 49, 50)
    call a%set_columns('parameter', b%parameters(:, :, 1), status)
    call due(status_size, 'columns of a block')
    k = column_of('parameter', 'sand')
    a%parameters(:, k, :) = b%parameters(:, k, :)
    a%derived_current = .false.
    call run(a, 51, 51)
    if (any(a%derived /= b%derived)) print *, 'derived columns of the old options'
  case ('restart')
    call start(a, 100, 64)
    call run(a, 1, 30)
    call a%get_columns('state', columns, status)
    call start(b, 100, 32)
    call b%set_columns('state', columns, status)
    call due(status_ok, 'set_columns')
    call run(a, 31, 96)
    call run(b, 31, 96)
    call a%get_columns('state', columns, status)
    do k = 1, n_state_column
      call b%get('state', column_name('state', k), v, status, &
                 k - column_of('state', column_name('state', k)) + 1)
      if (any(v /= columns(:, k))) print *, 'differs after restart: ', column_name('state', k)
    end do
  case ('threads')
    call start(a, 100, 16)
    call run(a, 1, 48)
    call a%get('state', 'soil_temperature', v, status)
    !$omp parallel do num_threads(4) schedule(static, 1)
    do k = 1, 4
      call start(models(k), 100, 16)
      models(k)%n_thread = k - 2  ! -1, 0: taken as 1
      call run(models(k), 1, 48)
    end do
    do k = 1, 4
      call models(k)%get('state', 'soil_temperature', w, each(k))
      if (any(v /= w) .or. each(k) /= 0) print *, 'model of thread', k
    end do
    !$omp parallel do num_threads(2)
    do k = 1, 2
      models(k)%state = nan
      !$omp critical
      call models(k)%step(3, forcing, .false., each(k))  ! must not wait for the region that it is called from
      !$omp end critical
    end do
    if (any(each(1:2) /= status_state)) print *, 'status', each(1:2)
  case ('memory')
    do k = 1, 400
      call start(a, 2000, 64)
      if (mod(k, 2) == 0) call a%finalize()
    end do
  case default
    print *, 'no such test'
  end select

contains

  subroutine due(expected, what)
    integer, intent(in) :: expected
    character(*), intent(in) :: what
    if (status /= expected) print *, what, ': status', status, 'not', expected
  end subroutine due

  subroutine start(land, n, nproma, cells)
    type(land_model), intent(inout) :: land
    integer, intent(in) :: n, nproma
    integer, intent(in), optional :: cells
    integer :: tile, status, used
    used = 3
    if (present(cells)) used = cells
    call land%init(n, 1800.0_wp, status, nproma)
    if (status /= status_ok) print *, 'init', status
    do tile = 1, n
      call land%set_tile(tile, mod(tile, n_pft), mod(tile - 1, used) + 1, status)
      if (status /= status_ok) print *, 'set_tile', status
    end do
    call land%initialise(spread(285.0_wp, 1, n), status)
    if (status /= status_ok) print *, 'initialise', status
  end subroutine start

  subroutine run(land, first, last)
    type(land_model), intent(inout) :: land
    integer, intent(in) :: first, last
    real(wp) :: forcing(3, n_forcing_column)
    integer :: step, status
    do step = first, last
      call weather(forcing, step)
      call land%step(3, forcing, mod(step, 48) == 0, status)
      if (status /= status_ok) print *, 'step', step, status_message(status), column_name('state', land%failed_column)
    end do
  end subroutine run

  subroutine weather(forcing, step)
    real(wp), intent(out) :: forcing(3, n_forcing_column)
    integer, intent(in) :: step
    real(wp) :: sun
    sun = max(0.0_wp, -cos(step / 48.0_wp * 6.283185_wp))
    forcing = 0  ! columns that are not named here: no deposition, isotopes of air as the standards
    forcing(:, column_of('forcing', 'air_temperature')) = 288 + 6 * sun
    forcing(:, column_of('forcing', 'specific_humidity')) = 0.007_wp
    forcing(:, column_of('forcing', 'pressure')) = 1.0e5_wp
    forcing(:, column_of('forcing', 'shortwave_down')) = 800 * sun
    forcing(:, column_of('forcing', 'longwave_down')) = 320
    forcing(:, column_of('forcing', 'wind_speed')) = 3
    forcing(:, column_of('forcing', 'rainfall')) = merge(2e-4_wp, 0.0_wp, mod(step, 17) == 0)
    forcing(:, column_of('forcing', 'snowfall')) = 0
    forcing(:, column_of('forcing', 'co2')) = 400
    forcing(:, column_of('forcing', 'cosine_zenith')) = sun
    forcing(:, column_of('forcing', 'prescribed_leaf_area')) = -1
    forcing(:, column_of('forcing', 'day_of_year')) = 180
    forcing(:, column_of('forcing', 'noon_weight')) = 0
  end subroutine weather
end program host
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library alone, installed and then moved; the host compiled with what pkg-config says."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=environment()["PATH"]) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    if not EXAMPLE.exists():
        pytest.skip("the project's sources are not here")
    folder = tmp_path_factory.mktemp("prefix")
    first, moved, build = folder / "first", folder / "moved", folder / "build"
    options = ("-Dpython=disabled", "-Dlibdir=lib", f"--prefix={first}")
    run_tool("meson", "setup", build, PROJECT, *options, env=environment())
    run_tool("meson", "compile", "-C", build, "-j", "2", env=environment())
    run_tool("meson", "install", "-C", build, "--no-rebuild", env=environment())
    first.rename(moved)
    return moved


@pytest.fixture(scope="module")
def host(library, tmp_path_factory):
    """The program above, compiled for a host that traps floating-point exceptions and uses OpenMP itself."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "host.f90").write_text(HOST)
    env = environment() | {"PKG_CONFIG_PATH": str(library / "lib" / "pkgconfig")}
    flags = run_tool("pkg-config", "--cflags", "--libs", "concerto", env=env).split()
    traps = "-ffpe-trap=invalid,zero,overflow"
    command = ("gfortran", "-O1", "-fopenmp", "-ffree-line-length-none", "host.f90", "-o", "host")
    rpath = f"-Wl,-rpath,{library / 'lib'}"
    run_tool(*command, *flags, rpath, cwd=folder)
    run_tool(*command[:-1], "trapping", traps, *flags, rpath, cwd=folder)
    return folder


@pytest.mark.parametrize(
    "test", ["misuse", "sizes", "forcing", "state", "derived", "restart", "threads", "memory"]
)  # fmt: skip
def test_a_host_gets_a_status_and_silence(host, test):
    program = "trapping" if test in ("sizes", "forcing", "derived", "restart") else "host"
    limit = "ulimit -s 8192; " + ("ulimit -v 2000000; " if test == "memory" else "")
    done = subprocess.run(
        ["bash", "-c", f"{limit}exec ./{program} {test}"], capture_output=True, text=True, cwd=host, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout + done.stderr == ""


def test_one_module_file_is_enough(library, host, tmp_path):
    shutil.copy(library / "include" / "concerto" / "concerto.mod", tmp_path)
    flags = ("-std=f2018", "-ffree-line-length-none", "-fdefault-real-8")
    run_tool("gfortran", *flags, "-c", host / "host.f90", "-o", "host.o", cwd=tmp_path)


def test_all_names_of_the_library_begin_with_its_own(library):
    if shutil.which("nm") is None:
        pytest.skip("nm is not on this machine")
    for line in run_tool("nm", "-D", "--defined-only", library / "lib" / "libconcerto.so").splitlines():
        name = line.split()[-1]
        # the last one: the lock of a named critical region
        assert name.startswith(("concerto", "__concerto", ".gomp_critical_user_concerto")), name
