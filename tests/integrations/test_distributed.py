"""Every cell of the distributed matrix is right or raises; its table is in the documentation."""

import pytest

from tests.integrations.distributed_cases import UNEQUAL
from tests.integrations.distributed_matrix import DIFFERENTIATIONS, OBJECTIVES, WRAPPERS, main
from tests.integrations.distributed_table import PAGE, table
from tests.integrations.timm_parts import TASKS
from tests.integrations.timm_processes import WAYS
from tests.processes import results_of

ONCE = "ELLE"  # a penalty on losses alone
TWICE = {(n, s) for n in OBJECTIVES for s in DIFFERENTIATIONS if "double" in s and n != ONCE}
REFUSED = {
    "DDP, static_graph": {
        (name, strategy)
        for name in OBJECTIVES
        for strategy in DIFFERENTIATIONS
        if not strategy.endswith("streamed")
        or "double" in strategy
        or (name == "GradAlign" and "one-sided" in strategy)
        or name == ONCE
    },
    "FSDP2": TWICE,
    "FSDP2 of accelerate": TWICE,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float | str]:
    return results_of(main, tmp_path_factory.mktemp("distributed"))


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("strategy", DIFFERENTIATIONS)
def test_two_processes_equal_one_or_raise(
    wrapper: str, objective: str, strategy: str, results: dict[str, float | str]
) -> None:
    found = results[f"{wrapper} | {objective} | {strategy}"]
    if (objective, strategy) in REFUSED.get(wrapper, ()):
        assert isinstance(found, str)
        assert found.startswith("raises: ")
    else:
        assert isinstance(found, float)
        assert found < 1e-10


@pytest.mark.parametrize(
    ("wrapper", "mend"),
    [
        ("DDP, static_graph", "Wrap the model without static_graph"),
        ("FSDP2", "FiniteDifference()"),
        ("FSDP2 of accelerate", "FiniteDifference()"),
    ],
)
def test_what_raises_says_what_to_do(
    wrapper: str, mend: str, results: dict[str, float | str]
) -> None:
    refused = [results[f"{wrapper} | {name} | {strategy}"] for name, strategy in REFUSED[wrapper]]
    assert all(mend in str(found) for found in refused)


AROUND = (
    *("told of the wrapper", "told of the module", "told of nothing", "a second try", "plain"),
    *("adversarial", "differences", "streamed", "penalties alone"),
)


@pytest.mark.parametrize("call", AROUND)
def test_going_around_the_wrapper_raises(call: str, results: dict[str, float | str]) -> None:
    """Gradients would stay unreduced."""
    assert "Let loss_fn call the wrapper" in str(results[f"around DDP, {call}"])


def test_processes_may_do_without_a_wrapper(results: dict[str, float | str]) -> None:
    assert results["without a wrapper"] == "passes"


def test_a_whole_step_may_be_wrapped(results: dict[str, float | str]) -> None:
    """As in Lightning, where loss_fn calls no wrapper since it runs within one."""
    assert float(results["within DDP"]) < 1e-10
    assert "without static_graph" in str(results["within DDP, static_graph"])


def test_compiled_modules_in_a_wrapper_are_compiled_once(results: dict[str, float | str]) -> None:
    assert results["compiled graphs"] == 2  # with and without a gradient of the images


@pytest.mark.parametrize("given", ["nothing", "the module", "the wrapper"])
def test_statistics_of_batch_norm_are_those_of_plain_steps(
    given: str, results: dict[str, float | str]
) -> None:
    """In every process, each of which DDP sends those of the first."""
    assert float(results[f"batch norm, told of {given}"]) < 1e-10


def test_sharded_parameters_that_stay_gathered_are_refused(
    results: dict[str, float | str],
) -> None:
    assert "FiniteDifference()" in str(results["FSDP2, not resharded"])


@pytest.mark.parametrize("regularizer", UNEQUAL)
def test_processes_with_more_images_weigh_more(
    regularizer: str, results: dict[str, float | str]
) -> None:
    assert float(results[f"unequal batches, {regularizer}"]) < 1e-10


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("way", WAYS)
def test_timm_tasks_in_two_processes_equal_one(
    kind: str, way: str, results: dict[str, float | str]
) -> None:
    assert float(results[f"timm {kind}, {way}"]) < 1e-10


def test_timm_tasks_refuse_what_the_objective_refuses(results: dict[str, float | str]) -> None:
    assert "Wrap the model without static_graph" in str(results["timm, static_graph"])
    assert "Let loss_fn call the wrapper" in str(results["timm, around DDP"])


def test_the_documented_table_is_this_one(results: dict[str, float | str]) -> None:
    assert table(results) in PAGE.read_text()
