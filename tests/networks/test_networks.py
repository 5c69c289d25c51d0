import math

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg.networks import Enlarged, OneConvNet, PreActResNet18


def written_out_preact_resnet18(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The published network in evaluation mode, from a state dict, without a module."""

    def bn_relu(name: str, x: Tensor) -> Tensor:
        scale = weights[f"{name}.weight"] / (weights[f"{name}.running_var"] + 1e-5).sqrt()
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
        return (x * scale[:, None, None] + shift[:, None, None]).clamp_min(0)

    x = F.conv2d(x, weights["stem.weight"], padding=1)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            name = f"stages.{stage}.{block}"
            out = bn_relu(f"{name}.bn1", x)
            out = F.conv2d(out, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            out = bn_relu(f"{name}.bn2", out)
            out = F.conv2d(out, weights[f"{name}.conv2.weight"], padding=1)
            if stride == 2:
                x = F.conv2d(x, weights[f"{name}.shortcut.weight"], stride=2)
            x = out + x
    return x.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize("size", [32, 64])
def test_preact_resnet18_is_the_published_network(size: int):
    torch.manual_seed(0)
    model = PreActResNet18(7, width=4)
    model(torch.rand(16, 3, size, size))  # moves BatchNorm's statistics off their defaults
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.eval().double()
    x = torch.rand(3, 3, size, size, dtype=torch.float64)
    assert_close(model(x), written_out_preact_resnet18(model.state_dict(), x))


def test_preact_resnet18_has_the_published_number_of_parameters():
    count = sum(p.numel() for p in PreActResNet18().parameters())
    stem, head = 3 * 64 * 9, 512 * 10 + 10
    stages = sum(
        9 * fan_in * width
        + 3 * 9 * width**2  # convolutions of two blocks
        + 2 * (fan_in + 3 * width)  # their BatchNorms
        + (fan_in * width if fan_in != width else 0)  # the shortcut
        for fan_in, width in [(64, 64), (64, 128), (128, 256), (256, 512)]
    )
    assert count == stem + stages + head


def test_initial_weights_are_the_published_ones():
    torch.manual_seed(0)
    model = PreActResNet18(1000, width=16)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1]
            expected = math.sqrt(2 / (kernel * layer.out_channels))
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.15)
            assert layer.bias is None
        if isinstance(layer, nn.Linear):
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.02)
            assert not layer.bias.any()


def test_activation_is_replaced_throughout():
    model = PreActResNet18(width=2, activation=nn.GELU)
    activations = [m for m in model.modules() if isinstance(m, nn.GELU)]
    assert len(activations) == 16
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())


def test_input_gradient_has_a_gradient_with_respect_to_every_weight():
    model = PreActResNet18(width=2, in_channels=1)
    x = torch.rand(4, 1, 16, 16, requires_grad=True)
    (grad,) = torch.autograd.grad(model(x).logsumexp(1).mean(), x, create_graph=True)
    grad.pow(2).sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_one_conv_net_is_conv_relu_linear():
    model = OneConvNet(5, image_size=8, filters=4)
    x = torch.rand(2, 3, 8, 8)
    hidden = F.conv2d(x, model.conv.weight, model.conv.bias, padding=1).clamp_min(0)
    assert_close(model(x), hidden.reshape(2, -1) @ model.head.weight.T + model.head.bias)
    assert sum(p.numel() for p in OneConvNet().parameters()) == 3 * 8 * 9 + 8 + 8 * 1024 * 10 + 10


@pytest.mark.parametrize("model", [PreActResNet18(width=2), OneConvNet()])
def test_wrong_shape_is_refused(model: nn.Module):
    with pytest.raises(TypeCheckError):
        model(torch.rand(3, 32, 32))


def test_an_enlarged_network_sees_normalised_large_images_and_has_gradients_of_small_ones():
    model = Enlarged("resnet18", 48, 3, in_chans=3).eval()
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    mean, std = (
        torch.tensor(model.network.pretrained_cfg[name])[:, None, None] for name in ("mean", "std")
    )
    large = F.interpolate((x - mean) / std, scale_factor=3, mode="bilinear", align_corners=False)
    logits = model(x)
    assert_close(logits, model.network(large))
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x)
    assert gradient.shape == x.shape
    assert logits.shape == (2, 3)
