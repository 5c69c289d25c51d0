"""The cyclic learning rate of the paper."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqreg.integrations._accelerate.schedule import cyclic_factor, cyclic_schedule

peaks_and_totals = st.integers(2, 200).flatmap(
    lambda total: st.tuples(st.integers(0, total - 1), st.just(total))
)


@given(peaks_and_totals)
def test_it_interpolates_between_three_points(case: tuple[int, int]) -> None:
    peak, total = case
    found = [cyclic_factor(done, peak=peak, total=total) for done in range(total)]
    times = np.arange(1, total + 1)
    corners = ([0, peak, total], [0, 1, 0]) if peak else ([0, total], [1, 0])
    np.testing.assert_allclose(found, np.interp(times, *corners), atol=1e-12)


@pytest.mark.parametrize(("epochs", "peak"), [(15, 6), (30, 12), (4, 1), (1, 0)])
def test_the_peak_is_at_two_fifths_of_the_epochs(epochs: int, peak: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = cyclic_schedule(optimizer, epochs=epochs, steps_per_epoch=10)
    rates = []
    for _ in range(10 * epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    highest = max(range(len(rates)), key=rates.__getitem__)
    assert highest == max(0, 10 * peak - 1)
    assert rates[-1] == 0
    assert rates[highest] == pytest.approx(0.3, rel=0.11 if peak == 0 else 1e-9)
    assert optimizer.param_groups[0]["lr"] == 0
