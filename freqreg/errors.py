"""What can be wrong with a step, each with its mend in the message."""


class FreqregError(Exception):
    """Base of every error that freqreg raises by itself."""


class InputGradientError(FreqregError, ValueError):
    """The loss has a shape that no step can use, is independent of x, or is under no_grad."""


class InputError(FreqregError, ValueError):
    """The inputs are not a batch of float images in the declared pixel space."""


class SettingError(FreqregError, ValueError):
    """A setting that cannot be meant: not finite, out of range, or missing."""


class DeadRegularizerError(FreqregError, RuntimeError):
    """A penalty that cannot move the parameters."""


class SecondDerivativeError(FreqregError, RuntimeError):
    """Some operation of the model cannot be differentiated twice."""


class LowPrecisionError(FreqregError, RuntimeError):
    """Finite differences would drown in the rounding of half precision."""


class DistributedError(FreqregError, RuntimeError):
    """A wrapper for several processes would leave gradients unreduced or stale."""


class LiveStateWarning(UserWarning):
    """A module has a state that every pass updates, and not the main one alone."""


class ZeroGradientWarning(UserWarning):
    """A mixer leaves many images as they are, since their gradient is exactly zero."""


class ForeignGradientWarning(UserWarning):
    """The gradient that autograd gives is not the derivative of the loss."""


class CoarseStepWarning(UserWarning):
    """Finite differences are off by more than 5 % by their step."""


class KinkedActivationWarning(UserWarning):
    """Finite differences across the kinks of ReLU-like activations estimate something else."""
