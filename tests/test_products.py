"""Product pools: three meanings of ten years, nothing lost, and a restart that goes on to the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.errors import ConcertoError
from concerto.landuse.products import CONVENTIONS, SPEEDS, ProductPools, decay, rates

NO_LEAP = 365 * 86400.0


@pytest.mark.parametrize("convention", ["efold", "p90", "linear"])
def test_pools_follow_the_reference_table_in_each_convention(reference, convention):
    table = reference("disturb_product_pools.csv")
    pools = ProductPools(1, convention, seconds_per_year=NO_LEAP)
    for row in range(len(table["year"])):
        lost = pools.year([[table[f"in_{n}"][row] for n in (1, 10, 100)]])[0]
        # Tolerance of the table's entry: 1e-8 (it has nine digits; 1e-9 absolute near zero).
        for pool, n in enumerate((1, 10, 100)):
            assert pools.stock()[0, pool] == pytest.approx(table[f"{convention}_stock_{n}"][row], rel=1e-8, abs=1e-9)
            assert lost[pool] == pytest.approx(table[f"{convention}_loss_{n}"][row], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10), st.booleans()), min_size=1, max_size=25), st.integers(0, 9)
)
def test_what_came_in_is_held_or_has_left(convention, inputs, seed):
    shape = np.random.default_rng(seed).random((2, 3))
    pools = ProductPools(2, convention)
    came, left, left_n = np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3))
    for amount, late, pulse in inputs:
        pools.add(amount * shape, 0.01 * amount * shape) if pulse else None
        left += pools.year(late * shape, 0.01 * late * shape)
        left_n += pools.lost["nitrogen"]
        came += (amount * pulse + late) * shape
        assert np.all(pools.stock() >= 0.0) and np.all(pools.lost["carbon"] >= 0.0)
    # Round-off of at most 25 years of sums of up to 250 kg m-2.
    assert left + pools.stock() == pytest.approx(came, rel=1e-12, abs=1e-12)
    assert left_n + pools.stock("nitrogen") == pytest.approx(0.01 * came, rel=1e-12, abs=1e-13)


def test_a_linear_pulse_leaves_in_equal_parts_from_the_year_after():
    pools = ProductPools(1, "linear")
    pools.add([[1.0, 1.0, 1.0]])
    lost = np.array([pools.year()[0] for _ in range(102)])
    for pool, n in enumerate((1, 10, 100)):
        expected = np.zeros(102)
        expected[1 : n + 1] = 1.0 / n
        np.testing.assert_array_equal(lost[:, pool], expected)
    np.testing.assert_array_equal(pools.stock(), 0.0)  # the last part leaves nothing behind, not even rounding


def test_a_pulse_of_january_decays_longer_than_the_same_input_spread_over_the_year():
    pulse, spread = ProductPools(1), ProductPools(1)
    pulse.add([[1.0, 1.0, 1.0]])
    early, late = pulse.year()[0], spread.year([[1.0, 1.0, 1.0]])[0]
    # Closed forms: 1 - exp(-k) and 1 - (1 - exp(-k)) / k.
    k = np.array([1.0, 0.1, 0.01])
    assert early == pytest.approx(1 - np.exp(-k), rel=1e-14)
    assert late == pytest.approx(1 - (1 - np.exp(-k)) / k, rel=1e-12)


def test_ten_years_mean_different_things():
    left = {}
    for convention in ("efold", "p90", "linear"):
        pools = ProductPools(1, convention)
        pools.add([[0.0, 1.0, 0.0]])
        for _ in range(10):
            pools.year()
        left[convention] = pools.stock()[0, 1]
    assert left["efold"] == pytest.approx(np.exp(-1.0), rel=1e-12)
    assert left["p90"] == pytest.approx(0.1, abs=0.005)  # CTSM's rates are rounded: "about 90 %"
    assert left["linear"] == pytest.approx(0.1, rel=1e-12)  # the tenth part leaves in year 11


def test_very_short_and_very_long_lives_are_no_special_case():
    short = ProductPools(1, times=(1e-6, 1e-6, 1e-6))
    assert short.year([[1.0, 2.0, 3.0]])[0] == pytest.approx(
        [1.0, 2.0, 3.0], rel=2e-6
    )  # all but the last 30 s of input
    long = ProductPools(1, times=(1e12, 1e12, 1e12))
    long.add([[1.0, 2.0, 3.0]])
    long.year()
    assert long.stock()[0] == pytest.approx([1.0, 2.0, 3.0], rel=1e-11)  # e^-1e-12
    assert decay(3.0, 0.0, 1.0) == (4.0, 0.0)


def test_other_parameter_sets_are_those_of_their_models():
    assert rates("earles") == pytest.approx([2.0, 0.5, 1 / 30])
    assert rates("efold", speed="fast") == pytest.approx(np.array([1.0, 0.1, 0.01]) / 0.497067, rel=1e-5)
    assert SPEEDS["slow"] == pytest.approx(1.246, abs=5e-4)
    pools = ProductPools(1, "lpjml")
    assert pools.year([[1.0, 1.0, 1.0]])[0] == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_restart_goes_on_to_the_same_bits(convention):
    rng = np.random.default_rng(3)
    one = ProductPools(4, convention)
    for _ in range(15):
        one.add(rng.random((4, 3)), rng.random((4, 3)))
        one.year()
    other = ProductPools(4, convention)
    other.restore(one.state())
    for _ in range(15):
        inputs = rng.random((4, 3))
        for pools in (one, other):
            pools.add(inputs)
        np.testing.assert_array_equal(one.year(), other.year())
        np.testing.assert_array_equal(one.stock("nitrogen"), other.stock("nitrogen"))


def test_wrong_use_is_refused_with_a_reason():
    with pytest.raises(ConcertoError, match="unknown convention"):
        ProductPools(1, "exponential")
    with pytest.raises(ConcertoError, match="negative or not numbers"):
        ProductPools(1).add([[0.0, -1.0, 0.0]])
    with pytest.raises(ConcertoError, match="shape"):
        ProductPools(2).add([[0.0, 1.0, 0.0]])
    with pytest.raises(ConcertoError, match="no inputs_0"):
        ProductPools(1, "linear").restore(ProductPools(1).state())
    with pytest.raises(ConcertoError, match="convention linear"):
        ProductPools(1).restore(ProductPools(1, "linear").state())
    with pytest.raises(ConcertoError, match="whole years"):
        ProductPools(1, "linear", times=(0.5, 2, 30))
