"""Errors and warnings. Each message says how to mend what it reports."""


class FreqregError(Exception):
    """Base class of all errors that freqreg defines."""


class InputGradientError(FreqregError, ValueError):
    """The loss has an unusable shape, does not depend on x, or is computed without gradients."""


class InputError(FreqregError, ValueError):
    """The inputs are not a batch of float images in the declared pixel space."""


class SettingError(FreqregError, ValueError):
    """An invalid argument: not finite, out of range, or missing."""


class DeadRegularizerError(FreqregError, RuntimeError):
    """A penalty cannot change any parameter."""


class SecondDerivativeError(FreqregError, RuntimeError):
    """An operation of the model cannot be differentiated twice."""


class LowPrecisionError(FreqregError, RuntimeError):
    """The rounding errors of half precision would exceed finite differences."""


class DistributedError(FreqregError, RuntimeError):
    """A wrapper for several processes would leave gradients unreduced or stale."""


class LiveStateWarning(UserWarning):
    """Every pass, not only the main one, updates the state of a module."""


class ZeroGradientWarning(UserWarning):
    """A mixer leaves many images unchanged, because their gradient is exactly zero."""


class ForeignGradientWarning(UserWarning):
    """The gradient that autograd computes is not the derivative of the loss."""


class CoarseStepWarning(UserWarning):
    """The step of finite differences causes an error above 5 %."""


class KinkedActivationWarning(UserWarning):
    """Finite differences cross the kinks of ReLU-like activations, and estimate something else."""
