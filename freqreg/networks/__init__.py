from freqreg.networks.enlarged import Enlarged
from freqreg.networks.one_conv import OneConvNet
from freqreg.networks.preact_resnet import PreActResNet18

__all__ = ["Enlarged", "OneConvNet", "PreActResNet18"]
