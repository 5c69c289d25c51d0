from torch import nn


def initialize_published_(module: nn.Module) -> None:
    """Initialise every submodule in place by He's normal scheme, as published with the paper.

    Convolutions N(0, 2 / (k² · out_channels)), linear layers N(0, 2 / in_features), biases 0;
    BatchNorm keeps torch's ones and zeros.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
