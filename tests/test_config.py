"""The configuration of gridded runs: what is accepted, what is refused and how, what may change between two runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from concerto.config import (
    differences,
    digest,
    from_dict,
    load,
    parameter_values,
    resolved,
    schema_json,
    stream_variables,
)
from concerto.config.document import page
from concerto.errors import ConcertoError
from concerto.tables import loader

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

ROOT = Path(__file__).resolve().parents[1]
LEAST = "domain: {grid: embedded, resolution: 4}\n"
HISTORY = """\
domain:
  grid: embedded
  resolution: 4
atmosphere:
  co2: data/co2.txt
phases:
  - name: equilibrium
    kind: spinup
    climate: [1901, 1920]
  - name: historical
    kind: run
    years: [1901, 2020]
    ndep: {fixed: 1850}
"""


@pytest.fixture
def read(tmp_path):
    """Function that loads a text as globe.yaml."""

    def read(text, *overrides):
        (tmp_path / "globe.yaml").write_text(text)
        return load(tmp_path / "globe.yaml", overrides)

    return read


@pytest.fixture
def refused(read, tmp_path):
    """Function that gives message and hint of a refusal, without the folder."""

    def refused(text, *overrides):
        with pytest.raises(ConcertoError) as error:
            read(text, *overrides)
        assert "\n" not in error.value.message and error.value.hint
        return error.value.message.replace(f"{tmp_path}/", ""), error.value.hint

    return refused


def test_the_smallest_file_is_a_complete_run(read):
    config = read(LEAST)
    assert [(phase.name, phase.kind) for phase in config.phases] == [("spinup", "spinup"), ("run", "run")]
    assert config.forcing.source == "embedded" and config.phases[1].years == (2000, 2000)
    assert config.phases[0].climate.cycle == (2000, 2000)
    assert [stream.frequency for stream in config.output.streams] == ["month", "year"]
    assert config.phases[1].outputs == ["monthly", "annual"]
    assert config.model.options == {name: entry.default for name, entry in loader.options().items()}


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("", "globe.yaml is empty", "the least is"),
        ("- a\n", "holds a list, not sections", "the least is"),
        ("domain:\n\tgrid: embedded\n", "globe.yaml, line 2: a tab", "blanks"),
        (LEAST + "title: a\ntitle: b\n", "line 3: the key title stands twice", "remove one"),
        (LEAST + "---\ntitle: b\n", "a second document", "---"),
        ("domian: {grid: embedded}\n", "line 1, domian: unknown key", "did you mean 'domain'?"),
        (LEAST + "title: a\nresolution: 4\n", "line 3, resolution: unknown key", "belongs to domain"),
        ("title: a\n", "the section domain is missing", "the least is"),
        ("domain:\n  resolution: 7\n", "line 2, domain.resolution: 7 degrees of latitude do not divide", "7.2"),
        ("domain:\n  grid: points\n", "line 2, domain.grid: grid points needs the key points", "add points"),
        ("domain:\n  points: a.csv\n", "line 2, domain.points: points is for grid: points", "write grid: points"),
        ("domain:\n  grid: file\n", "line 2, domain.grid: grid file needs the key file", "add file"),
        ("domain:\n  box: [20, 0, 10, 30]\n", "line 2, domain.box: from west, 20, to east, 10", "370"),
        (
            "domain:\n  grid: points\n  points:\n  - {latitude: 1, longitude: 2}\n  - {latitude: 91, longitude: 2}\n",
            "line 5, domain.points.1.latitude: 91 must be at most 90",
            "degrees north",
        ),
        (LEAST + "forcing:\n  source: era5land\n", "line 3, forcing.source: 'era5land' is not one of", "'era5_land'"),
        (LEAST + "forcing:\n  source: era5\n", "line 3, forcing.source: source era5 needs the key files", "pattern"),
        (LEAST + "atmosphere:\n  co2: 1850\n", "line 3, atmosphere.co2: 1850 would be 1850 ppm", "{fixed: 1850}"),
        (LEAST + "model:\n  time_step: 1700\n", "line 3, model.time_step: 1700 s do not divide a day", "1600 and 1728"),
        (LEAST + "model:\n  options:\n    stomta: medlyn\n", "line 4, model.options.stomta", "'stomata'"),
        (LEAST + "model:\n  options:\n    stomata: medlin\n", "line 4, model.options.stomata: 'medlin'", "'medlyn'"),
        (LEAST + "model:\n  options: {soil_carbon: rothc, nitrogen: cn}\n", "needs soil_carbon = cencn", "change"),
        (LEAST + "model:\n  parameters: {vcmax: 4}\n", "no parameter 'vcmax'", "'vcmax25'"),
        (LEAST + "model:\n  parameters: {g1: {gras_c4: 4}}\n", "parameters.g1.gras_c4", "'grass_c4'"),
        (LEAST + "model:\n  parameters: {g1: 400}\n", "400 is outside 0.5 to 12 kPa0.5", "Medlyn"),
        (HISTORY.replace("[1901, 2020]", "[2020, 1901]"), "line 12, phases.historical.years: the first", "earlier"),
        (HISTORY.replace("[1901, 1920]", "transient"), "line 9, phases.equilibrium.climate", "cycle"),
        (HISTORY.replace("historical", "equilibrium"), "line 10, phases.equilibrium.name: a second phase", "differ"),
        (HISTORY.replace("historical", "a/b"), "cannot be part of a file name", "letters"),
        (HISTORY + "    outputs: [montly]\n", "line 14, phases.historical.outputs.0", "'monthly'"),
        (HISTORY + "  - {name: again, kind: run, years: [2020, 2030]}\n", "line 14, phases.again.years", "order"),
        (LEAST + "output:\n  streams: [{name: a, frequency: month, variables: [cveg]}]\n", "'cveg'", "'cVeg'"),
        (
            LEAST + "output:\n  streams: [{name: a, frequency: month, variables: [fBNF]}]\n",
            "only with the option nitrogen: cn, which is c_only",
            "remove fBNF",
        ),
        (LEAST + "output:\n  streams: [{name: a, frequency: day}, {name: a, frequency: day}]\n", "a second stream", ""),
        (LEAST + "parallel: {memory: 2 GB}\n", "line 2, parallel.memory: '2 GB' is no number", "GB"),
        (LEAST + "title: true\n", "line 2, title: no key takes true or false", ""),
        (LEAST + "title: ${NOT_SET_HERE}\n", "line 2, title: the environment variable NOT_SET_HERE", "export"),
    ],
)
def test_faults_name_line_key_and_remedy(refused, text, message, hint):
    found, advice = refused(text)
    assert message in found and hint in advice, f"{found}\n{advice}"


def test_a_spin_up_under_measured_weather_must_name_its_years(refused):
    message, hint = refused(LEAST + "forcing: {source: cru_jra, files: 'cru/{variable}_{year}.nc'}\n")
    assert "the spin-up 'spinup' needs the years" in message and "cycle" in hint


def test_missing_files_are_named(tmp_path):
    (tmp_path / "globe.yaml").write_text(LEAST)
    with pytest.raises(ConcertoError, match="does not exist") as error:
        load(tmp_path / "glob.yaml")
    assert "globe.yaml" in error.value.hint


def test_a_box_may_cross_the_date_line(read):
    for box in ([170, -30, -170, 30], [20, -30, 370, 30]):
        assert read(f"domain: {{box: {box}}}\n").domain.box == tuple(box)


def test_overrides_win_over_the_file(read):
    config = read(
        HISTORY,
        "domain.resolution=[1.0, 1.25]",
        "phases.historical.years=[1901,1950]",
        "phases.0.rounds=2",
        "output.streams.monthly.frequency=day",
        "model.parameters.g1.grass_c3=4",
        "atmosphere.co2=null",
    )
    assert config.domain.resolution == (1.0, 1.25)
    assert config.phases[1].years == (1901, 1950) and config.phases[0].rounds == 2
    assert [stream.frequency for stream in config.output.streams] == ["day", "year"]
    assert config.model.parameters == {"g1": {"grass_c3": 4.0}}
    assert config.atmosphere.co2 == "builtin"


@pytest.mark.parametrize(
    "override, message, hint",
    [
        ("domain.resolution=7", "--set domain.resolution=7: 7 degrees", "7.2"),
        ("domian.resolution=2", "domian: unknown key", "'domain'"),
        ("phases.historcal.years=[1,2]", "phases has no item 'historcal'", "'historical'"),
        ("domain.resolution", "is not of the form KEY=VALUE", "--set domain.resolution=4"),
        ("domain.resolution=[", "the value is no YAML", "quotes"),
    ],
)
def test_faults_of_overrides_name_the_override(refused, override, message, hint):
    found, advice = refused(HISTORY, override)
    assert message in found and hint in advice and "line" not in found, f"{found}\n{advice}"


def test_environment_variables_are_filled_in(read, monkeypatch):
    monkeypatch.setenv("SCRATCH_HERE", "/scratch")
    monkeypatch.setenv("RANK_THREADS", "3")
    config = read(
        LEAST + "output:\n  folder: ${SCRATCH_HERE}/${RUN_HERE:-first}\nparallel:\n  threads: ${RANK_THREADS}\n"
    )
    assert config.output.folder == "/scratch/first" and config.parallel.threads == 3


def test_paths_refer_to_the_folder_of_the_file(read, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = read(HISTORY)
    assert config.folder == tmp_path
    assert config.path(config.output.folder) == tmp_path / "out"
    assert config.path("/elsewhere/{variable}.nc") == Path("/elsewhere/{variable}.nc")


def test_the_air_of_a_spin_up_is_that_of_the_first_year_of_the_run(read, tmp_path):
    config = read(HISTORY)
    spinup, run = config.phases
    file = str(tmp_path / "data/co2.txt")
    assert config.air(spinup)["co2"] == (file, 1901) and config.air(run)["co2"] == (file, None)
    assert config.air(run)["ndep"] == ("builtin", 1850)
    config = read(
        HISTORY, "phases.equilibrium.co2={fixed: 1850}", "phases.historical.co2=400", "atmosphere.ndep=constant"
    )
    spinup, run = config.phases
    assert config.air(spinup)["co2"] == (file, 1850) and config.air(run)["co2"] == (400.0, None)
    assert config.air(spinup)["ndep"] == ("builtin", 1901)


@pytest.mark.parametrize("text", [LEAST, HISTORY + "    co2: 1850.0\n"])
def test_what_a_run_stores_is_a_configuration_again(read, text):
    config = read(text)
    stored = json.loads(json.dumps(resolved(config)))
    again = from_dict(stored, config.folder)
    assert again == config and resolved(again) == stored and digest(again) == digest(config)


def test_a_run_may_go_on_with_harmless_changes_only(read):
    a = resolved(read(HISTORY))
    harmless = HISTORY.replace("2020]", "2030]") + "  - {name: future, kind: run, years: [2031, 2100]}\n"
    more = ("title=b", "parallel.threads=4", "checkpoint.every=5", "output.folder=there")
    names = {"monthly": "month", "annual": "year", "days": "day"}
    added = f"output.streams=[{', '.join(f'{{name: {name}, frequency: {of}}}' for name, of in names.items())}]"
    added = added.replace("month}", "month, variables: [all, tas]}")
    assert differences(a, resolved(read(harmless, *more, added))) == []
    assert differences(a, a) == []
    b = resolved(
        read(HISTORY, "domain.resolution=2", "phases.historical.years=[1901, 2019]", "model.options.stomata=sox")
    )
    assert differences(a, b) == [
        "domain.resolution: 4.0 -> 2.0",
        "model.options.stomata: medlyn -> sox",
        "phases.historical.years: [1901, 2020] -> [1901, 2019]",
    ]
    c = resolved(read(LEAST, "output.streams=[{name: monthly, frequency: day, variables: [all, tas]}]"))
    assert differences(resolved(read(LEAST)), c) == [
        "output.streams: annual -> (not given)",
        "phases.run.outputs: [\"monthly\", \"annual\"] -> [\"monthly\"]",
        "output.streams.monthly.frequency: month -> day",
    ]  # fmt: skip
    assert differences(a, resolved(read(LEAST)))[0] == "phases: equilibrium, historical -> spinup, run"


def test_the_digest_follows_what_alters_results(read):
    assert digest(read(HISTORY)) == digest(read(HISTORY, "parallel.threads=2", "title=x"))
    assert digest(read(HISTORY)) != digest(read(HISTORY, "forcing.seed=2"))


def test_groups_hold_every_variable_with_a_cmip_name_once():
    options = {"nitrogen": "cn", "crops": "calendar", "plant_hydraulics": "on"}
    options |= {"grazing": "livestock", "irrigation": "demand"}
    groups = [stream_variables([group], options) for group in ("carbon", "water", "energy", "nitrogen")]
    together = [name for group in groups for name in group]
    assert sorted(together) == sorted(stream_variables(["all"], options)) and len(set(together)) == len(together)
    entries = loader.variables("state") | loader.variables("diagnostic")
    assert {name for name, entry in entries.items() if entry.cmip} <= set(together)
    assert {"gpp", "leaf_area", "vegetation_carbon", "nbp"} <= set(groups[0])
    assert {"soil_water", "transpiration", "snow_depth", "drainage"} <= set(groups[1])
    assert {"latent_heat", "surface_temperature"} <= set(groups[2])
    assert {"nitrogen_uptake", "nitrous_oxide"} <= set(groups[3])


def test_groups_leave_out_what_the_options_leave_empty():
    assert stream_variables(["nitrogen"]) == []
    assert "coarse_debris_carbon" not in stream_variables(["carbon"], {"soil_carbon": "rothc"})
    assert stream_variables(["cVeg", "gpp", "vegetation_carbon"]) == ["vegetation_carbon", "gpp"]
    with pytest.raises(ConcertoError, match="soil_carbon: cencn, which is rothc"):
        stream_variables(["cCwd"], {"soil_carbon": "rothc"})


def test_parameters_of_types_that_are_not_named_keep_their_values():
    table = loader.parameters()["g1"].values
    grass = loader.pft_names().index("grass_c3")
    assert parameter_values({"g1": 3.0})["g1"] == [3.0] * len(table)
    assert parameter_values({"g1": {"grass_c3": 3.0}})["g1"] == [*table[:grass], 3.0, *table[grass + 1 :]]


@pytest.mark.parametrize("name, text", [("concerto.schema.json", schema_json), ("configuration.md", page)])
def test_committed_pages_are_current(name, text):
    current = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert current == text(), "run: python -m concerto.config.document"


def test_examples_of_the_page_are_valid(read, monkeypatch):
    monkeypatch.setenv("DATA", "/data")
    examples = page().split("```yaml\n")[1:]
    assert len(examples) == 3
    for example in examples:
        read(example.split("```")[0])


def test_every_key_says_what_it_means():
    def keys(node):
        if isinstance(node, dict):
            yield from node.get("properties", {}).items()
            for item in node.values():
                yield from keys(item)

    missing = [name for name, row in keys(json.loads(schema_json())) if not row.get("description")]
    assert not missing


def test_other_commands_do_not_load_the_library_of_schemas():
    code = "import sys, concerto.cli; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
