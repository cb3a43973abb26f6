"""Annual histories of the atmosphere: layouts, units, the series of the package, and a sentence for every fault."""

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.forcing.history import SECONDS_PER_YEAR, built_in, constant, read_history, resolve

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

GRAMS = 1e-3 / SECONDS_PER_YEAR  # g m-2 yr-1 in kg m-2 s-1


@pytest.fixture
def written(tmp_path):
    """Function that writes text and gives its path."""

    def write(text, name="series.txt"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


# --- the series of the package


def test_co2_is_that_of_ice_cores_and_stations():
    """Law Dome 1850 about 285 ppm; Mauna Loa 1960 317, 2000 369.5; NOAA global 2020 412.4 (2 ppm: SSP after 2014)."""
    co2 = built_in("co2").at([1850, 1960, 2000, 2020])
    assert np.abs(co2 - [285.0, 317.0, 369.0, 412.4]).max() < 2.5
    assert np.all(np.diff(built_in("co2").at(np.arange(1950, 2026))) > 0.0)


def test_deposition_rises_threefold_from_its_preindustrial_value():
    """Threefold on land from 1850 to the present: Kanakidou et al. 2016."""
    grams = built_in("ndep").at([1700, 1850, 1950, 1995, 2020]) / GRAMS
    assert grams[0] == grams[1] == pytest.approx(0.130)
    assert grams[3] == pytest.approx(0.383) and grams[4] == pytest.approx(0.402)
    assert grams[1] < grams[2] < 0.5 * (grams[1] + grams[3])  # most of the rise came after 1950
    assert np.all(np.diff(built_in("ndep").at(np.arange(1860, 2006))) >= -0.01 * GRAMS)  # CO2 halts in the 1940s
    assert built_in("ndep").units == "kg m-2 s-1"


def test_a_year_begins_with_a_step():
    history = built_in("co2")
    stamps = np.array(["1999-12-31T23:30", "2000-01-01T00:00"], dtype="datetime64[s]")
    assert list(history.at_time(stamps)) == [history.at(1999), history.at(2000)]


def test_what_a_user_may_give(written):
    assert resolve("co2").at(1900) == built_in("co2").at(1900)
    held = resolve("co2", "constant", 1850)
    assert held.constant and held.at(2000) == built_in("co2").at(1850) and "held at 1850" in held.source
    assert np.array_equal(resolve("co2", "560").at([1, 3000]), [560.0, 560.0])
    assert resolve("ndep", 1.5).at(2000) == pytest.approx(1.5 * GRAMS)
    assert resolve("co2", written("1850 285\n1851 286\n")).at(1851) == 286.0
    assert resolve("co2", held) is held


# --- layouts


@pytest.mark.parametrize(
    "text",
    [
        "1850 285.0\n1851 286.0\n1852 288.0\n",
        "# units: ppm\n% another comment\n\n1850\t285.0\n1851\t286.0\n1852\t288.0",
        "Annee_1850=285.0\nAnnee_1851=286.0\nAnnee_1852=288.0\n",
        "year,co2_ppm,ch4_ppb\n1850,285.0,800\n1851,286.0,801\n1852,288.0,802\n",
        '"Year";"CO2 [ppb]"\n1850;285000\n1851;286000\n1852;288000\n',
        "year co2\n1850.5 285.0\n1851.5 286.0\n1852.5 288.0\n",
        "1850,285.0\r\n1851,286.0\r\n1852,288.0\r\n",
        "# units: mol mol-1\n1850 285e-6\n1851 286e-6\n1852 288e-6\n",
    ],
    ids=["columns", "comments", "assignments", "csv", "ppb", "middle of the year", "comma", "mol mol-1"],
)
def test_layouts_give_the_same_series(text, written):
    history = read_history(written(text), "co2")
    assert list(history.years) == [1850, 1851, 1852]
    assert np.allclose(history.values, [285.0, 286.0, 288.0], rtol=1e-14)


def test_months_are_averaged_and_years_between_are_interpolated(written):
    months = "".join(f"{year} {month} {year - 1500 + month}\n" for year in (1900, 1901) for month in range(1, 13))
    history = read_history(written(months), "co2")
    assert np.allclose(history.at([1900, 1901]), [406.5, 407.5]) and "12 values a year" in " ".join(history.notes)
    history = read_history(written("1850 0.1\n1860 0.2\n"), "ndep")
    assert history.at(1855) == pytest.approx(0.15 * GRAMS) and "9 years" in " ".join(history.notes)
    assert "no unit stated, taken as g m-2 yr-1" in " ".join(history.notes)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("g N m-2 yr-1", 1.0), ("kg N ha-1 yr-1", 0.1), ("kg/ha/yr", 0.1), ("mgN m-2 y-1", 1e-3), ("gN/m2/year", 1.0),
     ("kg m-2 s-1", 1.0 / GRAMS), ("kg ha^-1 a^-1", 0.1)],
)  # fmt: skip
def test_units_of_deposition(unit, factor, written):
    value = 1e-11 if unit == "kg m-2 s-1" else 2.0
    for text in (f"# units: {unit}\n2000 {value}\n2001 {value}\n", f"year,ndep [{unit}]\n2000,{value}\n2001,{value}\n"):
        assert read_history(written(text), "ndep").at(2000) == pytest.approx(value * factor * GRAMS, rel=1e-12)


