"""The pixels in which a regularized task counts: those of its model's `pretrained_cfg`."""

import pickle

import pytest
import torch
from timm.task import ClassificationTask
from torch import nn
from torch.testing import assert_close

from freqreg import FGSM, JaFR, Objective, PixelSpace
from freqreg.integrations.timm import regularize
from tests.integrations.timm_parts import WIDE, Seen, batch, network, task_of


class TestPixels:
    def pixels(self, model: nn.Module, objective: Objective | None = None) -> PixelSpace | None:
        task = ClassificationTask(model, verbose=False)
        return regularize(task, objective or Objective([JaFR()])).objective.pixels

    @pytest.mark.parametrize("name", ["test_convnext", "resnet10t"])
    def test_they_are_those_of_the_pretrained_cfg(self, name: str) -> None:
        model = network(name)
        config = model.pretrained_cfg
        assert self.pixels(model) == PixelSpace(config["mean"], config["std"])

    def test_channels_other_than_three_take_the_mean_of_the_mean(self) -> None:
        mean = (0.485 + 0.456 + 0.406) / 3
        pixels = self.pixels(network("resnet10t", in_chans=2))
        assert pixels is not None
        assert pixels.mean == pytest.approx((mean, mean))
        assert pixels.std == pytest.approx(((0.229 + 0.224 + 0.225) / 3,) * 2)

    @pytest.mark.parametrize("declared", [WIDE, PixelSpace()], ids=str)
    def test_declared_ones_stay(self, declared: PixelSpace) -> None:
        model = network("resnet10t")
        assert self.pixels(model, Objective([JaFR()], pixels=declared)) is declared

    def test_none_are_declared_by_a_copy_of_an_objective_that_declares_none(self) -> None:
        model = network("resnet10t")
        sent = pickle.loads(pickle.dumps(Objective([JaFR()])))
        assert self.pixels(model, sent) == self.pixels(model)

    def test_models_that_say_nothing_leave_the_objective_alone(self) -> None:
        assert self.pixels(nn.Flatten()) is None

    def test_they_are_found_in_wrappers(self) -> None:
        task = ClassificationTask(network("resnet10t"), verbose=False)
        task.compile(backend="aot_eager")
        config = network("resnet10t").pretrained_cfg
        pixels = regularize(task, Objective([JaFR()])).objective.pixels
        assert pixels == PixelSpace(config["mean"], config["std"])

    def test_a_student_is_found_beside_its_projection(self) -> None:
        task = task_of("FeatureDistillationTask", network("resnet10t").double())
        config = network("resnet10t").pretrained_cfg
        pixels = regularize(task, Objective([JaFR()])).objective.pixels
        assert pixels == PixelSpace(config["mean"], config["std"])

    def test_eps_counts_pixels(self) -> None:
        model = network("resnet10t")
        seen = Seen(FGSM(8 / 255))
        std = torch.tensor(model.pretrained_cfg["std"])[:, None, None]
        mean = torch.tensor(model.pretrained_cfg["mean"])[:, None, None]
        x = (0.1 + 0.8 * torch.rand(4, 3, 32, 32) - mean) / std
        regularize(ClassificationTask(model, verbose=False), Objective(mixer=seen))(x, batch()[1])
        moved = ((seen.images - x) * std).abs()
        assert_close(moved[moved > 1e-6], torch.full_like(moved[moved > 1e-6], 8 / 255))
        assert (moved > 1e-6).any()