def test_scenarios_are_chosen_by_name(written):
    path = written("year,co2_ppm,scenario\n2014,397,historical\n2015,399,a\n2016,401,a\n2015,400,b\n2016,405,b\n")
    assert list(read_history(path, "co2").years) == [2014]  # what all share
    assert read_history(path, "co2", scenario="b").at(2016) == 405.0
    with pytest.raises(ConcertoError, match="no scenario 'c'") as raised:
        read_history(path, "co2", scenario="c")
    assert "a, b" in raised.value.hint


# --- faults

FAULTS = {
    "nothing": ("", "co2", "holds no values"),
    "only a header": ("year,co2\n", "co2", "holds no values"),
    "a word": ("1850 285\n1851 abc\n", "co2", "line 2: 'abc' is not a number"),
    "NaN": ("1850 285\n1851 nan\n", "co2", "line 2: 'nan' is not a number"),
    "falling": ("1850 285\n1849 286\n", "co2", "line 2: the time 1849 follows 1850"),
    "repeated": ("1850 285\n1850 286\n", "co2", "line 2: the time 1850 is repeated"),
    "one column": ("1850\n1851\n", "co2", "line 1: 1 columns, expected 2"),
    "ragged": ("1850 285\n1851 286 287\n", "co2", "line 2: 3 columns, expected 2"),
    "ragged csv": ("year,co2\n1850,285,3\n", "co2", "line 2: 3 columns, the header has 2"),
    "many without header": ("1850 1 2 3\n", "co2", "4 columns without a header"),
    "no year": ("when,co2\n1850,285\n", "co2", "no column is named year"),
    "no value": ("year,ch4,n2o\n1850,800,270\n", "co2", "no column for"),
    "two values": ("year,nh,sh\n1850,1,2\n", "delta14c", "2 columns for"),
    "unknown unit": ("# units: furlong\n1850 285\n", "co2", "unit 'furlong'"),
    "other unit": ("1850 0.000285\n", "co2", "line 1: mole fraction of CO2 in air 0.000285 ppm is outside"),
    "bad assignment": ("Annee_1850=285\nAnnee 1851 286\n", "co2", "line 2", "Annee_YEAR=VALUE"),
    "too much nitrogen": ("2000 500\n", "ndep", "line 1: nitrogen deposition"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_and_line(fault, written):
    text, quantity, *words = FAULTS[fault]
    with pytest.raises(ConcertoError) as raised:
        read_history(written(text), quantity)
    assert raised.value.hint and "series.txt" in raised.value.message
    for word in words:
        assert word in raised.value.message, raised.value.message


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"\x89HDF\r\n")
    (tmp_path / "b.bin").write_bytes(b"\xff\xfe\x00\x01")
    for name, word in (("a.nc", "is NetCDF"), ("b.bin", "no text"), ("none.txt", "does not exist"), (".", "directory")):
        with pytest.raises(ConcertoError, match=word) as raised:
            read_history(tmp_path / name, "co2")
        assert raised.value.hint


def test_years_and_values_outside_are_refused(written):
    history = read_history(written("1850 285\n1851 286\n"), "co2")
    for year in (1849, 1852):
        with pytest.raises(ConcertoError, match=f"1850 to 1851, not for {year}"):
            history.at([1850, year])
    for quantity, value in (("co2", "5"), ("co2", "nan"), ("ndep", "-1")):
        with pytest.raises(ConcertoError):
            resolve(quantity, value)
    with pytest.raises(ConcertoError, match="outside"):
        constant("co2", 9999.0)
    with pytest.raises(ConcertoError, match="no series of delta13C"):
        built_in("delta13c")
    with pytest.raises(ConcertoError, match="has no column scenario"):
        read_history(written("year,co2\n1850,285\n"), "co2", scenario="a")
    with pytest.raises(ConcertoError, match="no column for .* named x"):
        read_history(written("year,co2\n1850,285\n"), "co2", column="x")


# --- files beside the project


def test_series_of_others_are_read(shared):
    """Ice-core based series of TRENDY and of CMIP6 differ by up to 4 ppm before 1900 (shown by the two files)."""
    trendy = read_history(shared("data/callmip_phase1/CO2_1700_2024_TRENDYv2025.txt"), "co2")
    assert (trendy.years[0], trendy.years[-1]) == (1700, 2024)
    years = np.arange(1700, 2015)
    assert np.abs(trendy.at(years) - built_in("co2").at(years)).max() < 4.0
    table = shared("data/ancillary/ghg_annual_global_1700-2100.csv")
    cmip = read_history(table, "co2", scenario="SSP2-4.5")
    assert np.array_equal(cmip.values, built_in("co2").values)
    radiocarbon = read_history(shared("data/ancillary/radiocarbon_atm_graven2017.csv"), "delta14c", column="NH")
    assert 700.0 < radiocarbon.values.max() < 1000.0 and 1962 <= radiocarbon.years[radiocarbon.values.argmax()] <= 1966
